"""The report: one well-formed file that asks the network for nothing, whatever the run."""

import base64
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from html_page import Page
from small_run import dataset
from torch import nn

from striate.cli.main import app
from striate.data import Dataset, Split, load
from striate.errors import ArgumentError, CheckpointError, DataError, StorageError
from striate.inspection import architecture_svg
from striate.reports import plots, report, sections
from striate.reports.run_page import command
from striate.runs import Run, train
from striate.training import Recipe, recipe


def arrays(classes: tuple[str, ...], per_class: int = 4, noise: int = 0, side: int = 6, test: bool = True) -> Dataset:
    """Flat pictures, each class of its own brightness, so that without noise they are easy to tell apart."""
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        labels = torch.arange(len(classes)).repeat(per_class)
        flat = (labels * 255 // (len(classes) - 1))[:, None, None, None].expand(-1, side, side, 1)
        images = flat + torch.randint(-noise, noise + 1, flat.shape, generator=generator)
        files = tuple(f"set/{classes[label][:3]}/{n}.png" for n, label in enumerate(labels.tolist()))
        return Split(images.clamp(0, 255).to(torch.uint8), labels, files)

    return Dataset("arrays", classes, split(), test=split() if test else None)


def quick(model: str | nn.Module, data: Dataset, out: Path, **settings: Any) -> Run:
    return train(model, data, Recipe(**{"epochs": 1, "augment": "none", **settings}), out=out)


@pytest.fixture(autouse=True)
def without_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the rest of the page; those of the sections are in test_sections.py."""
    for name in ("attribution", "invariance", "insides"):
        monkeypatch.setitem(sections.SECTIONS, name, lambda inspected: None)


@pytest.mark.slow
def test_the_architecture_is_a_table_without_empty_columns(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    text = Page(report(run, data=shapes, out=tmp_path / "report.html")).text
    assert "layer type channels size field activation parameters connections multiply-adds input input 1 8×8" in text
    assert "hidden1 dense 300 all ReLU 19,500" in text


@pytest.mark.slow
def test_the_architecture_is_drawn_as_describe_draws_it(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    page = report(run, data=shapes, out=tmp_path / "report.html").html
    (drawing,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(drawing).decode() == architecture_svg(run)


@pytest.mark.slow
def test_calibration_is_drawn_and_told(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    page = report(run, data=shapes, out=tmp_path / "report.html").html
    assert "before calibration" in page
    assert "accuracy by confidence" in page
    assert "20 images of val" in " ".join(page.split())
    bare = report(run.model(), data=shapes, out=tmp_path / "bare.html").html
    assert "before calibration" in bare, "the module knows its temperature"
    module = run.model()
    del module.calibrations
    plain = " ".join(report(module, data=shapes, out=tmp_path / "plain.html").html.split())
    assert "before calibration" not in plain
    assert "The probabilities are not calibrated: no images are known" in plain


def test_it_goes_into_the_runs_folder_and_is_the_same_each_time(digits_run: Run) -> None:
    path = report(digits_run.path)
    assert path == digits_run.path / "report.html"
    before = path.read_bytes()
    assert report(digits_run).read_bytes() == before
    assert "of 359 images correct" in Page(path).text


@pytest.mark.slow
def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    names = ("<b>&", '"><script>alert(1)</script>', "a" * 200, "猫 $x_1$ {{ 7*7 }}", "قطة")
    data = replace(arrays(names, noise=200), source="<i>source</i>")
    page = Page(report(quick("mlp", data, tmp_path / "run"), data=data))
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert "<b>&" in page.text
    assert "{{ 7*7 }}" in page.text
    assert "<i>source</i>" in page.text
    assert all(link.startswith(("data:", "#")) for link in page.links)


@pytest.mark.slow
def test_no_mistakes_are_said(tmp_path: Path) -> None:
    data = arrays(("black", "white"), per_class=20)
    page = Page(report(quick("mlp", data, tmp_path / "run", epochs=3), data=data))
    assert "100.00 % of 40 images correct" in page.text
    assert "No mistakes on these 40 images." in page.text
    assert "Most frequent confusions" not in page.text
    assert "top-5 error" not in page.text


@pytest.mark.slow
def test_many_classes_become_a_picture(tmp_path: Path) -> None:
    data = arrays(tuple(f"class {n}" for n in range(100)), per_class=2, noise=100)
    path = report(quick("mlp", data, tmp_path / "run"), data=data)
    page = Page(path)
    assert page.tags.count("svg") == 4
    assert "Most frequent confusions" in page.text
    assert path.stat().st_size < 400_000


@pytest.mark.slow
def test_mistakes_are_the_most_confident_with_their_files(tmp_path: Path) -> None:
    data = arrays(tuple("abcdef"), per_class=20, noise=250)
    page = Page(report(quick("mlp", data, tmp_path / "run"), data=data))
    assert "The 24 most confident of" in page.text
    shares = [float(share) for share in re.findall(r"(\d+\.\d) % \d+\.png", page.text)]
    assert len(shares) == 24
    assert shares == sorted(shares, reverse=True)


@pytest.mark.slow
def test_nothing_held_out_is_said_and_the_rest_is_there(tmp_path: Path) -> None:
    run = quick("mlp", arrays(("a", "b"), test=False), tmp_path / "run")
    page = Page(report(run))
    assert "Not measured on images now: " in page.text
    assert "Training curves" in page.headings
    assert "Confusion matrix" not in page.headings


@pytest.mark.slow
def test_data_that_is_gone_leaves_the_result_of_training(tmp_path: Path) -> None:
    data = replace(arrays(("a", "b")), source=str(tmp_path / "gone"))
    run = quick("mlp", data, tmp_path / "run")
    page = Page(report(run))
    assert "of 8 images correct" in page.text
    assert "gone" in page.text
    with pytest.raises(DataError):
        report(run, data=tmp_path / "gone")


@pytest.mark.slow
def test_an_unfinished_run_is_said(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights yet"):
        report(_copy(run, tmp_path / "begun", "run.json"))
    begun = _copy(run, tmp_path / "under way", "run.json", "metrics.jsonl", "checkpoints")
    page = Page(report(begun, data=shapes))
    assert "Training has not finished: 1 of 1 epochs are done." in page.text


def _copy(run: Run, to: Path, *names: str) -> Run:
    """A run with only some of another's files."""
    to.mkdir()
    for path in run.path.rglob("*"):
        part = path.relative_to(run.path)
        if part.parts[0] in names and path.is_file():
            (to / part).parent.mkdir(exist_ok=True)
            (to / part).write_bytes(path.read_bytes())
    return Run.open(to)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "filters"), [("lenet5", 6), ("mlp", 64)])
def test_first_layer_filters(model: str, filters: int, tmp_path: Path) -> None:
    run = quick(model, arrays(("a", "b"), side=28), tmp_path / "run")
    assert Page(report(run)).html.count('alt="filter ') == filters


@pytest.mark.slow
def test_a_model_of_ones_own_has_a_report_too(shapes: Dataset, tmp_path: Path) -> None:
    module = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    run = quick(module, shapes, tmp_path / "run")
    page = Page(report(run, data=shapes, model=module))
    assert "Filters of the first layer" not in page.headings
    assert "The model is a module of yours" in page.text


@pytest.mark.slow
def test_a_place_that_cant_be_written_is_one_clear_error(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="is a folder: name the file"):
        report(run, data=shapes, out=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"can't write .*--out"):
        report(run, data=shapes, out=tmp_path / "file" / "report.html")


def test_one_epoch_has_whole_numbers_under_it() -> None:
    drawn = plots.curves([{"epoch": 1, "train_loss": 0.7}], "loss")
    assert re.findall(r">([\d.]+)</text>", drawn)[:3] == ["0", "1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        recipe("modern", "mlp").replace(epochs=1),
        recipe("paper", "mlp").replace(epochs=1, seed=3, nesterov=False),
        Recipe(epochs=1, name="my own", augment="shift=0.1,rotate=5", label_smoothing=0.05, schedule="cosine"),
    ],
    ids=["modern", "paper", "own"],
)
def test_the_command_gives_the_same_weights(settings: Recipe, tmp_path: Path) -> None:
    first = train("mlp", load("digits", image_size=10, fit="stretch"), settings, out=tmp_path / "first", device="cpu")
    words = shlex.split(command(first) or "")
    assert words[:3] == ["striate", "train", "mlp"]
    app([*words[1:], "--out", str(tmp_path / "again"), "--device", "cpu"], standalone_mode=False)
    again = Run.open(tmp_path / "again")
    assert again.recipe.replace(name="") == first.recipe.replace(name="")
    assert again.preprocess.to_dict() == {**first.preprocess.to_dict(), "fit": again.preprocess.fit}
    assert first.result is not None
    assert again.result is not None
    assert again.result["sha256"] == first.result["sha256"]


def test_a_default_run_needs_no_settings(digits_run: Run) -> None:
    plain = command(digits_run) or ""
    assert "--seed" not in plain
    assert "--skip-bad" not in plain
    assert "--data digits" in plain


def test_a_recipe_of_another_model_is_spelled_out(tmp_path: Path) -> None:
    borrowed = recipe("paper", "lenet5").replace(epochs=1, loss="cross-entropy")
    again = command(train("lenet5_modern", "digits", borrowed, out=tmp_path / "run")) or ""
    assert "--recipe" not in again
    assert "--set schedule=cosine" in again


def test_a_module_of_ones_own_has_no_command(tmp_path: Path) -> None:
    run = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits", Recipe(epochs=1), out=tmp_path / "run")
    assert command(run) is None


def test_data_in_memory_has_no_command(tmp_path: Path) -> None:
    run = train("mlp", dataset(), Recipe(epochs=1), out=tmp_path / "run")
    assert "<span>striate</span> <span>train</span>" not in report(run, data=dataset()).html
    run = train("mlp", "digits", Recipe(epochs=1), out=tmp_path / "other")
    assert "<span>striate</span> <span>train</span>" in report(run).html
