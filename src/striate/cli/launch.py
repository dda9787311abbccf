"""Starting a command: quick imports of PyTorch, and several processes on this machine.

Processes are started by torchrun's own agent, with what makes it reliable. Each runs the same command. What ends all
of them for good, such as a mistake in the command, is noted in a folder, so that it is not tried again; after the loss
of a process all start anew, and go on from the last checkpoint.
"""

import gc
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from striate.errors import ArgumentError, LostProcessError, RunError, StriateError
from striate.files import read_regular
from striate.hardware import cores
from striate.processes import restarts, started, world

FOLDER = "STRIATE_LAUNCH"  # names the folder in which processes leave notes for the launcher, and for their successors
RESTARTS = 5


@contextmanager
def importing() -> Iterator[None]:
    """Let the garbage collector rest while PyTorch is imported in the block, and leave what is there to the end.

    An import makes hundreds of thousands of objects that stay. Looking through them for garbage again and again takes a
    tenth of the time of `import torch`, and a quarter at the end of the process. Where PyTorch is imported already,
    nothing happens.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def launched(processes: int | None) -> bool:
    """Run this program's command in several processes, if so many were asked for and don't run yet.

    Returns:
        Whether it has been run, to a good end.

    Raises:
        ArgumentError: for fewer than one, or another number than torchrun has started.
        RunError: if they ended without saying why, as often as they were started.
        SystemExit: if the command came to another end.
    """
    if processes is not None and processes < 1:
        raise ArgumentError(f"--processes {processes}: at least 1 works.")
    if started() and processes is not None and str(processes) != os.environ["WORLD_SIZE"]:
        raise ArgumentError(f"--processes {processes}: torchrun has started {os.environ['WORLD_SIZE']} already.")
    if processes is None or processes == 1 or started():
        return False
    _launch(processes)
    return True


def _launch(processes: int) -> None:
    import logging

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what went wrong is told in one line
    with tempfile.TemporaryDirectory(prefix="striate-launch-") as folder:
        os.environ.update(environment(processes, os.environ) | {FOLDER: folder})
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=RESTARTS,
        )
        lost = False
        try:
            elastic_launch(config, sys.executable)("-m", "striate", *sys.argv[1:])
        except ChildFailedError:
            lost = True
        except SignalException as signal:  # Ctrl-C, or SIGTERM
            sys.exit(int(_noted(Path(folder) / "code") or 128 + signal.sigval))
        if code := _noted(Path(folder) / "code"):
            sys.exit(int(code))
    if lost:
        raise RunError(f"the processes ended {RESTARTS + 1} times without a reason; look for one in the system's log.")


def environment(processes: int, given: Mapping[str, str]) -> dict[str, str]:
    """The variables that processes on one machine need, those that are given staying as they are."""
    ours = {
        # The store of a round that failed must not serve the next one (pytorch #135712).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "OMP_NUM_THREADS": str(max(1, cores() // processes)),
    }
    if Path("/sys/class/net/lo").exists():
        ours["GLOO_SOCKET_IFNAME"] = "lo"
    return {name: given.get(name, value) for name, value in ours.items()}


def is_ours() -> bool:
    """True in a process that `launch` has started."""
    return started() and FOLDER in os.environ


def ended(error: StriateError) -> int:
    """Note how the command has ended, for good unless a process was lost; return the exit code of this process.

    It is 0 where the launcher has its code from the note, so that nothing is started again.
    """
    if not is_ours():
        return error.exit_code
    note = Path(os.environ[FOLDER]) / "code"
    if not isinstance(error, LostProcessError) and os.environ["RANK"] == "0":
        note.write_text(str(error.exit_code))
    until = time.monotonic() + (1.0 if os.environ["RANK"] != "0" else 0.0)  # the first process may be about to write it
    while not note.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return 0 if note.exists() else error.exit_code


def has_ended() -> bool:
    """True if the processes before these have ended for good."""
    return is_ours() and (Path(os.environ[FOLDER]) / "code").exists()


def begun(folder: Path) -> None:
    """Note the folder of the run, or of the series of runs, that is being trained; its runs don't replace it."""
    if is_ours() and os.environ["RANK"] == "0" and not (note := Path(os.environ[FOLDER]) / "run").exists():
        note.write_text(str(folder.absolute()))


def to_continue(out: Path | None, file: str = "run.json") -> Path | None:
    """The folder in which processes before these had begun, if they had, and were started again after one was lost.

    All processes get the first one's answer: a machine that came back knows nothing of what was there before.

    Args:
        out: the folder that was asked for.
        file: that it holds once there is something to continue.

    Raises:
        ArgumentError: if it can't be known.
    """
    here = world()
    if not max(here.gathered(restarts())):
        return None
    folder = os.environ.get(FOLDER)
    if out is None and not folder:
        raise ArgumentError(
            "torchrun has started the processes again, and without --out the run that they had begun can't be found: "
            "continue it with --resume, and give --out next time."
        )

    def begun_before() -> str:
        noted = _noted(Path(folder) / "run") if folder else None
        path = Path(noted) if noted else out
        return str(path) if path is not None and (path / file).is_file() else ""

    found = here.from_first(begun_before)
    return Path(found) if found else None


def _noted(path: Path) -> str | None:
    return read_regular(path).decode() if path.is_file() else None
