"""`striate data` and `striate data pack`: check a data set; write a folder as tar shards."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from striate.cli.console import say, show, show_json
from striate.cli.options import CacheSize, Device, Fit, ImageSize, Json, MaxPixels, SkipBad, SourceArgument
from striate.errors import ArgumentError

if TYPE_CHECKING:
    from striate.data import Dataset
    from striate.preprocess import Fit as FitName


_WRITTEN = {"contact sheet": "contact_sheet", "page": "page"}  # files by what they are called, and their keys


def data(
    source: SourceArgument = "digits",
    image_size: ImageSize = None,
    channels: Annotated[int | None, typer.Option(help="1 (grey) or 3 (colour).")] = None,
    fit: Fit = "letterbox",
    skip_bad: Annotated[bool, typer.Option(help="Leave out files that can't be decoded.")] = False,
    cache_size: CacheSize = None,
    max_pixels: MaxPixels = None,
    out: Annotated[Path | None, typer.Option(help="Where the contact sheet goes: a PNG file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page of findings goes: one HTML file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Don't look for wrong labels and images of no class.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Check a data set: decode all of it, count its classes, look for mistakes in it, and draw a contact sheet.

    Mistakes are copies, labels that are probably wrong, and images that are blurred, empty, small or of no class. Of
    more than 10,000 images, as many are checked for more than copies and size.

    `striate data pack` writes a folder of images as tar shards; a folder named pack is ./pack.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise ArgumentError(f"--out {out}: the contact sheet is a PNG; choose a name in .png.")
    if html is not None and html.is_dir():
        raise ArgumentError(f"--html {html} is a folder: name the file to write, for example {html / 'data.html'}.")

    from striate import inspection
    from striate.cli.progress import loading
    from striate.data import load
    from striate.data.loading import short_name
    from striate.errors import BadFilesError, StorageError
    from striate.units import bytes_of

    with loading() as report:
        dataset = load(
            source,
            image_size=image_size,
            channels=channels,
            fit=cast("FitName", fit),  # `load` says so if it is another word
            skip_bad=True,
            cache_size=None if cache_size is None else bytes_of(cache_size),
            progress=report,
        )
        for note in dataset.notes:
            say(note)
        found = inspection.audit(dataset, quick=quick, device=device, progress=report)
    facts = _facts(dataset) | {"audit": found.to_dict()}
    unwritable = None
    try:
        facts["contact_sheet"] = str(_write_sheet(dataset, out or Path(f"{short_name(source)}-contact-sheet.png")))
        if html is not None:
            from striate.reports import report_audit

            report_audit(found, out=html)
            facts["page"] = str(html)
    except StorageError as error:  # what was found is worth more than its picture
        facts.setdefault("contact_sheet", None)
        unwritable = error
    if json:
        show_json(facts)
    else:
        pages = [f"{what}: {facts[key]}" for what, key in _WRITTEN.items() if facts.get(key)]
        show("\n\n".join([_table(facts), found.text(), "\n".join(pages)]).rstrip())
    if unwritable is not None:
        raise unwritable
    if dataset.skipped and not skip_bad:
        raise BadFilesError(dataset.skipped)


def _write_sheet(dataset: "Dataset", out: Path) -> Path:
    from striate import files
    from striate.data.contact_sheet import contact_sheet

    picture = io.BytesIO()
    contact_sheet(dataset).save(picture, "PNG")
    files.write_atomic(out, picture.getvalue())
    return out


def _facts(dataset: "Dataset") -> dict[str, Any]:
    from striate.preprocess import Preprocess

    _, height, width, channels = dataset.train.images.shape
    statistics = Preprocess.resizing((height, width), channels, dataset.fit).with_power_sums(dataset.train.power_sums())
    counts = {name: split.labels.bincount(minlength=len(dataset.classes)).tolist() for name, split in dataset.splits()}
    return {
        "source": dataset.source,
        "classes": list(dataset.classes),
        "height": height,
        "width": width,
        "channels": channels,
        "mean": list(statistics.mean),
        "std": list(statistics.std),
        "mirror": dataset.mirror,
        "splits": {name: dict(zip(dataset.classes, each, strict=True)) for name, each in counts.items()},
        "notes": list(dataset.notes),
        "skipped": dataset.skipped,
    }


def _table(facts: dict[str, Any]) -> str:
    splits: dict[str, dict[str, int]] = facts["splits"]
    rows = [["", "class", *splits]]
    rows += [
        [str(label), name, *(f"{counts[name]:,}" for counts in splits.values())]
        for label, name in enumerate(facts["classes"])
    ]
    rows.append(["", "all", *(f"{sum(counts.values()):,}" for counts in splits.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{facts['source']}: {len(facts['classes'])} classes; images of {facts['height']}×{facts['width']} pixels "
        f"(height×width), {facts['channels']} channel{'s' if facts['channels'] != 1 else ''}",
        "",
        *(
            "  ".join(
                _aligned(cell, width, column) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ),
        "",
        f"mean {_numbers(facts['mean'])}, standard deviation {_numbers(facts['std'])} of the training pixels in 0 … 1",
    ]
    return "\n".join(lines)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 1 else cell.rjust(width)


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def pack(
    folder: Annotated[Path, typer.Argument(help="A folder of images, laid out as for training.")],
    out: Annotated[Path, typer.Argument(help="Where the shards go: a folder that does not exist yet.")],
    shard_size: Annotated[str, typer.Option(help="Bytes a shard has at most: 256MB, 1GB, …")] = "256MB",
    seed: Annotated[int, typer.Option(help="Random seed of the order of the images.")] = 0,
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Write a folder of images as tar shards in the WebDataset convention."""
    from striate.cli.progress import loading
    from striate.data.sources import tar_pack
    from striate.units import bytes_of, plural

    try:
        size = bytes_of(shard_size)
    except ArgumentError as error:
        raise ArgumentError(f"--shard-size {shard_size} is no size: write it as in 256MB or 1GB.") from error

    with loading() as report:
        packed = tar_pack.pack(folder, out, shard_size=size, seed=seed, skip_bad=skip_bad, progress=report)
    for path, reason in packed.skipped.items():
        say(f"left out {path}: {reason}")
    counts = ", ".join(f"{count:,} {split}" for split, count in packed.images.items())
    shards = plural(len(packed.shards), "shard")
    show(f"{counts} images in {shards}; train on them with --data {out}")
