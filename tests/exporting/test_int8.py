"""Networks of 8-bit integers: nearly as accurate, a quarter of the size, refused where they lose too much."""

from pathlib import Path

import onnx
import pytest
import torch
from trained import digits_run

import striate
from striate.data.loading import as_dataset
from striate.errors import ArgumentError, DataError, ExportError
from striate.exporting.int8 import CALIBRATION, CALIBRATIONS, CHOICE, Images
from striate.inference import ExportedFile
from striate.runs import Trained
from striate.runs.held_out import divided

__all__ = ["digits_run"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(digits_run: striate.Run, tmp_path_factory: pytest.TempPathFactory) -> striate.Export:
    """The run of digits as int8. Read it only."""
    return striate.export(digits_run, int8=True, out=tmp_path_factory.mktemp("files") / "digits.onnx")


def test_it_is_as_accurate_and_a_third_of_the_size(
    made: striate.Export, digits_run: striate.Run, tmp_path: Path
) -> None:
    whole = striate.export(digits_run, out=tmp_path / "whole.onnx")
    assert made.precision == "int8"
    assert made.accuracy is not None
    assert made.accuracy_run is not None
    assert made.accuracy >= made.accuracy_run - 0.005
    assert 0 < made.max_difference < 0.1 * made.largest_logit
    assert made.bytes < 0.4 * whole.bytes
    assert "int8" in made.text()
    assert "chosen on" in made.notes[-1]
    assert ExportedFile.open(made.path).card.precision == "int8"


def test_weights_are_integers_with_a_scale_for_each_channel(made: striate.Export) -> None:
    graph = onnx.load(made.path).graph
    weights = {each.name: each for each in graph.initializer if each.data_type == onnx.TensorProto.INT8}
    matrices = [each for each in weights.values() if len(each.dims) > 1]
    assert matrices
    scales = {each.name: list(each.dims) for each in graph.initializer}
    for matrix in matrices:
        assert scales[matrix.name.replace("_quantized", "_scale")][0] in matrix.dims


def test_the_images_that_choose_are_not_those_that_calibrate(digits_run: striate.Run) -> None:
    trained = Trained.of(digits_run)
    images = Images.of(trained, None)
    data = digits_run.data()
    kept, held = divided(data.train, digits_run.recipe)
    assert kept is not None
    assert held is not None
    known = {image.numpy().tobytes() for image in data.train.images[kept]}
    assert len(images.calibration) == CALIBRATION
    assert all(image.numpy().tobytes() in known for image in images.calibration)
    assert len(images.choice) <= CHOICE
    assert {image.numpy().tobytes() for image in images.choice} == {image.numpy().tobytes() for image in held.images}


def test_a_file_that_loses_too_much_is_not_kept(
    digits_run: striate.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization import CalibrationMethod

    monkeypatch.setattr(
        "striate.exporting.int8.CALIBRATIONS",
        {"hardly any": {"calibrate_method": CalibrationMethod.Percentile, "percentile": 1.0}},
    )
    with pytest.raises(ExportError, match=r"as int8, .* more than 0\.5 points are lost.*--max-loss"):
        striate.export(digits_run, int8=True, out=tmp_path / "lost.onnx")
    assert not any(tmp_path.iterdir())
    assert len(CALIBRATIONS) > 1


def test_images_are_needed(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    preprocess, classes = striate.Preprocess(8, 8, 1), ("a", "b")
    with pytest.raises(ArgumentError, match="int8 needs images with labels"):
        striate.export(module, int8=True, out=tmp_path / "m.onnx", preprocess=preprocess, classes=classes)
    images = torch.arange(12 * 64, dtype=torch.uint8).reshape(12, 8, 8, 1)
    few = as_dataset((images, torch.arange(12) % 2), classes=classes)
    with pytest.raises(DataError, match="calibrated on training images, at least 40"):
        striate.export(module, int8=True, out=tmp_path / "m.onnx", preprocess=preprocess, classes=classes, data=few)
    with pytest.raises(ArgumentError, match="max_loss=-1"):
        striate.export(module, int8=True, max_loss=-1, preprocess=preprocess, classes=classes)
