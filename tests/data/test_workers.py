"""How many cores and how much memory there are to use: the machine's, within the control groups' limits."""

import os
from pathlib import Path

import pytest

from striate.data import workers
from striate.data.workers import cores, memory, thread_count, worker_count


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is bound to eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def tree(root: Path, **files: str) -> Path:
    """`tree(root, {"a/b": "text"})`: files with their folders."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, 8),
        # a limit of the group, and a tighter one of a group around it
        (
            {
                "proc/self/cgroup": "0::/jobs/mine\n",
                "sys/fs/cgroup/jobs/mine/cpu.max": "600000 100000",
                "sys/fs/cgroup/jobs/cpu.max": "400000 100000",
            },
            4,
        ),
        # version 1
        (
            {
                "proc/self/cgroup": "5:memory:/box\n4:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "500000\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_control_groups_limit_the_cores(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert cores(tree(tmp_path, **files)) == expected


def test_workers_are_no_more_than_cores_or_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_quota", lambda root: 3)
    assert [worker_count(images) for images in (0, 1, 2, 3, 1000)] == [1, 1, 2, 3, 3]


def test_threads_are_no_more_than_cores_unless_someone_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_quota", lambda root: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [thread_count(chosen) for chosen in (1, 3, 64)] == [1, 3, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert thread_count(64) == 64


def test_this_machine_has_a_core() -> None:
    assert 1 <= cores() <= 8


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8000),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 8000),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9000\n"}, 8000),
        (
            {
                "proc/self/cgroup": "0::/jobs/mine\n",
                "sys/fs/cgroup/jobs/mine/memory.max": "6000\n",
                "sys/fs/cgroup/jobs/memory.max": "4000\n",
            },
            4000,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/box\n4:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "5000\n",
            },
            5000,
        ),
    ],
)
def test_control_groups_limit_the_memory(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_machine_memory", lambda: 8000)
    assert memory(tree(tmp_path, **files)) == expected


def test_the_machine_has_some_memory() -> None:
    assert 2**20 < memory() <= workers._machine_memory()
