"""Train a model and keep everything it takes to continue, explain and use it."""

import csv
import hashlib
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from striate import models
from striate.augmentation import parse
from striate.data import Dataset, load
from striate.data.batches import Batches
from striate.errors import CheckpointError, DivergedError, InterruptedRunError, RunError, ShapeError
from striate.files import cannot_write, sha256, write_atomic, write_json
from striate.preprocess import Preprocess
from striate.runs import checkpoints
from striate.runs.environment import environment
from striate.runs.run import Run
from striate.training import Recipe, Step, Training, modern, pick, score

CHECKPOINT_SECONDS = 30.0
UNBORN = {"checkpoints", "split.csv"}  # what a run killed before its run.json leaves, and the next may write over
Observer = Callable[[Any], None]


@dataclass(frozen=True)
class Begun:
    """Told once, before the first step: the run, how many steps it has, and how many are done already."""

    run: Run
    data: Dataset
    steps: int
    steps_per_epoch: int
    done: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EpochEnded:
    """Told at the end of each epoch: the line that went into metrics.jsonl."""

    metrics: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """Told at the end: what result.json holds."""

    run: Run
    result: dict[str, Any]


@dataclass
class _Totals:
    """Sums over an epoch under way, kept in checkpoints so that a resumed epoch reports all of itself."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    run_samples: int = 0
    run_seconds: float = 0.0
    bytes_logged: int = field(default=0)

    def add(self, step: Step) -> None:
        self.loss += step.loss * step.samples
        self.correct += step.correct
        self.samples += step.samples
        self.seconds += step.seconds
        self.waiting += step.waiting
        self.run_samples += step.samples
        self.run_seconds += step.seconds

    def begin_epoch(self) -> None:
        self.loss = self.seconds = self.waiting = 0.0
        self.correct = self.samples = 0


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
    driver = _Driver(run, module, data, target, tensorboard, observer)
    driver.save()  # the weights it begins with; run.json comes last, and with it the run exists
    _write_split(run.path / "split.csv", data)
    write_json(run.path / "run.json", run.to_dict())
    return driver.drive()


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
        return _Driver(run, run.fresh_model(model), data, pick(device), tensorboard, observer).drive()


class _Driver:
    """One run being trained: the loop's steps, and what is written between them."""

    def __init__(
        self,
        run: Run,
        module: nn.Module,
        data: Dataset,
        device: torch.device,
        tensorboard: bool,
        observer: Observer,
    ):
        self.run, self.data, self.device, self.observer = run, data, device, observer
        policy = parse(run.recipe.augment)
        batches = Batches(
            data.train,
            run.preprocess,
            run.recipe.batch_size,
            run.recipe.seed,
            vary=policy if policy.steps else None,
            device=device,
        )
        self.training = Training(module.to(device), batches, run.recipe)
        self.totals = _Totals()
        self.folder = run.path / "checkpoints"
        self.log = None
        if tensorboard:
            from striate.runs.tensorboard import Log

            self.log = Log(run.path / "tensorboard")

    def drive(self) -> Run:
        """Take the steps that are left, save on the way, and write down how it ended."""
        notes = self._restore()
        training, batches = self.training, self.training.batches
        self.observer(Begun(self.run, self.data, training.steps, batches.steps_per_epoch, training.step, tuple(notes)))
        saved_at = time.monotonic()
        with _interrupts() as interrupted, self._explained():
            for step in training:
                self.totals.add(step)
                self.observer(step)
                if step.last_of_epoch:
                    self._end_epoch(step)
                if step.last_of_epoch or interrupted() or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self.save()
                    saved_at = time.monotonic()
                if interrupted() and training.step < training.steps:
                    raise InterruptedRunError(f"stopped at step {training.step} of {training.steps}, all of it saved")
            result = self._finish()
        self.observer(Ended(self.run, result))
        return self.run

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Add to what ends a run early where its last good state is, and how to go on from it."""
        try:
            yield
        except DivergedError as error:
            raise DivergedError(f"{error} The last good checkpoint stays in {self.folder}.") from None
        except RunError as error:
            kept = f"continue with: striate train --resume {self.run.path}"
            raise type(error)(f"{str(error).rstrip('.')}; {kept}") from error

    def _restore(self) -> list[str]:
        checkpoint, notes = checkpoints.newest(self.folder)
        if checkpoint is not None:
            checkpoints.restore(checkpoint, self.training.model, self.training.optimizer)
            self.training.step = checkpoint.values["step"]
            self.totals = _Totals(**checkpoint.values["totals"])
        self._truncate_metrics()
        return notes

    def save(self) -> None:
        """Write a checkpoint of where the training stands."""
        values = {"step": self.training.step, "totals": vars(self.totals)}
        state = checkpoints.capture(self.training.model, self.training.optimizer, values)
        checkpoints.save(self.folder, state)

    def _truncate_metrics(self) -> None:
        """Forget the epochs logged after the checkpoint: they are about to be trained, and logged, again."""
        path = self.run.path / "metrics.jsonl"
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(min(self.totals.bytes_logged, path.stat().st_size))

    def _end_epoch(self, step: Step) -> None:
        totals = self.totals
        metrics: dict[str, Any] = {
            "epoch": step.epoch + 1,
            "step": step.step,
            "learning_rate": step.learning_rate,
            "train_loss": totals.loss / totals.samples,
            "train_accuracy": totals.correct / totals.samples,
        }
        if self.data.val is not None:
            val = score(self.training.model, self.data.val, self.run.preprocess, self.device)
            metrics |= {"val_loss": val.loss, "val_accuracy": val.accuracy}
        metrics |= {
            "seconds": totals.seconds,
            "images_per_second": totals.samples / totals.seconds,
            "waiting": totals.waiting / totals.seconds,
        }
        line = (json.dumps(metrics) + "\n").encode()
        path = self.run.path / "metrics.jsonl"
        try:
            with path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error
        totals.bytes_logged += len(line)
        totals.begin_epoch()
        if self.log is not None:
            self.log.write(step.step, metrics)
        self.observer(EpochEnded(metrics))

    def _finish(self) -> dict[str, Any]:
        run, totals, training = self.run, self.totals, self.training
        weights = {name: t.detach().cpu().contiguous() for name, t in training.model.state_dict().items()}
        header = {
            "architecture": run.architecture.to_dict() if run.architecture else None,
            "classes": run.classes,
            "preprocess": run.preprocess.to_dict(),
        }
        # One key only: safetensors writes several in no fixed order, and equal runs are to have equal bytes.
        data = safetensors.torch.save(weights, metadata={"striate": json.dumps(header)})
        write_atomic(run.path / "model.safetensors", data)
        result: dict[str, Any] = {
            "model": run.name,
            "data": run.source,
            "seed": run.recipe.seed,
            "epochs": run.recipe.epochs,
            "train_seconds": totals.run_seconds,
            "images_per_second": totals.run_samples / totals.run_seconds,
            "parameters": sum(p.numel() for p in training.model.parameters() if p.requires_grad),
            "sha256": sha256(data),
        }
        if self.data.held_out is not None:
            split, images = self.data.held_out
            result |= {"split": split, **score(training.model, images, run.preprocess, self.device).to_dict()}
        write_json(run.path / "result.json", result)
        return result


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


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question the loop asks after each step; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
