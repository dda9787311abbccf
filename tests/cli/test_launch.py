"""A command in several processes: what they are started with, what ends them for good, and what they go on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from several import Several

from striate.cli import launch
from striate.errors import ArgumentError, DataError, LostProcessError


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This process is the first of two that the launcher has started; the folder of their notes."""
    torchrun(monkeypatch)
    monkeypatch.setenv(launch.FOLDER, str(tmp_path))
    return tmp_path


def torchrun(monkeypatch: pytest.MonkeyPatch, rank: int = 0, restarts: int = 0) -> None:
    variables = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": 1}
    for name, value in {**variables, "TORCHELASTIC_RESTART_COUNT": restarts}.items():
        monkeypatch.setenv(name, str(value))


def test_one_process_is_not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launch.launched(None)
    assert not launch.launched(1)
    torchrun(monkeypatch)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not launch.started(), "torchrun has started one process, which works alone"


def test_numbers_that_can_not_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="--processes 0: at least 1 works"):
        launch.launched(0)
    torchrun(monkeypatch)
    with pytest.raises(ArgumentError, match="--processes 3: torchrun has started 2 already"):
        launch.launched(3)
    assert not launch.launched(2), "they run already"


def test_variables_that_make_it_reliable_and_the_users_own_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "cores", lambda: 8)
    found = launch.environment(3, {})
    assert found["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"
    assert found["OMP_NUM_THREADS"] == "2"
    assert launch.environment(100, {})["OMP_NUM_THREADS"] == "1"
    own = {"OMP_NUM_THREADS": "5", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "0", "PATH": "/bin"}
    assert {**launch.environment(3, own), **own} == {**launch.environment(3, own), "PATH": "/bin"}
    assert "PATH" not in launch.environment(3, own)


def test_a_process_of_nobody_ends_with_its_own_code() -> None:
    assert launch.ended(ArgumentError("no")) == ArgumentError.exit_code
    assert not launch.has_ended()


def test_a_mistake_ends_all_for_good_and_a_lost_process_does_not(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.ended(LostProcessError("gone")) == LostProcessError.exit_code != 0
    assert not launch.has_ended()
    assert launch.ended(DataError("no images")) == 0, "or torchrun would start all again"
    assert launch.has_ended()
    assert (ours / "code").read_text() == str(DataError.exit_code)
    monkeypatch.setenv("RANK", "1")
    assert launch.ended(LostProcessError("gone")) == 0, "the first process has told it"


def test_the_others_leave_no_code(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert launch.ended(DataError("no images")) == DataError.exit_code
    assert not launch.has_ended()


def test_a_restart_goes_on_with_the_run_that_was_begun(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ours / "run-1"
    launch.begun(run)
    assert launch.to_continue(None) is None, "nothing was started again"
    torchrun(monkeypatch, restarts=1)
    assert launch.to_continue(None) is None, "it has not written anything yet"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert launch.to_continue(None) == run
    launch.begun(run / "mlp" / "seed-0")
    assert launch.to_continue(None) == run, "a run of a series is not what was begun"
    assert launch.to_continue(None, "comparison.json") is None
    monkeypatch.delenv(launch.FOLDER)
    assert launch.to_continue(run) == run
    with pytest.raises(ArgumentError, match="without --out the run that they had begun can't be found"):
        launch.to_continue(None)


def test_only_the_first_process_notes_the_run(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    launch.begun(ours)
    assert not (ours / "run").exists()


# ---------------------------------------------------------------- real processes


@pytest.mark.slow
def test_a_machine_that_came_back_goes_on_with_what_the_others_had_begun(several: Several, tmp_path: Path) -> None:
    assert several.values(2, "come_back", out=str(tmp_path)) == ["None", "None"]
    (tmp_path / "run.json").write_text("{}")
    assert several.values(2, "come_back", out=str(tmp_path)) == [str(tmp_path)] * 2


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "striate", *map(str, arguments)]


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    listing = subprocess.run(["ps", "--ppid", str(launcher), "-o", "pid="], capture_output=True, text=True).stdout
    return [int(line) for line in listing.split()]


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_the_run_ends_as_if_undisturbed(tmp_path: Path) -> None:
    arguments = ["train", "lenet5", "--batch-size", 60, "--set", "steps=100", "--shards", 2]
    assert subprocess.run(command(*arguments, "--out", tmp_path / "whole"), capture_output=True).returncode == 0
    out = tmp_path / "run"
    process = subprocess.Popen(command(*arguments, "--out", out, "--processes", 2), stderr=subprocess.PIPE, text=True)
    while not list(out.glob("checkpoints/step-*.json")) and process.poll() is None:
        time.sleep(0.02)
    os.kill(workers(process.pid)[-1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_mistake_is_one_line_and_the_exit_code_of_one_process(tmp_path: Path) -> None:
    # The first process doesn't say that it has heard the other: it may be gone while the other still asks.
    (tmp_path / "sitecustomize.py").write_text(
        "from striate.processes.links import Links\n"
        "asked = Links.wait_until_heard\n"
        "Links.wait_until_heard = lambda links, is_first: None if is_first else asked(links, is_first)\n"
    )
    done = subprocess.run(
        command("train", "lenet5", "--data", tmp_path / "none", "--processes", 2),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert done.returncode == DataError.exit_code
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["striate"], done.stderr
