"""Exported files: agreement of every model's with the model, what int8 costs, and the speed of the engines.

    python -m benchmarks.exports models [NAME...]        every model and option: classes and logits of file and model
    python -m benchmarks.exports trained [NAME...]       a trained model of each family, on digits and on photographs
    python -m benchmarks.exports files RUN... [--input tensor]
                                                         float32 and int8 files of trained runs: accuracy, size, time
    python -m benchmarks.exports engines [NAME...]       speed of PyTorch, ONNX Runtime, OpenVINO and auto

Models have fresh weights, disturbed so that their logits tell something. They are asked about crops of the two
photographs that come with scikit-learn, as JPEGs of 500×375 pixels, and about its digits, drawn 28×28. Trained models
are asked about their test images: those digits, and the photographs of ants-bees, a folder in $STRIATE_DATA. RUN is a
run's folder. Tables are Markdown.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import nn

import striate
from striate import seeding
from striate.errors import ArgumentError
from striate.inference.engines import ENGINES, Engine, TorchEngine, engine_of
from striate.inference.exported_file import FORMAT, Card, ExportedFile, Input
from striate.inference.fastest import MANY, fastest
from striate.inference.onnx_graph import exported
from striate.models import evaluating, facts, names

CLASSES = tuple(map(str, range(10)))
FAMILIES = (
    "lenet5", "lenet5_modern", "mlp", "fashion_cnn", "quicknet_s", "resnet20", "alexnet", "vgg16", "googlenet",
    "resnet18", "resnext50_32x4d", "seresnet50", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0",
    "efficientnet_lite0", "convnext_tiny",
)  # fmt: skip
ENGINE_MODELS = ("fashion_cnn", "resnet18", "resnet50", "efficientnet_lite0")
PHOTOGRAPH = striate.Preprocess(224, 224, 3, "crop", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875)
SIZE = (375, 500)  # of photographs: height and width
DIGIT = striate.Preprocess(28, 28, 1, mean=(0.13,), std=(0.31,))


@dataclass(frozen=True)
class Case:
    """A model with options, and its input."""

    model: str
    preprocess: striate.Preprocess

    def module(self, classes: int = len(CLASSES)) -> nn.Module:
        """Make it, with disturbed weights, and running statistics of the pictures it is asked about."""
        size = (self.preprocess.height, self.preprocess.width)
        module = striate.create(self.model, classes, self.preprocess.channels, size)
        generator = seeding.generator(0, "disturbed")
        for parameter in module.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the batch's own statistics: deep networks would explode with others
        with torch.no_grad():
            module.train()(self.preprocess.normalize(asked(self.preprocess)[1]))
        return module.eval()


def cases(chosen: list[str]) -> Iterator[Case]:
    """Every model at its own size and at 28×28, and there with each of its options and with blurs."""
    for name in chosen or names():
        options = facts(name).options
        if "stem" in options:
            yield Case(name, PHOTOGRAPH)
        changed = [f"{name}:{key}={str(option.values[1]).lower()}" for key, option in options.items() if key != "stem"]
        for model in (name, *changed, f"{name}:antialias=true"):
            yield Case(model, DIGIT)


def pictures(preprocess: striate.Preprocess, count: int) -> list[np.ndarray]:
    """Photographs of 500×375 pixels, decoded from JPEGs, or digits of 28×28."""
    if preprocess.channels == 1:
        digits = striate.load("digits", image_size=28).train.images[:count]
        return list(digits.numpy())
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        whole = load_sample_images().images[number % 2]
        top, left = (
            int(random.integers(0, side - least + 1)) for side, least in zip(whole.shape[:2], SIZE, strict=True)
        )
        file = io.BytesIO()
        Image.fromarray(whole[top : top + SIZE[0], left : left + SIZE[1]]).save(file, "JPEG", quality=90)
        found.append(np.asarray(Image.open(file).convert("RGB")))
    return found


def asked(preprocess: striate.Preprocess) -> tuple[list[np.ndarray], torch.Tensor]:
    """The pictures that models are asked about, and the same as pixels of the network's size."""
    found = pictures(preprocess, 8)
    return found, torch.from_numpy(np.stack([preprocess.conform(picture) for picture in found]))


def models(chosen: list[str]) -> None:
    """Print the agreement of every model with its file."""
    print("| model | input | same class | largest difference / largest logit |\n|---|---|---:|---:|", flush=True)
    for case in cases(chosen):
        preprocess = case.preprocess
        try:
            module = case.module()
        except ArgumentError as error:
            print(f"| {case.model} | {preprocess.height}×{preprocess.width} | not made: {error} | |", flush=True)
            continue
        card = Card(format=FORMAT, striate="", model=case.model, input="image", classes=CLASSES, preprocess=preprocess)
        found, pixels = asked(preprocess)
        logits = ExportedFile.of(exported(module, card), case.model).answers(found)[0]
        with torch.inference_mode(), evaluating(module):
            expected = module(preprocess.normalize(pixels)).numpy()
        if not (expected != expected[0]).any():
            raise SystemExit(f"{case.model} gives all images the same logits")
        same = (logits.argmax(1) == expected.argmax(1)).mean()
        gap = np.abs(logits - expected).max() / np.abs(expected).max()
        print(f"| {case.model} | {preprocess.height}×{preprocess.width} | {same:.0%} | {gap:.1e} |", flush=True)


def trained(chosen: list[str], epochs: int) -> None:
    """Print how alike the files of trained models answer."""
    print("| model | images | accuracy | of the run | same class | largest difference / largest logit |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    photographs = str(Path(os.environ["STRIATE_DATA"], "ants-bees"))
    for name in chosen or FAMILIES:
        staged = "stem" in facts(name).options
        tasks = [(f"{name}:stem=small" if staged else name, "digits", 28)]
        tasks += [(name, photographs, 128)] if staged else []
        for model, data, size in tasks:
            with tempfile.TemporaryDirectory() as folder:
                dataset = striate.load(data, image_size=size)
                run = striate.train(model, dataset, out=f"{folder}/run", recipe="modern", epochs=epochs)
                made = striate.export(run, "onnx", out=f"{folder}/file.onnx")
            print(
                f"| {model} | {made.n} of {Path(data).name} | {made.accuracy:.1%} | {made.accuracy_run:.1%} | "
                f"{made.agreement:.2%} | {made.max_difference / made.largest_logit:.1e} |",
                flush=True,
            )


def files(runs: list[str], kind: Input) -> None:
    """Print what the files of trained runs cost."""
    print(
        "| run | file | accuracy | of the run | same class | difference / largest | MB | one, ms | 64, images/s |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            for to, suffix in (("onnx", ".onnx"), ("openvino", ".xml")):
                for int8 in (False, True):
                    out = Path(folder) / f"file{suffix}"
                    made = striate.export(run, to, input=kind, int8=int8, out=out, max_loss=100)
                    gap = made.max_difference / made.largest_logit
                    print(
                        f"| {Path(run).name} | {to}, {made.precision} | {made.accuracy:.2%} | "
                        f"{made.accuracy_run:.2%} | {made.agreement:.2%} | {gap:.1e} | "
                        f"{made.bytes / 1e6:.2f} | {made.latency_ms:.2f} | {made.throughput:,.0f} |",
                        flush=True,
                    )


def engines(chosen: list[str], seconds: float) -> None:
    """Print the speed of each engine, and of the one that is chosen, timed in turns."""
    print("| model | images | torch | onnxruntime | openvino | auto | / fastest |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in chosen or ENGINE_MODELS:
        preprocess = DIGIT if name == "fashion_cnn" else PHOTOGRAPH
        module = Case(name, preprocess).module()
        made = [engine_of(engine, module, preprocess, CLASSES) for engine in ENGINES]
        example = np.stack([preprocess.conform(picture) for picture in pictures(preprocess, 1)])
        auto = fastest(made, example)[0]
        for n in (1, MANY):
            pixels = np.repeat(example, n, axis=0)
            times = _in_turns([*made, auto], pixels, seconds)
            cells = [f"{1000 * each:.2f} ms" if n == 1 else f"{n / each:,.0f}/s" for each in times]
            print(f"| {name} | {n} | {' | '.join(cells)} | {min(times[:-1]) / times[-1]:.2f} |", flush=True)


def _in_turns(engines: list[Engine], pixels: np.ndarray, seconds: float) -> list[float]:
    """Median seconds a batch for each engine, whose batches alternate."""
    taken: list[list[float]] = [[] for _ in engines]
    for engine in engines:
        if isinstance(engine, TorchEngine):
            engine.prepare(pixels)
        engine.logits(pixels)
    end = time.perf_counter() + seconds * len(engines)
    while time.perf_counter() < end or len(taken[0]) < 5:
        for engine, times in zip(engines, taken, strict=True):
            begun = time.perf_counter()
            engine.logits(pixels)
            times.append(time.perf_counter() - begun)
    return [median(times) for times in taken]


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("models", "trained", "files", "engines"))
    parser.add_argument("names", nargs="*", metavar="NAME|RUN")
    parser.add_argument("--epochs", type=int, default=4, help="of training, for the table of trained models")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each engine and batch")
    parser.add_argument("--input", choices=("image", "tensor"), default="image", help="of the files of trained runs")
    given = parser.parse_args()
    tables: dict[str, Callable[[], None]] = {
        "models": lambda: models(given.names),
        "trained": lambda: trained(given.names, given.epochs),
        "files": lambda: files(given.names, given.input),
        "engines": lambda: engines(given.names, given.seconds),
    }
    tables[given.table]()


if __name__ == "__main__":
    main()
