"""The network that is served: its name, its classes, how files become its input, and the engine that computes it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.images.any_image import decode_any, prepare_any
from striate.data.images.decode import UndecodableError
from striate.errors import ArgumentError
from striate.inference.exported_file import ExportedFile, FileEngine, is_exported_file
from striate.preprocess import Preprocess
from striate.resizing import resized_by_pillow
from striate.serving.responses import RefusedError

if TYPE_CHECKING:  # exported files are served without PyTorch
    from striate.inference.engines import Engine
    from striate.runs import Trained
    from striate.types import Precision

Prepare = Callable[[bytes, Preprocess], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A network that is served.

    Args:
        name: in addresses.
        title: for people.
        classes: the names, in the order of the logits.
        preprocess: how pictures become its input.
        engine: computes the logits.
        calibration: a `Calibration` as plain values.
        uncalibrated: the reason why its probabilities are not calibrated, a sentence, or `None` if they are.
        prepare: from the bytes of an image file to uint8 (height, width, channels).
        trained: for explanations; `None` for an exported file.
    """

    name: str
    title: str
    classes: Sequence[str]
    preprocess: Preprocess
    engine: "Engine"
    calibration: Mapping[str, Any]
    uncalibrated: str | None
    prepare: Prepare
    trained: "Trained | None" = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of its input."""
        return self.preprocess.height, self.preprocess.width, self.preprocess.channels

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the classes: float64 (N, classes)."""
        scaled = logits.astype(np.float64) / self.calibration["temperature"]
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def sets(self, logits: np.ndarray, coverage: float) -> list[list[int]]:
        """Prediction sets, see `Calibration.sets`.

        Raises:
            RefusedError: if the probabilities are not calibrated, or for another coverage than 0.5 to 0.99.
        """
        import torch

        from striate.inference.calibration import Calibration

        if self.uncalibrated:
            raise RefusedError(400, self.uncalibrated, "coverage")
        try:
            return Calibration.from_dict(self.calibration).sets(torch.from_numpy(logits), coverage)
        except ArgumentError as error:
            raise RefusedError(400, str(error), "coverage") from error

    def decoded(self, files: Sequence[bytes], field: str) -> np.ndarray:
        """Decode and resize the contents of image files: uint8 (N, height, width, channels).

        Raises:
            RefusedError: naming the first that can't be decoded, as `field` and its number.
        """
        pixels = np.empty((len(files), *self.shape), np.uint8)
        for number, content in enumerate(files):
            try:
                pixels[number] = self.prepare(content, self.preprocess)
            except UndecodableError as error:
                status = 413 if error.reason.startswith("too large") else 400
                reason = f"the image can't be used: {error.reason}."
                raise RefusedError(status, reason, f"{field}[{number}]") from error
        return pixels


def network_of(run: str, engine: str = "auto", precision: "Precision" = "float32") -> Network:
    """Open what is to be served: a run's folder, an exported file, without PyTorch, or a model with published weights.

    Args:
        run: names it.
        engine, precision: see `Trained.engine`.

    Raises:
        ArgumentError: for an engine that does not exist, is not installed or does not compute so.
        CheckpointError: if there is no such run, or it has no usable weights.
        ExportError: if PyTorch can't export the network for the engine.
    """
    if is_exported_file(run):
        file = ExportedFile.open(run, engine, precision)
        card = file.card
        return Network(
            _name(run), _title(card.model, run), card.classes, card.preprocess, FileEngine(file, precision),
            card.calibration or {"temperature": 1.0}, file.uncalibrated(), _prepare_without_torch,
        )  # fmt: skip
    from striate.runs import Trained

    trained = Trained.of(run)
    made = trained.engine(engine, precision=precision)
    if trained.tta != "none":
        made = _Averaging(replace(trained, computing=made))
    return Network(
        _name(run), _title(trained.name, run), trained.classes, trained.preprocess, made,
        trained.calibration().to_dict(), trained.uncalibrated(), prepare_any, trained,
    )  # fmt: skip


class _Averaging:
    """Engine that averages the views of an image which the run's recipe says, as `striate predict` does.

    Args:
        trained: the network, with the engine that computes it.
    """

    def __init__(self, trained: "Trained"):
        assert trained.computing is not None
        self._trained = trained
        self.name, self.precision = trained.computing.name, trained.computing.precision

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute; see `Engine.logits`."""
        import torch

        return self._trained.logits(torch.from_numpy(pixels)).numpy()


def _prepare_without_torch(content: bytes, preprocess: Preprocess) -> np.ndarray:
    return preprocess.conform_picture(decode_any(content, preprocess), resized_by_pillow)


def _title(model: str, run: str) -> str:
    return model if model == run else f"{model} of {run}"


def _name(run: str) -> str:
    """The name in addresses of a run's folder, an exported file, or a model."""
    path = Path(run).resolve() if Path(run).exists() else Path(run)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem if path.is_file() else path.name).strip("-.") or "model"
