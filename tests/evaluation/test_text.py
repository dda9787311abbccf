"""Results as text: columns line up, whatever the names."""

import torch

from striate.evaluation.measure import Evaluation
from striate.evaluation.metrics import class_scores, confusion_matrix
from striate.evaluation.text import most_confused


def made_up(classes: tuple[str, ...], mistakes: int) -> Evaluation:
    """Two images a class, of which the first `mistakes` classes' second is taken for the next class."""
    labels = torch.arange(len(classes)).repeat(2)
    predicted = labels.clone()
    predicted[len(classes) : len(classes) + mistakes] += 1
    predicted %= len(classes)
    accuracy = float((predicted == labels).double().mean())
    return Evaluation(
        accuracy=accuracy,
        interval=(0.1, 0.9),
        top1_error=1 - accuracy,
        top5_error=0.0,
        loss=0.5,
        calibration_error=0.1,
        n=len(labels),
        split="test",
        source="made up",
        classes=classes,
        per_class=class_scores(labels, predicted, classes),
        confusion=confusion_matrix(labels, predicted, len(classes)),
    )


def test_a_few_classes_are_all_shown_with_their_matrix() -> None:
    text = made_up(("ant", "bee", "cat"), 1).text()
    assert "made up, test: 6 images" in text
    assert "83.33 %" in text
    assert "top-5" not in text  # of three classes it would always be 0
    assert "true \\ predicted" in text


def test_of_many_classes_the_worst_are_shown() -> None:
    text = made_up(tuple(f"class-{number:03}" for number in range(100)), 4).text()
    assert "the 10 of 100 classes with the lowest recall" in text
    assert "top-5 error" in text
    assert len(text.splitlines()) < 40
    assert text.index("class-003") < text.index("class-004")


def test_no_mistakes_are_no_empty_table() -> None:
    assert made_up(tuple(f"class-{number:03}" for number in range(100)), 0).text().endswith("no mistakes")


def test_the_commonest_mistakes_come_first() -> None:
    evaluation = made_up(("a", "b", "c"), 0)
    evaluation.confusion[:] = [[5, 1, 0], [0, 5, 3], [0, 1, 5]]
    assert most_confused(evaluation) == [("b", "c", 3), ("a", "b", 1), ("c", "b", 1)]
    assert most_confused(evaluation, most=1) == [("b", "c", 3)]
