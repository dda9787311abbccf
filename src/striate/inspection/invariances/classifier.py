"""Classifiers whose invariance is measured: their probabilities, their speed, and networks to compare a run with.

A run is compared with its own network with a blur or without, and with other runs.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, DataError, ShapeError
from striate.hardware import pick
from striate.inspection.invariances.result import Invariance
from striate.layers import DEFAULT_FILTER
from striate.preprocess import Preprocess
from striate.runs import Run

CHUNK = 64  # images at once
TIMED = 9  # passes over a chunk, of which the quickest counts: other load only slows them down


class Classifier:
    """Classifier from images, uint8 (N, H, W, C), to probabilities, float64 (N, classes)."""

    def __init__(self, model: nn.Module, preprocess: Preprocess, device: torch.device):
        self.model, self.preprocess, self.device = model, preprocess, device
        weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        self.dtype = weight.dtype

    def inputs(self, images: Tensor) -> Tensor:
        """The network's input for images."""
        return self.preprocess.normalize(images.to(self.device)).to(self.dtype)

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits = self._logits(self.inputs(images))
        if not torch.isfinite(logits).all():
            raise ArgumentError(
                f"{type(self.model).__name__} gives values that are not finite; its invariance can't be measured."
            )
        return logits.double().softmax(1).cpu()

    def _logits(self, inputs: Tensor) -> Tensor:
        try:
            logits = self.model(inputs)
        except (RuntimeError, ValueError) as error:
            size = "×".join(map(str, inputs.shape[1:]))
            raise ShapeError(f"{type(self.model).__name__} can't take images of {size} (C×H×W): {error}") from error
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != len(inputs) or logits.shape[1] < 2:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ShapeError(f"{type(self.model).__name__} gives {got}; a classifier gives logits (N, classes).")
        return logits


def milliseconds(networks: Sequence[Classifier], images: Tensor) -> list[float]:
    """Measure each network's time for one image, without preprocessing; interleaved, so that load slows all alike."""
    inputs = [each.inputs(each.preprocess.conform_all(images[:CHUNK])) for each in networks]
    seconds: list[list[float]] = [[] for _ in networks]
    with torch.inference_mode():
        for _ in range(TIMED):
            for network, given, taken in zip(networks, inputs, seconds, strict=True):
                began = time.perf_counter()
                network.model(given).cpu()
                taken.append(time.perf_counter() - began)
    return [1000 * min(taken) / len(given) for taken, given in zip(seconds, inputs, strict=True)]


def check_images(images: Tensor, labels: Tensor | None) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ShapeError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}: expected uint8 (N, height, width, 1 or 3)."
        )
    if len(images) < 2:
        raise DataError(f"{len(images)} images: invariance is measured on two or more.")
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != images.shape[:1]):
        raise ShapeError(
            f"labels of shape {tuple(labels.shape)} and type {labels.dtype}: expected int64 ({len(images)},)."
        )


Network = tuple[str, nn.Module, Preprocess]  # its name, itself in evaluation mode, and what makes images its input


def counterpart(run: Run) -> tuple[str, nn.Module] | None:
    """Return a run's network with its trained weights but without its blur; if it has none, with one.

    Returns:
        A name and the network, or `None` for a run whose model Striate did not make.

    Raises:
        ArgumentError: if the network has no layer to blur.
    """
    if run.architecture is None:
        return None
    name = f"{run.name} without its blur, same weights"
    options = {key: value for key, value in run.architecture.options.items() if key != "antialias"}
    if options == run.architecture.options:
        name = f"{run.name} with a blur, same weights"
        options["antialias"] = DEFAULT_FILTER
    return name, run.model(replace(run.architecture, options=options).make())


def other_network(other: Run, classes: tuple[str, ...], owner: str) -> Network:
    """Return another run's name, network and preprocessing.

    Args:
        classes, owner: the classes of the network it is compared with, and what to call that network in an error.

    Raises:
        DataError: if it was trained on other classes.
    """
    if other.classes != classes:
        raise DataError(f"{other.path} has other classes than {owner}: compare runs on the same data.")
    return f"{other.name} ({other.path.absolute().name})", other.model(), other.preprocess


def timed_in_turns(
    found: Sequence[Invariance], networks: Sequence[Network], images: Tensor, device: str = "auto"
) -> list[Invariance]:
    """Return the results with times measured anew, interleaved: minutes apart, a machine's load may differ.

    Args:
        found: what `invariance` measured of each network.
        networks: in the same order.
        images: uint8 (N, H, W, C), of which one batch is timed.
        device: "auto", "cpu" or "cuda".
    """
    target = pick(device)
    classifier = [Classifier(model.to(target), preprocess, target) for _, model, preprocess in networks]
    times = milliseconds(classifier, images)
    return [replace(each, milliseconds=time) for each, time in zip(found, times, strict=True)]
