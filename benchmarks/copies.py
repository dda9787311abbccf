"""How many copies of photographs are found: `python -m benchmarks.copies FOLDER`.

Every photograph of a folder is encoded again, as a JPEG of some quality and size, and added to the originals. Printed
are the shares of these copies that are found, with the images as the network of the audit sees them (the middle, at
224×224) and as training sees them by default (letterboxed, 64×64), and how many pairs of different photographs are
taken for copies. With names of data sets instead of a folder: the time for the check before training.
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import striate
from striate.data.copies import copies, leak_notes
from striate.data.images.decode import UndecodableError, decode
from striate.data.loading import NAMES
from striate.inspection.audits.features import own_preprocess
from striate.preprocess import Preprocess
from striate.resizing import picture_of

CHANGES = ((95, 1.0), (75, 1.0), (50, 1.0), (30, 1.0), (10, 1.0), (85, 0.5), (75, 0.33), (60, 0.25), (75, 2.0))


def encoded(image: Image.Image, quality: int, scale: float) -> Image.Image:
    """The image after it was saved as a JPEG and read again."""
    file = io.BytesIO()
    image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))).save(
        file, "JPEG", quality=quality
    )
    return Image.open(file)


def photographs(folder: Path) -> list[Image.Image]:
    """All images of a folder, in colour."""
    found = []
    for path in sorted(each for each in folder.rglob("*.*") if each.is_file()):
        try:
            found.append(picture_of(decode(path)).convert("RGB"))
        except UndecodableError:
            print(f"left out {path}")
    return found


def measure(folder: Path) -> None:
    """Print the shares of copies that are found."""
    images = photographs(folder)
    print(f"{folder}: {len(images)} photographs\n")
    print("| quality | size | found, 224×224 | found, 64×64 | wrong pairs |")
    print("|---|---|---|---|---|")
    for quality, scale in CHANGES:
        again, shares, wrong = [encoded(image, quality, scale) for image in images], [], 0
        for preprocess in (own_preprocess(detailed=True), Preprocess.resizing((64, 64), 3)):
            pixels = np.stack([preprocess.conform_picture(image) for image in [*images, *again]])
            groups = copies([torch.from_numpy(pixels)])
            shares.append(float((groups[: len(images)] == groups[len(images) :]).mean()))
            wrong += len(images) - len(np.unique(groups[: len(images)]))
        print(f"| {quality} | {scale:g} | {shares[0]:.1%} | {shares[1]:.1%} | {wrong} |", flush=True)


def main() -> None:
    """Measure the folders and data sets named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copies", description=__doc__)
    parser.add_argument("sources", nargs="+", help="folders of photographs, or fashion-mnist and the like")
    for source in parser.parse_args().sources:
        if source not in NAMES:
            measure(Path(source))
            continue
        data = striate.load(source)
        began = time.monotonic()
        notes = leak_notes(data)
        print(f"{source}: {time.monotonic() - began:.1f} s; {notes or 'no copies'}")


if __name__ == "__main__":
    main()
