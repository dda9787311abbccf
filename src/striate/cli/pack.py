"""`striate data pack`: a folder of images as tar shards, which many programs read and which move as few large files."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import say, show
from striate.errors import ArgumentError


def pack(
    folder: Annotated[Path, typer.Argument(help="A folder of images, laid out as for training.")],
    out: Annotated[Path, typer.Argument(help="Where the shards go: a folder that does not exist yet.")],
    shard_size: Annotated[str, typer.Option(help="Bytes a shard has at most: 256MB, 1GB, …")] = "256MB",
    seed: Annotated[int, typer.Option(help="What the order of the images is drawn from.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out files that can't be decoded.")] = False,
) -> None:
    """Write a folder of images as tar shards in the WebDataset convention."""
    from striate.cli.progress import loading
    from striate.data.sources import tar_pack
    from striate.units import bytes_of

    try:
        size = bytes_of(shard_size)
    except ArgumentError as error:
        raise ArgumentError(f"--shard-size {shard_size} is no size: write it as in 256MB or 1GB.") from error

    with loading() as report:
        packed = tar_pack.pack(folder, out, shard_size=size, seed=seed, skip_bad=skip_bad, progress=report)
    for path, reason in packed.skipped.items():
        say(f"left out {path}: {reason}")
    counts = ", ".join(f"{count:,} {split}" for split, count in packed.images.items())
    shards = f"{len(packed.shards):,} shard{'s' if len(packed.shards) != 1 else ''}"
    show(f"{counts} images in {shards}; train on them with --data {out}")
