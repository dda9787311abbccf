"""Transfer: the last layer fitted to features before the first step, and the choice of what is kept at the end."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from striate.data import Dataset
from striate.errors import ArgumentError
from striate.files import sha256, write_atomic, write_json
from striate.inference import Calibration, Score, logits_of, score_of
from striate.models import head
from striate.preprocess import Preprocess
from striate.processes import world
from striate.runs import checkpoints, records
from striate.runs.feature_cache import cached_features
from striate.runs.held_out import FEWEST, held_out
from striate.training import LinearHead, Recipe, fitted_head
from striate.training.linear_head import prepare_fitting

FEWEST_MISTAKES = (
    30  # of the head in cross-validation; of fewer, none could be seen to be mended on a part of the images
)
FITTED_HEAD = "fitted head"  # in a result: what is kept
HEAD, FITTED = "head.json", "fitted.safetensors"  # in a run's folder


@dataclass(frozen=True)
class Fit:
    """Accuracy of a fitted head, on images it was not fitted to.

    Args:
        mistakes: how many training images it takes for another class in cross-validation; `None` where a class has one.
        images: how many training images there are.
        inverse_penalty: the C of logistic regression that cross-validation chose.
        held_out: the score, on the held-out training images, of a head that was fitted without them.
        sha256: of the weights in fitted.safetensors, with the head that was fitted to all images.
        calibration: of the head that was fitted to all images; `None` where too few could be cross-validated.
    """

    mistakes: int | None
    images: int
    inverse_penalty: float
    held_out: Score | None = None
    sha256: str = ""
    calibration: Calibration | None = None

    @classmethod
    def read(cls, folder: Path) -> "Fit | None":
        """Read what `Transfer.begin` wrote into a run's folder; `None` for a run without a fitted head."""
        if not (folder / HEAD).exists():
            return None
        values = records.read(folder / HEAD, records.FitRecord)
        score, calibration = values["held_out"], values.get("calibration")
        return cls(
            **{
                **values,
                "held_out": Score(**score) if score else None,
                "calibration": Calibration.from_dict(calibration) if calibration else None,
            }
        )

    @property
    def sentence(self) -> str:
        """The head's accuracy in one sentence, for the user."""
        if self.mistakes is None:
            return f"The last layer is fitted to the features of {self.images:,} images, too few to cross-validate it."
        return (
            f"The last layer is fitted to the features of {self.images:,} training images; its cross-validated "
            f"accuracy is {1 - self.mistakes / self.images:.2%}."
        )


class Transfer:
    """A network's last layer, fitted to a data set as a recipe asks for it.

    Args:
        module: with the weights to begin with, on `device`; its last layer is changed.
        data: the training data.
        preprocess: how images become input.
        recipe: resolved, `head` being "fitted".
        device: where features are computed.

    Raises:
        ArgumentError: if the last layer is not dense with an output for each class, or is not what gives the logits.
    """

    def __init__(self, module: nn.Module, data: Dataset, preprocess: Preprocess, recipe: Recipe, device: torch.device):
        self.module, self.data, self.recipe = module, data, recipe
        began = time.monotonic()
        self.last = _dense(module, len(data.classes))
        prepare_fitting()
        self.views = cached_features(module, data, preprocess, device)
        fitted = self._fitted(torch.ones(len(data.train), dtype=torch.bool))
        labels = data.train.labels
        self.fit = Fit(
            fitted.mistakes(labels), len(labels), fitted.inverse_penalty, calibration=_cross_fitted(fitted, labels)
        )
        self._set(fitted)
        logits = self.views[0][:2] @ fitted.weight.T + fitted.bias
        found = logits_of(module, data.train.images[:2], preprocess, device)
        if not torch.allclose(found, logits, atol=0.01 * float(logits.abs().max())):
            raise _not_dense(module)
        self.seconds = time.monotonic() - began

    def is_worth_training(self) -> bool:
        """True if the fitted head makes so many mistakes that a better network could be told from it."""
        return self.fit.mistakes is not None and self.fit.mistakes >= FEWEST_MISTAKES

    def begin(self, folder: Path, recipe: Recipe) -> None:
        """Write what the end of the run needs into its folder, and leave the module as it is before the first step.

        If training images are held out, the head that training begins with knows nothing of them.
        """
        labels = self.data.train.labels
        held = held_out(labels, recipe)
        if len(held):
            weights = safetensors.torch.save(checkpoints.portable(self.module.state_dict()))
            if world().is_first:
                write_atomic(folder / FITTED, weights)
            kept = torch.ones(len(labels), dtype=torch.bool)
            kept[held] = False
            fitted = self._fitted(kept)
            logits = self.views[0][held] @ fitted.weight.T + fitted.bias
            self.fit = replace(self.fit, held_out=score_of(logits, labels[held]), sha256=sha256(weights))
            self._set(fitted)
        if world().is_first:
            write_json(folder / HEAD, asdict(self.fit))

    def _fitted(self, kept: Tensor) -> LinearHead:
        balanced = self.recipe.class_weights == "balanced"
        labels, classes = self.data.train.labels[kept], len(self.data.classes)
        return fitted_head([each[kept] for each in self.views], labels, classes, balanced, self.recipe.seed)

    @torch.no_grad()
    def _set(self, fitted: LinearHead) -> None:
        self.last.weight.copy_(fitted.weight)
        self.last.bias.copy_(fitted.bias)


def _cross_fitted(fitted: LinearHead, labels: Tensor) -> Calibration | None:
    """Calibration of a fitted head by each image's probabilities of a head that was fitted without it."""
    if fitted.probabilities is None or len(labels) < FEWEST:
        return None
    logits = fitted.probabilities.clamp(min=torch.finfo(torch.float64).tiny).log()
    return Calibration.fit(logits, labels, "training images, each judged by a last layer fitted without it")


def _dense(module: nn.Module, classes: int) -> nn.Linear:
    """The last layer, if it is dense with a bias and one output for each class."""
    last = head(module)
    if isinstance(last, nn.Linear) and last.bias is not None and last.out_features == classes:
        return last
    raise _not_dense(module)


def _not_dense(module: nn.Module) -> ArgumentError:
    return ArgumentError(
        f"recipe setting head=fitted: the last layer of {type(module).__name__} is not a dense layer that gives the "
        "logits of the classes; use --recipe fine-tune."
    )


def keep_better(module: nn.Module, trained: Score, folder: Path) -> dict[str, Any]:
    """Load the fitted head's network into the module again, unless the trained one is better on the held-out images.

    Args:
        module: after its last step.
        trained: its score on the held-out images.
        folder: the run's.

    Returns:
        For the result: what is kept, "fine-tuned" or "fitted head", and both accuracies on the held-out images.
    """
    fit = Fit.read(folder)
    if fit is None or fit.held_out is None:
        return {}
    better = (trained.accuracy, -trained.loss) > (fit.held_out.accuracy, -fit.held_out.loss)
    if not better:
        checkpoints.load_weights(module, checkpoints.read_weights(folder / FITTED, fit.sha256), folder)
    return {
        "kept": "fine-tuned" if better else FITTED_HEAD,
        "held_out": {"n": trained.n, "fine_tuned": trained.accuracy, "fitted_head": fit.held_out.accuracy},
    }
