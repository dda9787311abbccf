"""A run's folder: claimed by a new run, locked while it trains, and given its final weights."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from filelock import FileLock, Timeout
from torch import nn

from striate.errors import CheckpointError
from striate.files import cannot_write, sha256, write_atomic
from striate.runs import checkpoints
from striate.runs.run import Run

LOCK = ".lock"
UNBORN = {
    LOCK,
    "checkpoints",
    "fitted.safetensors",
    "head.json",
    "split.csv",
    "tensorboard",
}  # what a run killed before its run.json leaves


@contextmanager
def new_folder(out: Path | None, name: str) -> Iterator[Path]:
    """Claim a folder for a new run: `out`, or without one the first free of runs/NAME-1, runs/NAME-2, …

    Raises:
        CheckpointError: if `out` holds anything but the remains of a run that never began, or is being written to.
        StorageError: if it can't be made.
    """
    if out is not None:
        _make(out)
        with locked(out):
            if not _is_free(out):
                other = f", or continue the run in it with --resume {out}" if (out / "run.json").exists() else ""
                raise CheckpointError(f"{out} is taken: choose another folder with --out{other}.")
            yield out
        return
    number = 1
    while True:
        folder = Path("runs") / f"{name}-{number}"
        try:
            _make(folder, new=True)
        except FileExistsError:
            number += 1
            continue
        with locked(folder):
            yield folder
        return


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; the system releases the lock of a process that is killed.

    Raises:
        CheckpointError: if another process holds it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CheckpointError(f"another process is training in {folder}: wait for it, or stop it first.") from None
    except OSError as error:
        raise cannot_write(folder / LOCK, error) from error
    try:
        yield
    finally:
        lock.release()


def _make(folder: Path, new: bool = False) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=not new)
    except FileExistsError:
        if new:
            raise
        raise CheckpointError(f"{folder} is taken: it is a file; choose another folder with --out.") from None
    except OSError as error:
        raise cannot_write(folder, error) from error


def _is_free(folder: Path) -> bool:
    return all(path.name in UNBORN or path.name.endswith(".part") for path in folder.iterdir())


def write_weights(run: Run, module: nn.Module) -> str:
    """Write a run's final weights into its folder, with what describes them; return the file's SHA-256."""
    header = {
        "architecture": run.architecture.to_dict() if run.architecture else None,
        "classes": run.classes,
        "preprocess": run.preprocess.to_dict(),
    }
    # One key only: safetensors writes several in no fixed order, and equal runs are to have equal bytes.
    weights = checkpoints.portable(module.state_dict())
    data = safetensors.torch.save(weights, metadata={"striate": json.dumps(header)})
    write_atomic(run.path / "model.safetensors", data)
    return sha256(data)
