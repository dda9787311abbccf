"""Functions called in several real processes that work together, from a test: see several_program.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("several_program.py")


class Several:
    """The program, seen from a test."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYTHONWARNINGS": "error::FutureWarning",
            },
        )

    def call(self, processes: int, function: str, **arguments: Any) -> list[dict[str, Any]]:
        """Call a function in so many processes: for each what it has returned, its error, and the seconds it took."""
        self.process.stdin.write(json.dumps([processes, function, arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def values(self, processes: int, function: str, **arguments: Any) -> list[Any]:
        """As `call`, where no process may fail."""
        found = self.call(processes, function, **arguments)
        assert [each for each in found if each.get("error")] == []
        return [each["value"] for each in found]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
