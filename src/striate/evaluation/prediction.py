"""Prediction of the classes of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.augmentation import views
from striate.data.arrays import Layout
from striate.data.images.any_image import AnyImage, each_image, name_of, prepare_any
from striate.data.images.decode import UndecodableError
from striate.errors import ArgumentError, BadFilesError
from striate.inference import Calibration, best_first
from striate.inference.calibration import level_of
from striate.preprocess import Preprocess
from striate.runs import Run, Trained
from striate.units import aligned, percent


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
    run: Trained | Run | str | Path | nn.Module,
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
) -> list[Prediction]:
    """Classify images of any size, prepared exactly as the training images were.

    Args:
        run: a run or its folder, or a module from (N, C, H, W) to logits (N, classes); of a run not finished, the
            newest checkpoint is used.
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

    Returns:
        One prediction an image, in the order given.

    Raises:
        ArgumentError: for no image, no class to list, an unknown test-time augmentation, a module without
            `preprocess`, or a coverage of a network that was not calibrated.
        BadFilesError: naming all images that can't be decoded.
        CheckpointError: if the run has no usable weights.
    """
    each = each_image(images, layout)
    if not each:
        raise ArgumentError("no images: name at least one image file.")
    if top < 1:
        raise ArgumentError(f"top={top}: at least 1 class must be listed.")
    views("none" if tta is None else tta)  # a mistake here shows before anything is read
    if coverage is not None:
        level_of(coverage)
    trained = Trained.of(run, module=model, preprocess=preprocess, classes=classes)
    calibration = trained.calibration(tta)
    if coverage is not None and (reason := trained.uncalibrated(tta)):
        raise ArgumentError(f"coverage={coverage}: {reason}")
    names = [name_of(image, number) for number, image in enumerate(each, start=1)]
    pixels = _decoded(trained.preprocess, each, names, layout)
    logits = trained.logits(pixels, device, tta)
    found = [_prediction(trained, calibration, name, row, top) for name, row in zip(names, logits, strict=True)]
    if coverage is None:
        return found
    sets = calibration.sets(logits, coverage)
    return [
        replace(each, set=tuple(trained.classes[place] for place in places), coverage=coverage)
        for each, places in zip(found, sets, strict=True)
    ]


def _decoded(preprocess: Preprocess, images: list[AnyImage], names: list[str], layout: Layout | None) -> Tensor:
    """Decode and resize the images: uint8 (N, height, width, channels)."""
    pixels, problems = [], {}
    for image, name in zip(images, names, strict=True):
        try:
            pixels.append(torch.from_numpy(prepare_any(image, preprocess, layout)))
        except UndecodableError as error:
            problems[name] = error.reason
    if problems:
        raise BadFilesError(problems, skippable=False)
    return torch.stack(pixels)


def _prediction(trained: Trained, calibration: Calibration, name: str, logits: Tensor, top: int) -> Prediction:
    probabilities = calibration.probabilities(logits).tolist()
    order = best_first(logits[None])[0].tolist()
    ranked = {trained.classes[position]: probabilities[position] for position in order[:top]}
    label = trained.classes[order[0]]
    return Prediction(name, label, ranked[label], ranked, bool(calibration.images))


def predictions_text(predictions: Sequence[Prediction]) -> str:
    """Format one line an image: path, class, probability, and the set that was asked for or the next classes."""
    rows = []
    for each in predictions:
        if each.set is not None:
            rows.append((each.path, each.label, percent(each.probability, 1), " or ".join(each.set)))
            continue
        others = [f"{name} {percent(p, 1)}" for name, p in each.probabilities.items() if name != each.label]
        rows.append((each.path, each.label, percent(each.probability, 1), " · ".join(others)))
    return aligned(rows, "<<><")
