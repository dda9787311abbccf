"""Training on photographs of 224 pixels from JPEG files, beside PyTorch with a DataLoader, and Keras with tf.data.

    python -m benchmarks.photographs FOLDER [NETWORK...] [--epochs 2] [--rounds 3] [--peers FOLDER]

FOLDER has train/, with a folder of photographs for each class; NETWORK is resnet50 and efficientnet_lite0 if not given.
All begin with the files, train so many epochs in batches of 32 by SGD, and end with the last step; random crops and
mirror images augment them. Striate decodes each file once, into an empty cache, in float32 and as it chooses by
itself. Plain PyTorch is its references' usual loop: RandomResizedCrop by Pillow in two worker processes, channels last,
float32. Keras on TensorFlow (`workers/keras_photographs.py`, if the peers' environments are there) reads with tf.data,
which decodes the window of each crop alone, and compiles before the clock starts. They take turns; the figure is images
a second.
"""

import argparse
import math
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import striate
from benchmarks.machine import ReferenceRate
from benchmarks.programs import TENSORFLOW
from benchmarks.transfer import Photographs
from benchmarks.worker import environment_of, python_of
from striate import augmentation
from striate.acceleration.precision import usual
from striate.data.loader import Loader
from striate.hardware import cores
from striate.preprocess import Preprocess
from striate.training import Recipe, Training
from striate.types import Precision

NETWORKS = ("resnet50", "efficientnet_lite0")
BATCH = 32
AUGMENT = "crop=0.125,flip"


def ours(name: str, folder: str, epochs: int, precision: Precision | None) -> float:
    """Images a second of Striate, from the files; without a precision, in the usual one."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["STRIATE_CACHE"] = cache
        began = time.perf_counter()
        data = striate.load(folder, image_size=224, channels=3, fit="crop")
        policy = augmentation.parse(AUGMENT)
        batches = Loader(data.train, Preprocess.resizing((224, 224), 3), BATCH, augment=policy)
        model = striate.create(name, len(data.classes), 3, 224, 0)
        chosen = precision or usual(model, torch.zeros(1, 3, 224, 224), BATCH, torch.device("cpu"))
        recipe = Recipe(precision=chosen, epochs=epochs, batch_size=BATCH, augment=AUGMENT, optimizer="sgd")
        images = sum(step.samples for step in Training(model, batches, recipe))
        return images / (time.perf_counter() - began)


def theirs(name: str, folder: str, epochs: int) -> float:
    """Images a second of plain PyTorch, from the files."""
    began = time.perf_counter()
    files = Photographs(Path(folder, "train"), True)
    model = striate.create(name, len(files.classes), 3, 224, 0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images = 0
    for _ in range(epochs):
        for inputs, labels in DataLoader(files, batch_size=BATCH, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs.to(memory_format=torch.channels_last)), labels).backward()
            optimizer.step()
            images += len(labels)
    return images / (time.perf_counter() - began)


def keras(name: str, folder: str, epochs: int, environments: Path) -> float:
    """Images a second of Keras on TensorFlow, from the files; not a number without its environment."""
    if not (environments / TENSORFLOW.name).exists():
        return math.nan
    program = Path(__file__).parent / "workers" / "keras_photographs.py"
    command = [python_of(TENSORFLOW, environments), program, name, folder, epochs, BATCH]
    done = subprocess.run(
        list(map(str, command)), env=environment_of(TENSORFLOW, cores()), capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.photographs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=Path(".venv-peers"), help="the peers' environments")
    given = parser.parse_args()
    rate = ReferenceRate(2048, 5)
    for name in given.networks or NETWORKS:
        turns = [
            (
                theirs(name, given.folder, given.epochs),
                ours(name, given.folder, given.epochs, "float32"),
                ours(name, given.folder, given.epochs, None),
                keras(name, given.folder, given.epochs, given.peers),
            )
            for _ in range(given.rounds)
        ]
        plain, same, chosen, keras_rate = (statistics.median(turn) for turn in zip(*turns, strict=True))
        ratios = [[statistics.median(turn[n] / turn[base] for turn in turns) for base in (0, 3)] for n in (1, 2)]
        print(
            f"{name}: PyTorch {plain:.1f} images/s, Keras {keras_rate:.1f}; Striate float32 {same:.1f}, "
            f"{ratios[0][0]:.2f} and {ratios[0][1]:.2f} ×; as it chooses {chosen:.1f}, {ratios[1][0]:.2f} and "
            f"{ratios[1][1]:.2f} ×; {rate():.0f} GFLOP/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
