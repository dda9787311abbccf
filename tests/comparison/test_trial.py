"""A network beside changed ones: what helped, what hurt, and what could not be trained."""

import json

import pytest
import torch
from small_run import Dropping, dataset, recipe
from torch import Tensor, nn

from striate.comparison import trial
from striate.comparison.trial import ORIGINAL
from striate.data import Dataset
from striate.errors import ArgumentError, DataError, RunError


class Blind(nn.Module):
    """Sees nothing and so learns nothing."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))
        self.dense = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.flatten(1)[:, :1] * 0) + self.bias


class Exploding(Blind):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (torch.nan if self.training else 1)


def learning(seed: int) -> nn.Module:
    return Dropping(seed)


QUICK = recipe(epochs=6, learning_rate=0.05, augment="none")


@pytest.fixture(scope="module")
def data() -> Dataset:
    made = dataset(200)
    return Dataset("shapes", made.classes, made.train, None, dataset(100).train)


@pytest.mark.slow
def test_a_change_that_hurts_and_one_that_changes_nothing(data: Dataset) -> None:
    began: list[tuple[str, int]] = []

    def begin(name: str, seed: int):
        began.append((name, seed))
        from contextlib import nullcontext

        return nullcontext(lambda event: None)

    found = trial(learning, {"blind": Blind, "same": learning}, data, QUICK, seeds=2, begin=begin, device="cpu")
    assert found.verdicts == {"blind": "hurt", "same": "unproved"}
    assert began == [(name, seed) for seed in (0, 1) for name in (ORIGINAL, "blind", "same")]
    rows = {row.name: row for row in found.comparison.rows}
    assert rows["same"].accuracies == rows[ORIGINAL].accuracies, "equal networks, data, order and seeds"
    assert rows[ORIGINAL].seeds == (0, 1)
    text = found.text()
    gap = 100 * (rows["blind"].accuracy - rows[ORIGINAL].accuracy)
    assert f"blind: it hurt, \N{MINUS SIGN}{-gap:.2f} points" in text
    own = f"{rows[ORIGINAL].parameters:,}"
    sentence = "same: no significant difference. +0.00 points on average, with as many parameters"
    assert f"{sentence}, {own}; by 2 seeds it may be" in text
    assert f"with 9 parameters instead of {own}" in text
    assert [{pair.better, pair.other} for pair in found.comparison.pairs] == [{ORIGINAL, "same"}, {ORIGINAL, "blind"}]
    assert json.loads(json.dumps(found.to_dict()))["verdicts"]["blind"] == "hurt"


@pytest.mark.slow
def test_a_change_that_helps(data: Dataset) -> None:
    found = trial(Blind, {"seeing": learning}, data, QUICK, seeds=2, device="cpu")
    assert found.verdicts == {"seeing": "helped"}
    assert "seeing: it helped, +" in found.text()
    assert "More seeds" not in found.text()
    assert "None of them has learned" not in found.text()


class Moody(Dropping):
    """Learns with the first seed, and is blind with all others."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.sight = float(seed == 0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.sight)


@pytest.mark.slow
def test_a_large_difference_that_few_seeds_can_not_prove_is_told_with_its_interval(data: Dataset) -> None:
    found = trial(learning, {"moody": Moody}, data, QUICK, seeds=2, device="cpu")
    (pair,) = found.comparison.pairs
    gap, low, high = (f"{-100 * each:+.2f}".replace("-", "\N{MINUS SIGN}") for each in
                      (pair.difference.mean, *reversed(pair.difference.interval)))  # fmt: skip
    assert pair.difference.mean > 0.15
    assert found.verdicts == {"moody": "unproved"}
    last, more = found.text().splitlines()[-2:]
    assert last.startswith(f"moody: no significant difference. {gap} points on average, with ")
    assert f"; by 2 seeds it may be anything from {low} to {high} (95 %), p = {pair.corrected:.2f}." in last
    assert more == "More seeds could show which of these differences are real."


@pytest.mark.slow
def test_one_training_each_speaks_of_these_networks_only(data: Dataset) -> None:
    found = trial(learning, {"blind": Blind, "same": learning}, data, QUICK, seeds=1, device="cpu")
    assert "blind: it hurt in this one training, " in found.text()
    assert "same: no significant difference. +0.00 points, with " in found.text()
    assert "by one training and these images it may be anything from " in found.text()


def test_a_trial_too_short_to_tell_says_so(data: Dataset) -> None:
    found = trial(Blind, {"blind": Blind}, data, QUICK.replace(epochs=1), seeds=1, device="cpu")
    assert "None of the networks has learned much yet" in found.text()


@pytest.mark.slow
def test_what_diverges_fails_alone(data: Dataset) -> None:
    found = trial(learning, {"wild": Exploding, "same": learning}, data, QUICK, seeds=1, device="cpu")
    assert found.comparison.failures == {"wild": "the loss diverged"}
    assert set(found.verdicts) == {"same"}
    with pytest.raises(RunError, match="as it is could not be trained: the loss diverged"):
        trial(Exploding, {"same": learning}, data, QUICK, seeds=1, device="cpu")


def test_what_it_takes(data: Dataset) -> None:
    with pytest.raises(ArgumentError, match="a change and a seed"):
        trial(learning, {}, data, QUICK)
    with pytest.raises(DataError, match="has no test or val images"):
        trial(learning, {"same": learning}, Dataset("shapes", data.classes, data.train), QUICK)
