"""`predict` sees what training saw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import Dataset, Split, load
from striate.errors import ArgumentError, BadFilesError
from striate.evaluation import evaluate, predict
from striate.runs import Run, train
from striate.training import Recipe

Save = Callable[[Split, Path], Path]


def files(folder: Path) -> list[Path]:
    """Its images, in the order in which they were saved."""
    return sorted(folder.rglob("*.png"), key=lambda path: path.name)


@pytest.mark.parametrize("tta", ["none", "flip,shifts"])
def test_it_agrees_with_evaluation_on_the_same_pixels(
    run: Run, shapes: Dataset, save: Save, tmp_path: Path, tta: str
) -> None:
    assert shapes.test is not None
    predictions = predict(run, files(save(shapes.test, tmp_path)), top=3, tta=tta)
    evaluation = evaluate(run, shapes, tta=tta)
    for prediction, probabilities, predicted in zip(
        predictions, evaluation.probabilities.tolist(), evaluation.predicted.tolist(), strict=True
    ):
        assert prediction.probabilities == pytest.approx(dict(zip(run.classes, probabilities, strict=True)), abs=1e-6)
        assert prediction.label == run.classes[predicted]
        assert prediction.probability == prediction.probabilities[prediction.label]
        assert list(prediction.probabilities.values()) == sorted(prediction.probabilities.values(), reverse=True)


def test_without_another_wish_the_recipes_views_are_averaged(
    run: Run, shapes: Dataset, save: Save, tmp_path: Path
) -> None:
    assert shapes.test is not None
    images = files(save(shapes.test, tmp_path))
    flipping = replace(run, recipe=run.recipe.replace(tta="flip"))
    assert predict(flipping, images) == predict(run, images, tta="flip") != predict(run, images)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_images_of_other_sizes_are_prepared_as_for_training(fit: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(16):
        path = tmp_path / "set" / ("wide", "tall")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (20, 33, 3) if number % 2 else (31, 18, 3)
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(path)
    data = load(tmp_path / "set", image_size=12, fit=fit)
    run = train("mlp", data, Recipe(epochs=1, augment="none"), out=tmp_path / "run")
    logits = run.model()(run.preprocess.normalize(data.train.images)).softmax(dim=1)
    for prediction, expected in zip(predict(run, data.train.files), logits, strict=True):
        ours = [prediction.probabilities[name] for name in run.classes]
        assert ours == pytest.approx(expected.tolist(), abs=1e-5)


def test_top_limits_the_list_and_one_path_is_enough(run: Run, shapes: Dataset, save: Save, tmp_path: Path) -> None:
    (path, *_) = files(save(shapes.train, tmp_path))
    (prediction,) = predict(run.path, str(path), top=2)
    assert len(prediction.probabilities) == 2
    assert prediction.path == str(path)
    assert prediction.to_dict() == {
        "path": str(path),
        "class": prediction.label,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "calibrated": True,
    }
    assert len(predict(run, [path], top=99)[0].probabilities) == 3


def test_all_bad_files_are_named_together(run: Run, shapes: Dataset, save: Save, tmp_path: Path) -> None:
    good, cut, *_ = files(save(shapes.train, tmp_path))
    cut.write_bytes(cut.read_bytes()[:50])
    text, missing = tmp_path / "notes.txt", tmp_path / "missing.png"
    text.write_text("no image")
    with pytest.raises(BadFilesError) as caught:
        predict(run, [good, cut, text, missing])
    assert set(caught.value.problems) == {str(cut), str(text), str(missing)}
    assert all(caught.value.problems.values())


def test_no_image_and_no_class_are_refused(run: Run) -> None:
    with pytest.raises(ArgumentError, match="no images"):
        predict(run, [])
    with pytest.raises(ArgumentError, match="top=0"):
        predict(run, ["a.png"], top=0)
