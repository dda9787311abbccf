"""Training a model into a run's folder, and continuing a run."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate import models
from striate.acceleration.threads import thread_limit
from striate.data import Dataset
from striate.data.copies import with_leak_notes
from striate.data.dataset import conformed
from striate.data.loading import as_dataset, short_name, stored_source
from striate.errors import ArgumentError, CheckpointError
from striate.files import json_bytes, sha256, write_atomic
from striate.hardware import has_thread_number, pick, thread_count
from striate.models import PRETRAINED, Architecture
from striate.preprocess import Preprocess
from striate.processes import together, world
from striate.runs import checkpoints, records
from striate.runs.agreement import agree, common_folder, common_run, divided, environment_of
from striate.runs.beginning import architecture_of, made
from striate.runs.events import Observer
from striate.runs.folder import locked
from striate.runs.run import Run, environment
from striate.runs.session import Session
from striate.runs.transfer import FITTED, HEAD, Transfer
from striate.training import Recipe, asks_for_length, chosen, settled

_LINES = 10_000  # of split.csv that are written at once
LASTING = ("split.csv", HEAD, FITTED)  # files of a run that are written before its first step


def train(
    model: str | nn.Module,
    data: Any = "digits",
    recipe: Recipe | str | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    tensorboard: bool = False,
    observer: Observer = lambda event: None,
    **settings: Any,
) -> Run:
    """Train a model, from fresh weights or from those in a file, and return its run.

    Args:
        model: a name for `striate.create`, or a module from (N, C, H, W) to logits (N, classes).
        data: a data set, a source for `striate.load`, a pair (images, labels) of arrays or tensors, or a PyTorch
            data set or `DataLoader`. If no size was asked for, the images are brought to the one the model was drawn
            for, or its weights were trained with.
        recipe: a recipe's name, a `Recipe` or a mapping of settings; what it does not give, or without one, `modern`
            for the model decides, or with weights `fine-tune`.
        weights: "imagenet", a file of weights or a run's folder to begin with, see `striate.create`; they are adapted
            to the data's channels and classes, and images are resized and normalised as they expect. For a model given
            by name.
        out: the run's folder, which must not hold a run yet; without one, a new folder under runs/.
        device: "auto", "cpu" or "cuda".
        threads: how many CPU threads compute; if not given, as many as there are cores, or fewer where batches are too
            small to keep all of them busy. Other numbers round otherwise, and so end with other weights.
        tensorboard: whether to log for TensorBoard as well, in the folder's tensorboard/.
        observer: called with `Begun`, `Step`, `EpochEnded` and `Ended` as they happen.
        settings: single settings of the recipe, such as `epochs=3` or `learning_rate=0.01`; see `Recipe`.

    Raises:
        ArgumentError: for data of no known kind, or an unknown setting; other libraries' names are translated.
        StriateError: other kinds, all of them in `striate.errors`; nothing that was saved is lost.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> trained = striate.train(network, data, epochs=1, out="runs/own")
    >>> trained.path.name, trained.recipe.epochs, trained.result["accuracy"] > 0.5
    ('own', 1, True)
    """
    if threads is not None and threads < 1:
        raise ArgumentError(f"threads={threads}: at least 1 thread computes.")
    # A mistake in the recipe shows before the data is read.
    early = chosen(recipe, settings, _identity(model)[0], fine_tuning=weights is not None)
    fitted = early.head == "fitted"
    if fitted and weights is None and isinstance(model, str):
        raise ArgumentError(f"a fitted head needs features that were learnt: begin with weights, such as {PRETRAINED}.")
    target = pick(device)
    asked = _Asked(asks_for_length(recipe, settings), threads is not None or has_thread_number())
    threads = threads or thread_count(torch.get_num_threads())
    with together() as world, _threads(threads):
        divided(early, world, target)
        wanted = wanted_input(model, weights, fitted)
        data = with_leak_notes(_sized(as_dataset(data, **wanted), wanted))
        agree(world, data, threads)
        recipe = chosen(recipe, settings, _identity(model)[0], len(data.train), fine_tuning=weights is not None)
        session_of = partial(Session, tensorboard=tensorboard, observer=observer)
        return _begun(model, data, divided(recipe, world, target), weights, out, target, asked, session_of)


@dataclass(frozen=True)
class _Asked:
    """The choices that the caller of `train` made, and Striate therefore must not make.

    Args:
        length: whether a number of epochs, steps or seconds.
        threads: whether a number of threads.
    """

    length: bool
    threads: bool


def _begun(
    model: str | nn.Module,
    data: Dataset,
    recipe: Recipe,
    weights: str | Path | None,
    out: str | Path | None,
    target: torch.device,
    asked: _Asked,
    session_of: Callable[..., Session],
) -> Run:
    """Train in a new folder.

    Args:
        model, data, recipe, weights, out: those of `train`, read.
        target: where.
        asked: what was asked for.
        session_of: makes the session.
    """
    (name, facts), processes = _identity(model), world()
    module, preprocess = made(model, data, recipe.seed, weights)
    with common_folder(processes, Path(out) if out else None, f"{name}-{short_name(data.source)}") as path:
        transfer = None
        if recipe.head == "fitted":
            transfer = Transfer(module.to(target), data, preprocess, recipe, target)
            recipe = _after_fit(transfer, recipe, asked.length, module)
        recipe = settled(recipe, module, data, preprocess, target, facts.loss if facts else "cross-entropy")
        if not asked.threads:
            one = preprocess.normalize(data.train.images[:1])
            limit = thread_limit(module, one, recipe.batch_size // max(1, recipe.shards), target)
            torch.set_num_threads(min(limit, torch.get_num_threads()))
        run = Run(
            path=path,
            architecture=architecture_of(module),
            source=stored_source(data),
            skip_bad=bool(data.skipped),
            classes=data.classes,
            preprocess=preprocess,
            recipe=recipe,
            environment=environment(target) | environment_of(processes, recipe),
            fingerprint=data.fingerprint(),
            weights=None if weights is None else weights_source(weights),
        )
        run = common_run(processes, run, path)
        if transfer is not None:
            transfer.begin(path, run.recipe)
        content = json_bytes(run.to_dict())
        if processes.is_first:
            _write_split(run.path / "split.csv", data)
        files = {**records.checksums(path, LASTING), "run.json": sha256(content)} if processes.is_first else {}
        spent = transfer.seconds if transfer else 0.0
        session = session_of(run, module, data, target, spent=spent, files=files)
        if processes.is_first:
            checkpoints.forget_after(session.folder, -1)  # a run that never began may have left some
            session.save()  # the weights it begins with; run.json comes last, and with it the run exists
            write_atomic(run.path / "run.json", content)
        return session.drive()


def _after_fit(transfer: Transfer, recipe: Recipe, asked: bool, module: nn.Module) -> Recipe:
    """Leave fine-tuning out where nobody asked for it and it could not be seen to help; note what was decided."""
    notes = [transfer.fit.sentence]
    if not (asked or recipe.freeze_backbone or transfer.is_worth_training()):
        recipe = recipe.replace(freeze_backbone=True)
        notes.append("The other layers stay as they are: it makes too few mistakes to see whether more training helps; "
                     "--epochs 6 trains them.")  # fmt: skip
    vars(module)["notes"] = (*getattr(module, "notes", ()), *notes)
    return recipe


def resume(
    path: str | Path,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    device: str = "auto",
    tensorboard: bool = False,
    observer: Observer = lambda event: None,
) -> Run:
    """Continue a run at its newest whole checkpoint; the weights it ends with are those of a run never stopped.

    Args:
        path: the run's folder. A finished run is returned as it is, unless its final weights or its calibration are
            damaged: then they are written again from the last checkpoint.
        model: for a run whose model Striate did not create, a module of the same structure.
        data: the data it was trained on, see `train`; without it, it is loaded from the run's source.

    Raises:
        CheckpointError: if there is no such run, another process is training it, no checkpoint is whole, or the data
            is not what it was.

    >>> again = striate.resume(run.path)
    >>> again.result == run.result
    True
    """
    with together() as processes:
        run = common_run(processes, Run.open(path) if processes.is_first else None, Path(path))
        if processes.from_first(lambda: bool(run.result and _is_whole(run))):
            return run
        divided(run.recipe, processes, target := pick(device))
        if data is None:
            data = run.data()
        else:  # a source is read as the run read it
            data = run.sized(as_dataset(data, run.preprocess, run.classes, skip_bad=run.skip_bad))
        if data.fingerprint() != run.fingerprint:
            raise CheckpointError(
                f"{run.source} has changed since {run.path} was begun, so the run can't be continued: "
                "bring the images back as they were, or train again with a new --out."
            )
        agree(processes, data, run.environment["threads"])
        lock = locked(run.path) if processes.is_first else nullcontext()
        with lock, _threads(run.environment["threads"]):
            written = records.checksums(run.path, (*LASTING, "run.json")) if processes.is_first else {}
            return Session(run, run.fresh_model(model), data, target, tensorboard, observer, files=written).drive()


def _identity(model: str | nn.Module) -> tuple[str, models.Facts | None]:
    """The model's name and published facts; a module that Striate did not create has none."""
    if isinstance(model, str):
        return models.parse(model)[0], models.facts(model)
    made = getattr(model, "architecture", None)
    return (made.name, models.facts(made.name)) if isinstance(made, Architecture) else ("custom", None)


def weights_source(weights: str | Path) -> str:
    """Return the weights' name or path, so that it means the same from any working directory."""
    return PRETRAINED if str(weights) == PRETRAINED else os.path.abspath(weights)


def wanted_input(
    model: str | nn.Module, weights: str | Path | None = None, for_features: bool = False
) -> dict[str, Any]:
    """Arguments of `striate.load` for the images that a model wants: those its weights were trained with, or its own.

    Args:
        model, weights: as in `train`.
        for_features: whether a head is fitted to its features, which are best for larger images.

    Returns:
        `image_size`, `fit`, `crop` and `interpolation`, as far as they are known; empty where images keep their size.

    Raises:
        ArgumentError: for weights beside a module, which has its own.
        CheckpointError: if the weights can't be found or used.

    >>> wanted_input("lenet5"), wanted_input("mlp")
    ({'image_size': (28, 28)}, {})
    >>> wanted_input("efficientnet_lite0", "imagenet")["image_size"]
    (224, 224)
    """
    _, facts = _identity(model)
    if weights is not None:
        if not isinstance(model, str):
            raise ArgumentError("weights= begins a model given by its name: load them into your module yourself.")
        trained = models.trained_input(model, weights)
        if trained and for_features:
            trained = models.feature_input(trained)
        return {key: value for key, value in trained.load_options.items() if key != "channels"} if trained else {}
    return {"image_size": (facts.image_size, facts.image_size)} if facts and facts.image_size else {}


def _sized(data: Dataset, wanted: Mapping[str, Any]) -> Dataset:
    """Resize the data as a model wants it, unless a size was asked for."""
    if not wanted or data.sized:
        return data
    preprocess = {"fit": data.fit, "crop": data.crop, "interpolation": data.interpolation} | dict(wanted)
    size = preprocess.pop("image_size")
    return conformed(data, Preprocess.resizing(size, data.train.images.shape[3], **preprocess))


def _is_whole(run: Run) -> bool:
    try:
        run.final_weights()
        run.calibrations()
    except CheckpointError:
        return False
    return True


def _write_split(path: Path, data: Dataset) -> None:
    if not data.train.files:
        return

    def rows() -> Iterator[tuple[str, str, str]]:
        yield "path", "label", "split"
        for name, split in data.splits():
            for file, label in zip(split.files, split.labels.tolist(), strict=True):
                yield file, data.classes[label], name

    write_atomic(path, _as_csv(rows()))


def _as_csv(rows: Iterator[tuple[str, str, str]]) -> Iterator[bytes]:
    """The lines of a table, some at a time: there may be millions."""
    while some := list(islice(rows, _LINES)):
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(some)
        yield table.getvalue().encode("utf-8", "surrogateescape")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads. A resumed run has those it began with: other sums round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
