"""Confident learning: by hand, and beside the definition in loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.inspection.audits.labels import confident_joint, suspicion, wrong_labels

# Class a has mean self-confidence (0.9 + 0.8 + 0.1) / 3 = 0.6, class b (0.7 + 0.6 + 0.2) / 3 = 0.5.
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]])
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_an_example_by_hand():
    assert confident_joint(PROBABILITIES, LABELS).tolist() == [[2, 1], [1, 2]]
    found = wrong_labels(PROBABILITIES, LABELS)
    assert found.positions.tolist() == [2, 5]
    assert found.looks_like.tolist() == [1, 0]


def test_images_that_reach_no_threshold_are_not_counted():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    joint = confident_joint(probabilities, np.array([0, 0, 1]))
    assert joint.tolist() == [[1, 0], [0, 1]]


def test_a_class_without_images_is_nobodys():
    probabilities = np.array([[0.5, 0.1, 0.4], [0.2, 0.6, 0.2]])
    assert confident_joint(probabilities, np.array([0, 1])).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def joint_in_loops(probabilities: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Northcutt et al. 2021, equations 1 and 2, ties to the lower class."""
    classes = probabilities.shape[1]
    thresholds = []
    for k in range(classes):
        own = [row[k] for row, label in zip(probabilities, labels, strict=True) if label == k]
        thresholds.append(sum(own) / len(own) if own else float("inf"))
    joint = [[0] * classes for _ in range(classes)]
    for row, label in zip(probabilities, labels, strict=True):
        reached = [k for k in range(classes) if row[k] >= thresholds[k]]
        if reached:
            joint[label][max(reached, key=lambda k: (row[k], -k))] += 1
    return joint


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**31))
def test_the_joint_is_the_definitions(count: int, classes: int, seed: int):
    random = np.random.default_rng(seed)
    probabilities, labels = random.dirichlet(np.full(classes, 0.3), count), random.integers(0, classes, count)
    joint = confident_joint(probabilities, labels)
    expected = np.array(joint_in_loops(probabilities, labels))
    # A class with one image has it exactly at the threshold, where a mean's rounding decides.
    single = np.bincount(labels, minlength=classes) <= 1
    assert joint[~single].tolist() == expected[~single].tolist() or np.abs(joint - expected).sum() <= single.sum()
    found = wrong_labels(probabilities, labels)
    assert len(found.positions) <= joint.sum() - np.trace(joint)
    assert (found.looks_like != labels[found.positions]).all()
    assert sorted(suspicion(probabilities, labels).tolist()) == list(range(count))


@pytest.mark.parametrize("seed", range(3))
def test_planted_mistakes_are_found(seed: int):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, 400)
    probabilities = 0.7 * np.eye(4)[truth] + 0.3 * random.dirichlet(np.ones(4), 400)
    planted = random.choice(400, 20, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + random.integers(1, 4, 20)) % 4
    found = wrong_labels(probabilities, labels)
    assert set(found.positions.tolist()) <= set(planted.tolist())
    assert len(found.positions) >= 14
    assert (found.looks_like == truth[found.positions]).all()
