"""The audit's page: whole, well-formed, and true to what was found."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from html_page import Page
from PIL import Image

from striate.data import Dataset, Split
from striate.errors import ArgumentError
from striate.inspection import Audit
from striate.inspection.audits.result import HEADINGS, Copies, ImageAt, Oddity, Suspect
from striate.reports import report_audit
from striate.reports.audit_page import LARGEST, MOST_SHOWN


@pytest.fixture
def found(tmp_path: Path) -> Audit:
    """One finding of each kind; the second training image is a large file, the others are in memory."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8))
    Image.fromarray(random.integers(0, 256, (300, 600, 3), dtype=np.uint8)).save(tmp_path / "large <b>.png")
    data = Dataset(
        "<i>pets</i>",
        ("cat", "dog"),
        Split(pixels, torch.tensor([0, 1, 0, 1])),
        test=Split(pixels, torch.zeros(4).long()),
    )
    images = [ImageAt("train", 0, "cat", ""), ImageAt("train", 1, "dog", str(tmp_path / "large <b>.png"))]
    images += [ImageAt("test", 0, "cat", "")]
    return Audit(
        "<i>pets</i>", ("cat", "dog"), 8, 8, "efficientnet_lite0",
        copies=(Copies((images[0], images[2]), "same pixels"),),
        suspects=(Suspect(images[1], "cat", 0.97, 0.03),),
        oddities=tuple(Oddity(images[1], kind, 0.5, f"{kind} by much") for kind in HEADINGS),
        notes=("a <b>note</b>",),
        data=data,
    )  # fmt: skip


def test_it_has_all_its_parts_and_loads_nothing(found: Audit, tmp_path: Path):
    page = Page(report_audit(found, out=tmp_path / "data.html"))
    assert page.headings == [
        "The same picture several times",
        "Labels that are probably wrong",
        "Images far from all others, which may belong to no class",
        "Blurred images",
        "Nearly empty images",
        "Images far smaller than the rest",
    ]
    assert page.tags.count("img") == 7
    assert all(link.startswith("data:image/png") for link in page.links)
    assert not {"script", "link", "i"} & set(page.tags)
    assert re.findall(r"url\((?!#)|@import", page.html) == []
    assert "6 findings in 8 images" in page.text
    assert "1 test image also in train: a test set with training images in it measures nothing." in page.text
    assert "a <b>note</b>" in page.text
    assert "in train and test, all cat same pixels" in page.text
    assert "labelled dog, 3 % looks like cat , 97 %" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "small by much" in page.text
    assert report_audit(found, out=tmp_path / "again.html").html == page.html


def test_large_pictures_are_made_smaller(found: Audit, tmp_path: Path):
    from striate.reports.audit_page import _pixels

    assert _pixels(found, found.suspects[0].image).shape == (LARGEST // 2, LARGEST, 3)
    assert _pixels(found, found.copies[0].images[0]).shape == (8, 8, 1)
    Path(found.suspects[0].image.file).write_text("damaged since")
    assert _pixels(found, found.suspects[0].image).shape == (8, 8, 1)


def test_of_many_findings_the_first_are_shown(found: Audit, tmp_path: Path):
    many = Audit(**(vars(found) | {"suspects": found.suspects * 60, "copies": (), "oddities": (), "notes": ()}))
    page = Page(report_audit(many, out=tmp_path / "data.html"))
    assert page.tags.count("img") == MOST_SHOWN
    assert f"The first {MOST_SHOWN} of 60" in page.text


def test_nothing_found_is_a_page_too(tmp_path: Path):
    page = Page(report_audit(Audit("x", ("a", "b"), 5, 5, None, (), (), ()), out=tmp_path / "data.html"))
    assert "Nothing suspicious found" in page.text
    assert "labels probably wrong" not in page.text
    with pytest.raises(ArgumentError, match="is a folder"):
        report_audit(Audit("x", ("a", "b"), 5, 5, None, (), (), ()), out=tmp_path)
