"""Commands on the pages with code: they run as in a terminal, and their output is shown without progress bars."""

import os
import shlex
import subprocess
import sys


def run(line: str) -> None:
    """Run a `striate` command in the working directory, and print it with what it prints.

    Raises:
        RuntimeError: if the command fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)],
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{line} ended with {done.returncode}:\n{done.stdout}")
    print(f"$ {line}\n{done.stdout.replace(os.getcwd() + os.sep, '')}")
