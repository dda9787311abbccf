"""A run being trained: takes the loop's steps, and writes checkpoints and metrics between them."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import torch
from torch import nn

from striate import models
from striate.augmentation import parse
from striate.data import Dataset, Split
from striate.data.loader import Loader
from striate.errors import CheckpointError, DivergedError, InterruptedRunError, RunError
from striate.files import cannot_write, sealed, write_json
from striate.inference import UNCALIBRATED, Calibration, Score, logits_of, score, score_of
from striate.processes import world
from striate.runs import calibration, checkpoints, records
from striate.runs.events import Begun, Ended, EpochEnded, Observer, TensorBoardLog, Totals
from striate.runs.folder import write_weights
from striate.runs.held_out import divided, note
from striate.runs.interruption import interrupts, is_out_of_memory
from striate.runs.run import METRICS, Run
from striate.runs.transfer import FITTED_HEAD, Fit, keep_better
from striate.training import Plan, Step, Training, balanced_weights
from striate.training.gradients import check_shards
from striate.training.plan import Budget
from striate.units import finite

CHECKPOINT_SECONDS = 30.0


class Session:
    """One run being trained: takes the loop's steps, and writes checkpoints and metrics between them."""

    def __init__(
        self,
        run: Run,
        module: nn.Module,
        data: Dataset,
        device: torch.device,
        tensorboard: bool,
        observer: Observer,
        spent: float = 0.0,
        files: Mapping[str, str] | None = None,
    ):
        """Prepare a run's training.

        Args:
            run, data: what is trained, on what.
            module: as it is before the first step; trained in place.
            device: where.
            tensorboard: whether to log for TensorBoard as well.
            observer: called with what happens.
            spent: seconds, before the first step.
            files: SHA-256 of the run's files that don't change any more, by name.
        """
        self.run, self.data, self.device, self.world = run, data, device, world()
        self.observer = observer if self.world.is_first else lambda event: None
        policy = parse(run.recipe.augment).fitted(data.train.images)
        index, self.held_out = divided(data.train, run.recipe)
        shards = self.world.size if run.recipe.sync == "ddp" else max(1, run.recipe.shards)
        check_shards(shards, self.world.size)
        batches = Loader(
            data.train,
            run.preprocess,
            run.recipe.batch_size,
            run.recipe.seed,
            augment=policy if policy.is_active else None,
            device=device,
            classes=len(data.classes),
            index=index,
            samples=len(data.train) if run.recipe.calibration else None,
            shards=shards,
            own=self.world.share(shards),
            buffer=run.recipe.shuffle_buffer,
        )
        if run.recipe.freeze_backbone:
            models.freeze_backbone(module)
        if run.recipe.freeze_norms:
            models.freeze_norms(module)
        balanced = run.recipe.class_weights == "balanced"
        labels = data.train.labels if index is None else data.train.labels[index]
        weights = balanced_weights(labels, len(data.classes)) if balanced else None
        self.training = Training(module.to(device), batches, run.recipe, weights, self.world)
        self.totals = Totals()
        self.spent = spent
        self.files = dict(files or {})
        self.before, self.began = spent, time.monotonic()
        self.folder = run.path / "checkpoints"
        self.log = TensorBoardLog(run.path / "tensorboard") if tensorboard and self.world.is_first else None

    def drive(self) -> Run:
        """Take the remaining steps, save on the way, and write the result."""
        notes = [*getattr(self.training.model, "notes", ()), *self._restore()]
        notes += [] if self.held_out is None else [note(self.held_out, self.run.recipe)]
        training, batches = self.training, self.training.batches
        budget = self._budget()
        self.observer(Begun(self.run, self.data, training.steps, batches.steps_per_epoch, training.step, tuple(notes)))
        saved_at = time.monotonic()
        with interrupts() as interrupted, self._explained(), closing(batches):
            for step in training:
                self.totals.add(step)
                self.observer(step)
                if budget is not None:
                    training.plan = budget.checked(training.plan, step.step, self.world.greatest(step.seconds))
                if step.last_of_epoch:
                    self._end_epoch(step)
                stopped = bool(self.world.greatest(interrupted()))
                if step.last_of_epoch or stopped or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self.save()
                    saved_at = time.monotonic()
                if stopped and training.step < training.steps:
                    raise InterruptedRunError(f"stopped at step {training.step} of {training.steps}, all of it saved")
            result = self._finish()
            self.world.from_first(lambda: None)  # it is written
            if self.log is not None:
                self.log.close()
        self.observer(Ended(self.run, result))
        return self.run

    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.before + time.monotonic() - self.began

    def _budget(self) -> Budget | None:
        """The run's time budget, if it has one; a run that has not begun gets its plan by a trial."""
        if not self.run.recipe.budget:
            return None
        steps_per_epoch = self.training.batches.steps_per_epoch
        validation = self.world.greatest(self._validation_seconds())
        budget = Budget(
            self.run.recipe.budget,
            validation,
            steps_per_epoch,
            lambda: self.world.greatest(self.elapsed()),
            lambda: self.world.greatest(time.monotonic()),
        )
        if self.training.step == 0:
            with self._explained():
                plan = budget.plan(self.training)
            self._restore()
            self.training.plan = plan
        return budget

    def _validation_seconds(self) -> float:
        """Estimate the time of a validation from a few hundred of its images."""
        if self.data.val is None or not len(self.data.val):
            return 0.0
        some = Split(self.data.val.images[:512], self.data.val.labels[:512])
        began = time.monotonic()
        self._score(some)
        return (time.monotonic() - began) * len(self.data.val) / len(some)

    def _score(self, split: Split) -> Score:
        return score(self.training.model, split, self.run.preprocess, self.device)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Add to an error that ends a run where its last good state is, and how to continue."""
        try:
            yield
        except DivergedError as error:
            raise DivergedError(f"{error} The last good checkpoint stays in {self.folder}.") from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            size = self.run.recipe.batch_size
            raise RunError(
                f"{self.device} ran out of memory in steps of {size} images: train again with a new --out and a "
                f"smaller batch, such as --batch-size {max(size // 2, 1)}, or smaller images (--image-size)."
            ) from error
        except RunError as error:
            kept = f"continue with: striate train --resume {self.run.path}"
            raise type(error)(f"{str(error).rstrip('.')}; {kept}") from error

    def _restore(self) -> list[str]:
        """Put the training where its newest whole checkpoint stands; the first process reads it for all."""
        notes: list[str] = []
        if self.world.is_first:
            found, notes = checkpoints.newest(self.folder)
            if found is None:
                raise CheckpointError(
                    f"{self.folder} holds no checkpoint to continue from: train again with a new --out."
                )
            records.check(self.run.path, found.values.get("files", {}))
            checkpoint = checkpoints.sent(self.world, found)
        else:
            checkpoint = checkpoints.sent(self.world, None)
        checkpoints.restore(checkpoint, self.training.model, self.training.optimizer)
        self.training.step = checkpoint.values["step"]
        self.training.plan = Plan.parse(checkpoint.values["plan"])
        self.totals = Totals(**checkpoint.values["totals"])
        self.before = self.totals.elapsed if self.training.step else self.spent
        if self.world.is_first:
            self._clean_up()
        return notes

    def _clean_up(self) -> None:
        """Remove what was written after the checkpoint that the training continues from."""
        checkpoints.forget_after(self.folder, self.training.step)
        for leftover in self.run.path.glob(".*.part"):  # of a write that a kill cut short
            leftover.unlink()
        self._truncate_metrics()

    def save(self) -> None:
        """Write a checkpoint of where the training stands; the first process does."""
        if not self.world.is_first:
            return
        totals = {**vars(self.totals), "elapsed": self.elapsed()}
        values = {
            "step": self.training.step,
            "plan": self.training.plan.text,
            "totals": totals,
            "files": self.files,
        }
        state = checkpoints.capture(self.training.model, self.training.optimizer, values)
        checkpoints.save(self.folder, state)

    def _truncate_metrics(self) -> None:
        """Remove the epochs logged after the checkpoint: they are about to be trained, and logged, again."""
        path = self.run.path / METRICS
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
        if self.data.val is not None and len(self.data.val):
            val = self._score(self.data.val)
            metrics |= {"val_loss": finite(val.loss), "val_accuracy": val.accuracy}
        metrics |= {
            "seconds": totals.seconds,
            "images_per_second": totals.samples / totals.seconds,
            "waiting": totals.waiting / totals.seconds,
        }
        line = (json.dumps(metrics) + "\n").encode()
        if self.world.is_first:
            self._append(line)
        totals.bytes_logged += len(line)
        totals.begin_epoch()
        if self.log is not None:
            self.log.write(step.step, metrics)
        self.observer(EpochEnded(metrics))

    def _append(self, line: bytes) -> None:
        path = self.run.path / METRICS
        try:
            with path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error

    def _finish(self) -> dict[str, Any]:
        """Keep what is better, measure it, and write the result; the first process writes, and returns it."""
        run, module, tta = self.run, self.training.model, self.run.recipe.tta
        kept: dict[str, Any] = {}
        if self.held_out is not None and run.recipe.held_out:
            trained = self._score(self.held_out)
            kept = self.world.from_first(lambda: keep_better(module, trained, run.path))
            checkpoints.share_weights(self.world, module)
        checksum = write_weights(run, module) if self.world.is_first else ""
        of_head = run.recipe.only_fits_head or kept.get("kept") == FITTED_HEAD
        head = Fit.read(run.path) if of_head and self.world.is_first else None
        calibrations = calibration.fitted(
            module, self.data, None if of_head else self.held_out, head.calibration if head else None,
            run.preprocess, tta, self.device,
        )  # fmt: skip
        scored: dict[str, Any] = {}
        if self.data.held_out is not None:
            split, images = self.data.held_out
            logits = logits_of(module, images.images, run.preprocess, self.device, tta=tta)
            temperature = calibrations.get(tta, UNCALIBRATED).temperature
            scored = {"split": split, "tta": tta, **score_of(logits, images.labels, temperature).to_dict()}
        return self._write_result(checksum, calibrations, kept, scored) if self.world.is_first else {}

    def _write_result(
        self, checksum: str, calibrations: dict[str, Calibration], kept: dict[str, Any], scored: dict[str, Any]
    ) -> dict[str, Any]:
        run, totals, training = self.run, self.totals, self.training
        result: dict[str, Any] = {
            "model": run.name,
            "data": run.source,
            "seed": run.recipe.seed,
            "epochs": _short(training.steps / training.batches.steps_per_epoch),
            "steps": training.plan.text,
            "train_seconds": totals.run_seconds,
            "images_per_second": totals.run_samples / totals.run_seconds if totals.run_samples else 0.0,
            "parameters": sum(p.numel() for p in training.model.parameters() if p.requires_grad),
            "sha256": checksum,
            calibration.KEY: calibration.write(run.path, calibrations),
            **kept,
            **scored,
        }
        result["files"] = self.files | records.checksums(run.path, [METRICS])
        write_json(run.path / "result.json", sealed(result))
        return result


def _short(number: float) -> float:
    return int(number) if number == int(number) else round(number, 2)
