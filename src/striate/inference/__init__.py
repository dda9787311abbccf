"""Logits and features of a trained network for batches of images, their scores against labels, their calibration."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "UNCALIBRATED": "calibration",
    "Calibration": "calibration",
    "ExportedFile": "exported_file",
    "Predictor": "predictor",
    "Score": "scores",
    "backbone": "features",
    "best_class": "calibration",
    "features_of": "features",
    "is_exported_file": "exported_file",
    "logits_of": "predictor",
    "ranks": "scores",
    "score": "scores",
    "score_of": "scores",
}

__all__ = [
    "UNCALIBRATED",
    "Calibration",
    "ExportedFile",
    "Predictor",
    "Score",
    "backbone",
    "best_class",
    "features_of",
    "is_exported_file",
    "logits_of",
    "ranks",
    "score",
    "score_of",
]

if TYPE_CHECKING:
    from striate.inference.calibration import UNCALIBRATED, Calibration, best_class
    from striate.inference.exported_file import ExportedFile, is_exported_file
    from striate.inference.features import backbone, features_of
    from striate.inference.predictor import Predictor, logits_of
    from striate.inference.scores import Score, ranks, score, score_of


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that exported files are asked without PyTorch."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
