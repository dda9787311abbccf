"""Calibration of runs: on which images, kept how, and used by whom."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import CLASSES, dataset, recipe, split

import striate
from striate.data import Dataset
from striate.errors import ArgumentError, CheckpointError
from striate.evaluation import evaluate, predict
from striate.inference import Calibration
from striate.runs import Begun, Run, Trained, train
from striate.runs.calibration import FILE
from striate.runs.held_out import held_out
from striate.runs.transfer import Fit
from striate.training import Step


def unsplit(count: int = 600) -> Dataset:
    """The shapes, with a third of the labels changed, and a test split alone."""
    data = dataset(count)
    labels = data.train.labels.clone()
    labels[::3] = (labels[::3] + 1) % len(CLASSES)
    return replace(data, train=replace(data.train, labels=labels), val=None)


def trained(out: Path, data: Dataset, **settings: object) -> Run:
    return train("mlp", data, recipe(epochs=1, calibration=0.1, **settings), out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that holds images out to calibrate, and averages two views."""
    return trained(tmp_path_factory.mktemp("calibrated") / "run", unsplit(), tta="flip")


def bytes_of(run: Run) -> tuple[bytes, bytes]:
    return (run.path / FILE).read_bytes(), (run.path / "model.safetensors").read_bytes()


def test_it_is_fitted_to_the_images_held_out_for_each_kind_of_views(run: Run):
    held = held_out(unsplit().train.labels, run.recipe)
    assert 55 < len(held) < 65
    assert list(run.calibrations()) == ["none", "flip"]
    images, labels = unsplit().train.images[held], unsplit().train.labels[held]
    for tta, found in run.calibrations().items():
        logits = Trained.of(run).logits(images, tta=tta)
        assert found == Calibration.fit(logits, labels, "training images that were held out")
    assert run.result["steps"] == "38"  # as many as without any held out


def test_what_is_held_out_is_not_trained_on(run: Run, tmp_path: Path):
    data = unsplit()
    held = held_out(data.train.labels, run.recipe)
    images = data.train.images.clone()
    images[held] = images[held.flip(0)]  # the mean that images are normalised by stays
    other = trained(tmp_path / "run", replace(data, train=replace(data.train, images=images)), tta="flip")
    assert bytes_of(other)[1] == bytes_of(run)[1]
    assert bytes_of(other)[0] != bytes_of(run)[0]


@pytest.mark.slow
def test_equal_commands_give_equal_bytes_and_so_does_a_run_that_was_stopped(run: Run, tmp_path: Path):
    assert bytes_of(trained(tmp_path / "again", unsplit(), tta="flip")) == bytes_of(run)

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("mlp", unsplit(), run.recipe, out=tmp_path / "cut", observer=stop)
    assert bytes_of(striate.resume(tmp_path / "cut", data=unsplit())) == bytes_of(run)


@pytest.mark.parametrize("damage", ["temperature", "gone", "brackets"])
def test_damage_is_one_clear_error_and_resuming_mends_it(damage: str, tmp_path: Path):
    run = trained(tmp_path / "run", unsplit())
    whole = bytes_of(run)
    path = run.path / FILE
    if damage == "gone":
        path.unlink()
    elif damage == "brackets":
        path.write_text("[" * 100_000)
    else:
        path.write_text(path.read_text().replace('"temperature": ', '"temperature": 1'))
    with pytest.raises(CheckpointError, match=r"calibration\.json.*--resume"):
        evaluate(run, unsplit())
    assert bytes_of(striate.resume(run.path, data=unsplit())) == whole


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"format": 1, "views": []}', '{"format": 1, "views": {"none": {}, "flip": 3}}']
)
def test_what_no_run_writes_is_refused_even_with_its_checksum(text: str, tmp_path: Path):
    run = trained(tmp_path / "run", unsplit())
    (run.path / FILE).write_text(text)
    result = run.result | {"calibration_sha256": striate.files.sha256(text.encode())}
    (run.path / "result.json").write_text(json.dumps(result))
    with pytest.raises(CheckpointError, match="is not what a run writes"):
        run.calibrations()
    (run.path / FILE).write_text('{"format": 2}')
    result["calibration_sha256"] = striate.files.sha256(b'{"format": 2}')
    (run.path / "result.json").write_text(json.dumps(result))
    with pytest.raises(CheckpointError, match="format 2"):
        run.calibrations()


def test_val_images_beside_a_test_split_calibrate_and_nothing_is_held_out(tmp_path: Path):
    data = replace(unsplit(), val=split(60, 3))
    run = trained(tmp_path / "a", data)
    assert run.recipe.calibration == 0
    assert run.calibrations()["none"].source == "images of val"
    assert run.calibrations()["none"].images == 60
    assert bytes_of(run)[1] == bytes_of(train("mlp", data, recipe(epochs=1, calibration=0), out=tmp_path / "b"))[1]
    only_val = replace(data, test=None)
    run = trained(tmp_path / "c", only_val)
    assert run.recipe.calibration == 0.1
    assert run.calibrations()["none"].source == "training images that were held out"
    assert evaluate(run, only_val).split == "val"


def test_without_images_for_it_a_run_is_not_calibrated_and_says_so(tmp_path: Path):
    told: list[str] = []

    def observer(event: object) -> None:
        told.extend(event.notes if isinstance(event, Begun) else ())

    few = train("mlp", unsplit(100), recipe(epochs=1, calibration=0.1), out=tmp_path / "run", observer=observer)
    assert few.calibrations() == {}
    assert not (few.path / FILE).exists()
    assert not told
    result = evaluate(few, unsplit(100))
    assert "fewer than 20 images were held out" in result.uncalibrated
    assert result.to_dict()["calibration"] is None
    assert "before calibration" not in result.text()
    assert not predict(few, unsplit().test.images[0])[0].calibrated
    with pytest.raises(ArgumentError, match=r"coverage=0\.9: The probabilities are not calibrated"):
        predict(few, unsplit().test.images[0], coverage=0.9)
    train("mlp", unsplit(), recipe(epochs=1, calibration=0.1), out=tmp_path / "many", observer=observer)
    assert any("held out to calibrate" in note for note in told)


def test_a_run_that_has_not_finished_is_not_calibrated(run: Run, tmp_path: Path):
    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("mlp", unsplit(), run.recipe, out=tmp_path / "cut", observer=stop)
    assert "not finished" in evaluate(tmp_path / "cut", unsplit()).uncalibrated


def test_views_it_was_not_calibrated_for_are_said(run: Run):
    assert evaluate(run, unsplit(), tta="none").uncalibrated is None
    other = evaluate(run, unsplit(), tta="shifts")
    assert "--tta none and --tta flip" in other.uncalibrated
    assert torch.equal(other.probabilities, other.logits.double().softmax(dim=1))
    with pytest.raises(ArgumentError, match="for these views"):
        predict(run, unsplit().test.images[0], tta="shifts", coverage=0.9)


def test_evaluation_and_prediction_use_it(run: Run):
    data = unsplit()
    found, result = run.calibrations()["flip"], evaluate(run, data, coverage=0.9)
    assert torch.equal(result.probabilities, found.probabilities(result.logits))
    assert result.loss == pytest.approx(run.result["loss"])
    assert result.error_before != result.calibration_error
    assert torch.equal(result.predicted, result.logits.argmax(dim=1))
    predictions = predict(run, data.test.images, coverage=0.9)
    assert all(each.calibrated and each.set[0] == each.label for each in predictions)
    for each, row in zip(predictions, result.probabilities.tolist(), strict=True):
        assert each.probability == pytest.approx(max(row), abs=1e-5)
    held = [CLASSES[label] in each.set for each, label in zip(predictions, data.test.labels.tolist(), strict=True)]
    assert sum(held) / len(held) == result.sets.coverage
    assert sum(len(each.set) for each in predictions) / len(held) == result.sets.mean_size
    assert predictions[0].to_dict()["set"] == list(predictions[0].set)
    assert predictions[0].to_dict()["coverage"] == 0.9


def test_the_runs_module_knows_it(run: Run):
    module = run.model()
    assert evaluate(module, unsplit()).probabilities.equal(evaluate(run, unsplit(), tta="none").probabilities)


@pytest.mark.slow
def test_a_fitted_head_is_calibrated_by_cross_validation_and_fine_tuning_by_what_it_holds_out(tmp_path: Path):
    first = train("mlp", dataset(), recipe(epochs=1), out=tmp_path / "first")
    settings = {"batch_size": 16, "augment": "none", "weights": first.path}
    head = train("mlp", unsplit(300), "transfer", out=tmp_path / "head", freeze_backbone=True, **settings)
    (found,) = head.calibrations().values()
    assert found == Fit.read(head.path).calibration
    assert (found.images, "fitted without it" in found.source) == (300, True)
    for few, images in ((10, 300), (60, 60)):
        with_val = train(
            "mlp",
            replace(unsplit(300), val=split(few, 3)),
            "transfer",
            out=tmp_path / f"{few}",
            freeze_backbone=True,
            **settings,
        )
        assert with_val.calibrations()["none"].images == images
    tuned = train("mlp", unsplit(300), "transfer", out=tmp_path / "tuned", epochs=3, **settings)
    bad = train("mlp", unsplit(300), "transfer", out=tmp_path / "bad", epochs=1, learning_rate=0.9, **settings)
    assert bad.result["kept"] == "fitted head"
    assert bad.calibrations() == head.calibrations()
    if tuned.result["kept"] == "fine-tuned":
        assert tuned.calibrations()["none"].images == tuned.result["held_out"]["n"]
