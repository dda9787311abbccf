"""Preparation of drawings: size, place and colours are measured on the data."""

import numpy as np
import pytest

from striate.exporting.web.page import preparation


def squares(sides: list[int], centre: tuple[int, int] = (10, 10), side: int = 20) -> np.ndarray:
    """White squares on black, of these odd sides, around one pixel: uint8 (N, side, side)."""
    pictures = np.zeros((len(sides), side, side), dtype=np.uint8)
    for picture, each in zip(pictures, sides, strict=True):
        half = each // 2
        picture[centre[0] - half : centre[0] + half + 1, centre[1] - half : centre[1] + half + 1] = 255
    return pictures


def test_size_and_place_are_the_datas() -> None:
    found = preparation(20, 20, squares([9] * 10, (8, 11)))
    assert (found.size, found.at, found.paper) == (9, (8, 11), 0)
    assert found.centre in ("box", "mass")


def test_what_differs_in_the_data_is_left_to_the_drawing() -> None:
    random = np.random.default_rng(0)
    pictures = np.concatenate(
        [squares([side], tuple(random.integers(6, 14, 2))) for side in random.choice([3, 5, 7, 9, 11], 40)]
    )
    found = preparation(20, 20, pictures)
    assert (found.size, found.centre, found.at) == (None, None, (9.5, 9.5))


@pytest.mark.parametrize("name", ["mass", "box"])
def test_the_steadier_centre_is_taken(name: str) -> None:
    random = np.random.default_rng(0)
    pictures = np.zeros((40, 20, 20), dtype=np.uint8)
    for picture in pictures:
        heavy = random.integers(0, 9)
        picture[10, 6:15] = 60
        picture[10, 6 + heavy] = 255
        if name == "mass":  # moved so that the mass lies in the middle
            mass = (picture[10] * np.arange(20.0)).sum() / picture[10].sum()
            picture[10] = np.roll(picture[10], round(9.5 - mass))
    assert preparation(20, 20, pictures).centre == name


def test_dark_drawings_on_white_paper() -> None:
    found = preparation(20, 20, 255 - squares([9] * 4))
    assert (found.paper, found.size) == (255, 9)


@pytest.mark.parametrize("pictures", [None, np.zeros((0, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)])
def test_without_anything_drawn_drawings_stay_as_they_are(pictures: np.ndarray | None) -> None:
    found = preparation(8, 8, pictures)
    assert (found.paper, found.size, found.centre, found.at) == (0, None, None, (3.5, 3.5))
    assert found.pen == 1.2
