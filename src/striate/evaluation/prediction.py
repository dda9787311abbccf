"""What a run sees in any image file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.images.decode import UndecodableError
from striate.data.images.prepare import prepare
from striate.drawing import aligned, percent
from striate.errors import ArgumentError, BadFilesError
from striate.evaluation.evaluation import best_first
from striate.hardware import pick
from striate.inference import logits_of
from striate.runs import Run


@dataclass(frozen=True)
class Prediction:
    """What one image was taken for.

    Args:
        path: the image file.
        label: the most probable class.
        probability: of that class, in [0, 1].
        probabilities: the most probable classes with their probabilities, best first.
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the label's key is "class"."""
        return {
            "path": self.path,
            "class": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


def predict(
    run: Run | str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    device: str = "auto",
    model: nn.Module | None = None,
    tta: str | None = None,
) -> list[Prediction]:
    """Classify image files, of any size and format Pillow reads, prepared exactly as the training images were.

    Args:
        run: a run or its folder; of a run not finished, the newest checkpoint is used.
        images: one path or several.
        top: how many of the most probable classes each prediction lists, at least 1.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        tta: test-time augmentation: "none", "flip", "shifts", "ten-crop", or several with commas, see
            `augmentation.views`. Without it, the run's recipe decides.

    Returns:
        One prediction an image, in the order given.

    Raises:
        ArgumentError: for no image, no class to list, or an unknown test-time augmentation.
        BadFilesError: naming all files that can't be decoded.
        CheckpointError: if the run has no usable weights.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    paths = [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images]
    if not paths:
        raise ArgumentError("no images: name at least one image file.")
    if top < 1:
        raise ArgumentError(f"top={top}: at least 1 class must be listed.")
    target = pick(device)
    pixels = _decoded(run, paths)
    tta = run.recipe.tta if tta is None else tta
    logits = logits_of(run.model(model, target), pixels, run.preprocess, target, tta=tta)
    return [_prediction(run, path, row, top) for path, row in zip(paths, logits, strict=True)]


def _decoded(run: Run, paths: list[Path]) -> Tensor:
    """The images as the network takes them, uint8 (N, height, width, channels)."""
    pixels, problems = [], {}
    for path in paths:
        try:
            pixels.append(torch.from_numpy(prepare(path, run.preprocess)))
        except UndecodableError as error:
            problems[str(path)] = error.reason
    if problems:
        raise BadFilesError(problems, skippable=False)
    return torch.stack(pixels)


def _prediction(run: Run, path: Path, logits: Tensor, top: int) -> Prediction:
    probabilities = logits.double().softmax(dim=0).tolist()
    order = best_first(logits[None])[0].tolist()
    ranked = {run.classes[position]: probabilities[position] for position in order[:top]}
    label = run.classes[order[0]]
    return Prediction(str(path), label, ranked[label], ranked)


def predictions_text(predictions: Sequence[Prediction]) -> str:
    """One line an image: path, class, probability, and what else it could be."""
    rows = []
    for each in predictions:
        others = [f"{name} {percent(p, 1)}" for name, p in each.probabilities.items() if name != each.label]
        rows.append((each.path, each.label, percent(each.probability, 1), " · ".join(others)))
    return aligned(rows, "<<><")
