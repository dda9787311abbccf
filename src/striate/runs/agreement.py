"""Agreement of the processes that train one run together: its recipe, its folder, the data and the software."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from striate.data import Dataset
from striate.errors import ArgumentError, DataError
from striate.processes import World
from striate.runs.folder import new_folder
from striate.runs.run import Run
from striate.training import Recipe
from striate.training.gradients import DDP_SETTINGS, check_shards
from striate.version import __version__

SHARDS = 4  # of a batch, where several processes train and nobody says how many


def divided(recipe: Recipe, world: World, device: torch.device) -> Recipe:
    """The recipe with what was left open of how its batches are divided.

    Raises:
        ArgumentError: if the number of processes does not divide that of the shards.
    """
    several = world.size > 1
    sync = ("ddp" if several and device.type == "cuda" else "exact") if recipe.sync == "auto" else recipe.sync
    shards = recipe.shards or (SHARDS if several and sync == "exact" else 1)
    if sync == "exact":
        check_shards(shards, world.size)
    return recipe.replace(sync=sync, shards=shards)


def environment_of(world: World, recipe: Recipe) -> dict[str, Any]:
    """The note on the processes in run.json; nothing about one alone."""
    if world.size == 1:
        return {}
    return {"processes": world.size, **({"ddp": DDP_SETTINGS} if recipe.sync == "ddp" else {})}


def agree(world: World, data: Dataset, threads: int) -> None:
    """Make sure that all processes have the same data, software and number of threads.

    Raises:
        ArgumentError: naming the process that has other software or threads than the first.
        DataError: naming the one that has other data.
    """
    if world.size == 1:
        return
    own = {"striate": __version__, "torch": torch.__version__, "threads": threads, "data": data.fingerprint()}
    first, *others = world.gathered({"host": socket.gethostname(), **own})
    for rank, other in enumerate(others, start=1):
        where = f"process {rank} on {other['host']}"
        for name in ("striate", "torch", "threads"):
            if other[name] != first[name]:
                raise ArgumentError(
                    f"{where} has {name} {other[name]}, and the first process {first[name]}: give all the same."
                )
        if other["data"] != first["data"]:
            raise DataError(
                f"{where} finds other images or labels in {data.source} than the first process: bring the same data "
                "to all machines."
            )


@contextmanager
def common_folder(world: World, out: Path | None, name: str) -> Iterator[Path]:
    """Claim a folder for a new run, as `new_folder`; the first process does, and alone writes to it."""
    if not world.is_first:
        yield Path(world.from_first(str))
        return
    with new_folder(out, name) as path:
        world.from_first(lambda: str(path))
        yield path


def common_run(world: World, run: Run | None, path: Path) -> Run:
    """The first process's run, in all of them; the others' is ignored."""
    values = world.from_first(lambda: run.to_dict() if run and world.size > 1 else {})
    return run if run is not None and world.is_first else Run.from_dict(path, values)
