"""Evaluation of a run on labelled images, and prediction for any images."""

from striate.evaluation.evaluation import Evaluation, evaluate
from striate.evaluation.prediction import Prediction, predict, predictions_text

__all__ = [
    "Evaluation",
    "Prediction",
    "evaluate",
    "predict",
    "predictions_text",
]
