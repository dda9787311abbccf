"""The `compare` function: accuracy of several models on the same images, and tests of their differences."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate.comparison.outcome import Outcome, outcome
from striate.comparison.result import Comparison, Pair, Row
from striate.comparison.significance import Correct, holm, mean_interval, paired
from striate.data import Dataset
from striate.data.loading import as_dataset
from striate.errors import ArgumentError, DataError
from striate.evaluation.metrics import wilson_interval
from striate.preprocess import Preprocess
from striate.runs import Run
from striate.runs.trained import classes_of
from striate.units import listed

Measurable = Run | Outcome | str | Path | nn.Module


def compare(
    runs: Mapping[str, Sequence[Measurable] | Measurable] | Iterable[Measurable] | Measurable,
    data: Any = None,
    *,
    device: str = "auto",
    preprocess: Preprocess | None = None,
    multiply_adds: Mapping[str, int | None] | None = None,
    failures: Mapping[str, str] | None = None,
    baseline: str | None = None,
) -> Comparison:
    """Compare trained models on the same images that none of them was trained on.

    Args:
        runs: runs, their folders, modules, or outcomes measured before: a list, in which runs that differ only in
            their seeds are one model and each module is one, or for each name of your choice the runs or modules of
            one model, trained with different seeds.
        data: what to measure them on, see `evaluate`; without it, what the runs' own data holds out.
        device: "auto", "cpu" or "cuda".
        preprocess: for modules, how images become their input, see `evaluate`.
        multiply_adds: for each name, `striate.describe(run).multiply_adds`.
        failures: reasons by the names of what could not be trained, to include in the result.
        baseline: the name that all others are compared with, and not with each other; fewer pairs prove more.

    Raises:
        ArgumentError: if there is nothing to compare, or a model has two runs with the same seed.
        DataError: if the runs were not measured on the same images, or have different classes.

    >>> two = {"trained": run.model(), "untrained": run.fresh_model()}
    >>> comparison = striate.compare(two, data, preprocess=run.preprocess)
    >>> comparison.pairs[0].better, comparison.pairs[0].real
    ('trained', True)
    """
    own: dict[tuple[Any, ...], Dataset] = {}
    whole = not isinstance(data, Dataset)
    named = {name: _as_list(group) for name, group in (runs if isinstance(runs, Mapping) else {"": runs}).items()}
    networks = [each for group in named.values() for each in group]
    if networks and data is not None and not isinstance(data, str | os.PathLike):  # read once for all
        data = as_dataset(data, classes=_classes(networks[0]))

    def measure(each: Measurable) -> Outcome:
        if isinstance(each, Outcome):
            return each
        if isinstance(each, nn.Module):
            return outcome(each, data, device=device, preprocess=preprocess, whole=whole)
        run = Run.of(each)
        return outcome(run, _own(run, own) if data is None else data, device=device, whole=data is not None and whole)

    if isinstance(runs, Mapping):
        groups = {name: _seeded([measure(each) for each in group]) for name, group in named.items() if group}
    else:
        groups = _grouped(_told_apart([measure(each) for each in named[""]]))
    everything = [each for group in groups.values() for each in group]
    if not everything:
        raise ArgumentError("there is no run to compare.")
    _require_same_images(everything)
    counts = multiply_adds or {}
    rows = [_row(name, group, counts.get(name)) for name, group in groups.items()]
    rows.sort(key=lambda row: -row.accuracy)
    first = everything[0]
    return Comparison(
        source=first.source,
        split=first.split,
        images=len(first.truth),
        classes=first.classes,
        rows=tuple(rows),
        pairs=_pairs(
            rows, {name: np.stack([each.correct for each in group]) for name, group in groups.items()}, baseline
        ),
        failures=dict(failures or {}),
        notes=tuple(dict.fromkeys(note for each in everything for note in each.notes)),
    )


def _classes(network: Measurable) -> Sequence[str] | None:
    """The class names of a network, if it has any."""
    if isinstance(network, nn.Module):
        return classes_of(network)
    return network.classes if isinstance(network, Outcome) else Run.of(network).classes


def _as_list(runs: Any) -> list[Measurable]:
    return [runs] if isinstance(runs, Measurable) else list(runs)


def _seeded(outcomes: list[Outcome]) -> list[Outcome]:
    """Number the modules of one model, whose seeds are unknown."""
    return [replace(each, seed=n) if not each.settings else each for n, each in enumerate(outcomes)]


def _told_apart(outcomes: list[Outcome]) -> list[Outcome]:
    """Number the modules of one name, which are models of their own."""
    counts = Counter(each.model for each in outcomes if not each.settings)
    seen: Counter[str] = Counter()
    named = []
    for each in outcomes:
        if not each.settings and counts[each.model] > 1:
            seen[each.model] += 1
            each = replace(each, model=f"{each.model} {seen[each.model]}")
        named.append(each)
    return named


def _own(run: Run, cache: dict[tuple[Any, ...], Dataset]) -> Dataset | None:
    """The run's own data, read once for all runs with the same input; `None` if it has changed."""
    key = (run.source, run.skip_bad, *run.preprocess.load_options.values())
    if key not in cache:
        cache[key] = run.data()
    return cache[key] if cache[key].fingerprint() == run.fingerprint else None  # `evaluate` then says what changed


def _grouped(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """Group the outcomes by model and recipe, under distinguishing names."""
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault((each.model, *each.settings.items()), []).append(each)
    named: dict[str, list[Outcome]] = {}
    for group in groups.values():
        model, settings = group[0].model, group[0].settings
        alternatives = [other[0].settings for other in groups.values() if other[0].model == model]
        own = [f"{key}={value}" for key, value in settings.items() if any(o.get(key) != value for o in alternatives)]
        named[f"{model} ({', '.join(own)})" if own else model] = group
    return named


def _require_same_images(outcomes: list[Outcome]) -> None:
    first = outcomes[0]
    for each in outcomes[1:]:
        if set(each.classes) != set(first.classes):
            raise DataError(
                f"{first.path} has the classes {listed(first.classes, 5)} and {each.path} {listed(each.classes, 5)}: "
                "only runs with the same classes can be compared."
            )
        if (each.source, each.split, each.truth) != (first.source, first.split, first.truth):
            raise DataError(
                f"{first.path} was measured on {len(first.truth):,} images of {first.source}, {first.split}, and "
                f"{each.path} on {len(each.truth):,} of {each.source}, {each.split}: compare on the same images."
            )


def _row(name: str, group: list[Outcome], multiply_adds: int | None) -> Row:
    seeds = tuple(each.seed for each in group)
    if len(set(seeds)) < len(seeds):
        twice = max(seeds, key=seeds.count)
        raise ArgumentError(f"{name} has more than one run with seed {twice}: they are the same training twice.")
    accuracies = tuple(float(each.correct.mean()) for each in group)
    if len(group) > 1:
        low, high = mean_interval(accuracies, step=1 / len(group[0].correct))
    else:
        low, high = wilson_interval(int(group[0].correct.sum()), len(group[0].correct))
    accuracy = float(np.mean(accuracies))
    return Row(
        name=name,
        seeds=seeds,
        accuracies=accuracies,
        accuracy=accuracy,
        interval=(max(0.0, low), min(1.0, high)),
        top1_error=1 - accuracy,
        top5_error=float(np.mean([each.top5_error for each in group])),
        parameters=group[0].parameters,
        multiply_adds=multiply_adds,
        train_seconds=_mean([each.train_seconds for each in group]),
        images_per_second=_mean([each.images_per_second for each in group]),
        curve=tuple((float(time), float(score)) for time, score in np.mean(_common([e.curve for e in group]), axis=0)),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _common(curves: Sequence[tuple[tuple[float, float], ...]]) -> np.ndarray:
    """The epochs common to all curves: float64 (seeds, epochs, 2)."""
    epochs = min(map(len, curves))
    return np.array([curve[:epochs] for curve in curves], dtype=np.float64).reshape(len(curves), epochs, 2)


def _pairs(rows: list[Row], correct: dict[str, Correct], baseline: str | None) -> tuple[Pair, ...]:
    chosen = [pair for pair in combinations([row.name for row in rows], 2) if baseline is None or baseline in pair]
    differences = [paired(correct[better], correct[other]) for better, other in chosen]
    corrected = holm([each.p for each in differences])
    rest = zip(chosen, differences, corrected, strict=True)
    return tuple(Pair(better, other, difference, p) for (better, other), difference, p in rest)
