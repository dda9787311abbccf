"""A peer's process, seen from here: started when first asked, told what to do and answering in lines of JSON."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from benchmarks.programs import OURS, Peer
from striate.errors import DataError

ROOT = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC")


def python_of(peer: Peer, environments: Path) -> Path:
    """The Python that has the peer installed.

    Raises:
        DataError: if its environment has not been made.
    """
    if peer == OURS:
        return Path(sys.executable)
    python = environments.absolute() / peer.name / "bin" / "python"
    if not python.exists():
        raise DataError(f"there is no environment for {peer.title} in {environments}: 'make bench' makes them all.")
    return python


def environment_of(peer: Peer, threads: int) -> dict[str, str]:
    """The variables of a peer's processes: so many threads, whichever library makes them."""
    inherited = {name: value for name, value in os.environ.items() if peer == OURS or name != "PYTHONPATH"}
    return {**inherited, **dict.fromkeys(THREADS, str(threads)), **peer.environment}


class Worker:
    """One process of a peer; see `worker`. `errors` is a file that takes what it says on standard error."""

    def __init__(self, peer: Peer, environments: Path, threads: int, errors: IO[str]):
        self.peer, self.environments, self.threads, self.errors = peer, environments, threads, errors
        self._process: subprocess.Popen[str] | None = None

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request; if the process ends instead, {"error": …}, and the next request starts another."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.end(at_once=False)
        return {"error": f"its process ended with {process.returncode}: {self._last_words()}"}

    def end(self, at_once: bool) -> None:
        """End the process, if there is one: at once, or when it has done what it was asked for."""
        if self._process is not None:
            if at_once:
                self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(python_of(self.peer, self.environments)), "-m", self.peer.module],
            cwd=ROOT,
            env=environment_of(self.peer, self.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for us, and we end it
        )

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def worker(peer: Peer, environments: Path, threads: int) -> Iterator[Worker]:
    """A peer's worker, whose process ends with the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        made, at_once = Worker(peer, environments, threads, errors), True
        try:
            yield made
            at_once = False
        finally:
            made.end(at_once)
