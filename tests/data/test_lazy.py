"""Images made when they are asked for do what a tensor of them does."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.data import LazyImages, Split, lazy
from striate.data.dataset import conformed_images
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.errors import DataError
from striate.preprocess import Preprocess

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (23, 4, 5, 3), dtype=np.uint8))
LAZY = LazyImages(IMAGES.shape, lambda positions: IMAGES[torch.from_numpy(positions)])


def test_it_has_what_a_split_asks_of_images() -> None:
    assert (LAZY.shape, LAZY.dtype, LAZY.ndim, len(LAZY)) == (IMAGES.shape, IMAGES.dtype, IMAGES.ndim, 23)
    assert LAZY.nbytes == IMAGES.nbytes
    assert len(Split(LAZY, torch.zeros(23, dtype=torch.int64))) == 23
    with pytest.raises(DataError, match="labels of shape"):
        Split(LAZY, torch.zeros(22, dtype=torch.int64))


@quick
@given(
    st.one_of(
        st.lists(st.integers(-23, 22), max_size=9).map(lambda listed: torch.tensor(listed, dtype=torch.int64)),
        st.slices(23).filter(lambda each: each.step is None or each.step > 0),
        st.integers(-23, 22),
    )
)
def test_it_is_indexed_like_a_tensor(index: torch.Tensor | slice | int) -> None:
    assert torch.equal(LAZY[index], IMAGES[index])


def test_it_is_iterated_like_a_tensor_and_has_an_end() -> None:
    assert [torch.equal(*pair) for pair in zip(LAZY, IMAGES, strict=True)] == [True] * 23
    for beyond in (23, -24, torch.tensor([0, 23])):
        with pytest.raises(IndexError):
            LAZY[beyond]


@pytest.mark.parametrize("size", [1, 7, 23, 100])
def test_it_is_split_like_a_tensor(size: int) -> None:
    for ours, expected in zip(LAZY.split(size), IMAGES.split(size), strict=True):
        assert torch.equal(ours, expected)


def test_the_next_part_is_made_while_one_is_used() -> None:
    second = threading.Event()

    def fetch(positions: np.ndarray) -> torch.Tensor:
        if positions[0] == 5:
            second.set()
        return IMAGES[torch.from_numpy(positions)]

    parts = LazyImages(IMAGES.shape, fetch).split(5)
    next(parts)
    assert second.wait(30)
    parts.close()


def test_parts_are_joined() -> None:
    expected = torch.cat([IMAGES, IMAGES.flip(0)[:3]])
    order = torch.randperm(26, generator=torch.Generator().manual_seed(0))
    for parts in ([IMAGES, IMAGES.flip(0)[:3]], [LAZY, IMAGES.flip(0)[:3]], [IMAGES, IMAGES[:0], LAZY[20:].flip(0)]):
        joined = lazy.joined(parts)
        assert joined.shape == expected.shape
        assert torch.equal(joined[order], expected[order])


def test_images_are_brought_to_another_size_when_asked_for() -> None:
    wanted = Preprocess(3, 3, 1, "stretch")
    ours = conformed_images(LAZY, wanted)
    assert isinstance(ours, LazyImages)
    assert torch.equal(ours[:], wanted.conform_all(IMAGES))
    assert conformed_images(LAZY, Preprocess(4, 5, 3, mean=(0.0,) * 3, std=(1.0,) * 3)) is LAZY


def test_a_tensor_is_brought_to_another_size_at_once_unless_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Preprocess(3, 3, 1, "stretch")
    assert isinstance(conformed_images(IMAGES, wanted), torch.Tensor)
    monkeypatch.setattr(lazy, "_LARGE", 23 * 9 - 1)
    ours = conformed_images(IMAGES, wanted)
    assert isinstance(ours, LazyImages)
    assert torch.equal(ours[:], wanted.conform_all(IMAGES))
    assert isinstance(lazy.joined([IMAGES, IMAGES]), LazyImages)


def test_a_file_that_changes_under_way_is_named(tmp_path: Path, paint: Callable[..., Path]) -> None:
    image_refs = [ImageRef(paint(tmp_path / f"{seed}.png", seed)) for seed in range(4)]
    decoders = Decoders(Preprocess(7, 9, 3, mean=(0.0,) * 3, std=(1.0,) * 3), 2, processes=False)
    images = lazy.decoded(image_refs, decoders)
    assert images[torch.tensor([3, 0])].shape == (2, 7, 9, 3)
    image_refs[3].path.write_bytes(b"")
    with pytest.raises(DataError, match=r"3\.png has changed since loading and can't be used any more: empty file"):
        images[1:]
    decoders.close()
