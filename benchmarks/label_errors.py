"""How many changed labels are found: `python -m benchmarks.label_errors`, beside cleanlab where it is installed.

A twentieth of the labels is changed to another class by a seed. Every image then gets probabilities by a layer that was
fitted to other images, and the images are sorted by suspicion; the result is the share of changed labels among as many
suspects as there are changed labels, precision and recall at once. Cleanlab, which Striate does not need, sorts by the
same probabilities: `--cleanlab PYTHON` names an interpreter that has it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import striate
from striate.data.lazy import joined
from striate.inspection.audits.features import extractor, own_preprocess, reduced
from striate.inspection.audits.labels import confident_joint, suspicion
from striate.training import cross_validated

SHARE = 0.05
_CLEANLAB = """
import json, sys
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import order_label_issues
kept = np.load(sys.argv[1])
labels, probabilities, every = kept["labels"], kept["probabilities"], np.ones(len(kept["labels"]), dtype=bool)
orders = {
    name: order_label_issues(every, labels, probabilities, rank_by=name).tolist()
    for name in ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
}
issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")
orders["find_label_issues"] = issues.tolist()
print(json.dumps(orders))
"""


def features_and_labels(source: str, most: int) -> tuple[Tensor, Tensor, int]:
    """Features of a data set's images, their labels, and the number of classes; of a larger one, the first images."""
    detailed = source not in ("fashion-mnist", "mnist", "digits")
    options = {"image_size": 224, "fit": "crop", "crop": own_preprocess(True).crop} if detailed else {}
    data = striate.load(source, skip_bad=True, **options)
    splits = [split for _, split in data.splits()]
    images = joined([split.images for split in splits])
    labels = torch.cat([split.labels for split in splits])[:most]
    network = extractor(detailed, torch.device("cpu"))
    if network is None:
        raise SystemExit("needs pip install 'striate[pretrained]'")
    return (
        torch.cat([network.features(images[part]) for part in torch.arange(len(labels)).split(512)]),
        labels,
        len(data.classes),
    )


def changed(labels: Tensor, classes: int, seed: int) -> tuple[Tensor, set[int]]:
    """Labels of which a twentieth is another class, and the positions of those."""
    random = np.random.default_rng(seed)
    places = random.choice(len(labels), round(SHARE * len(labels)), replace=False)
    noisy = labels.clone()
    noisy[places] = (labels[places] + torch.from_numpy(random.integers(1, classes, len(places)))) % classes
    return noisy, set(places.tolist())


def cleanlab_orders(python: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[int]]:
    """The images by cleanlab's suspicion, by each of its scores; empty where it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "probabilities.npz")
        np.savez(file, probabilities=probabilities, labels=labels)
        done = subprocess.run([python, "-W", "ignore", "-c", _CLEANLAB, file], capture_output=True, text=True)
    if done.returncode:
        print(f"without cleanlab: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def measure(source: str, most: int, seeds: int, python: str) -> None:
    """Print a row a way of sorting: the shares found, seed by seed."""
    began = time.monotonic()
    features, labels, classes = features_and_labels(source, most)
    print(f"\n{source}: {len(labels):,} images, {classes} classes; features in {time.monotonic() - began:.0f} s")
    rows: dict[str, list[float]] = {}
    for seed in range(seeds):
        began = time.monotonic()
        noisy, places = changed(labels, classes, seed)
        found = cross_validated(reduced(features), noisy, classes)
        assert found is not None
        probabilities, given = found.numpy(), noisy.numpy()
        spent = time.monotonic() - began
        orders = {"striate": suspicion(probabilities, given).tolist()}
        orders |= {f"cleanlab {name}": order for name, order in cleanlab_orders(python, probabilities, given).items()}
        for name, order in orders.items():
            rows.setdefault(name, []).append(len(places & set(order[: len(places)])) / len(places))
        joint = confident_joint(probabilities, given)
        print(f"seed {seed}: {len(places)} changed, {joint.sum() - np.trace(joint)} estimated; fitted in {spent:.0f} s")
    print("| sorted by | mean | each seed |\n|---|---|---|")
    for name, shares in rows.items():
        print(f"| {name} | {np.mean(shares):.1%} | {', '.join(f'{share:.1%}' for share in shares)} |", flush=True)


def main() -> None:
    """Measure the data sets named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_errors", description=__doc__)
    parser.add_argument("sources", nargs="+", help="fashion-mnist, or the path of a folder of images")
    parser.add_argument("--most", type=int, default=10_000, help="images; of a larger data set the first")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cleanlab", default=sys.executable, help="an interpreter that has cleanlab")
    given = parser.parse_args()
    for source in given.sources:
        measure(source, given.most, given.seeds, given.cleanlab)


if __name__ == "__main__":
    main()
