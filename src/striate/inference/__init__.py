"""Logits and features of a trained network for batches of images, their scores against labels, their calibration."""

from striate.inference.calibration import UNCALIBRATED, Calibration, best_first
from striate.inference.features import backbone, features_of
from striate.inference.predictor import Predictor, logits_of
from striate.inference.scores import Score, ranks, score, score_of

__all__ = [
    "UNCALIBRATED",
    "Calibration",
    "Predictor",
    "Score",
    "backbone",
    "best_first",
    "features_of",
    "logits_of",
    "ranks",
    "score",
    "score_of",
]
