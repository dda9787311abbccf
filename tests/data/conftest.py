"""Images and folders of images, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Paint = Callable[..., Path]


@pytest.fixture
def pixels() -> np.ndarray:
    """A colour image that no flip or turn leaves as it is: uint8 (12, 20, 3)."""
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.fixture
def paint() -> Paint:
    """`paint(path, seed, size=(width, height), mode="RGB")`: an image file of its own pixels, its folders made too."""

    def paint(path: Path, seed: int = 0, size: tuple[int, int] = (9, 7), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(path)
        return path

    return paint


@pytest.fixture
def folder(tmp_path: Path, paint: Paint) -> Callable[..., Path]:
    """`folder(cats=4, dogs=3)`: class folders with that many images each; `folder("train", ...)` puts them deeper."""

    def folder(under: str = "", **counts: int) -> Path:
        for kind, count in counts.items():
            for number in range(count):
                paint(tmp_path / "set" / under / kind / f"{number:03}.png", seed=number)
        return tmp_path / "set"

    return folder
