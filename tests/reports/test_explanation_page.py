"""The page about one image: well-formed, complete, and asking the network for nothing, whatever the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from html_page import Page
from PIL import Image
from small_run import dataset, recipe
from torch import Tensor, nn

import striate
from striate import seeding
from striate.data import Dataset
from striate.errors import ArgumentError, BadFilesError, CheckpointError, StorageError
from striate.reports import explain
from striate.runs import Run, train


class Residual(nn.Module):
    """Not one of ours, and written to catch those who watch: in-place activations, a reused ReLU, a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        with seeding.scoped(0, "weights"):
            self.stem, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(inplace=True)
            self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        y = self.norm(self.conv(x))
        y += x
        return self.fc(self.pool(self.relu(y)).flatten(1))


@pytest.fixture(scope="module")
def shapes() -> Dataset:
    return dataset()


@pytest.fixture(scope="module")
def run(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a network that Striate did not make. Read it only."""
    return train(Residual(), shapes, recipe(epochs=8, learning_rate=0.01), out=tmp_path_factory.mktemp("runs") / "own")


@pytest.fixture
def image(tmp_path: Path, shapes: Dataset) -> Path:
    """A training image as a file, twice as large."""
    path = tmp_path / "<i>dot & 猫.png"
    Image.fromarray(shapes.train.images[5, :, :, 0].numpy()).resize((16, 16), Image.Resampling.NEAREST).save(path)
    return path


@pytest.mark.slow
def test_a_page_has_all_its_parts_and_loads_nothing(run: Run, image: Path, shapes: Dataset) -> None:
    path = explain(run, image, data=shapes, model=Residual())
    assert path == run.path / "explain-<i>dot & 猫.html"
    page = Page(path)
    assert page.headings == [
        *(
            "Where the network looks",
            "Receptive fields",
            "Most similar training images",
            "Training images that excite its strongest units",
        ),
        *("Feature maps, layer by layer", "Filters of the first layer", "How to read this page"),
    ]
    assert {"script", "link", "i"}.isdisjoint(page.tags)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "default-src 'none'" in page.html
    assert "<i>dot & 猫.png is classified as" in page.text
    assert "among all 100 training images" in page.text
    assert "Grad-CAM at relu" in page.text


@pytest.mark.slow
def test_it_says_what_predict_says_and_is_the_same_each_time(run: Run, image: Path, shapes: Dataset) -> None:
    prediction = striate.predict(run, image, model=Residual())[0]
    path = explain(run, image, data=shapes, model=Residual())
    before = path.read_bytes()
    assert f"is classified as {prediction.label}" in Page(path).text
    for label, probability in prediction.probabilities.items():
        assert f"{label} {100 * probability:.1f} %" in Page(path).text.replace("\N{NO-BREAK SPACE}", " ")
    assert explain(run, image, data=shapes, model=Residual()).read_bytes() == before


def test_the_image_itself_is_the_nearest_training_image(run: Run, image: Path, shapes: Dataset) -> None:
    Image.fromarray(shapes.train.images[5, :, :, 0].numpy()).save(image)
    page = Page(explain(run, image, data=shapes, model=Residual()))
    nearest = page.text[page.text.index("Most similar training images") :]
    label = shapes.classes[int(shapes.train.labels[5])]
    assert f"{label} 1.000" in nearest


def test_another_layer_can_be_asked_for(run: Run, image: Path, shapes: Dataset) -> None:
    page = Page(explain(run, image, data=shapes, model=Residual(), layer="stem"))
    assert "Grad-CAM at stem" in page.text
    assert "The units of stem that this image excites most" in page.text
    assert page.tags.count("rect") > 4  # what the exciting units see, besides the fields


def test_data_that_is_gone_leaves_the_rest(run: Run, image: Path) -> None:
    page = Page(explain(run, image, model=Residual()))
    assert "No training images to compare with: " in page.text
    assert "Most similar training images" not in page.headings
    assert "measured by gradients on 1 image" in page.text


def test_a_model_without_maps_has_a_page_too(image: Path, shapes: Dataset, tmp_path: Path) -> None:
    run = train("mlp", shapes, recipe(epochs=1), out=tmp_path / "mlp")
    page = Page(explain(run, image, data=shapes))
    assert "No Grad-CAM: MLP has no feature maps to lay over the image" in page.text
    assert "hidden1" in page.text
    assert page.headings == [
        *(
            "Where the network looks",
            "Most similar training images",
            "Filters of the first layer",
            "How to read this page",
        ),
    ]


@pytest.mark.slow
def test_colour_images_of_any_size_and_shape(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 90, 3), dtype=np.uint8)
    folder = tmp_path / "data"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.roll(pixels, number, 1) // (1 + (name == "b"))).save(folder / name / f"{number}.png")
    data = striate.load(folder, image_size=(20, 24))
    run = train("lenet5_modern", data, recipe(epochs=1), out=tmp_path / "run")
    Image.fromarray(pixels).save(tmp_path / "wide.jpg")
    page = Page(explain(run, tmp_path / "wide.jpg", out=tmp_path / "page.html"))
    assert "The input of the network: 20×24 pixels, colour." in page.text
    assert "0.png" in page.text or "1.png" in page.text  # the files of the nearest


def test_what_pixels_add_is_what_the_logit_differs_by(run: Run, image: Path, shapes: Dataset) -> None:
    text = Page(explain(run, image, data=shapes, model=Residual())).text.replace("\N{MINUS SIGN}", "-")
    words = text[text.index("logit sum to") :].split()
    added, difference = float(words[3].removesuffix(";")), float(words[words.index("by") + 1])
    assert added == pytest.approx(difference, abs=0.05 * abs(difference) + 0.02)


@pytest.mark.slow
def test_errors_are_one_clear_line(run: Run, image: Path, shapes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"Residual has no layer 'rule'\. It has relu, "):
        explain(run, image, layer="rule", model=Residual())
    with pytest.raises(ArgumentError, match=r"layer 'fc' of Residual has no feature maps.*for example 'relu'"):
        explain(run, image, layer="fc", model=Residual())
    with pytest.raises(BadFilesError, match=r"missing\.png"):
        explain(run, tmp_path / "missing.png", model=Residual())
    with pytest.raises(ArgumentError, match="is a folder: name the file"):
        explain(run, image, out=tmp_path, model=Residual())
    with pytest.raises(CheckpointError, match="pass it as model="):
        explain(run, image)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can't write"):
        explain(run, image, out=tmp_path / "file" / "page.html", data=shapes, model=Residual())


def test_the_network_is_not_changed(run: Run, image: Path, shapes: Dataset) -> None:
    model = run.model(Residual())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(run, image, data=shapes, model=model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_images_of_one_name_have_pages_of_their_own(run: Run, image: Path, shapes: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other" / image.name
    other.parent.mkdir()
    Image.fromarray(255 - np.asarray(Image.open(image))).save(other)
    pages = [explain(run, each, data=shapes, model=Residual()).path for each in (image, other, image, other)]
    assert pages[0] == pages[2] != pages[1] == pages[3]
