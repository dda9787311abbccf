"""Images and folders of images, made on the spot."""

import io
import tarfile
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


@pytest.fixture
def png() -> Callable[[int], bytes]:
    """`png(seed)`: the bytes of an image file of its own pixels, 9 wide and 7 high."""

    def png(seed: int = 0) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    return png


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """`shard("train-0.tar", {"a.png": bytes, "a.cls": b"0"})`: a tar file of these members, in this order."""

    def shard(name: str, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for called, content in members.items() if isinstance(members, dict) else members:
                member = tarfile.TarInfo(called)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return shard
