"""Prediction of the classes of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.images.any_image import AnyImage, decode_any, each_image, name_of, prepare_any
from striate.data.images.decode import UndecodableError
from striate.errors import ArgumentError, BadFilesError
from striate.inference.exported_file import ExportedFile, is_exported_file, opened_file
from striate.preprocess import Preprocess
from striate.resizing import resized_by_pillow
from striate.types import Precision
from striate.units import aligned, percent

if TYPE_CHECKING:  # exported files are asked without PyTorch
    from torch import Tensor, nn

    from striate.data.arrays import Layout
    from striate.runs import Run, Trained


@dataclass(frozen=True)
class Prediction:
    """The classes predicted for one image.

    Args:
        path: the image file, or "image 1", "image 2" and so on for images in memory.
        label: the most probable class.
        probability: of that class, in [0, 1].
        probabilities: the most probable classes with their probabilities, best first.
        calibrated: whether these are calibrated: right as often as they say, on images like those held out.
        set: the classes that hold the right one in a share of such images, most probable first; `None` if no coverage
            was asked for.
        coverage: that share.

    >>> (prediction,) = striate.predict(run, data.test.images[0].numpy(), top=2)
    >>> prediction.path, len(prediction.probabilities)
    ('image 1', 2)
    >>> prediction.label == next(iter(prediction.probabilities))
    True
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]
    calibrated: bool = False
    set: tuple[str, ...] | None = None
    coverage: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the label's key is "class"."""
        values = {
            "path": self.path,
            "class": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "calibrated": self.calibrated,
        }
        return values if self.set is None else {**values, "set": list(self.set), "coverage": self.coverage}


def predict(
    run: Trained | Run | ExportedFile | str | Path | nn.Module,
    images: AnyImage | Iterable[AnyImage],
    *,
    top: int = 5,
    device: str = "auto",
    model: nn.Module | None = None,
    tta: str | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
    layout: Layout | None = None,
    coverage: float | None = None,
    engine: str = "auto",
    precision: Precision = "float32",
) -> list[Prediction]:
    """Classify images of any size, prepared exactly as the training images were.

    Args:
        run: a run or its folder, or a module from (N, C, H, W) to logits (N, classes); of a run not finished, the
            newest checkpoint is used. Or a file from `striate.export`, which needs no PyTorch unless `tta` or
            `coverage` is given.
        images: one image or several: paths, those of folders and patterns such as "photos/*.jpg" too, the bytes of
            files, PIL images, arrays or tensors (H, W), (H, W, C) or (C, H, W); or a batch of them, an array or tensor
            of four dimensions. Integers are intensities in 0 … 255, floating-point numbers in 0 … 1.
        top: how many of the most probable classes each prediction lists, at least 1.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        tta: test-time augmentation: "none", "flip", "shifts", "ten-crop", or several with commas, see
            `augmentation.views`. Without it, the run's recipe decides.
        preprocess, classes: for a module, how images become its input, and the names of its classes; modules from
            `Run.model` know both.
        layout: of arrays and tensors, "NHW", "NHWC" or "NCHW" as for a batch of them, where the shape could mean two.
        coverage: for a set of classes beside each prediction that holds the right one in this share, 0.5 to 0.99, of
            images like those that the network was calibrated on, see `Calibration.sets`.
        engine: "torch", "onnxruntime" or "openvino"; "auto" is PyTorch for a run, see `Trained.by`, and what an
            exported file is made for.
        precision: "float32", or "bfloat16" for products in it.

    Returns:
        One prediction an image, in the order given.

    Raises:
        ArgumentError: for no image, no class to list, an unknown test-time augmentation, engine or precision, a module
            without `preprocess`, or a coverage of a network that was not calibrated.
        BadFilesError: naming all images that can't be decoded.
        CheckpointError: if the run has no usable weights.

    >>> predictions = striate.predict(run, data.test.images[:3].numpy(), layout="NHWC")
    >>> [prediction.path for prediction in predictions]
    ['image 1', 'image 2', 'image 3']
    >>> 0 < predictions[0].probability <= 1
    True
    """
    each = each_image(images, layout)
    if not each:
        raise ArgumentError("no images: name at least one image file.")
    if top < 1:
        raise ArgumentError(f"top={top}: at least 1 class must be listed.")
    if is_exported_file(run):
        run = opened_file(run, engine, precision)
        if tta in (None, "none") and coverage is None:
            return _by_file(run, each, top, layout)
    from striate.augmentation import views
    from striate.inference.calibration import level_of
    from striate.runs import Trained

    views("none" if tta is None else tta)  # a mistake here shows before anything is read
    if coverage is not None:
        level_of(coverage)
    trained = Trained.of(run, module=model, preprocess=preprocess, classes=classes).by(engine, device, precision)
    calibration = trained.calibration(tta)
    if coverage is not None and (reason := trained.uncalibrated(tta)):
        raise ArgumentError(f"coverage={coverage}: {reason}")
    logits = _logits(trained, each, device, tta, layout)
    probabilities = calibration.probabilities(logits).numpy()
    found = predictions_of(_names(each), trained.classes, logits.numpy(), probabilities, top, bool(calibration.images))
    if coverage is None:
        return found
    sets = calibration.sets(logits, coverage)
    return [
        replace(each, set=tuple(trained.classes[place] for place in places), coverage=coverage)
        for each, places in zip(found, sets, strict=True)
    ]


def _by_file(file: ExportedFile, images: list[AnyImage], top: int, layout: Layout | None) -> list[Prediction]:
    """Classify images by an exported file, which prepares them itself."""
    card = file.card

    def prepared(image: AnyImage) -> np.ndarray:
        pixels = decode_any(image, card.preprocess, layout)
        return pixels if card.input == "image" else card.preprocess.conform_picture(pixels, resized_by_pillow)

    logits, probabilities = file.answers(_each(prepared, images))
    return predictions_of(_names(images), card.classes, logits, probabilities, top, card.calibration is not None)


def _logits(trained: Trained, images: list[AnyImage], device: str, tta: str | None, layout: Layout | None) -> Tensor:
    """Logits of images that are decoded as they are needed, each by one of the processes that work together."""
    import torch

    from striate.data.lazy import LazyImages
    from striate.processes import world

    preprocess, problems = trained.preprocess, {}

    def fetch(positions: np.ndarray) -> Tensor:
        pixels = np.zeros((len(positions), preprocess.height, preprocess.width, preprocess.channels), dtype=np.uint8)
        for place, position in enumerate(positions.tolist()):
            try:
                pixels[place] = prepare_any(images[position], preprocess, layout)
            except UndecodableError as error:
                problems[position] = error.reason
        return torch.from_numpy(pixels)

    shape = (len(images), preprocess.height, preprocess.width, preprocess.channels)
    logits = trained.logits(LazyImages(shape, fetch), device, tta)
    found = [pair for part in world().gathered(sorted(problems.items())) for pair in part]
    if found:
        named = {name_of(images[position], position + 1): reason for position, reason in found}
        raise BadFilesError(named, skippable=False)
    return logits


def _each(prepared: Callable[[AnyImage], np.ndarray], images: list[AnyImage]) -> Iterator[np.ndarray]:
    """Yield the pixels of the images, and raise BadFilesError after the last if some can't be decoded."""
    problems = {}
    for number, image in enumerate(images, start=1):
        try:
            yield prepared(image)
        except UndecodableError as error:
            problems[name_of(image, number)] = error.reason
    if problems:
        raise BadFilesError(problems, skippable=False)


def _names(images: list[AnyImage]) -> list[str]:
    return [name_of(image, number) for number, image in enumerate(images, start=1)]


def predictions_of(
    names: Sequence[str],
    classes: Sequence[str],
    logits: np.ndarray,
    probabilities: np.ndarray,
    top: int,
    calibrated: bool,
) -> list[Prediction]:
    """Make the predictions of logits and probabilities, each (N, classes); equal logits rank by class number.

    Args:
        names: of the images.
        classes: the names, in the order of the logits.
        logits, probabilities: of the images.
        top: how many classes each prediction lists.
        calibrated: whether the probabilities are.

    >>> logits, probabilities = np.array([[0.0, 2.0]]), np.array([[0.1, 0.9]])
    >>> predictions_of(["a.jpg"], ["cat", "dog"], logits, probabilities, top=2, calibrated=False)[0].label
    'dog'
    """
    if np.isnan(logits).any():
        logits = np.nan_to_num(logits, nan=-np.inf)
    orders = np.argsort(-logits, axis=1, kind="stable").tolist()
    found = []
    for name, order, row in zip(names, orders, probabilities.tolist(), strict=True):
        ranked = {classes[place]: row[place] for place in order[:top]}
        label = classes[order[0]]
        found.append(Prediction(name, label, ranked[label], ranked, calibrated))
    return found


def predictions_text(predictions: Sequence[Prediction]) -> str:
    """Format one line an image: path, class, probability, and the set that was asked for or the next classes.

    >>> print(predictions_text([striate.Prediction("a.jpg", "dog", 0.9, {"dog": 0.9, "cat": 0.1})]))
    a.jpg  dog  90.0 %  cat 10.0 %
    """
    rows = []
    for each in predictions:
        if each.set is not None:
            rows.append((each.path, each.label, percent(each.probability, 1), " or ".join(each.set)))
            continue
        others = [f"{name} {percent(p, 1)}" for name, p in each.probabilities.items() if name != each.label]
        rows.append((each.path, each.label, percent(each.probability, 1), " · ".join(others)))
    return aligned(rows, "<<><")
