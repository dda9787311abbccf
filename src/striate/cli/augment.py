"""`striate augment`: a picture of augmented training images."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from striate.cli.console import say, show
from striate.cli.options import Fit, ImageSize
from striate.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

    from striate.augmentation import Policy
    from striate.data import Dataset
    from striate.preprocess import Fit as FitName


def augment(
    source: Annotated[str, typer.Argument(help="digits, mnist, fashion-mnist, or a folder of images.")] = "digits",
    augment: Annotated[
        str | None, typer.Option(help="Augmentation, e.g. 'flip,shift=0.1'; if not given, what training would use.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many images.")] = 8,
    variants: Annotated[int, typer.Option(min=1, help="How many variants of each: those of the first epochs.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Random seed, as in training.")] = 0,
    image_size: ImageSize = None,
    fit: Fit = "letterbox",
    out: Annotated[Path | None, typer.Option(help="Where the picture goes: a PNG file.")] = None,
) -> None:
    """Draw training images next to augmented versions of them."""
    out = out or Path(f"{Path(source).resolve().name}-augmented.png")
    if out.suffix.lower() != ".png":
        raise ArgumentError(f"--out {out}: the picture is a PNG; choose a name in .png.")

    from striate import files
    from striate.augmentation import parse
    from striate.cli.progress import loading
    from striate.data import load
    from striate.data.contact_sheet import grid
    from striate.training.settings import default_augmentation

    if augment is not None:
        parse(augment)  # a mistake here shows before the data is read
    with loading() as report:
        dataset = load(source, image_size=image_size, fit=cast("FitName", fit), skip_bad=True, progress=report)
    for note in dataset.notes:
        say(note)
    policy = default_augmentation(dataset) if augment is None else augment
    drawn = _rows(dataset, parse(policy).fitted(dataset.train.images), rows, variants, seed)
    picture = io.BytesIO()
    grid(drawn, columns=2 + variants).save(picture, "PNG")
    files.write_atomic(out, picture.getvalue())
    show(f"{len(drawn)} images, each with {variants} variants by '{policy}', seed {seed}: {out}")


def _rows(dataset: "Dataset", policy: "Policy", count: int, variants: int, seed: int) -> "list[tuple[str, Tensor]]":
    """Images spread over the classes, with the class's name: each one, a gap, and as it is in the first epochs."""
    import numpy as np
    import torch

    train = dataset.train
    order = train.labels.argsort(stable=True).numpy()
    index = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(np.int64)]
    chosen = torch.from_numpy(index)
    images, labels = train.images[chosen], train.labels[chosen]
    columns = [images, torch.full_like(images, 255)]
    for epoch in range(variants):
        augmented = policy(images, seed=seed, epoch=epoch, index=index)
        if policy.mixes:
            augmented, _ = policy.mix(augmented, labels, len(dataset.classes), seed=seed, epoch=epoch, index=index)
        columns.append(augmented)
    names = [dataset.classes[label] for label in labels.tolist()]
    return list(zip(names, torch.stack(columns, dim=1), strict=True))
