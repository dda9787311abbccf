"""What is said to someone whose run waits for its data."""

from types import SimpleNamespace

import pytest
import torch

from striate.cli import progress
from striate.cli.progress import Progress
from striate.data import Dataset, LazyImages, Split
from striate.runs import Begun, EpochEnded

METRICS = {
    "epoch": 1,
    "step": 4,
    "learning_rate": 0.1,
    "train_loss": 1.0,
    "train_accuracy": 0.5,
    "seconds": 2.0,
    "images_per_second": 100.0,
}


def begun(images: torch.Tensor | LazyImages, augment: str, device: str = "cpu") -> Begun:
    data = Dataset("here", ("a", "b"), Split(images, torch.zeros(len(images), dtype=torch.int64)))
    recipe = SimpleNamespace(augment=augment, epochs=3)
    return Begun(SimpleNamespace(recipe=recipe, environment={"device": device}), data, 12, 4, 0, ())  # type: ignore[arg-type]


def said(event: Begun, waiting: list[float], capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown = Progress()
    shown.begun = event
    for share in waiting:
        shown(EpochEnded(METRICS | {"waiting": share}))
    return capsys.readouterr().err.splitlines()


def test_each_epoch_tells_its_share_and_advice_is_given_once_above_a_fifth(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(begun(torch.zeros(2, 4, 4, 1, dtype=torch.uint8), "flip"), [0.03, 0.2, 0.21, 0.9], capsys)
    assert [line.split("waiting ")[1].split()[0] for line in lines if "images/s" in line] == ["3%", "20%", "21%", "90%"]
    advice = [(place, line) for place, line in enumerate(lines) if "images/s" not in line]
    assert [place for place, _ in advice] == [3]
    assert "--augment 'flip' costs more than a fifth of the time" in advice[0][1]


@pytest.mark.parametrize(
    ("lazy", "augment", "device", "expected"),
    [
        (True, "flip", "cpu", "all 7 cores in use: let each be decoded only once, with --cache-size 3GB"),
        (False, "", "cpu", "waiting for images to be fetched: 2.4 GB of them"),
        (False, "flip", "H100", "waiting for images to be fetched"),
    ],
)
def test_advice_is_about_what_is_slow(
    lazy: bool, augment: str, device: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "cores", lambda: 7)
    images = LazyImages((200, 2000, 2000, 3), lambda positions: torch.empty(0))
    if not lazy:
        images = torch.empty(1, dtype=torch.uint8).expand(200, 2000, 2000, 3)
    assert expected in progress.advice(begun(images, augment, device))
