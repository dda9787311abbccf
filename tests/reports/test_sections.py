"""The parts of a report that inspect the network: complete, and where one can't be made, a sentence in its place."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from html_page import Page
from small_run import recipe
from torch import Tensor, nn

from striate import seeding
from striate.data import Dataset
from striate.errors import CheckpointError, DataError
from striate.evaluation.evaluation import measured
from striate.evaluation.samples import samples_of
from striate.reports import report
from striate.reports.inspected_run import InspectedRun
from striate.runs import Run, Trained, train

FIXED = ("Training curves", "Confusion matrix", "Results by class", "Calibration", "Mistakes")
INSIDES = ("Receptive fields", "Feature maps of that image", "Images that excite its units")


class Own(nn.Module):
    """A network that Striate did not make, with activations in place and a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        with seeding.scoped(0, "weights"):
            self.stem, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(inplace=True)
            self.conv, self.pool, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.MaxPool2d(2), nn.Linear(96, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        y = self.conv(x)
        y += x
        return self.fc(self.pool(self.relu(y)).flatten(1))


@pytest.fixture(scope="module")
def own(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(Own(), shapes, recipe(epochs=2, learning_rate=0.01), out=tmp_path_factory.mktemp("runs") / "own")


@pytest.fixture(scope="module")
def page(own: Run, shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("pages") / "report.html"
    return Page(report(own, data=shapes, out=out, model=Own()))


@pytest.mark.slow
def test_a_report_has_all_its_parts_and_loads_nothing(page: Page) -> None:
    assert page.headings == [
        *FIXED, "Where the network looks", "Invariance to changes of the image", "Invariance layer by layer",
        "Suggested changes", "Architecture",
        *INSIDES, "Filters of the first layer", "How to reproduce this run",
    ]  # fmt: skip
    assert {"script", "link"}.isdisjoint(page.tags)
    assert page.links
    assert all(link.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,", "#")) for link in page.links)
    assert re.findall(r"url\((?!#)|@import", page.html) == []
    assert "default-src 'none'" in page.html


def test_every_drawing_is_read_in_a_sentence_and_has_units(page: Page) -> None:
    assert "d, the greatest shift in pixels" in page.html
    assert "degrees, to the left or to the right" in page.html
    for words in (
        "Translation crop Windows cut from the image enlarged by one pixel more than the greatest shift.",
        "90 % keep their class",
        "of 20 held-out images keep their class when shifted by up to 1 pixels",
        "dashed: accuracy of the changed images; dotted: “moved”, the total variation distance of the probabilities",
        "Grad-CAM uses the feature maps of pool",
        "with random weights (mean correlation",
        "measured by gradients on 20 images",
        "of 20 held-out images those that excite each most",
    ):
        assert words.lower() in page.text.lower(), words


@pytest.mark.slow
def test_a_network_without_maps_says_so_and_the_rest_stands(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    paths = [report(run, data=shapes, out=tmp_path / f"{n}.html") for n in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    mlp = Page(paths[0])
    assert mlp.headings == [
        *FIXED, "Where the network looks", "Invariance to changes of the image", "Invariance layer by layer",
        "Suggested changes", "Architecture",
        *INSIDES[:1], "Filters of the first layer", "How to reproduce this run",
    ]  # fmt: skip
    refusal = "MLP has no feature maps to lay over the image: no convolutions or poolings, but flatten, hidden1"
    assert f"No Grad-CAM: {refusal}" in mlp.text
    assert f"Receptive fields {refusal}" in mlp.text
    assert "Suggested changes mlp has no convolutions to advise on; its layers are flatten, hidden1" in mlp.text
    assert "Not compared with a blurred network: mlp has no strided pooling" in mlp.text


@pytest.mark.slow
def test_answers_that_are_not_finite_are_said(own: Run, shapes: Dataset, tmp_path: Path) -> None:
    class Broken(Own):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.nan

    broken = Page(report(own, data=shapes, out=tmp_path / "page.html", model=Broken()))
    assert "Where the network looks The probabilities for these images are not finite." in broken.text
    assert "Invariance to changes of the image Broken gives values that are not finite" in broken.text
    assert "How to reproduce this run" in broken.headings


@pytest.mark.slow
def test_what_torch_cannot_do_is_said(own: Run, shapes: Dataset, tmp_path: Path) -> None:
    class Detached(Own):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    page = Page(report(own, data=shapes, out=tmp_path / "page.html", model=Detached()))
    assert "Where the network looks element 0 of tensors does not require grad" in page.text
    assert "Invariance to changes of the image" in page.headings


@pytest.fixture(scope="module")
def blurred(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A run with a blur and one without."""
    folder = tmp_path_factory.mktemp("runs")
    names = ("lenet5_modern:antialias=rect-2", "lenet5_modern")
    one, other = (train(name, shapes, recipe(epochs=1), out=folder / name[-6:]) for name in names)
    return one, other


@pytest.mark.slow
def test_a_blur_shows_its_gain_and_its_cost(blurred: tuple[Run, Run], shapes: Dataset, tmp_path: Path) -> None:
    one, other = blurred
    page = Page(report(one, data=shapes, out=tmp_path / "page.html", against=[other.path]))
    name = "lenet5_modern:antialias=rect-2"
    for rival in (f"{name} without its blur, same weights", "lenet5_modern (modern)"):
        said = re.search(rf"{re.escape(rival)} against {name}: (.*?) the time per image\.", page.text)
        assert said is not None
        pattern = (
            r"[+−]\d+\.\d\d points of shift consistency \(crop\), [+−]\d+\.\d\d points of accuracy, \d+\.\d\d times"
        )
        assert re.fullmatch(pattern, said[1])


def test_other_classes_and_no_weights_are_no_rivals(run: Run, shapes: Dataset, tmp_path: Path) -> None:
    other = train("mlp", replace(shapes, classes=("a", "b", "c")), recipe(epochs=1), out=tmp_path / "other")
    with pytest.raises(DataError, match="has other classes than"):
        report(run, data=shapes, out=tmp_path / "page.html", against=[other])
    with pytest.raises(CheckpointError, match="is no run"):
        report(run, data=shapes, out=tmp_path / "page.html", against=[tmp_path])
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("wrong", "four", "two"),
    [
        ((1, 3, 5), [0, 2, 1, 3], [0, 1]),
        ((4,), [0, 1, 2, 4], [0, 4]),
        ((), [0, 1, 2], [0, 1]),
        (range(6), [0, 1, 2], [0, 1]),
    ],
)
def test_chosen_images_are_the_most_confident_each_of_another_class(
    wrong: Sequence[int], four: list[int], two: list[int], run: Run, shapes: Dataset
) -> None:
    """Six images of the classes 0, 1, 2, 0, 1, 2, confidence falling; some are taken for the next class."""
    samples = samples_of(Trained.of(run), shapes)
    labels = torch.arange(6) % 3
    predicted = torch.tensor([(label + (n in wrong)) % 3 for n, label in enumerate(labels.tolist())])
    probabilities = torch.zeros(6, 3).scatter(1, predicted[:, None], torch.linspace(0.9, 0.5, 6)[:, None])
    found = replace(measured(Trained.of(run), samples), probabilities=probabilities, labels=labels, predicted=predicted)
    inspected = InspectedRun(Trained.of(run), samples, found, (), "cpu", lambda what, done, total: None)
    assert (inspected.most_confident(4), inspected.most_confident(2)) == (four, two)


@pytest.mark.slow
def test_advice_says_what_it_found_and_how_to_try_it(shapes: Dataset, tmp_path: Path) -> None:
    run = train("lenet5_modern", shapes, recipe(epochs=1), out=tmp_path / "run")
    page = Page(report(run, data=shapes))
    assert "flattened-head c5 Takes 16 feature maps of 25 cells each as 400 separate inputs" in page.text
    assert f"striate advise {run.path} --try" in page.text
    assert "Passed: large-kernel, narrow-stage" in page.text
    assert "slow-layer" not in page.text
