"""Train a model and keep everything it takes to continue, explain and use it."""

import csv
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from striate import models
from striate.data import Dataset, load
from striate.errors import CheckpointError, ShapeError
from striate.files import write_atomic, write_json
from striate.preprocess import Preprocess
from striate.runs.environment import environment
from striate.runs.events import Observer
from striate.runs.run import Run
from striate.runs.session import Session
from striate.training import Recipe, modern, pick

UNBORN = {"checkpoints", "split.csv"}  # what a run killed before its run.json leaves, and the next may write over


def train(
    model: str | nn.Module,
    data: str | Dataset = "digits",
    recipe: Recipe | None = None,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    tensorboard: bool = False,
    observer: Observer = lambda event: None,
) -> Run:
    """Train a model from scratch and return its run.

    Args:
        model: a name for `striate.create`, or a module from (N, C, H, W) to logits (N, classes).
        data: a data set, or a source for `striate.load`.
        recipe: how; without one, `modern` for the model.
        out: the run's folder, which must not hold a run yet; without one, a new folder under runs/.
        device: "auto", "cpu" or "cuda".
        tensorboard: whether to log for TensorBoard as well, in the folder's tensorboard/.
        observer: called with `Begun`, `Step`, `EpochEnded` and `Ended` as they happen.

    Raises:
        StriateError: what errors.py says; nothing that was saved is lost.
    """
    name = model if isinstance(model, str) else "custom"
    facts = models.facts(model) if isinstance(model, str) else None
    if isinstance(data, str):
        data = load(data, image_size=facts.image_size if facts else None)
    recipe = (recipe or modern(name, len(data.train))).resolved(facts.loss if facts else "cross-entropy", data)
    preprocess = _preprocess(data, facts)
    if isinstance(model, str):
        size = (preprocess.height, preprocess.width)
        module = models.create(model, len(data.classes), preprocess.channels, size, seed=recipe.seed)
    else:
        module = model
    target = pick(device)
    run = Run(
        path=_new_folder(Path(out) if out else None, name, data.source),
        architecture=getattr(module, "architecture", None),
        source=data.source,
        skip_bad=bool(data.skipped),
        classes=data.classes,
        preprocess=preprocess,
        recipe=recipe,
        environment=environment(target),
        fingerprint=fingerprint(data),
    )
    session = Session(run, module, data, target, tensorboard, observer)
    session.save()  # the weights it begins with; run.json comes last, and with it the run exists
    _write_split(run.path / "split.csv", data)
    write_json(run.path / "run.json", run.to_dict())
    return session.drive()


def resume(
    path: str | Path,
    *,
    model: nn.Module | None = None,
    data: Dataset | None = None,
    device: str = "auto",
    tensorboard: bool = False,
    observer: Observer = lambda event: None,
) -> Run:
    """Continue a run at its newest whole checkpoint; the weights it ends with are those of a run never stopped.

    Args:
        path: the run's folder. A finished run is returned as it is.
        model: for a run whose model Striate did not create, a module of the same structure.
        data: the data it was trained on; without it, it is loaded from the run's source.

    Raises:
        CheckpointError: if there is no such run, no checkpoint is whole, or the data is not what it was.
    """
    run = Run.open(path)
    if run.result:
        return run
    data = data or run.data()
    if fingerprint(data) != run.fingerprint:
        raise CheckpointError(
            f"{run.source} has changed since {run.path} was begun, so the run can't be continued: "
            "bring the images back as they were, or train again with a new --out."
        )
    with _threads(run.environment["threads"]):
        return Session(run, run.fresh_model(model), data, pick(device), tensorboard, observer).drive()


def fingerprint(data: Dataset) -> str:
    """The SHA-256 of the training images and labels, of the classes' names and of the shapes."""
    digest = hashlib.sha256(repr((data.classes, tuple(data.train.images.shape))).encode())
    for tensor in (data.train.images, data.train.labels):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _preprocess(data: Dataset, facts: models.Facts | None) -> Preprocess:
    _, height, width, channels = data.train.images.shape
    for name, split in data.splits():
        if split.images.shape[1:] != data.train.images.shape[1:]:
            raise ShapeError(f"{data.source}: the images of {name} have another size than those of train.")
    if facts is None or facts.mean is None or facts.std is None:
        blank = Preprocess(height, width, channels, data.fit, (0.0,) * channels, (1.0,) * channels)
        return blank.with_statistics(data.train.images)
    return Preprocess(height, width, channels, data.fit, (facts.mean,) * channels, (facts.std,) * channels)


def _new_folder(out: Path | None, name: str, source: str) -> Path:
    if out is None:
        stem = f"{name}-{Path(source).name}"
        number = 1
        while (Path("runs") / f"{stem}-{number}").exists():
            number += 1
        out = Path("runs") / f"{stem}-{number}"
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= UNBORN):
        raise CheckpointError(
            f"{out} is taken: choose another folder with --out, or continue the run in it with --resume {out}."
        )
    return out


def _write_split(path: Path, data: Dataset) -> None:
    if not data.train.files:
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "label", "split"))
    for name, split in data.splits():
        for file, label in zip(split.files, split.labels.tolist(), strict=True):
            writer.writerow((file, data.classes[label], name))
    write_atomic(path, table.getvalue().encode())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many threads as the run began with: sums over another number of them round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
