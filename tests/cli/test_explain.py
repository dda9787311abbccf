"""`striate explain`: one path on standard output, one line of error."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from small_run import dataset, recipe

from striate.runs import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One epoch of LeNet-5's shape on three shapes. Read it only."""
    return train("lenet5_modern", dataset(), recipe(epochs=1), out=tmp_path_factory.mktemp("runs") / "shapes")


def test_the_page_s_path_is_printed(striate: Callable[..., object], run: Run, tmp_path: Path) -> None:
    Image.new("L", (30, 20), 90).save(tmp_path / "grey.png")
    answer = striate("explain", run.path, tmp_path / "grey.png", "--layer", "c3")
    assert (answer.code, answer.out, answer.err) == (0, f"{run.path / 'explain-grey.html'}\n", "")
    assert "Grad-CAM at <code>c3</code>" in (run.path / "explain-grey.html").read_text()


def test_errors_are_one_line(striate: Callable[..., object], run: Run, tmp_path: Path) -> None:
    Image.new("L", (30, 20), 90).save(tmp_path / "grey.png")
    answer = striate("explain", run.path, tmp_path / "grey.png", "--layer", "c4")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("striate: LeNet5Modern has no layer 'c4'. It has c")
    assert answer.err.count("\n") == 1
    answer = striate("explain", run.path, tmp_path / "no.png")
    assert answer.code == 2
    assert "no.png" in answer.err
