"""`striate data pack`: a folder of images as tar shards, which many programs read and which move as few large files."""

import re
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import say, show
from striate.errors import ArgumentError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def pack(
    folder: Annotated[Path, typer.Argument(help="A folder of images, laid out as for training.")],
    out: Annotated[Path, typer.Argument(help="Where the shards go: a folder that does not exist yet.")],
    shard_size: Annotated[str, typer.Option(help="Bytes a shard has at most: 256MB, 1GB, …")] = "256MB",
    seed: Annotated[int, typer.Option(help="What the order of the images is drawn from.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out files that can't be decoded.")] = False,
) -> None:
    """Write a folder of images as tar shards in the WebDataset convention."""
    size = _bytes(shard_size)

    from striate.cli.progress import loading
    from striate.data import packing

    with loading() as report:
        packed = packing.pack(folder, out, shard_size=size, seed=seed, skip_bad=skip_bad, progress=report)
    for path, reason in packed.skipped.items():
        say(f"left out {path}: {reason}")
    counts = ", ".join(f"{count:,} {split}" for split, count in packed.images.items())
    shards = f"{len(packed.shards):,} shard{'s' if len(packed.shards) != 1 else ''}"
    show(f"{counts} images in {shards}; train on them with --data {out}")


def _bytes(text: str) -> int:
    """How many bytes "256MB", "1 GiB" or "5000000" are."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*((?:[kmg]i?)?)b?", text.strip().lower())
    if not found:
        raise ArgumentError(f"--shard-size {text} is no size: write it like 256MB or 1GB.")
    return round(float(found[1]) * _UNITS[found[2]])
