"""The page in a real browser: its logits are Python's, whatever is drawn or shown, and it can be used."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trained import digits_run
from web_page import page_of, small, trained_module

import striate
from benchmarks import browser
from benchmarks.browser import Browser
from striate.runs import Trained

__all__ = ["digits_run"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)]

CLOSE = 1e-4  # between logits
ZIGZAG = [(0.3, 0.2), (0.7, 0.25), (0.4, 0.5), (0.7, 0.7), (0.3, 0.8)]
DOWN, RIGHT = "\ue015", "\ue014"  # arrow keys


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A window of a browser."""
    with browser.browser(tmp_path_factory.mktemp("profile")) as window:
        window.resize(1280, 900)
        yield window


@pytest.fixture(scope="module")
def digits(digits_run: striate.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run on digits."""
    return striate.export(digits_run, "web", out=tmp_path_factory.mktemp("pages") / "digits.html").path


def opened(window: Browser, page: Path) -> None:
    window.open(page.as_uri())
    window.wait("window.striate?.ready")


def after(window: Browser, change: str) -> None:
    """Change something, and wait for the answer to it."""
    runs = window.run("return striate.runs")
    window.run(change)
    window.wait(f"striate.runs > {runs}")
    window.run("return striate.settled()")


def difference(window: Browser, trained: Trained) -> float:
    """The largest difference between the page's logits and the network's, for the pixels that the page used."""
    pixels, logits = window.run("return [Array.from(striate.input), Array.from(striate.logits)]")
    preprocess = trained.preprocess
    image = np.array(pixels, dtype=np.uint8).reshape(1, preprocess.height, preprocess.width, preprocess.channels)
    expected = trained.logits(torch.from_numpy(image), "cpu", tta="none")[0]
    return float((torch.tensor(logits) - expected).abs().max())


def test_what_is_drawn_gives_pythons_logits(window: Browser, digits: Path, digits_run: striate.Run) -> None:
    trained = Trained.of(digits_run)
    opened(window, digits)
    window.wait("striate.runs")  # an example of the data
    assert difference(window, trained) <= CLOSE
    runs = window.run("return striate.runs")
    window.draw("#pad", ZIGZAG)
    window.wait(f"striate.runs > {runs}")
    window.run("return striate.settled()")
    drawn = window.run("return Array.from(striate.input)")
    assert max(drawn) > 100
    assert difference(window, trained) <= CLOSE
    after(window, "const s = document.getElementById('move-turn'); s.value = 40; s.dispatchEvent(new Event('input'))")
    assert window.run("return Array.from(striate.input)") != drawn
    assert difference(window, trained) <= CLOSE
    assert window.run("return striate.probabilities.indexOf(Math.max(...striate.probabilities))") == window.run(
        "return [...document.querySelectorAll('#bars button')].findIndex((each) => each.querySelector('.best'))"
    )
    assert window.log() == []  # nor has the policy refused anything


def test_the_drawing_fills_what_the_data_fill(window: Browser, digits: Path) -> None:
    opened(window, digits)
    window.draw("#pad", [(0.35, 0.35), (0.65, 0.65)])
    window.wait("striate.runs > 1")
    window.run("return striate.settled()")
    inked = np.array(window.run("return Array.from(striate.input)")).reshape(8, 8) > 32
    assert inked.any(1).sum() >= 7
    after(window, "document.getElementById('prepare').click()")
    raw = np.array(window.run("return Array.from(striate.input)")).reshape(8, 8) > 32
    assert raw.any(1).sum() <= 5


def test_the_keyboard_draws(window: Browser, digits: Path) -> None:
    opened(window, digits)
    window.wait("striate.runs")
    before = window.run("return Array.from(striate.input).join()")
    window.run("document.getElementById('pad').focus()")
    window.keys(" " + DOWN * 10 + RIGHT * 5 + " ")
    window.wait(f"striate.input.join() !== '{before}' && Math.max(...striate.input) > 100")
    window.keys("u")
    window.wait("document.getElementById('undo').disabled")
    assert window.run("return Math.max(...striate.input)") == 0


def photograph_page(window: Browser, folder: Path) -> tuple[Trained, np.ndarray, Path]:
    """Open a page for photographs: what it was made from, a picture, uint8 (60, 90, 3), and its file."""
    trained = trained_module(small(3), (3, 24, 20), ("a", "b", "c"), fit="crop")
    page, photo = folder / "page.html", folder / "photo.png"
    page.write_bytes(page_of(trained).content)
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(picture).save(photo)
    opened(window, page)
    return trained, picture, photo


def test_a_photograph_is_seen_as_python_sees_it(window: Browser, tmp_path: Path) -> None:
    trained, picture, photo = photograph_page(window, tmp_path)
    window.choose("#file", photo)
    window.wait("striate.runs")
    pixels = np.array(window.run("return Array.from(striate.input)")).reshape(24, 20, 3)
    assert np.abs(pixels - trained.preprocess.conform(picture)).max() <= 1
    assert difference(window, trained) <= CLOSE
    after(window, "const s = document.getElementById('move-x'); s.value = 3; s.dispatchEvent(new Event('input'))")
    assert difference(window, trained) <= CLOSE
    window.hover("#layers .layer:nth-child(2) canvas", 0.1, 0.1)
    window.wait("!document.getElementById('unit').hidden")
    assert window.run("return document.querySelectorAll('#frame rect').length") == 1
    assert "It sees" in window.run("return document.getElementById('unit-text').textContent")
    assert window.run("return document.getElementById('evidence-text').textContent").startswith(
        "A class activation map"
    )
    assert window.log() == []


@pytest.mark.parametrize(
    "given",
    [
        "new ClipboardEvent('paste', { clipboardData: files, bubbles: true })",
        "new DragEvent('drop', { dataTransfer: files, bubbles: true })",
    ],
    ids=["pasted", "dropped"],
)
def test_photographs_may_be_pasted_and_dropped(given: str, window: Browser, tmp_path: Path) -> None:
    trained, picture, photo = photograph_page(window, tmp_path)
    window.run(
        "const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));"
        "const files = new DataTransfer();"
        "files.items.add(new File([bytes], 'photo.png', { type: 'image/png' }));"
        f"document.getElementById('sheet').dispatchEvent({given})",
        base64.b64encode(photo.read_bytes()).decode(),
    )
    window.wait("striate.runs")
    pixels = np.array(window.run("return Array.from(striate.input)")).reshape(24, 20, 3)
    assert np.abs(pixels - trained.preprocess.conform(picture)).max() <= 1
    assert difference(window, trained) <= CLOSE


def test_the_camera_is_looked_through_until_a_picture_is_held(window: Browser, tmp_path: Path) -> None:
    trained, _, _ = photograph_page(window, tmp_path)
    window.run("document.getElementById('camera').click()")
    window.wait("striate.runs >= 3")
    window.run("document.getElementById('camera').click()")
    window.wait("document.getElementById('camera').getAttribute('aria-pressed') === 'false'")
    assert window.run("return Math.max(...striate.input) - Math.min(...striate.input)") > 100
    assert difference(window, trained) <= CLOSE


def test_what_stays_is_measured(window: Browser, digits: Path) -> None:
    opened(window, digits)
    window.wait("striate.measured")
    said = window.run("return [...document.querySelectorAll('#moves p')].map((each) => each.textContent)")
    assert len(said) == 3
    assert all("stays" in each for each in said)


@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_nothing_is_cut_off(window: Browser, digits: Path, width: int) -> None:
    opened(window, digits)
    window.resize(width, 900)
    assert window.run("return document.documentElement.scrollWidth") <= width
    window.resize(1280, 900)
