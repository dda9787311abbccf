"""Progress display on standard error: live on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from striate import types
from striate.cli import launch
from striate.cli.console import say
from striate.data import LazyImages
from striate.hardware import cores
from striate.processes import world
from striate.runs import Begun, EpochEnded, Run
from striate.training import Step
from striate.units import readable

SECONDS_BETWEEN_LINES = 15.0
MUCH_WAITING = 0.2  # the share of an epoch from which on there is advice
SMOOTHING = 0.95  # of the displayed loss, accuracy and speed, per step


def is_terminal() -> bool:
    """True if standard error is a terminal; it may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """Observer for `striate.train` that displays progress; a context manager, so that the display ends on any exit."""

    def __init__(self) -> None:
        self.live = is_terminal()
        self.bar: Any = None
        self.begun: Begun | None = None
        self.epochs = 0
        self.average: dict[str, float] = {}
        self.printed = time.monotonic()
        self.advised = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Any) -> None:
        if isinstance(event, Begun):
            self._begin(event)
        elif isinstance(event, Step):
            self._step(event)
        elif isinstance(event, EpochEnded):
            self._line(_epoch_line(event.metrics, self.epochs))
            if event.metrics["waiting"] > MUCH_WAITING and self.begun is not None and not self.advised:
                self._line(f"  {advice(self.begun)}")
                self.advised = True

    def _begin(self, event: Begun) -> None:
        self.begun, self.epochs = event, -(-event.steps // event.steps_per_epoch)
        run, data = event.run, event.data
        launch.begun(run.path)
        for note in (*data.notes, *event.notes):
            say(note)
        counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits())
        size = f"{run.preprocess.height}×{run.preprocess.width}×{run.preprocess.channels}"
        say(f"{run.name} on {data.source}: {counts} images of {size}, {len(data.classes)} classes")
        say(
            f"recipe {run.recipe.name}: {_length(event)}, "
            f"augmentation {run.recipe.augment or 'none'}, seed {run.recipe.seed}; "
            f"{run.environment['device']}, {run.environment['threads']} threads; saving to {run.path}"
        )
        if run.recipe.shards > 1 or run.recipe.sync == "ddp":
            say(_mode(run))
        if event.done:
            say(f"continuing at step {event.done:,} of {event.steps:,}")
        if self.live:
            self._show_bar(event)

    def _show_bar(self, event: Begun) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TimeRemainingColumn(), TextColumn("{task.fields[text]}"), BarColumn(None), console=Console(stderr=True)
        )
        self.bar.start()
        self.task = self.bar.add_task("train", total=event.steps, completed=event.done, text="")

    def _step(self, step: Step) -> None:
        now = {
            "loss": step.loss,
            "accuracy": step.correct / step.samples,
            "seconds": step.seconds / step.samples,
            "waiting": step.waiting / step.seconds,
        }
        self.average = {
            name: SMOOTHING * self.average.get(name, value) + (1 - SMOOTHING) * value for name, value in now.items()
        }
        if self.begun is not None:
            self.epochs = -(-step.steps // self.begun.steps_per_epoch)
        if self.bar is not None:
            self.bar.update(self.task, total=step.steps, completed=step.step, text=self._status(step))
        elif time.monotonic() - self.printed > SECONDS_BETWEEN_LINES and self.begun is not None:
            left = (step.steps - step.step) * step.samples * self.average["seconds"]
            self._line(f"  {self._status(step)}  {left:.0f} s left")

    def _status(self, step: Step) -> str:
        mean = self.average
        return (
            f"epoch {step.epoch + 1}/{self.epochs}  step {step.step:,}  loss {mean['loss']:.3f}  "
            f"accuracy {mean['accuracy']:.1%}  {1 / mean['seconds']:,.0f} images/s  waiting {mean['waiting']:.0%}"
        )

    def _line(self, text: str) -> None:
        self.printed = time.monotonic()
        if self.bar is not None:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            say(text)


def _mode(run: Run) -> str:
    """A sentence on the division of batches among processes."""
    processes = world().size
    many = f"{processes} processes" if processes > 1 else "one process"
    if run.recipe.sync == "ddp":
        return f"{many}, by DistributedDataParallel: another number gives other weights"
    return f"{many}, exact: batches in {run.recipe.shards} shards; the weights are those of any number that divides it"


def _length(event: Begun) -> str:
    """The length of the run: epochs, or the steps that fit into its time budget."""
    epochs, budget = event.steps / event.steps_per_epoch, event.run.recipe.budget
    if budget:
        return f"{event.steps:,} steps ({epochs:.1f} epochs) fit into {budget:g} s"
    whole = f"{epochs:.0f}" if epochs == round(epochs) else f"{epochs:.2f}"
    return f"{whole} epochs of {event.steps_per_epoch:,} steps"


def _epoch_line(metrics: dict[str, Any], epochs: int) -> str:
    val = f"  val accuracy {metrics['val_accuracy']:.2%}" if "val_accuracy" in metrics else ""
    return (
        f"epoch {metrics['epoch']}/{epochs}  loss {metrics['train_loss']:.4f}  "
        f"accuracy {metrics['train_accuracy']:.2%}{val}  {metrics['images_per_second']:,.0f} images/s  "
        f"waiting {metrics['waiting']:.0%}  {metrics['seconds']:.1f} s"
    )


def advice(begun: Begun) -> str:
    """Advice for a run that waits for its data."""
    images, recipe = begun.data.train.images, begun.run.recipe
    size = math.prod(images.shape)
    if isinstance(images, LazyImages):
        return (
            f"waiting for images to be decoded, with all {cores()} cores in use: let each be decoded only once, with "
            f"--cache-size {math.ceil(1.05 * size / 1e9)}GB and as much free disk, or choose a smaller --image-size"
        )
    if recipe.augment not in ("", "none") and begun.run.environment["device"] == "cpu":
        return f"waiting for the augmentation: --augment '{recipe.augment}' costs more than a fifth of the time"
    return f"waiting for images to be fetched: {readable(size)} of them; a smaller --image-size lets memory hold them"


@contextmanager
def loading() -> Iterator[types.Progress]:
    """Progress display for `load`."""
    if not is_terminal():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield report
