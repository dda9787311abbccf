"""A folder of photographs for the pages: pieces of the two photographs that come with scikit-learn.

They are few and alike, and so no measure of anything; they are here because every computer has them. Take your own.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

# By class: the photograph, and where in it the pieces lie: left, top, right, bottom, in pixels.
PLACES = {
    "flower": ("flower.jpg", (180, 60, 520, 340)),
    "garden": ("china.jpg", (0, 260, 640, 427)),
    "leaves": ("flower.jpg", (0, 0, 640, 427)),
    "roof": ("china.jpg", (120, 60, 560, 260)),
}
SIDE = 128


def write(folder: Path, images: int = 30, seed: int = 0) -> Path:
    """Write train/ and val/ with one folder a class, and return the folder.

    Pieces of train/ come from the left 60 % of their place, those of val/ from the rest: no pixel is in both.

    Args:
        folder: where to write.
        images: how many of each class go into train/; a third as many go into val/.
        seed: where the pieces lie.
    """
    generator = np.random.default_rng(seed)
    for name, (photograph, (left, top, right, bottom)) in PLACES.items():
        pixels = load_sample_image(photograph)
        middle = left + (right - left) * 6 // 10
        for split, count, (start, end) in (("train", images, (left, middle)), ("val", images // 3, (middle, right))):
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            side = min(SIDE, end - start, bottom - top)
            for number in range(count):
                x, y = generator.integers(start, end - side + 1), generator.integers(top, bottom - side + 1)
                Image.fromarray(pixels[y : y + side, x : x + side]).save(place / f"{number:03}.jpg", quality=90)
    return folder
