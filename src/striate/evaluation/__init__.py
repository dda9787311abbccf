"""Evaluation of a run on labelled images, and prediction for any images."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Evaluation": "evaluation",
    "Prediction": "prediction",
    "evaluate": "evaluation",
    "predict": "prediction",
    "predictions_of": "prediction",
    "predictions_text": "prediction",
}

__all__ = [
    "Evaluation",
    "Prediction",
    "evaluate",
    "predict",
    "predictions_of",
    "predictions_text",
]

if TYPE_CHECKING:
    from striate.evaluation.evaluation import Evaluation, evaluate
    from striate.evaluation.prediction import Prediction, predict, predictions_of, predictions_text


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that exported files are asked without PyTorch."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
