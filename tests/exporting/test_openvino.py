"""Files in OpenVINO's format answer as the run does, and damage is told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trained import run, shapes

import striate
from striate.errors import ArgumentError, CheckpointError
from striate.inference import ExportedFile

__all__ = ["run", "shapes"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(run: striate.Run, shapes: striate.Dataset, tmp_path_factory: pytest.TempPathFactory) -> striate.Export:
    """The run of shapes in OpenVINO's format. Read it only."""
    return striate.export(run, "openvino", data=shapes, out=tmp_path_factory.mktemp("files") / "shapes.xml")


def test_the_file_answers_as_the_run(made: striate.Export, run: striate.Run, shapes: striate.Dataset) -> None:
    expected = striate.evaluate(run, shapes)
    assert (made.format, made.agreement, made.accuracy) == ("openvino", 1, expected.accuracy)
    assert made.max_difference <= 1e-5 * made.largest_logit
    assert made.bytes == sum(made.path.with_suffix(suffix).stat().st_size for suffix in (".xml", ".bin"))
    assert striate.evaluate(made.path, shapes).confusion == expected.confusion
    picture = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    by_file, by_run = (striate.predict(each, picture)[0].probabilities for each in (made.path, run))
    for name, probability in by_file.items():
        assert probability == pytest.approx(by_run[name], abs=0.02)


def test_equal_calls_give_equal_bytes_without_a_word_of_the_machine(
    made: striate.Export, run: striate.Run, shapes: striate.Dataset, tmp_path: Path
) -> None:
    again = striate.export(run, "openvino", data=shapes, out=tmp_path / "again.xml")
    for suffix in (".xml", ".bin"):
        content = again.path.with_suffix(suffix).read_bytes()
        assert content == made.path.with_suffix(suffix).read_bytes()
        assert b".py" not in content
        assert str(run.path).encode() not in content


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_changed_byte_is_told(made: striate.Export, suffix: str, tmp_path: Path) -> None:
    for each in (".xml", ".bin"):
        content = bytearray(made.path.with_suffix(each).read_bytes())
        if each == suffix:
            content[content.find(b"shapes") if b"shapes" in content else len(content) // 2] ^= 1
        (tmp_path / f"copy{each}").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        ExportedFile.open(tmp_path / "copy.xml")


def test_what_is_missing_is_named(made: striate.Export, tmp_path: Path) -> None:
    (tmp_path / "alone.xml").write_bytes(made.path.read_bytes())
    with pytest.raises(CheckpointError, match=r"can't read .*alone\.bin"):
        ExportedFile.open(tmp_path / "alone.xml")
    with pytest.raises(ArgumentError, match=r"unknown engine for .*xml 'onnxruntime'"):
        ExportedFile.open(made.path, "onnxruntime")


def test_openvino_computes_onnx_files_of_pictures_that_have_the_networks_size(
    run: striate.Run, shapes: striate.Dataset, tmp_path: Path
) -> None:
    path = striate.export(run, data=shapes, out=tmp_path / "shapes.onnx").path
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 17, 3), dtype=np.uint8))
    by_openvino = striate.predict(path, picture, engine="openvino")[0]
    by_onnxruntime = striate.predict(path, picture)[0]
    assert by_openvino.label == by_onnxruntime.label
    assert by_openvino.probability == pytest.approx(by_onnxruntime.probability, abs=0.02)
    assert striate.evaluate(path, shapes, engine="openvino").confusion == striate.evaluate(run, shapes).confusion
