"""Trials of changes to a network: the original and changed networks, trained alike and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from striate.comparison.comparing import compare
from striate.comparison.outcome import Outcome, outcome
from striate.comparison.result import Comparison, Pair, p_value, points
from striate.data import Dataset
from striate.errors import ArgumentError, DataError, DivergedError, InterruptedRunError, RunError
from striate.models import Normalization
from striate.runs import train
from striate.runs.events import Observer
from striate.training import Recipe

ORIGINAL = "as it is"
LEARNED = 0.1  # of the way from chance to perfect accuracy; a verdict before that is on the beginning of training

Begin = Callable[[str, int], AbstractContextManager[Observer]]


def _silently(name: str, seed: int) -> AbstractContextManager[Observer]:
    return nullcontext(lambda event: None)


@dataclass(frozen=True)
class Trial:
    """Comparison of a network with changed ones, made by `trial`.

    Args:
        comparison: the networks as `compare` measures them, the original under the name `ORIGINAL`.

    >>> small = lambda seed: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> found = trial(small, {"again": small}, data, striate.Recipe(epochs=1), seeds=2)
    >>> sorted(row.name for row in found.comparison.rows)
    ['again', 'as it is']
    """

    comparison: Comparison

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each changed network: "helped", "hurt" or "unproved"."""
        return {name: self._verdict(name, pair) for name, pair in self._pairs().items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"verdicts": self.verdicts, "comparison": self.comparison.to_dict()}

    def text(self) -> str:
        """The comparison's tables, and a sentence for each change."""
        lines = [self._sentence(name, pair) for name, pair in self._pairs().items()]
        if "unproved" in self.verdicts.values():
            lines.append("More seeds could show which of these differences are real.")
        chance = 1 / len(self.comparison.classes)
        if self.comparison.rows[0].accuracy < chance + LEARNED * (1 - chance):
            lines.append("None of the networks has learned much yet: longer training may change the verdict.")
        return "\n\n".join([self.comparison.text(), "\n".join(lines)])

    def _sentence(self, name: str, pair: Pair) -> str:
        """The change's difference in accuracy, its significance, and the size of both networks."""
        rows = {row.name: row for row in self.comparison.rows}
        sign = 1 if pair.better == name else -1  # of 0 too, which "+ 0.0" keeps from being −0
        gap = points(sign * pair.difference.mean + 0.0)
        low, high = map(points, sorted(sign * bound + 0.0 for bound in pair.difference.interval))
        p, several = p_value(pair.corrected), pair.difference.seeds
        own, before = rows[name].parameters, rows[ORIGINAL].parameters
        size = (
            f"with {own:,} parameters instead of {before:,}" if own != before else f"with as many parameters, {own:,}"
        )
        if pair.real:
            where = "" if several else " in this one training"
            return f"{name}: it {self._verdict(name, pair)}{where}, {gap} points (95 % {low} to {high}), {p}, {size}."
        basis = f"{len(rows[name].seeds)} seeds" if several else "one training and these images"
        return (
            f"{name}: no significant difference. {gap} points{' on average' if several else ''}, {size}; by {basis} "
            f"it may be anything from {low} to {high} (95 %), {p}."
        )

    def _pairs(self) -> dict[str, Pair]:
        """Each changed network's pair with the original."""
        return {pair.better if pair.other == ORIGINAL else pair.other: pair for pair in self.comparison.pairs}

    def _verdict(self, name: str, pair: Pair) -> str:
        if not pair.real:
            return "unproved"
        return "helped" if pair.better == name else "hurt"


def trial(
    original: Callable[[int], nn.Module],
    changes: Mapping[str, Callable[[int], nn.Module]],
    data: Dataset,
    recipe: Recipe,
    *,
    seeds: int = 3,
    normalization: Normalization | None = None,
    multiply_adds: Mapping[str, int | None] | None = None,
    device: str = "auto",
    begin: Begin = _silently,
) -> Trial:
    """Train a network and changed ones alike, and compare them on held-out images.

    Nothing is kept of the trainings. A change whose training diverges, or runs out of memory, fails alone.

    Args:
        original: makes the network for a seed, with fresh weights.
        changes: make it changed, by their names.
        data: with images held out.
        recipe: for all of them, with its epochs or its budget; the seed is set here.
        seeds: how often each is trained, with the seeds 0, 1, …
        normalization: mean and standard deviation of each channel that images are brought to; the data's if not given.
        multiply_adds: of each network, by name, for the table.
        device: "auto", "cpu" or "cuda".
        begin: called with the name and seed of each training, returns its observer.

    Raises:
        ArgumentError: without a change, or for no seed.
        DataError: if the data has no test or val images.
        RunError: if the original, or every change, could not be trained.

    >>> small = lambda seed: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> large = lambda seed: nn.Sequential(nn.Flatten(), nn.Linear(64, 99), nn.ReLU(), nn.Linear(99, 10))
    >>> found = trial(small, {"a hidden layer": large}, data, striate.Recipe(epochs=1), seeds=2)
    >>> found.comparison.images, len(found.verdicts)
    (359, 1)
    """
    if not changes or seeds < 1:
        raise ArgumentError("a trial takes a change and a seed at least.")
    if data.held_out is None:
        raise DataError(
            f"{data.source} has no test or val images to measure the change on: give it a test or a val split."
        )
    makers = {ORIGINAL: original, **changes}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in makers}
    failures: dict[str, str] = {}
    for seed in range(seeds):
        for name, make in makers.items():
            if name in failures:
                continue
            module = make(seed)
            vars(module).pop("architecture", None)  # both are trained as modules of somebody's, on equal terms
            vars(module)["normalization"] = normalization
            try:
                outcomes[name].append(_trained(module, data, recipe.replace(seed=seed), device, begin(name, seed)))
            except InterruptedRunError:
                raise InterruptedRunError("stopped; nothing is kept of a trial.") from None
            except RunError as error:
                failures[name] = _cause(error)
    whole = {name: each for name, each in outcomes.items() if name not in failures}
    if ORIGINAL in failures or len(whole) < 2:
        raise RunError("; ".join(f"{name} could not be trained: {reason}" for name, reason in failures.items()))
    return Trial(compare(whole, multiply_adds=multiply_adds, failures=failures, baseline=ORIGINAL))


def _trained(
    module: nn.Module, data: Dataset, recipe: Recipe, device: str, observation: AbstractContextManager[Observer]
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="striate-trial-") as folder, observation as observer:
        run = train(module, data, recipe, out=Path(folder) / "run", device=device, observer=observer)
        return outcome(run, data, device=device, model=module)


def _cause(error: RunError) -> str:
    """The reason of a failure, without the advice about a folder that is gone."""
    return "the loss diverged" if isinstance(error, DivergedError) else str(error).split(":")[0]
