"""Real processes, killed at random moments, a checkpoint's write included, end with the bytes of one never killed.

`STRIATE_KILL_TRIALS=20 make test ARGS=tests/runs/test_kill.py` makes as many trials as docs/results.md reports.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRIALS = int(os.environ.get("STRIATE_KILL_TRIALS", "4"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL, which this system does not have"),
]

PROGRAM = '''
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from small_run import Dropping, dataset, recipe
from striate.runs import driver, session
session.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every step: most kills then fall into one
import os
import tempfile
import torch
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as first:  # a first training imports what no other has to
    driver.train(Dropping(), dataset(), recipe(epochs=1), out=Path(first) / "run")
print("ready", 0, flush=True)


def die_at(moment):
    """Be killed at the given one of the system calls that make writes safe, counted from 1."""
    left = moment

    def counted(call):
        def counting(*arguments):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)
            return call(*arguments)

        return counting

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


while line := sys.stdin.readline():  # one training a line, each in a process that has nothing left to import
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        name, _, moment = line.strip().partition("|")
        folder = Path(name)
        die_at(int(moment))
        if (folder / "run.json").exists():
            driver.resume(folder, model=Dropping(seed=7), data=dataset())
        else:
            driver.train(Dropping(), dataset(), recipe(epochs=4), out=folder)
        os._exit(0)
    print("child", child, flush=True)
    sys.stdin.readline()  # until then a child that has ended stays a zombie, and can be killed without harm
    print("status", os.waitpid(child, 0)[1], flush=True)
'''


class Trainer:
    """A process that has imported everything and trains in children, which can be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=[str(Path(__file__).parents[1])])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._told("ready")

    def train(self, folder: Path, kill_after: float | None = None, kill_at: int = 0) -> bool:
        """Start or continue the run; whether it was killed before its end, after a time or at a write."""
        self.process.stdin.write(f"{folder}|{kill_at}\n")
        self.process.stdin.flush()
        child = self._told("child")
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        status = self._told("status")
        assert status in (0, signal.SIGKILL)
        return status != 0

    def _told(self, what: str) -> int:
        name, _, number = self.process.stdout.readline().partition(" ")
        assert name == what
        return int(number)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def trainer():
    made = Trainer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def never_killed(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    started = time.monotonic()
    assert not trainer.train(folder)
    return (folder / "model.safetensors").read_bytes(), time.monotonic() - started


@pytest.mark.parametrize("trial", range(TRIALS))
def test_killed_and_resumed_is_byte_identical(
    trainer: Trainer, never_killed: tuple[bytes, float], tmp_path: Path, trial: int
):
    expected, seconds = never_killed
    moments = random.Random(trial)
    moment = moments.uniform(0, seconds)
    while not trainer.train(tmp_path / "run", moment):  # it ended before it was killed: again, and sooner
        shutil.rmtree(tmp_path / "run")
        moment /= 2
    for _ in range(2):
        trainer.train(tmp_path / "run", moments.uniform(0, seconds))
    assert not trainer.train(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize("moment", [*range(1, 17), 24, 37, 60])
def test_killed_at_any_write_and_resumed_is_byte_identical(
    trainer: Trainer, never_killed: tuple[bytes, float], tmp_path: Path, moment: int
):
    assert trainer.train(tmp_path / "run", kill_at=moment)
    assert not trainer.train(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == never_killed[0]
    assert not list((tmp_path / "run").glob(".*.part"))
