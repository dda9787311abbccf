"""Measurement of a page that `striate export --to web` wrote, in a real browser.

    python -m benchmarks.page runs/lenet5 runs/lenet5/model.html --pictures docs/page
    python -m benchmarks.page efficientnet_lite0 efficientnet_lite0.html --photo owl.jpg

It opens the file from the disk, draws a digit ten times or shows a photograph, shifted by 0 to 9 pixels, and prints:
seconds until the page is ready, milliseconds from a change to the last picture on the page, and the largest
difference of a logit from Python's for the pixels that the page used. `--pictures` names a folder for pictures of the
page, at three widths, light and dark.
"""

import argparse
import io
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.browser import Browser, browser
from striate.runs import Trained

THREE = (
    *((0.3, 0.2), (0.5, 0.15), (0.68, 0.25), (0.66, 0.4), (0.45, 0.48)),
    *((0.68, 0.55), (0.7, 0.75), (0.5, 0.85), (0.28, 0.78)),
)
POINTS = 40  # of a stroke
PICTURES = 10
SHIFT = "const x = document.getElementById('move-x'); x.value = arguments[0]; x.dispatchEvent(new Event('input'))"
SIZES = ((360, 1400), (1024, 900), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a page in a real browser.")
    parser.add_argument("run", help="a run, or the name of a model with published weights")
    parser.add_argument("page", type=Path)
    parser.add_argument("--photo", type=Path, help="for a page that takes photographs")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the page")
    given = parser.parse_args()
    trained = Trained.of(given.run)
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as window:
        window.resize(1280, 900)
        window.open(given.page.resolve().as_uri())
        window.wait("window.striate?.ready")
        print(f"{given.page}: {given.page.stat().st_size / 1e6:.2f} MB")
        print(f"ready after {window.run('return striate.startup') / 1000:.2f} s")
        times, worst = answered(window, trained, given.photo)
        print(f"one answer: {statistics.median(times):.1f} ms at the median of {len(times)}, {max(times):.1f} at most")
        print(f"logits differ by {worst:.1e} at most")
        if given.pictures:
            photographed(window, given.pictures)


def answered(window: Browser, trained: Trained, photo: Path | None) -> tuple[list[float], float]:
    """Draw, or show a photograph; return the milliseconds of each answer and the largest difference of a logit."""
    times, worst = [], 0.0
    for number in range(PICTURES):
        if photo is None:
            window.run("document.getElementById('clear').click()")
        runs = window.run("return striate.runs")
        if photo is None:
            draw(window, 0.5 + 0.5 * (number + 1) / PICTURES)
        elif number == 0:
            window.choose("#file", photo)
        else:
            window.run(SHIFT, number)
        window.wait(f"striate.runs > {runs}")
        window.run("return striate.settled()")
        times.append(window.run("return striate.milliseconds"))
        pixels, logits = window.run("return [Array.from(striate.input), Array.from(striate.logits)]")
        shape = (1, trained.preprocess.height, trained.preprocess.width, trained.preprocess.channels)
        image = torch.tensor(pixels, dtype=torch.uint8).reshape(shape)
        expected = trained.logits(image, "cpu", tta="none")[0]
        worst = max(worst, float((torch.tensor(logits) - expected).abs().max()))
    return times, worst


def draw(window: Browser, size: float) -> None:
    """Draw a 3 of this size, a share of the pad's."""
    steps = np.linspace(0, len(THREE) - 1, POINTS)
    xs, ys = (np.interp(steps, range(len(THREE)), [point[axis] for point in THREE]).tolist() for axis in (0, 1))
    window.draw("#pad", [(size * x, size * y) for x, y in zip(xs, ys, strict=True)])


def photographed(window: Browser, folder: Path) -> None:
    """Take pictures of the page, with the last picture."""
    folder.mkdir(parents=True, exist_ok=True)
    measured = window.run("return striate.measured")
    window.run("document.getElementById('move-x').dispatchEvent(new Event('input'))")
    window.wait(f"striate.measured !== {measured or 'undefined'}")
    for width, height in SIZES:
        for dark in (False, True):
            window.resize(width, height, dark)
            window.run("return new Promise((done) => setTimeout(done, 400))")
            picture = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
            picture.save(folder / f"{width}-{'dark' if dark else 'light'}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
