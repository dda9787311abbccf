"""Measurement of a classifier's invariance under shifts, rotation, scale, mirroring, brightness, contrast and noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate.hardware import pick
from striate.inspection.invariances.classifier import CHUNK, Classifier, check_images, milliseconds
from striate.inspection.invariances.layers import layer_shifts
from striate.inspection.invariances.perturbations import (
    PERTURBATIONS,
    PROTOCOLS,
    Perturbation,
    Protocol,
    distances,
    offsets,
    published,
)
from striate.inspection.invariances.result import Curve, Invariance, Point
from striate.models import evaluating
from striate.preprocess import Preprocess
from striate.processes import world
from striate.runs import Run, opened
from striate.runs.trained import preprocess_of
from striate.types import Progress

ACTIVITY = "measuring invariance"


def invariance(
    model: nn.Module | Run | str | Path,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    preprocess: Preprocess | None = None,
    seed: int = 0,
    device: str = "auto",
    name: str | None = None,
    progress: Progress = lambda what, done, total: None,
    brief: bool = False,
) -> Invariance:
    """Measure how invariant a classifier is, under translations as Zhang (2019) defines it.

    Args:
        model: a run or its folder, or any module from float (N, C, H, W) to logits (N, classes).
        images: uint8 (N, H, W, 1 or 3), two or more.
        labels: int64 (N,), positions in the outputs; without them accuracies are left out.
        preprocess: how pixels become input; a run has its own, and for a module it is pixel / 255 if not given.
        seed: seed of shifts, rotation directions and noise.
        device: "auto", "cpu" or "cuda".
        name: what to call the model.
        progress: called with what is being measured, how much of it is done, and how much there is.
        brief: measure only what `shift_consistency` needs: translations by Zhang's greatest shift; and no layers.

    Returns:
        Curves, layers and text; the model stays as it was.

    Raises:
        ShapeError: if images, labels or the model's classifier have another shape.
        ArgumentError: if the classifier are not finite.
        DataError: for fewer than two images.

    >>> found = striate.invariance(run, data.test.images[:50], data.test.labels[:50], brief=True)
    >>> [curve.name for curve in found.curves]
    ['translation, crop', 'translation, zero', 'translation, circular']
    >>> found.accuracy > 0.5
    True
    """
    model = opened(model)
    if isinstance(model, Run):
        name, preprocess = name or model.name, preprocess or model.preprocess
        model = model.model()
    preprocess = preprocess or preprocess_of(model)
    check_images(images, labels)
    height, width, channels = images.shape[1:]
    preprocess = preprocess or Preprocess.resizing((height, width), channels)
    images, target = preprocess.conform_all(images), pick(device)
    classifier = Classifier(model.to(target), preprocess, target)
    with evaluating(model):
        return _measured(name or type(model).__name__, classifier, images, labels, seed, progress, brief)


def _measured(
    name: str, classifier: Classifier, images: Tensor, labels: Tensor | None, seed: int, progress: Progress, brief: bool
) -> Invariance:
    original = _divided(images, 1, lambda chunk, index: (classifier(chunk),))[0]
    right = None if labels is None else original.argmax(1) == labels
    side = min(images.shape[1:3])
    greatest = [published(side)] if brief else distances(side)
    changes = [*_translations(greatest, seed), *([] if brief else _perturbations(seed))]
    total, done = sum(len(change.strengths) for change in changes), 0
    curves = []
    for change in changes:
        points = []
        for strength in change.strengths:
            progress(ACTIVITY, done, total)
            one, other = change.probabilities(classifier, images, strength)
            points.append(_point(strength, one, original if other is None else other, labels, right, other is not None))
            done += 1
        curves.append(Curve(change.name, change.unit, change.compared, tuple(points), change.unchanged))
    progress(ACTIVITY, done, total)
    layers = () if brief else layer_shifts(classifier.model, classifier.inputs, images, published(side), seed)
    accuracy = None if right is None else float(right.double().mean())
    return Invariance(name, len(images), accuracy, side, tuple(curves), layers, milliseconds([classifier], images)[0])


@dataclass(frozen=True)
class _Change:
    """Specification of a curve: `views` makes one or two changed versions from images, strength and indices."""

    name: str
    unit: str
    compared: str
    strengths: tuple[float, ...]
    views: Callable[[Tensor, float, np.ndarray], tuple[Tensor, ...]]
    unchanged: float | None

    def probabilities(self, classifier: Classifier, images: Tensor, strength: float) -> tuple[Tensor, Tensor | None]:
        """Probabilities for one version of every image, and for the other, if there are two."""
        versions = len(self.views(images[:1], strength, np.arange(1)))
        one, *other = _divided(
            images,
            versions,
            lambda chunk, index: tuple(classifier(view) for view in self.views(chunk, strength, index)),
        )
        return one, other[0] if other else None


def _divided(
    images: Tensor, versions: int, measured: Callable[[Tensor, np.ndarray], tuple[Tensor, ...]]
) -> list[Tensor]:
    """Measurements of all images, in chunks that processes which work together divide among them.

    Args:
        images: (N, H, W, C).
        versions: how many tensors `measured` gives.
        measured: from a chunk and its images' positions.
    """
    shares = world().row_shares(len(images), CHUNK)
    own = shares[world().rank]
    parts = []
    for start in range(own.start, own.stop, CHUNK):
        index = np.arange(start, min(start + CHUNK, own.stop))
        parts.append(measured(images[start : own.stop][:CHUNK], index))
    return [world().joined([part[version] for part in parts], shares) for version in range(versions)]


def _translations(greatest: Sequence[int], seed: int) -> Iterator[_Change]:
    def pair(protocol: Protocol, images: Tensor, greatest: float, index: np.ndarray) -> tuple[Tensor, ...]:
        return tuple(protocol(images, by, int(greatest)) for by in offsets(seed, int(greatest), index))

    for name, (protocol, description) in PROTOCOLS.items():
        yield _Change(
            f"translation, {name}",
            "d, the greatest shift in pixels",
            f"two shifts of one image, each drawn evenly from 0 … d pixels down and right: {description}",
            tuple(map(float, greatest)),
            partial(pair, protocol),
            None if name == "crop" else 0.0,  # crop enlarges the image by a pixel even for no move
        )


def _perturbations(seed: int) -> Iterator[_Change]:
    def changed(each: Perturbation, images: Tensor, strength: float, index: np.ndarray) -> tuple[Tensor, ...]:
        return (each.apply(images, strength, seed, index),)

    for each in PERTURBATIONS:
        compared = "the changed image and the image"
        yield _Change(each.name, each.unit, compared, each.strengths, partial(changed, each), each.unchanged)


def _point(strength: float, p: Tensor, q: Tensor, labels: Tensor | None, right: Tensor | None, both: bool) -> Point:
    """Compare the probabilities of two views, (N, classes) each; `both` are changed, or only the first is."""
    first, second = p.argmax(1), q.argmax(1)
    same = (first == second).double()
    accuracy = None
    if labels is not None:
        hits = [(each == labels).double().mean() for each in ((first, second) if both else (first,))]
        accuracy = float(torch.stack(hits).mean())
    return Point(
        strength=strength,
        consistency=float(same.mean()),
        steady=float(same[right].mean()) if right is not None and right.any() else None,
        accuracy=accuracy,
        moved=float((p - q).abs().sum(1).mean() / 2),
    )
