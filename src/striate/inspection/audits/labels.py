"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

A class's threshold is the mean probability that its own images have of it. An image counts as one of the most
probable class among those whose thresholds it reaches; how many images count as another class than their label's says
how many labels are wrong. Which ones: those whose labels have the lowest probabilities ("self-confidence").
"""

from typing import NamedTuple

import numpy as np


class WrongLabels(NamedTuple):
    """Positions of images whose labels are probably wrong, the most suspicious first, and their likely classes."""

    positions: np.ndarray
    looks_like: np.ndarray


def wrong_labels(probabilities: np.ndarray, labels: np.ndarray) -> WrongLabels:
    """Find labels that are probably wrong.

    Args:
        probabilities: of each image's classes, (N, classes), by a model that was fitted without the image.
        labels: int64 (N,).
    """
    joint = confident_joint(probabilities, labels)
    wrong = int(joint.sum() - np.trace(joint))
    likely = probabilities.argmax(axis=1)
    order = suspicion(probabilities, labels)
    positions = order[likely[order] != labels[order]][:wrong]
    return WrongLabels(positions, likely[positions])


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count images by their label and by the class that they confidently belong to: int64 (classes, classes).

    Images that reach no class's threshold are not counted.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    thresholds = np.where(counts, np.bincount(labels, own, classes) / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    confident = np.flatnonzero(reached.max(axis=1) >= 0)
    joint = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(joint, (labels[confident], reached[confident].argmax(axis=1)), 1)
    return joint


def suspicion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Positions of all images, the one whose label is the least probable first: int64 (N,)."""
    return np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")
