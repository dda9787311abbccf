"""The audit as a whole, with a small network in place of the published one."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import nn

import striate
from benchmarks.reduced_decode import picture
from striate import models
from striate.errors import ArgumentError
from striate.inspection.audits import audit as module
from striate.inspection.audits.features import Extractor, extractor, own_preprocess, reduced
from striate.inspection.audits.result import ImageAt
from striate.preprocess import Preprocess


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "on_this_machine", lambda name: None)


@pytest.fixture
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that are the mean colours of a grid of nine cells."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(27, 2))
    small = Extractor(network, Preprocess.resizing((64, 64), 3, "crop"), torch.device("cpu"))
    monkeypatch.setattr(module, "extractor", lambda detailed, device: small)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue photographs with every mistake there is, one of each."""
    root = tmp_path_factory.mktemp("photographs") / "set"
    for split, first, count in (("train", 0, 16), ("test", 40, 4)):
        for shift, name in enumerate(("blue", "red")):
            (root / split / name).mkdir(parents=True)
            for number in range(first, first + count):
                tint = Image.new("RGB", (320, 280), (20, 30, 220) if name == "blue" else (220, 30, 20))
                made = Image.blend(picture(100 * shift + number, 320, 280), tint, 0.5)
                made.save(root / split / name / f"{number:02}.jpg", quality=95)
    shutil.copy(root / "train/red/09.jpg", root / "test/red/leaked.jpg")
    with Image.open(root / "train/red/05.jpg") as image:
        image.save(root / "train/red/again.jpg", quality=40)
        other = Image.blend(picture(900, 320, 280), Image.new("RGB", (320, 280), (220, 30, 20)), 0.5)
    other.filter(ImageFilter.GaussianBlur(9)).save(root / "train/red/blurred.jpg", quality=95)
    other.transpose(Image.Transpose.ROTATE_180).resize((80, 70)).save(root / "test/red/tiny.jpg", quality=95)
    shutil.move(root / "train/red/07.jpg", root / "train/blue/wrong.jpg")
    Image.new("RGB", (320, 280), (0, 255, 0)).save(root / "train/blue/empty.png")
    return root


def names(found: Sequence[Any]) -> set[str]:
    return {Path(each.image.file).name for each in found}


@pytest.mark.slow
@pytest.mark.usefixtures("by_colour")
def test_all_mistakes_of_a_folder_are_found(photographs: Path):
    found = striate.audit(photographs)
    (leak, double) = found.copies
    assert [Path(image.file).name for image in leak.images] == ["09.jpg", "leaked.jpg"]
    assert (leak.kind, leak.leaks, leak.contradicts) == ("same file", True, False)
    assert {Path(image.file).name for image in double.images} >= {"05.jpg", "again.jpg"}
    assert double.kind == "nearly the same pixels"
    assert {"wrong.jpg"} <= names(found.suspects) <= {"wrong.jpg", "empty.png"}
    assert [each.looks_like for each in found.suspects if "wrong" in each.image.file] == ["red"]
    assert names(found.odd("outlier")) == {"empty.png"}
    assert names(found.odd("blurred")) == {"blurred.jpg"}
    assert names(found.odd("nearly empty")) == {"empty.png"}
    assert names(found.odd("small")) == {"tiny.jpg"}
    assert found.leaked == {"test": 1}
    assert (
        "1 test image is a training image, too: a test set with training images in it measures nothing" in found.text()
    )
    assert "wrong.jpg: labelled blue, looks like red (" in found.text()
    assert "70×80 pixels (height×width), usual here are 280×320" in found.text()
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["copies"][0]["images"][1]["split"] == "test"
    assert plain["images"] == plain["checked"] == 45
    assert found._repr_html_().count("<img") == len(found.suspects)
    assert "\n" not in repr(found)


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
def test_without_weights_the_rest_is_found_and_one_line_says_what_is_missing(photographs: Path):
    found = striate.audit(photographs)
    assert found.model is None
    assert found.suspects == ()
    assert {each.kind for each in found.oddities} == {"blurred", "nearly empty", "small"}
    assert len(found.copies) == 2
    (note,) = found.notes
    assert "pip install 'striate[pretrained]'" in note
    assert note in found.text()
    assert striate.audit(photographs, quick=True).notes == ()


@pytest.mark.usefixtures("by_colour")
def test_arrays_are_audited_as_they_are():
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = random.integers(0, 40, (90, 12, 12, 3), dtype=np.uint8)
    pixels[np.arange(90), :, :, labels] += 150
    pixels[80] = pixels[4]
    labels[10] = 2
    found = striate.audit((pixels, labels))
    assert [each.kind for each in found.copies] == ["same pixels"]
    assert found.copies[0].contradicts == bool(4 % 3 != 80 % 3)
    assert [(each.image.label, each.looks_like) for each in found.suspects] == [("2", "1")] * 2  # the copy's, too
    assert found.suspects[0].image.name.startswith(f"{found.suspects[0].image.split} image ")
    assert found.odd("small") == found.odd("blurred") == []
    assert "of 90" not in found.text()


@pytest.mark.usefixtures("by_colour")
def test_of_many_images_some_are_drawn_always_the_same(monkeypatch: pytest.MonkeyPatch):
    data, seen = striate.load("digits"), []
    found = striate.audit(data, most=60, progress=lambda *step: seen.append(step))
    assert found.checked == 60
    assert found.notes == ("60 of 1,797 images, drawn at random, were checked for more than copies and size",)
    assert seen[-1] == ("checking images", 60, 60)
    assert striate.audit(data, most=60) == found
    with pytest.raises(ArgumentError, match="most=0"):
        striate.audit(data, most=0)


@pytest.mark.usefixtures("by_colour")
def test_a_class_of_one_image_is_told():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 8, 8), dtype=np.uint8)
    found = striate.audit(((pixels, [0] * 8 + [1]), (pixels[:0], [])))
    assert found.suspects == ()
    assert found.notes == ("labels were not checked, since it takes two images of each class: 1",)


def test_nothing_found_is_said():
    place = ImageAt("test", 4, "cat", "")
    assert place.name == "test image 4"
    found = striate.Audit("x", ("a", "b"), 12, 12, None, (), (), ())
    assert found.text() == "12 images: nothing suspicious found"
    assert repr(found) == "Audit(x: nothing suspicious)"


@pytest.mark.slow
@pytest.mark.skipif(models.on_this_machine("efficientnet_lite0") is None, reason="needs striate[pretrained]")
def test_published_features_tell_photographs_apart():
    network = extractor(False, torch.device("cpu"))
    assert network is not None
    assert own_preprocess(True).height == 224
    digits = striate.load("digits").train
    features = network.features(digits.images[:60])
    assert features.shape == (60, 1280)
    units = nn.functional.normalize(features - features.mean(0))
    nearest = (units @ units.T - 2 * torch.eye(60)).argmax(dim=1)
    assert (digits.labels[:60][nearest] == digits.labels[:60]).float().mean() > 0.6  # 0.1 by chance


def test_reduced_features_keep_distances_and_vary_alike():
    random = np.random.default_rng(0)
    wide = torch.from_numpy(random.standard_normal((1200, 20)) @ random.standard_normal((20, 300))).float()
    small = reduced(wide)
    assert small.shape == (1200, 256)
    scaled = (wide - wide.mean(0)) / wide.std(0)
    assert torch.cdist(small[:30], small[:30]).numpy() == pytest.approx(
        torch.cdist(scaled[:30], scaled[:30]).numpy(), rel=0.01, abs=0.1
    )
    spread = small.std(dim=0)
    assert float(spread.max() / spread.min()) < 4
    assert reduced(wide[:100]) is not None
    assert reduced(wide[:100]).equal(wide[:100])
