"""Worker process of a peer: started with the first request; requests and answers are lines of JSON."""

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
    """Path of the Python interpreter of a peer's environment.

    Raises:
        DataError: if the environment does not exist.
    """
    if peer == OURS:
        return Path(sys.executable)
    python = environments.absolute() / peer.name / "bin" / "python"
    if not python.exists():
        raise DataError(f"there is no environment for {peer.title} in {environments}: 'make bench' makes them all.")
    return python


def environment_of(peer: Peer, threads: int) -> dict[str, str]:
    """Environment variables of a peer's processes, with the number of threads for every library."""
    inherited = {name: value for name, value in os.environ.items() if peer == OURS or name != "PYTHONPATH"}
    return {**inherited, **dict.fromkeys(THREADS, str(threads)), **peer.environment}


class Worker:
    """Process of a peer; see `worker`. `errors`: the file for its standard error."""

    def __init__(self, peer: Peer, environments: Path, threads: int, errors: IO[str]):
        self.peer, self.environments, self.threads, self.errors = peer, environments, threads, errors
        self._process: subprocess.Popen[str] | None = None

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to a request; {"error": …} if the process ends, and the next request starts another."""
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
        return {"error": f"its process ended with {process.returncode}: {self._last_line()}"}

    def end(self, at_once: bool) -> None:
        """End the process, if there is one: at once, or after its current request."""
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
            start_new_session=True,  # Ctrl-C reaches this process, which ends the worker
        )

    def _last_line(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else "no message"


@contextmanager
def worker(peer: Peer, environments: Path, threads: int) -> Iterator[Worker]:
    """Context of a peer's worker, whose process ends with the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        made, at_once = Worker(peer, environments, threads, errors), True
        try:
            yield made
            at_once = False
        finally:
            made.end(at_once)
