"""Logits and features of a trained network for batches of images, and scores of logits against labels."""

from striate.inference.features import backbone, features_of
from striate.inference.predictor import Predictor, logits_of
from striate.inference.scores import Score, ranks, score, score_of

__all__ = [
    "Predictor",
    "Score",
    "backbone",
    "features_of",
    "logits_of",
    "ranks",
    "score",
    "score_of",
]
