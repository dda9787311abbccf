"""Layers that take more than their share of the time: a sleeping one, and times that are given."""

import time

import pytest
import torch
from looked_at import finding, findings
from torch import Tensor, nn

from striate.inspection.advice import resources


class Sleeper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.05)
        return x.clone()


def network(*inside: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), *inside, nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 5)
    )


@pytest.mark.slow
def test_a_layer_that_sleeps_is_found() -> None:
    found = finding("slow-layer", network(Sleeper()), (1, 8, 8))
    assert found.layers == ("1",)
    assert found.numbers["multiply_adds_share"] == 0
    assert 0.5 < found.numbers["share"] <= 1
    assert found.numbers["bytes"] == 2 * 4 * 4 * 64
    assert found.surgery is None


def given(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
    monkeypatch.setattr(resources, "_measured", lambda network: (seconds, sum(seconds.values()), 2))


def test_what_counts_is_the_time_beside_the_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(nn.LocalResponseNorm(5), nn.Tanh())
    work = {"0": 9 * 4 * 64, "3": 9 * 16 * 64, "5": 4 * 64 * 5}
    given(monkeypatch, {name: count / sum(work.values()) for name, count in work.items()} | {"1": 0, "2": 0})
    assert findings("slow-layer", model, (1, 8, 8)) == []
    given(monkeypatch, {"0": 0.1, "3": 0.3, "5": 0.1, "1": 0.4, "2": 0.1})
    found = finding("slow-layer", model, (1, 8, 8))
    assert found.layers == ("1",)
    assert found.numbers["share"] == pytest.approx(0.4)
    assert found.numbers["time"] == pytest.approx(0.4 / 2)
    changed = found.apply(model, (1, 8, 8))
    assert isinstance(changed[1], nn.BatchNorm2d)
    assert changed(torch.randn(2, 1, 8, 8)).shape == (2, 5)
    given(monkeypatch, {"0": 0.6, "3": 0.3, "5": 0.1, "1": 0, "2": 0})
    found = finding("slow-layer", model, (1, 8, 8))
    assert found.layers == ("0",)
    assert found.numbers["multiply_adds_share"] == pytest.approx(work["0"] / sum(work.values()))
    assert found.change.startswith("With 1 input channel a group its time depends on the values that it writes")


def test_a_quarter_of_the_time_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(nn.ReLU())
    for seconds, is_found in ((25, True), (24, False)):
        given(monkeypatch, {"0": 0, "1": seconds, "2": 100 - seconds, "4": 0})
        assert bool(findings("slow-layer", model, (1, 8, 8))) is is_found


def test_three_times_its_share_of_the_multiply_adds_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    work = {"0": 9 * 4 * 64, "1": 9 * 16 * 64, "3": 4 * 64 * 5}
    for more, is_found in ((0, True), (-1, False)):
        mine = 3 * work["0"] + more
        given(monkeypatch, {"0": mine, "1": sum(work.values()) - mine, "3": 0})
        assert bool(findings("slow-layer", model, (1, 8, 8))) is is_found


def test_a_layer_that_hesitates_once_is_not_slow() -> None:
    class Hesitant(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += len(x) == 8  # the batch that counts in the end
            time.sleep(0.2 if len(x) == 8 and self.calls == 1 else 0)
            return x.clone()

    found = findings("slow-layer", network(Hesitant()), (1, 8, 8))
    assert all(each.numbers["time"] < 0.02 for each in found)


def test_a_costly_function_has_a_cheap_one_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(nn.Tanh())
    given(monkeypatch, {"0": 0.1, "2": 0.3, "4": 0.1, "1": 0.5})
    assert isinstance(finding("slow-layer", model, (1, 8, 8)).apply(model, (1, 8, 8))[1], nn.ReLU)


def test_layers_of_one_type_without_multiply_adds_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(nn.ReLU(), nn.ReLU())
    given(monkeypatch, {"0": 0.2, "1": 0.15, "2": 0.15, "3": 0.4, "5": 0.1})
    found = finding("slow-layer", model, (1, 8, 8))
    assert found.layers == ("1", "2")
    assert "2 layers (ReLU) take 30 % of the time" in found.found


def test_a_pooling_may_leave_its_step_to_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    given(monkeypatch, {"0": 0.5, "1": 0.5, "3": 0})
    assert "give the stride to the convolution before it" in finding("slow-layer", model, (1, 8, 8)).change
