"""Cores, memory, threads and devices: what there is, within the control groups' limits."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from striate import hardware
from striate.errors import ArgumentError
from striate.hardware import cores, memory, pick, thread_count, vendor, worker_count


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
    monkeypatch.setattr(hardware, "_quota", lambda root: 3)
    assert [worker_count(images) for images in (0, 1, 2, 3, 1000)] == [1, 1, 2, 3, 3]


def test_threads_are_no_more_than_cores_unless_someone_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_quota", lambda root: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [thread_count(chosen) for chosen in (1, 3, 64)] == [1, 3, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert thread_count(64) == 64


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "5"}, {}])
def test_waiting_threads_give_their_core_away_unless_someone_said_how(
    own: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", own.copy())
    hardware.wait_briefly()
    assert os.environ == (own or {"GOMP_SPINCOUNT": hardware._SPINS})


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
    monkeypatch.setattr(hardware, "_machine_memory", lambda: 8000)
    assert memory(tree(tmp_path, **files)) == expected


def test_the_machine_has_some_memory() -> None:
    assert 2**20 < memory() <= hardware._machine_memory()


PROGRAM = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from striate.preprocess import Preprocess
from striate.inference import Predictor

how, where = sys.argv[1:]
if how == "kept":
    Predictor(torch.nn.Identity(), Preprocess(4, 4, 1))

def step():
    return [torch.ones(20 * 2**20) for _ in range(2)]  # 80 MiB each, more than a heap of a thread's own holds

def faults():
    for _ in range(12):  # the heap grows until all find a place between what else is allocated
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults() if where == "main" else ThreadPoolExecutor(1).submit(faults).result())
"""


def faults(how: str, where: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how, where]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the GNU C library"
)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_who_predicts_takes_the_memory_of_the_batch_before(where):
    assert faults("kept", where) < faults("given back", where) / 10
    assert hardware.keep_memory()


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(hardware.sys, "platform", "darwin")
    assert hardware.keep_memory.__wrapped__() is False
    monkeypatch.setattr(hardware.sys, "platform", "linux")
    monkeypatch.setattr(hardware.ctypes, "CDLL", lambda name: object())
    assert hardware.keep_memory.__wrapped__() is False


@pytest.mark.parametrize(("gpu", "auto"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, gpu, auto):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert pick() == pick("auto") == torch.device(auto)
    assert pick("cpu") == torch.device("cpu")


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="device 'cuda': PyTorch finds no GPU here; use --device cpu or auto"):
        pick("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick("cuda") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "tpu", "CPU", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ArgumentError, match=f"device '{name}': use one of auto, cpu, cuda"):
        pick(name)


def test_processes_on_a_machine_divide_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.hardware.cores", lambda: 8)
    assert worker_count(1000) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert [worker_count(1000), worker_count(1), worker_count(1000, processes=1)] == [2, 1, 8]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "100")
    assert worker_count(1000) == 1


def test_the_vendor_is_what_linux_lists(tmp_path):
    assert vendor(tmp_path) == ("", 0)
    (tmp_path / "proc").mkdir()
    processors = [f"processor\t: {n}\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n" for n in range(2)]
    (tmp_path / "proc" / "cpuinfo").write_text("\n".join(processors))
    assert vendor(tmp_path) == ("AuthenticAMD", 26)
