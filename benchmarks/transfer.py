"""Photographs from pretrained weights: accuracy and time of `striate train --data FOLDER` beside PyTorch's tutorial.

    python -m benchmarks.transfer default FOLDER [--seeds 5]     the command without options, from its start
    python -m benchmarks.transfer tutorial FOLDER [--epochs 25]  the loops of PyTorch's transfer learning tutorial
    python -m benchmarks.transfer few FOLDER [--draws 10]        5, 10, 20 images a class, beside training from nothing
    python -m benchmarks.transfer views FOLDER [--draws 30]      sizes, with and without mirror images, head fitted
    python -m benchmarks.transfer far                            2,000 images of Fashion-MNIST, which are no photographs
    python -m benchmarks.transfer step                           fine-tuning steps beside the same loop in plain PyTorch

FOLDER has train/ and val/ (or test/). Every time stands beside the reference matmul rate of its minute. The tutorial's
loops (pytorch.org, "Transfer Learning for Computer Vision") begin with the same weights, EfficientNet-Lite0's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import striate
from benchmarks.machine import ReferenceRate
from striate.data import Split
from striate.data.dataset import conformed
from striate.data.loader import Loader
from striate.inference import features_of
from striate.models import freeze_norms, frozen_norms
from striate.preprocess import Preprocess
from striate.training import Recipe, Training, fitted_head

GOAL = 0.95
SCALE = 220.0  # GFLOP/s that times are scaled to


def main() -> None:
    """Run the part that is named."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=(__doc__ or "").split("\n")[0])
    options.add_argument("part", choices=("default", "tutorial", "few", "views", "far", "step"))
    options.add_argument("folder", nargs="?", help="photographs: a folder with train/ and val/")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=25)
    options.add_argument("--draws", type=int, default=10)
    chosen = options.parse_args()
    if chosen.part not in ("far", "step") and chosen.folder is None:
        options.error("name the folder of photographs")
    if chosen.part == "default":
        default(chosen.folder, chosen.seeds)
    elif chosen.part == "tutorial":
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch.utils.data, PIL.Image, striate.models"], check=True)
        start = time.perf_counter() - began
        for frozen in (True, False):
            tutorial(chosen.folder, chosen.epochs, frozen, start)
    elif chosen.part == "few":
        few(chosen.folder, chosen.draws)
    elif chosen.part == "views":
        compare_views(chosen.folder, chosen.draws)
    elif chosen.part == "far":
        far()
    else:
        steps()


def default(folder: str, seeds: int) -> None:
    """`striate train --data FOLDER --seed N` in a process and with an empty cache each."""
    rate, rows = ReferenceRate(2048, 5), []
    for seed in range(seeds):
        before = rate()
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            command = [sys.executable, "-m", "striate", "train", "--data", folder, "--seed", str(seed), "--json"]
            done = subprocess.run(
                [*command, "--out", f"{place}/run"], env={**os.environ, "STRIATE_CACHE": place},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            seconds = time.perf_counter() - began
        product = (before + rate()) / 2
        rows.append((json.loads(done.stdout)["accuracy"], seconds, product))
        print(f"seed {seed}: {rows[-1][0]:.2%}, {seconds:.1f} s, {product:.0f} GFLOP/s", flush=True)
    scaled = statistics.median(seconds * product / SCALE for _, seconds, product in rows)
    print(f"mean {statistics.mean(row[0] for row in rows):.2%}, median {scaled:.1f} s scaled to {SCALE:.0f} GFLOP/s")


class Photographs(Dataset[tuple[Tensor, int]]):
    """The tutorial's `ImageFolder` with its transforms, written with Pillow."""

    def __init__(self, folder: Path, training: bool):
        self.classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
        files = [(path, label) for label, name in enumerate(self.classes) for path in sorted((folder / name).iterdir())]
        self.files = [each for each in files if each[0].suffix.lower() in (".jpg", ".jpeg", ".png")]
        self.training = training

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        path, label = self.files[place]
        image = Image.open(path).convert("RGB")
        image = _random_crop(image) if self.training else _middle(image)
        return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() - 127) / 128, label


def _random_crop(image: Image.Image) -> Image.Image:
    """RandomResizedCrop(224) and a mirror image half of the time."""
    area, ratio = image.width * image.height * np.random.uniform(0.08, 1), np.exp(np.random.uniform(-0.2877, 0.2877))
    width, height = (
        min(image.width, round((area * ratio) ** 0.5)),
        min(image.height, round((area / ratio) ** 0.5)),
    )
    left, top = np.random.randint(image.width - width + 1), np.random.randint(image.height - height + 1)
    image = image.resize((224, 224), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if np.random.rand() < 0.5 else image


def _middle(image: Image.Image) -> Image.Image:
    """Resize(256), CenterCrop(224)."""
    ratio = 256 / min(image.size)
    image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return image.crop((left, top, left + 224, top + 224))


def tutorial(folder: str, epochs: int, frozen: bool, start: float) -> None:
    """The tutorial's loop: SGD 0.001 with momentum 0.9, a tenth of it every 7 epochs, batches of 4; until 95 %.

    `start` is how many seconds a process takes that imports what the loop needs; they count, as in `default`.
    """
    torch.manual_seed(0)
    np.random.seed(0)
    held = Path(folder, "val") if Path(folder, "val").is_dir() else Path(folder, "test")
    train, val = Photographs(Path(folder, "train"), True), Photographs(held, False)
    rate, began = ReferenceRate(2048, 5)(), time.perf_counter() - start
    model = striate.create("efficientnet_lite0", len(train.classes), 3, 224, 0, "imagenet", adapt=True)
    if frozen:
        for parameter in model.parameters():
            parameter.requires_grad = False
        for parameter in model.classifier.parameters():  # type: ignore[union-attr]
            parameter.requires_grad = True
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    reached, best = None, 0.0
    for epoch in range(epochs):
        model.train()
        for images, labels in DataLoader(train, batch_size=4, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        schedule.step()
        accuracy = _accuracy(model, val)
        best, seconds = max(best, accuracy), time.perf_counter() - began
        print(f"{'frozen' if frozen else 'all layers'}, epoch {epoch + 1}: {accuracy:.2%}, {seconds:.0f} s", flush=True)
        if accuracy >= GOAL:
            reached = seconds
            break
    when = "not reached" if reached is None else f"{reached:.0f} s, {reached * rate / SCALE:.0f} s scaled"
    print(f"{'frozen' if frozen else 'all layers'}: {GOAL:.0%} {when}; best {best:.2%}; {rate:.0f} GFLOP/s")


@torch.no_grad()
def _accuracy(model: nn.Module, images: Photographs) -> float:
    model.eval()
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(images, batch_size=4, num_workers=2))
    return right / len(images)


def few(folder: str, draws: int) -> None:
    """Accuracy on all held-out images after training on a few of each class."""
    data = striate.load(folder, image_size=288, channels=3, fit="crop", interpolation="bicubic")
    small = striate.load(folder, image_size=64, channels=3)
    for count in (5, 10, 20):
        found: dict[str, list[float]] = {"transfer": [], "from nothing": []}
        for draw in range(draws):
            for name, run in _both(data, small, count, draw):
                found[name].append((run.result or {})["accuracy"])
        for name, values in found.items():
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{count} images a class, {name}: {statistics.mean(values):.2%} ± {spread:.2%}", flush=True)


def compare_views(folder: str, draws: int) -> None:
    """Accuracy of a fitted head, trained on some images a class and tested on all others, beside the usual size."""
    found: dict[tuple[int, str, int], list[float]] = {}
    for size in (224, 256, 288):
        data = striate.load(folder, image_size=size, channels=3, fit="crop", interpolation="bicubic")
        held = data.held_out
        parts = [data.train] if held is None else [data.train, held[1]]
        images, labels = torch.cat([part.images[:] for part in parts]), torch.cat([part.labels for part in parts])
        model = striate.create("efficientnet_lite0", len(data.classes), 3, size, 0, "imagenet", adapt=True)
        preprocess = Preprocess(size, size, 3, "crop", (127 / 255,) * 3, (128 / 255,) * 3, interpolation="bicubic")
        seen = [features_of(model, each, preprocess) for each in (images, images.flip(2))]
        for count, draw in product((5, 10, 20, 50, 100), range(draws)):
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(draw))
            chosen = torch.cat([order[labels[order] == label][:count] for label in range(len(data.classes))])
            rest = torch.ones(len(labels), dtype=torch.bool)
            rest[chosen] = False
            for name, some in (("", seen[:1]), (" and mirror images", seen)):
                head = fitted_head([each[chosen] for each in some], labels[chosen], len(data.classes))
                right = (seen[0][rest] @ head.weight.T + head.bias).argmax(1) == labels[rest]
                found.setdefault((count, name, size), []).append(float(right.float().mean()))
    for (count, name, size), values in sorted(found.items()):
        gap = np.subtract(values, found[count, "", 288])
        print(
            f"{count} a class, {size} pixels{name}: {np.mean(values):.2%}, beside 288 pixels "
            f"{100 * gap.mean():+.2f} ± {100 * gap.std() / len(gap) ** 0.5:.2f} points"
        )


def _both(data: striate.Dataset, small: striate.Dataset, count: int, draw: int) -> Iterator[tuple[str, striate.Run]]:
    """A run with pretrained weights and one from nothing, on the same few images."""
    generator = torch.Generator().manual_seed(draw)
    labels = data.train.labels
    chosen = torch.cat(
        [
            members[torch.randperm(len(members), generator=generator)[:count]]
            for members in (torch.nonzero(labels == label)[:, 0] for label in range(len(data.classes)))
        ]
    )
    for name, whole in (("transfer", data), ("from nothing", small)):
        held = whole.held_out
        train = Split(whole.train.images[chosen], labels[chosen])
        part = replace(whole, train=train, val=None, test=held[1] if held else None)
        with tempfile.TemporaryDirectory() as place:
            if name == "transfer":
                yield (
                    name,
                    striate.train(
                        "efficientnet_lite0", part, "transfer", weights="imagenet", out=f"{place}/run", seed=draw
                    ),
                )
            else:
                yield name, striate.train("quicknet_m", part, "fast", out=f"{place}/run", seed=draw, epochs=60)


def far(images: int = 2000, held: int = 1000, seconds: float = 100.0) -> None:
    """Accuracy on Fashion-MNIST: a fitted head, four epochs of fine-tuning after it, and quicknet_m from nothing."""
    whole = striate.load("fashion-mnist")
    train = Split(whole.train.images[:images], whole.train.labels[:images])
    test = Split(whole.test.images[:held], whole.test.labels[:held]) if whole.test else None
    small = replace(whole, train=train, val=None, test=test, loaded=False, source=f"fashion-mnist-{images}")
    large = conformed(small, Preprocess.resizing((96, 96), 3, "stretch", interpolation="bicubic"))
    for what, model, data, recipe, settings in (
        ("fitted head", "efficientnet_lite0", large, "transfer", {"freeze_backbone": True}),
        ("fine-tuned", "efficientnet_lite0", large, "transfer", {"epochs": 4}),
        ("from nothing", "quicknet_m", small, "fast", {"budget": seconds}),
    ):
        with tempfile.TemporaryDirectory() as place:
            weights = "imagenet" if recipe == "transfer" else None
            run = striate.train(model, data, recipe, weights=weights, out=f"{place}/run", **settings)
            result = run.result or {}
        print(f"{what}: {result['accuracy']:.2%} of {result['n']:,}, kept {result.get('kept', what)}", flush=True)


def steps(batch: int = 32, rounds: int = 3) -> None:
    """Images a second of fine-tuning steps at 224 pixels in float32, batch normalisation frozen, in turns."""
    images = torch.randint(0, 256, (batch * 2, 224, 224, 3), dtype=torch.uint8)
    labels = torch.arange(batch * 2) % 10
    preprocess = Preprocess.resizing((224, 224), 3)
    rate = ReferenceRate(2048, 5)
    for name, count in (("efficientnet_lite0", 5), ("resnet50", 2)):
        recipe = Recipe(
            precision="float32", augment="none", optimizer="adamw", batch_size=batch, epochs=1000, loss="cross-entropy",
            clip_norm=0, learning_rate=1e-4,
        )  # fmt: skip
        tuned, plain = (striate.create(name, 10, 3, 224, 0).train() for _ in range(2))
        for model in (tuned, plain):
            freeze_norms(model)
        for norm in frozen_norms(plain):
            norm.eval()
        ours = Training(tuned, Loader(Split(images, labels), preprocess, batch, 0), recipe)
        optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-4)
        inputs = preprocess.normalize(images[:batch]).contiguous()

        theirs = partial(_plain_step, plain, optimizer, inputs, labels[:batch])
        iterator, ratios = iter(ours), []
        next(iterator)
        theirs()
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(count):
                next(iterator)
            middle = time.perf_counter()
            for _ in range(count):
                theirs()
            ended = time.perf_counter()
            ratios.append((ended - middle) / (middle - began))
        speed = batch * count / (middle - began)
        print(f"{name}: {speed:.1f} images/s, {statistics.median(ratios):.2f} × plain PyTorch; {rate():.0f} GFLOP/s")


def _plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()


if __name__ == "__main__":
    main()
