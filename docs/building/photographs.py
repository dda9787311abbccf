"""A folder of photographs for the pages: pieces of the two photographs that come with scikit-learn.

They are few and alike, and so no measure of anything; they are here because every computer has them. Take your own.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

# By class: the photograph, and where its pieces for training and those for validation lie: left, top, right, bottom, in
# pixels. No pixel is in both.
PLACES = {
    "flower": ("flower.jpg", (185, 90, 315, 350), (315, 90, 440, 350)),
    "leaves": ("flower.jpg", (0, 0, 175, 427), (450, 0, 640, 390)),
    "temple": ("china.jpg", (80, 70, 220, 330), (220, 70, 330, 330)),
    "trees": ("china.jpg", (370, 300, 550, 427), (550, 140, 640, 427)),
}
SIDE = 80


def write(folder: Path, images: int = 30, seed: int = 0, dark: bool = False) -> Path:
    """Write train/ and val/ with one folder a class, and return the folder.

    Args:
        folder: where to write.
        images: how many of each class go into train/; a third as many go into val/.
        seed: where the pieces lie.
        dark: whether every second image of val/ is one taken in the evening.
    """
    generator = np.random.default_rng(seed)
    for name, (photograph, *places) in PLACES.items():
        pixels = load_sample_image(photograph)
        for split, count, (left, top, right, bottom) in zip(
            ("train", "val"), (images, images // 3), places, strict=True
        ):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                x, y = generator.integers(left, right - SIDE + 1), generator.integers(top, bottom - SIDE + 1)
                piece = pixels[y : y + SIDE, x : x + SIDE]
                if dark and split == "val" and number % 2:
                    piece = _evening(piece, generator)
                Image.fromarray(piece).save(folder / split / name / f"{number:03}.jpg", quality=90)
    return folder


def _evening(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A tenth of the light, and the noise of a camera that has too little."""
    return (pixels * 0.1 + generator.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
