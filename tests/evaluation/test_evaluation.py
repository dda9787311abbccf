"""`evaluate`: the right images, labels matched by name, and numbers that agree with each other."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sklearn.metrics
import torch
from small_run import recipe, split
from torch import nn

import striate
from striate.data import Dataset, Split
from striate.data.sources.tar_pack import pack
from striate.errors import ArgumentError, CheckpointError, DataError
from striate.evaluation import evaluate
from striate.evaluation.evaluation import Evaluation, measured, most_confused
from striate.evaluation.metrics import class_scores, confusion_matrix
from striate.evaluation.samples import samples_of
from striate.inference import best_class, ranks
from striate.inference.calibration import best_first
from striate.runs import Run, Trained, train
from striate.training import Recipe

Save = Callable[[Split, Path], Path]


def test_a_runs_own_data_gives_the_result_it_ended_with(digits_run: Run) -> None:
    evaluation = evaluate(digits_run.path)
    assert digits_run.result is not None
    for key in ("accuracy", "top1_error", "top5_error", "loss", "n", "split"):
        assert getattr(evaluation, key) == digits_run.result[key]
    assert (evaluation.split, evaluation.n, evaluation.source) == ("test", 359, "digits")
    assert evaluation.notes == ()


def test_its_numbers_agree(run: Run, shapes: Dataset) -> None:
    evaluation = evaluate(run, shapes)
    low, high = evaluation.interval
    assert low < evaluation.accuracy < high
    assert sum(evaluation.confusion[i][i] for i in range(3)) == round(evaluation.accuracy * evaluation.n)
    assert [sum(row) for row in evaluation.confusion] == [each.support for each in evaluation.per_class]
    assert evaluation.probabilities.sum(dim=1).tolist() == pytest.approx([1.0] * 20)
    right = ranks(evaluation.probabilities.log(), evaluation.labels) == 0
    assert (evaluation.predicted == evaluation.labels).tolist() == right.tolist()


def test_json_has_the_keys_and_nothing_it_cant_hold(run: Run, shapes: Dataset) -> None:
    values = evaluate(run, shapes).to_dict()
    assert list(values) == [
        *("accuracy", "interval", "top1_error", "top5_error", "loss", "calibration_error"),
        *(
            "calibration_error_interval",
            "calibration",
            "balanced_accuracy",
            "macro_f1",
            "n",
            "split",
            "tta",
            "per_class",
            "confusion",
        ),
    ]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert list(values["calibration"]) == [
        *("temperature", "images", "source", "error_before", "error_before_interval", "sets")
    ]
    assert list(values["calibration"]["sets"]) == ["asked", "coverage", "interval", "mean_size", "single"]


class Broken(nn.Module):
    """Says NaN of every image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 3), torch.nan)


class Constant(nn.Module):
    """Takes every image for the last class."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([0.0, 1.0, 2.0]).repeat(len(x), 1)


def custom(run: Run, shapes: Dataset, module: nn.Module) -> striate.Evaluation:
    """What evaluate makes of a module without weights in a run without an architecture."""
    trained = Trained.of(module, preprocess=run.preprocess, classes=run.classes)
    return measured(trained, samples_of(trained, shapes))


def test_a_class_never_predicted_has_no_precision(run: Run, shapes: Dataset) -> None:
    evaluation = custom(run, shapes, Constant())
    assert [each.precision is None for each in evaluation.per_class] == [True, True, False]
    assert json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["per_class"][0]["precision"] is None
    assert "–" in evaluation.text()


def test_a_broken_model_never_looks_good_and_still_gives_json(run: Run, shapes: Dataset) -> None:
    evaluation = custom(run, shapes, Broken())
    values = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert values["loss"] is None
    assert values["accuracy"] <= 0.5


def test_classes_are_matched_by_name(run: Run, shapes: Dataset) -> None:
    order = (2, 0, 1)  # their class k is our class order[k]
    back = torch.tensor([order.index(label) for label in range(3)])
    theirs = replace(
        shapes,
        classes=tuple(shapes.classes[label] for label in order),
        train=Split(shapes.train.images, back[shapes.train.labels]),
        test=Split(shapes.test.images, back[shapes.test.labels]) if shapes.test else None,
    )
    ours, matched = evaluate(run, shapes), evaluate(run, theirs)
    assert matched.classes == run.classes
    assert matched.to_dict() == ours.to_dict()


def test_a_class_that_the_data_lacks_is_noted(run: Run, shapes: Dataset):
    test = shapes.test
    assert test is not None
    kept = test.labels != 2
    images, labels = test.images[kept], test.labels[kept]
    found = evaluate(run, Dataset("two", shapes.classes[:2], Split(images, labels)))
    assert [each.support for each in found.per_class] == [*labels.bincount().tolist(), 0]
    assert any("two has no images of dot" in note for note in found.notes)


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        (("cross", "bar", "ring"), "unknown to the run: ring; missing in the data: dot"),
        (("cross", "bar", "dot", "ring", "star"), "unknown to the run: ring, star."),
        (("bar", "dot", "ring"), "unknown to the run: ring; missing in the data: cross"),
    ],
)
def test_unknown_and_missing_classes_are_listed(run: Run, classes: tuple[str, ...], complaint: str) -> None:
    data = Dataset("others", classes, split(10, 0))
    with pytest.raises(DataError, match=complaint):
        evaluate(run, data)


def test_all_images_of_another_plain_folder_count(run: Run, save: Save, tmp_path: Path) -> None:
    evaluation = evaluate(run, save(split(40, 5), tmp_path / "plain"))
    assert (evaluation.split, evaluation.n) == ("all", 40)
    assert evaluation.accuracy == evaluate(run, Dataset("arrays", run.classes, split(40, 5))).accuracy


def test_of_a_folder_with_a_test_split_only_that_counts(run: Run, save: Save, tmp_path: Path) -> None:
    save(split(30, 6), tmp_path / "both" / "train")
    save(split(12, 7), tmp_path / "both" / "test")
    evaluation = evaluate(run, tmp_path / "both")
    assert (evaluation.split, evaluation.n) == ("test", 12)


def test_a_set_with_nothing_but_train_is_measured_and_it_is_said(run: Run) -> None:
    evaluation = evaluate(run, Dataset("arrays", run.classes, split(15, 8)))
    assert (evaluation.split, evaluation.n) == ("train", 15)
    assert "no test or val split" in evaluation.notes[0]


def test_a_runs_own_folder_is_recognised_under_another_name(save: Save, tmp_path: Path) -> None:
    folder = save(split(60, 9), tmp_path / "own")
    run = train("mlp", str(folder), Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    assert run.result is not None
    held_out = (run.result["split"], run.result["n"])
    assert held_out[1] < 60
    (tmp_path / "link").symlink_to(folder)
    moved = tmp_path / "moved"
    for other in (folder / ".." / "own", tmp_path / "link"):
        evaluation = evaluate(run, other)
        assert (evaluation.split, evaluation.n) == held_out
    folder.rename(moved)
    assert evaluate(run, moved).n == held_out[1]
    with pytest.raises(DataError, match="own"):
        evaluate(run)


def test_a_run_trained_on_shards_is_measured_from_anywhere(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(save(split(60, 9), tmp_path / "own"), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    run = train("mlp", "out/{train,val,test}-000000.tar", Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    assert run.result is not None
    held_out = (run.result["split"], run.result["n"])
    monkeypatch.chdir(tmp_path / "own")
    for data in (None, "../out/{train,val,test}-000000.tar", "../out"):
        evaluation = evaluate(tmp_path / "run", data)
        assert (evaluation.split, evaluation.n) == held_out


def test_all_images_of_shards_that_are_not_split_count(run: Run, save: Save, tmp_path: Path) -> None:
    pack(save(split(40, 5), tmp_path / "plain"), tmp_path / "out")
    evaluation = evaluate(run, tmp_path / "out" / "test-000000.tar")
    assert (evaluation.split, evaluation.n) == ("all", 4)


def test_data_that_changed_since_is_said(save: Save, tmp_path: Path) -> None:
    folder = save(split(60, 9), tmp_path / "own")
    run = train("mlp", str(folder), Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    next((folder / "bar").glob("*.png")).unlink()
    save(split(30, 10), folder)
    assert "has changed since" in evaluate(run).notes[0]


def test_nothing_held_out_is_an_error(tmp_path: Path) -> None:
    data = Dataset("arrays", ("cross", "bar", "dot"), split(15, 8))
    run = train("mlp", data, Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    with pytest.raises(DataError, match=r"has no test or val images.*--data"):
        evaluate(run, data)


def test_a_module_of_ones_own_is_passed_as_model(shapes: Dataset, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    run = train(module, shapes, Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="model="):
        evaluate(run, shapes)
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert run.result is not None
    assert evaluate(run, shapes, model=fresh).accuracy == run.result["accuracy"]


def test_equal_classes_rank_by_number_and_nan_comes_last() -> None:
    logits = torch.tensor([[1.0, 1.0, 1.0], [torch.nan, 0.0, -1.0], [0.0, 2.0, 2.0]])
    assert best_first(logits).tolist() == [[0, 1, 2], [1, 2, 0], [1, 2, 0]]
    assert best_class(logits).tolist() == [0, 1, 1]


def test_an_unknown_device_is_refused(run: Run, shapes: Dataset) -> None:
    with pytest.raises(ArgumentError, match="device"):
        evaluate(run, shapes, device="tpu")


def test_test_time_augmentation_is_used_and_told(run: Run, shapes: Dataset) -> None:
    bare = Trained(run.name, run.model(), run.preprocess, run.classes)  # never calibrated
    plain, averaged = evaluate(bare, shapes), evaluate(bare, shapes, tta="flip")
    assert shapes.test is not None
    mirrored = replace(shapes, test=Split(shapes.test.images.flip(2), shapes.test.labels))
    mean = (plain.probabilities + evaluate(bare, mirrored).probabilities) / 2
    torch.testing.assert_close(averaged.probabilities, mean, atol=1e-6, rtol=0)
    assert not torch.allclose(averaged.probabilities, plain.probabilities, atol=1e-3)
    assert (plain.to_dict()["tta"], averaged.to_dict()["tta"]) == ("none", "flip")
    assert averaged.notes == (*plain.notes, "Averaged over 2 views of each image, flip.")
    (note,) = evaluate(bare, shapes, tta="flip,shifts").notes[len(plain.notes) :]
    assert note == (
        "Averaged over 6 views of each image, flip,shifts; over the heaviest 3 alone where the others can't change the "
        "class."
    )


def test_the_recipes_views_are_used_unless_others_are_asked_for(shapes: Dataset, tmp_path: Path) -> None:
    run = train("mlp", shapes, recipe(epochs=1, tta="flip"), out=tmp_path / "run")
    assert run.result is not None
    usual, plain = evaluate(run, shapes), evaluate(run, shapes, tta="none")
    assert (usual.tta, run.result["tta"], plain.tta) == ("flip", "flip", "none")
    assert usual.loss == run.result["loss"] == evaluate(run, shapes, tta="flip").loss
    assert usual.loss != plain.loss


def test_an_unknown_test_time_augmentation_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="unknown test-time augmentation 'mirror'"):
        evaluate(tmp_path / "no-run", tta="mirror")


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
        probabilities=nn.functional.one_hot(predicted, len(classes)).double(),
        labels=labels,
        predicted=predicted,
    )


def test_balanced_accuracy_and_macro_f1_are_scikit_learns() -> None:
    evaluation = made_up(("ant", "bee", "cat", "dog"), 3)
    right = torch.arange(4).repeat(2)
    predicted = torch.tensor([0, 1, 2, 3, 1, 2, 3, 3])
    assert evaluation.balanced_accuracy == pytest.approx(sklearn.metrics.balanced_accuracy_score(right, predicted))
    assert evaluation.macro_f1 == pytest.approx(sklearn.metrics.f1_score(right, predicted, average="macro"))
    rare = class_scores(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]), ("a", "b", "absent"))
    assert replace(evaluation, per_class=rare).balanced_accuracy == 0.5, "a class without images has no say"
    assert replace(evaluation, per_class=rare).macro_f1 == pytest.approx((6 / 7 + 0) / 2)


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
