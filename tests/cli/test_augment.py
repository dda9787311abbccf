"""`striate augment`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.augmentation import parse
from striate.data import load

GAP, CELL = 4, 56  # digits are shown at seven times their size


def cells(path: Path, columns: int) -> np.ndarray:
    """The images of a sheet at their own size: uint8 (rows, columns, 8, 8)."""
    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("L"))
    grid = sheet[GAP:, sheet.shape[1] - columns * (CELL + GAP) :]
    rows = grid.reshape(-1, CELL + GAP, columns, CELL + GAP).swapaxes(1, 2)
    return rows[:, :, 3:CELL:7, 3:CELL:7]


def test_originals_stand_beside_what_training_would_make_of_them(striate, tmp_path: Path) -> None:
    out = tmp_path / "new" / "grid.png"
    answer = striate(
        "augment", "--augment", "flip=1,erase=0.5", "--rows", 5, "--variants", 3, "--seed", 7, "--out", out
    )
    assert answer.code == 0
    assert answer.out == f"5 images, each with 3 variants by 'flip=1,erase=0.5', seed 7: {out}\n"
    train = load("digits").train
    index = np.argsort(train.labels.numpy(), kind="stable")[np.linspace(0, len(train) - 1, 5).astype(int)]
    shown = cells(out, columns=5)
    assert np.array_equal(shown[:, 0], train.images[index][..., 0])
    assert (shown[:, 1] == 255).all()
    for epoch in range(3):
        varied = parse("flip=1,erase=0.5")(train.images[index], seed=7, epoch=epoch, index=index)
        assert np.array_equal(shown[:, 2 + epoch], varied[..., 0])


def test_without_a_policy_it_is_trainings(striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = striate("augment")
    assert (
        answer.out
        == "8 images, each with 8 variants by 'shift=0.08,rotate=10,zoom=0.1', seed 0: digits-augmented.png\n"
    )
    assert cells(tmp_path / "digits-augmented.png", columns=10).shape == (8, 10, 8, 8)


def test_mixtures_and_lighting_are_shown_too(striate, tmp_path: Path) -> None:
    answer = striate(
        "augment", "--augment", "lighting=5,cutmix", "--rows", 6, "--variants", 2, "--out", tmp_path / "a.png"
    )
    assert answer.code == 0
    train = load("digits").train
    index = np.argsort(train.labels.numpy(), kind="stable")[np.linspace(0, len(train) - 1, 6).astype(int)]
    policy = parse("lighting=5,cutmix").fitted(train.images)
    lit = policy(train.images[index], seed=0, epoch=1, index=index)
    mixed, _ = policy.mix(lit, train.labels[index], 10, seed=0, epoch=1, index=index)
    assert not torch.equal(mixed, lit)
    assert np.array_equal(cells(tmp_path / "a.png", columns=4)[:, 3], mixed[..., 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--augment", "flop"), "unknown augmentation 'flop'"),
        (("--augment", "shift=2"), "shift takes 0 to 1"),
        (("digitz",), "unknown data set 'digitz'"),
        (("--out", "grid.jpg"), "choose a name in .png"),
        (("--rows", "0"), "--rows"),
        (("--augment", "lighting-imagenet"), "on images of 1"),
    ],
)
def test_what_cant_be_drawn_is_refused(striate, tmp_path, monkeypatch, arguments, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    answer = striate("augment", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []
