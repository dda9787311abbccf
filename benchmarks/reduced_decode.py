"""Decoding JPEGs at a reduced scale: time saved, and differences in pixel values.

    python benchmarks/reduced_decode.py

Photograph-like pictures (smooth noise of all sizes, with sharp ellipses and lines) are saved as JPEGs and brought to a
network's input twice: decoded in full, and at the smallest scale that is still `margin` times the wanted size. Reported
are the processor time of each, and the differences in pixel values (0 to 255).
"""

import io
import time

import numpy as np
from PIL import Image, ImageDraw

from striate.data.images.decode import decode
from striate.preprocess import Preprocess

SIZES = ((256, 256, 12), (500, 375, 12), (1600, 1200, 6), (4000, 3000, 3))  # width, height, how many
MARGINS = (1, 1.5, 2, 3)


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Photograph-like picture, with detail at every scale."""
    random = np.random.default_rng(seed)
    total, side = np.zeros((height, width, 3), dtype=np.float32), 4
    while side <= min(width, height):
        shape = (max(2, height * side // min(width, height)), max(2, width * side // min(width, height)), 3)
        noise = random.standard_normal(shape).astype(np.float32)
        layers = [Image.fromarray(noise[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        total += np.stack(layers, axis=-1) * 4 / side**0.9
        side *= 2
    total = (total - total.mean()) / total.std() * 55 + 120
    made = Image.fromarray(total.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(made)
    for _ in range(12):
        x, y = (int(each) for each in random.integers(0, (width, height)))
        across = int(random.integers(5, max(6, width // 4)))
        colour = tuple(int(each) for each in random.integers(0, 256, 3))
        draw.ellipse([x, y, x + across, y + across // 2], fill=colour)
        draw.line([x, y, height - y, x], fill=colour, width=max(1, width // 300))
    return made


def main() -> None:
    """Print one line for each picture size and input size."""
    for width, height, count in SIZES:
        files = []
        for seed in range(count):
            file = io.BytesIO()
            picture(seed, width, height).save(file, "JPEG", quality=88)
            files.append(file.getvalue())
        for side in (64, 224):
            wanted = Preprocess(side, side, 3, "letterbox", (0.0,) * 3, (1.0,) * 3)
            full, seconds = prepared(files, wanted, None)
            print(f"{width}×{height} to {side}×{side}: in full {1000 * seconds:.1f} ms", end="")
            for margin in MARGINS:
                reduced, seconds = prepared(files, wanted, margin)
                apart = np.abs(reduced - full)
                print(
                    f"; margin {margin}: {1000 * seconds:.1f} ms, mean {apart.mean():.2f}, "
                    f"99 % within {np.percentile(apart, 99):.0f}",
                    end="",
                )
            print()


def prepared(files: list[bytes], wanted: Preprocess, margin: float | None) -> tuple[np.ndarray, float]:
    """Pixel values, int16 (N, height, width, 3), and processor seconds for an image."""

    def at_least(width: int, height: int) -> tuple[int, int]:
        wide, high = wanted.scaled(width, height)
        return int(np.ceil((margin or 1) * wide)), int(np.ceil((margin or 1) * high))

    started = time.process_time()
    found = [wanted.conform(decode(file, None if margin is None else at_least)) for file in files]
    return np.stack(found).astype(np.int16), (time.process_time() - started) / len(files)


if __name__ == "__main__":
    main()
