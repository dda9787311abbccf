"""`striate.export`: the file answers as the run does, says what it is, and is refused where it would not."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn
from trained import digits_run, run, shapes

import striate
from striate.errors import ArgumentError, CheckpointError, ExportError, StorageError
from striate.exporting import exporter
from striate.inference import ExportedFile

__all__ = ["digits_run", "run", "shapes"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(run: striate.Run, shapes: striate.Dataset, tmp_path_factory: pytest.TempPathFactory) -> striate.Export:
    """The run of shapes as a file. Read it only."""
    return striate.export(run, data=shapes, out=tmp_path_factory.mktemp("files") / "shapes.onnx")


def pictures(folder: Path) -> list[Path]:
    """Files of several sizes, colours and formats."""
    random = np.random.default_rng(0)
    paths = [folder / name for name in ("a.png", "b.png", "c.bmp", "d.webp")]
    for path, size in zip(paths, ((8, 8), (31, 17, 3), (5, 40), (100, 90, 3)), strict=True):
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


def test_the_file_answers_as_the_run(made: striate.Export, run: striate.Run, shapes: striate.Dataset) -> None:
    test = shapes.test
    assert test is not None
    expected = striate.evaluate(run, shapes)
    assert (made.agreement, made.n, made.split) == (1, len(test), "test")
    assert made.accuracy == made.accuracy_run == expected.accuracy
    assert made.interval == expected.interval
    assert made.max_difference <= 1e-5 * made.largest_logit
    assert made.opset == 18
    assert made.bytes == made.path.stat().st_size
    logits, probabilities = ExportedFile.open(made.path).answer(test.images.numpy())
    np.testing.assert_allclose(logits, expected.logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(probabilities, expected.probabilities.numpy(), atol=1e-6)


def test_it_stands_for_the_run(made: striate.Export, run: striate.Run, shapes: striate.Dataset, tmp_path: Path) -> None:
    assert striate.evaluate(made.path, shapes).confusion == striate.evaluate(run, shapes).confusion
    paths = pictures(tmp_path)
    for options in ({}, {"tta": "flip"}, {"coverage": 0.9}):
        by_file, by_run = (striate.predict(each, paths, **options) for each in (str(made.path), run))
        for one, other in zip(by_file, by_run, strict=True):
            assert (one.label, one.set, one.calibrated) == (other.label, other.set, other.calibrated)
            for name, probability in one.probabilities.items():
                assert probability == pytest.approx(other.probabilities[name], abs=0.02)
    with Image.open(paths[1]) as opened:
        picture = opened.copy()
    pixels = np.array(picture)
    for image in (paths[1].read_bytes(), picture, pixels, torch.from_numpy(pixels)):
        assert (
            striate.predict(made.path, image)[0].probabilities == striate.predict(made.path, paths[1])[0].probabilities
        )


def test_the_batch_and_the_size_are_free(made: striate.Export) -> None:
    file = ExportedFile.open(made.path)
    random = np.random.default_rng(0)
    mixed = [random.integers(0, 256, (high, 9, 3), dtype=np.uint8) for high in (*[12] * 70, 5, 12)]
    logits, _ = file.answers(mixed)
    for picture, row in zip(mixed, logits, strict=True):
        np.testing.assert_allclose(file.answer(picture[None])[0][0], row, atol=1e-5)


def test_the_card_says_what_it_is_and_nothing_of_the_machine(made: striate.Export, run: striate.Run) -> None:
    model = onnx.load(made.path)
    card = json.loads({each.key: each.value for each in model.metadata_props}["striate"])
    assert card["classes"] == list(run.classes)
    assert card["preprocess"]["height"] == 8
    assert card["model"] == "mlp"
    assert card["run"] == (run.result or {})["sha256"]
    assert card["striate"] == striate.__version__
    assert card["measured"]["accuracy"] == made.accuracy_run
    assert card["calibration"]["temperature"] == run.calibrations()["none"].temperature
    content = made.path.read_bytes()
    for told in (
        b".py",
        os.sep.join(("", "src", "")).encode(),
        str(run.path).encode(),
        str(Path.home()).encode() + b"/",
    ):
        assert told not in content
    assert (model.ir_version, len(model.metadata_props)) == (8, 1)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", made.opset)]


def test_equal_calls_give_equal_bytes(
    made: striate.Export, run: striate.Run, shapes: striate.Dataset, tmp_path: Path
) -> None:
    again = striate.export(str(run.path), data=shapes, out=tmp_path / "again.onnx")
    assert again.path.read_bytes() == made.path.read_bytes()


def test_a_run_is_measured_on_its_own_data_and_the_file_is_kept_with_it(digits_run: striate.Run) -> None:
    made = striate.export(digits_run)
    assert made.path == digits_run.path / "model.onnx"
    assert made.accuracy_run == (digits_run.result or {})["accuracy"]
    assert "test images" in made.text()
    made.path.unlink()


def test_tensors_have_the_networks_size(
    run: striate.Run, shapes: striate.Dataset, made: striate.Export, tmp_path: Path
) -> None:
    narrow = striate.export(run, input="tensor", data=shapes, out=tmp_path / "tensor.onnx")
    assert narrow.agreement == 1
    file = ExportedFile.open(narrow.path)
    with pytest.raises(ArgumentError, match=r"takes images uint8 \(N, 8, 8, 1\), not uint8 \(1, 9, 8, 1\)"):
        file.answer(np.zeros((1, 9, 8, 1), dtype=np.uint8))
    paths = pictures(tmp_path)
    for one, other in zip(striate.predict(narrow.path, paths), striate.predict(made.path, paths), strict=True):
        assert one.label == other.label


def test_a_module_without_data_is_compared_on_made_up_pictures(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    preprocess = striate.Preprocess(20, 16, 3, "crop", (0.4,) * 3, (0.2,) * 3, crop=0.9)
    made = striate.export(module, out=tmp_path / "m.onnx", preprocess=preprocess, classes=("cat", "dog"))
    assert (made.n, made.accuracy, made.split) == (64, None, "")
    assert "made-up pictures" in made.notes[-1]
    assert "made-up" in made.text()
    assert ExportedFile.open(made.path).card.measured is None


def test_a_file_that_answers_otherwise_is_not_kept(
    run: striate.Run, shapes: striate.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = exporter.card_of

    def dark(*arguments: Any) -> Any:
        made = card(*arguments)
        return made.model_copy(update={"preprocess": striate.Preprocess(8, 8, 1, mean=(30.0,), std=(1.0,))})

    monkeypatch.setattr(exporter, "card_of", dark)
    with pytest.raises(ExportError, match=r"same class as before for .* of 20 images, less than 99\.9 %.*not kept"):
        striate.export(run, data=shapes, out=tmp_path / "wrong.onnx")
    assert not any(tmp_path.iterdir())


class Reading(nn.Module):
    """What is computed depends on the values, which no exporter can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) if float(x.mean()) > 0.3 else x.amax((2, 3))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "gives all images the same logits"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), r"expected \(N, 3\)"),
        (Reading(), "PyTorch can't export Reading to ONNX: "),
    ],
)
def test_what_can_not_be_exported_is_refused(module: nn.Module, said: str, tmp_path: Path) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    with pytest.raises(striate.StriateError, match=said) as caught:
        striate.export(
            module, out=tmp_path / "m.onnx", preprocess=striate.Preprocess.resizing((2, 2), 3), classes=("a", "b", "c")
        )
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_wrong_arguments_are_refused_at_once(run: striate.Run, made: striate.Export, tmp_path: Path) -> None:
    for options, said in (
        ({"to": "onx"}, "unknown format 'onx'. Did you mean 'onnx'"),
        ({"input": "tensors"}, "unknown input 'tensors'. Did you mean 'tensor'"),
        ({"out": tmp_path / "file.bin"}, "must end in .onnx"),
    ):
        with pytest.raises(ArgumentError) as caught:
            striate.export(run, **options)
        assert said in str(caught.value)
    with pytest.raises(ArgumentError, match="is an exported file already"):
        striate.export(made.path)
    with pytest.raises(ArgumentError, match="layers can't be looked into: name the run"):
        striate.explain(made.path, np.zeros((8, 8), np.uint8), out=tmp_path / "page.html")


def test_a_place_that_can_not_be_written_is_named(run: striate.Run, shapes: striate.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't write"):
        striate.export(run, data=shapes, out=tmp_path / "file" / "m.onnx")


def test_files_of_other_programs_and_damaged_ones_are_told(made: striate.Export, tmp_path: Path) -> None:
    other, cut, absent = (tmp_path / name for name in ("other.onnx", "cut.onnx", "absent.onnx"))
    model = onnx.load(made.path)
    del model.metadata_props[:]
    onnx.save(model, other)
    cut.write_bytes(made.path.read_bytes()[:1000])
    image = np.zeros((8, 8), np.uint8)
    for path, said in (
        (other, "was not written by 'striate export'"),
        (cut, "is no ONNX file, or damaged"),
        (absent, "can't read"),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            striate.predict(path, image)
        assert "\n" not in str(caught.value)
    onnx.helper.set_model_props(model, {"striate": json.dumps({"format": 1})})
    onnx.save(model, other)
    with pytest.raises(CheckpointError, match="is damaged: its metadata, at 'striate'"):
        striate.predict(other, image)


def test_a_changed_weight_is_told(made: striate.Export, tmp_path: Path) -> None:
    content = bytearray(made.path.read_bytes())
    model = onnx.load(made.path)
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data)).raw_data
    content[content.find(weights) + len(weights) // 2] ^= 1
    (tmp_path / "changed.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged: it is not as it was written"):
        ExportedFile.open(tmp_path / "changed.onnx")
