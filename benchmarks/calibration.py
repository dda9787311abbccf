"""Calibration: error and coverage on test images, what holding images out costs, and how many of them it takes.

    python -m benchmarks.calibration table [NAME...] [--seeds 3]   error before and after, coverage, size of 95 % sets
    python -m benchmarks.calibration cost [NAME...] [--seeds 10]   accuracy with and without images held out, paired
    python -m benchmarks.calibration time [--rounds 15]            processor time that it adds to `train` on digits
    python -m benchmarks.calibration shift [--seeds 5]             accuracy of `mlp` on held-out and on test images
    python -m benchmarks.calibration few [NAME]                    error and coverage by the number of images held out

NAME is one of `SETTINGS`. Runs are kept in --runs, runs/calibration if not given; a stopped program continues them. The
data of ants-bees is a folder in $STRIATE_DATA.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import striate
from striate.evaluation.calibration import expected_calibration_error, set_score
from striate.inference import Calibration, score_of
from striate.runs import Run, Trained
from striate.runs.calibration import fitted, write
from striate.runs.held_out import divided

COVERAGE = 0.95
SIZES = (20, 50, 100, 200, 500, 1000, 2000, 3000)
DRAWS = 30


@dataclass(frozen=True)
class Setting:
    """One training: the arguments of `striate.train`."""

    model: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, folder: Path, seed: int, **more: Any) -> Run:
        """The run in a folder: made, continued, or as it is there."""
        if (folder / "run.json").exists():
            return striate.resume(folder)
        if self.data != "ants-bees":
            return striate.train(self.model, self.data, out=folder, seed=seed, **{**self.settings, **more})
        photographs = Path(os.environ["STRIATE_DATA"], self.data)
        data = striate.load(photographs, image_size=288, channels=3, fit="crop", interpolation="bicubic")
        return striate.train(self.model, data, out=folder, seed=seed, **{**self.settings, **more})


SETTINGS = {
    "digits": Setting("lenet5", "digits"),
    "quicknet_s": Setting("quicknet_s", "fashion-mnist", {"recipe": "fast"}),
    "quicknet_m": Setting("quicknet_m", "fashion-mnist", {"recipe": "fast"}),
    "fashion_cnn": Setting("fashion_cnn", "fashion-mnist"),
    "fashion_cnn-1": Setting("fashion_cnn", "fashion-mnist", {"epochs": 1}),
    "ants-bees": Setting("efficientnet_lite0", "ants-bees", {"recipe": "transfer", "weights": "imagenet"}),
}


def main() -> None:
    """Run the part that is named."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.calibration", description=(__doc__ or "").split("\n")[0]
    )
    options.add_argument("part", choices=("table", "cost", "time", "shift", "few"))
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SETTINGS))
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--runs", type=Path, default=Path("runs/calibration"))
    chosen = options.parse_args()
    if unknown := set(chosen.names) - set(SETTINGS):
        options.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    if chosen.part == "table":
        table(chosen.names or list(SETTINGS), chosen.seeds, chosen.runs)
    elif chosen.part == "cost":
        cost(chosen.names or ["digits", "quicknet_s"], chosen.seeds, chosen.runs)
    elif chosen.part == "time":
        seconds(chosen.rounds)
    elif chosen.part == "shift":
        shift(chosen.seeds)
    else:
        few(chosen.names[0] if chosen.names else "quicknet_s", chosen.runs)


def table(names: Sequence[str], seeds: int, runs: Path) -> None:
    """One row a run: accuracy, calibration error before and after with their intervals, coverage and size of sets."""
    print("| run | seed | accuracy | error before | error | chance | temperature, images | coverage | size |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        for seed in range(seeds):
            found = striate.evaluate(SETTINGS[name].run(runs / f"{name}-{seed}", seed), coverage=COVERAGE)
            cells = [name, str(seed), f"{found.accuracy:.2%} of {found.n:,}"]
            if found.sets is not None:
                cells += [
                    _with_interval(found.error_before, found.error_before_interval),
                    _with_interval(found.calibration_error, found.calibration_error_interval),
                    f"{found.error_by_chance:.2%}",
                    f"{found.calibration.temperature:.3f}, {found.calibration.images:,}",
                    _with_interval(found.sets.coverage, found.sets.interval),
                    f"{found.sets.mean_size:.3f}",
                ]
            print(f"| {' | '.join(cells)} |".replace("%", " %"), flush=True)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"


def cost(names: Sequence[str], seeds: int, runs: Path) -> None:
    """Test accuracies of runs that hold images out and of runs that don't, seed by seed, and their mean difference."""
    for name in names:
        pairs = []
        for seed in range(seeds):
            held = SETTINGS[name].run(runs / f"{name}-{seed}", seed)
            whole = SETTINGS[name].run(runs / f"{name}-all-{seed}", seed, calibration=0)
            pairs.append(tuple((run.result or {})["accuracy"] for run in (held, whole)))
            print(f"{name}, seed {seed}: {pairs[-1][0]:.2%} held out, {pairs[-1][1]:.2%} trained on all", flush=True)
        means = [statistics.mean(column) for column in zip(*pairs, strict=True)]
        differences = [100 * (one - other) for one, other in pairs]
        error = statistics.stdev(differences) / len(pairs) ** 0.5 if len(pairs) > 1 else float("nan")
        print(
            f"{name}: {means[0]:.2%} and {means[1]:.2%}, difference {statistics.mean(differences):+.2f} points, "
            f"standard error {error:.2f}"
        )


def seconds(rounds: int) -> None:
    """Processor seconds of what calibration adds to `striate.train` on digits, and of the whole training."""
    with tempfile.TemporaryDirectory() as place:
        began = time.process_time()
        run = striate.train("lenet5", "digits", out=f"{place}/run")
        whole = time.process_time() - began
        model, data, added = run.model(), run.data(), []
        for _ in range(rounds):
            began = time.process_time()
            _, held = divided(data.train, run.recipe)
            found = fitted(model, data, held, None, run.preprocess, run.recipe.tta, torch.device("cpu"))
            write(run.path, found)
            added.append(time.process_time() - began)
    median = statistics.median(added)
    print(f"{1000 * median:.0f} ms (median of {rounds}) of {whole:.1f} s: {median / whole:.2%}")


def shift(seeds: int) -> None:
    """Accuracy of `mlp` on 5,000 held-out training images of Fashion-MNIST and on its test images."""
    data, accuracies = striate.load("fashion-mnist"), []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            run = striate.train("mlp", data, out=f"{place}/run", epochs=3, calibration=0.1, seed=seed)
            _, held = divided(data.train, run.recipe)
            assert held is not None
            score = score_of(Trained.of(run).logits(held.images), held.labels)
            accuracies.append((score.accuracy, (run.result or {})["accuracy"]))
        print(f"seed {seed}: {accuracies[-1][0]:.2%} held out, {accuracies[-1][1]:.2%} test", flush=True)
    means = [statistics.mean(column) for column in zip(*accuracies, strict=True)]
    print(f"mean: {means[0]:.2%} held out, {means[1]:.2%} test")


def few(name: str, runs: Path) -> None:
    """Quantiles over draws of so many of the held-out images: error after calibration, and coverage of 95 % sets."""
    run = SETTINGS[name].run(runs / f"{name}-0", 0)
    trained, data = Trained.of(run), run.data()
    held, test = divided(data.train, run.recipe)[1], data.test
    if held is None or test is None:
        raise SystemExit(f"{name} holds no training images out, or has no test images.")
    logits, known = trained.logits(held.images), trained.logits(test.images)
    generator = torch.Generator().manual_seed(0)
    print("| images | error | coverage |\n|---|---|---|")
    for size in (each for each in SIZES if each <= len(held)):
        errors, coverages = [], []
        for _ in range(DRAWS if size < len(held) else 1):
            index = torch.randperm(len(held), generator=generator)[:size]
            found = Calibration.fit(logits[index], held.labels[index], "")
            errors.append(expected_calibration_error(found.probabilities(known), test.labels))
            coverages.append(set_score(found.sets(known, COVERAGE), test.labels, COVERAGE).coverage)
        cells = [
            " / ".join(f"{100 * value:.1f}" for value in torch.tensor(each).quantile(torch.tensor([0.1, 0.5, 0.9])))
            for each in (errors, coverages)
        ]
        print(f"| {size:,} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
