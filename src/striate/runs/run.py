"""Runs on disk: their files, and how they are read.

run.json               model, data, recipe, classes, preprocessing, environment: written before the first step
split.csv              path, label and split of every image, where the data has files
metrics.jsonl          one line an epoch
checkpoints/           the newest two, see `checkpoints.py`
model.safetensors      the final weights, with classes and preprocessing in its header
calibration.json       how its logits become probabilities, see `calibration.py`
result.json            how it ended
"""

import html
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Dataset, load
from striate.data.dataset import conformed
from striate.data.loading import is_loadable
from striate.errors import ArgumentError, CheckpointError, DataError
from striate.files import read_regular
from striate.hardware import cores, processor
from striate.inference import Calibration
from striate.models import Architecture
from striate.preprocess import Preprocess
from striate.runs import calibration, checkpoints, records
from striate.training import Recipe
from striate.units import listed
from striate.version import __version__

FORMAT = 1
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Run:
    """A run folder. Make one with `striate.train`, open one with `Run.open`.

    Args:
        path: the folder.
        architecture: how the model is made, or `None` for a module that Striate did not create.
        source, skip_bad: what `load` was given.
        classes: the names, in the order of the model's outputs.
        preprocess: how an image becomes input.
        recipe: how it was trained, nothing left open.
        environment: software, machine, threads.
        fingerprint: the SHA-256 of the training images and labels.
        weights: the file or run whose weights it began with, or `None` for fresh ones.

    >>> run.name, run.preprocess.height, run.result["accuracy"] > 0.7
    ('mlp', 8, True)
    >>> striate.Run.open(run.path).classes == run.classes
    True
    """

    path: Path
    architecture: Architecture | None
    source: str
    skip_bad: bool
    classes: tuple[str, ...]
    preprocess: Preprocess
    recipe: Recipe
    environment: dict[str, Any]
    fingerprint: str
    weights: str | None = None

    @classmethod
    def of(cls, run: "Run | str | Path") -> "Run":
        """A run as it is, or the one in a folder.

        Raises:
            ArgumentError: for anything else.
            CheckpointError: as `open`.
        """
        if isinstance(run, Run):
            return run
        if isinstance(run, str | os.PathLike):
            return cls.open(run)
        raise ArgumentError(
            f"a run of type {type(run).__name__}: expected a striate.Run, a run's folder or an nn.Module."
        )

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open a run folder.

        Raises:
            CheckpointError: if there is none, or its run.json is damaged.
        """
        path = Path(path)
        if not (path / "run.json").is_file():
            raise CheckpointError(
                f"{path} is no run: it holds no run.json. Runs are made by 'striate train --out {path}'."
            )
        return cls.from_dict(path, records.read(path / "run.json", records.RunRecord, FORMAT))

    @classmethod
    def from_dict(cls, path: Path, values: dict[str, Any]) -> "Run":
        """The run in a folder of which `values` is what run.json holds.

        Raises:
            CheckpointError: if they are damaged.
        """
        try:
            return cls(
                path=path,
                architecture=Architecture.from_dict(values["model"]) if values["model"] else None,
                source=values["data"]["source"],
                skip_bad=values["data"]["skip_bad"],
                classes=tuple(values["classes"]),
                preprocess=Preprocess.from_dict(values["preprocess"]),
                recipe=Recipe(**values["recipe"]),
                environment=values["environment"],
                fingerprint=values["data"]["fingerprint"],
                weights=values.get("weights"),
            )
        except ValueError as error:  # a recipe's setting
            raise CheckpointError(f"{path / 'run.json'} is damaged: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the content of run.json."""
        return {
            "format": FORMAT,
            "model": self.architecture.to_dict() if self.architecture else None,
            "data": {"source": self.source, "skip_bad": self.skip_bad, "fingerprint": self.fingerprint},
            "weights": self.weights,
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_dict(),
            "recipe": self.recipe.model_dump(),
            "environment": self.environment,
        }

    def __repr__(self) -> str:
        result = self.result or {}
        score = f", {result['split']} accuracy {result['accuracy']:.2%}" if "accuracy" in result else ""
        return f"Run({self.path}: {self.name} on {self.source}{score if result else ', not finished'})"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        result = self.result or {}
        recipe = self.recipe
        length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
        rows = {
            "folder": self.path,
            "model": self.name,
            "data": self.source,
            "classes": listed(self.classes),
            "recipe": f"{recipe.name}, {length}, seed {recipe.seed}",
            "result": f"{result['split']} accuracy {result['accuracy']:.2%} of {result['n']:,} images"
            if "accuracy" in result
            else "finished, not measured"
            if result
            else "not finished",
        }
        cells = "".join(f"<tr><th>{key}</th><td>{html.escape(str(value))}</td></tr>" for key, value in rows.items())
        return f"<table>{cells}</table>"

    @property
    def name(self) -> str:
        """The model's name, for titles."""
        return self.architecture.text if self.architecture else "custom model"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json; `None` if the run has not ended or the file is damaged (`resume` rewrites it)."""
        path = self.path / "result.json"
        try:
            return records.read(path, records.ResultRecord) if path.exists() else None
        except CheckpointError:
            return None

    def history(self) -> list[dict[str, Any]]:
        """One dictionary an epoch, oldest first.

        Raises:
            CheckpointError: if metrics.jsonl is damaged.
        """
        path = self.path / METRICS
        self._check(METRICS, self.result)
        try:
            lines = read_regular(path).splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise CheckpointError(f"can't read {path}: {error.strerror}.") from error
        # A kill or a full disk may leave a last line cut short; that epoch is logged again on resume.
        return [
            records.parsed(line, records.EpochRecord, f"{path}, line {number},")
            for number, line in enumerate(lines, start=1)
            if line.endswith(b"\n")
        ]

    def _check(self, name: str, result: dict[str, Any] | None) -> None:
        """Compare a file of a finished run with the checksum in its result; runs of before have none."""
        written = (result or {}).get("files", {})
        records.check(self.path, {name: written[name]} if name in written else {})

    def data(self) -> Dataset:
        """The data it was trained on, with the run's own preprocessing.

        Raises:
            DataError: if it is gone, or was in memory.
        """
        if not is_loadable(self.source):
            raise DataError(f"{self.path} was trained on data in memory ({self.source}): pass it as data=.")
        return load(self.source, skip_bad=self.skip_bad, **self.preprocess.load_options)

    def sized(self, data: Dataset) -> Dataset:
        """`data` with images of the size and channels of the run's input."""
        return conformed(data, self.preprocess)

    def model(self, module: nn.Module | None = None, device: torch.device | str = "cpu") -> nn.Module:
        """The trained model in evaluation mode: final weights, or of a run not finished the newest checkpoint's.

        Set on it are `preprocess`, `classes` and `calibrations`, so that `striate.evaluate` and the like need nothing
        else; whoever trains it further deletes the last of them.

        Args:
            module: for a run whose model Striate did not create, a module of the same structure.

        Raises:
            CheckpointError: if there are no weights yet, they are damaged, or they don't fit.
        """
        module = self.fresh_model(module)
        result = self.result
        if result is None and (self.path / "result.json").exists():
            again = f"restore it from the last checkpoint with: striate train --resume {self.path}"
            raise CheckpointError(f"{self.path / 'result.json'} is damaged; {again}")
        if result:
            self._check("run.json", result)
            checkpoints.load_weights(module, self._final_weights(result), self.path)
        else:
            checkpoint, damaged = checkpoints.newest(self.path / "checkpoints")
            if checkpoint is None or damaged:
                found = " ".join(damaged) or f"{self.path} has no weights yet."
                raise CheckpointError(f"{found} Continue the run first: striate train --resume {self.path}")
            records.check(self.path, checkpoint.values.get("files", {}))
            checkpoints.load_weights(module, checkpoints.part(checkpoint, "model"), self.path)
        vars(module).update(
            preprocess=self.preprocess, classes=self.classes, calibrations=calibration.read(self.path, result)
        )
        return module.eval().to(device)

    def final_weights(self) -> dict[str, Tensor]:
        """Read the tensors of model.safetensors.

        Raises:
            CheckpointError: if it is missing or not the file that result.json tells of.
        """
        return self._final_weights(self.result or {})

    def _final_weights(self, result: dict[str, Any]) -> dict[str, Tensor]:
        try:
            return checkpoints.read_weights(self.path / "model.safetensors", result["sha256"])
        except (CheckpointError, KeyError) as error:
            again = f"restore it from the last checkpoint with: striate train --resume {self.path}"
            raise CheckpointError(f"{str(error).rstrip('.')}; {again}") from error

    def calibrations(self) -> dict[str, Calibration]:
        """The calibrations of its probabilities, by test-time augmentation; none if the run was not calibrated.

        Raises:
            CheckpointError: if calibration.json is not the file that result.json tells of.
        """
        return calibration.read(self.path, self.result)

    def fresh_model(self, module: nn.Module | None = None) -> nn.Module:
        """Make the model with the weights it had before the first step, unless `module` is given."""
        if module is not None:
            return module
        if self.architecture is None:
            raise CheckpointError(f"{self.path} was trained from a module of yours: pass it as model=.")
        return self.architecture.make(self.recipe.seed)


def environment(device: torch.device) -> dict[str, Any]:
    """Describe the software and the machine in plain values."""
    return {
        "striate": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
