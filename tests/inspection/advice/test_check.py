"""`advise` as a whole: networks of several kinds, what it returns, and what it can't take."""

import json

import pytest
import torch
from foreign import Tutorial, residual
from torch import nn

from striate import models
from striate.errors import ArgumentError, ShapeError
from striate.inspection import Advice, advise
from striate.inspection.advice import RULES


def large() -> nn.Sequential:
    """A 5×5 second layer that is no wider, and a flattened head."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 40), nn.ReLU(), nn.Linear(40, 5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def advice() -> Advice:
    return advise(
        large(), input_shape=(1, 12, 12), device="cpu", rules=[rule for rule in RULES if rule != "slow-layer"]
    )


def test_findings_stand_in_the_order_of_the_rules(advice: Advice) -> None:
    assert [each.rule for each in advice.findings] == ["large-kernel", "narrow-stage", "flattened-head"]
    assert advice.passed == ("small-field", "large-field", "skipping-stride", "memory")
    assert set(advice.skipped) == {"dead-units", "saturated-activation"}
    assert advice.parameters == sum(p.numel() for p in large().parameters())


def test_the_text_has_every_number_and_breaks_its_lines(advice: Advice) -> None:
    first, *rest = advice.text().splitlines()
    text = " ".join(advice.text().split())
    assert first.startswith(f"Sequential, 1×12×12: {advice.parameters:,} parameters, ")
    assert first.endswith("; 3 findings")
    assert "1  large-kernel: 3" in rest
    saved = advice.findings[2].saves.parameters
    assert saved == 35 * 8 * 40
    assert f"That saves {saved:,} parameters ({saved / advice.parameters:.0%})".replace("%", " %") in text
    assert "adds" in text.partition("narrow-stage")[2].partition("flattened-head")[0]
    assert "Passed: small-field, large-field, skipping-stride, memory." in text
    assert "Skipped: dead-units, saturated-activation, because it needs a trained network and images." in text
    assert max(map(len, rest)) <= 110


def test_the_dictionary_is_plain(advice: Advice) -> None:
    values = json.loads(json.dumps(advice.to_dict()))
    assert values["input_shape"] == [1, 12, 12]
    assert [each["automatic"] for each in values["findings"]] == [True, True, True]
    assert values["findings"][0]["saves"] == {"parameters": 1608 - 2 * 584, "multiply_adds": 448 * 36}
    assert values["findings"][0]["numbers"]["weights"] == 1600


def test_changes_are_made_on_a_copy_and_from_a_seed(advice: Advice) -> None:
    model = large()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    change = advice.findings[0]
    first, again, other = (change.apply(model, (1, 12, 12), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["3.0.weight"], other["3.0.weight"])
    assert all(torch.equal(first[name], before[name]) for name in ("0.weight", "6.weight", "8.weight"))


@pytest.mark.parametrize(
    ("model", "shape"), [(residual(), (3, 12, 12)), (Tutorial(), (3, 32, 32)), (models.create("lenet5"), (1, 28, 28))]
)
def test_networks_of_any_kind(model: nn.Module, shape: tuple[int, int, int]) -> None:
    modes = [module.training for module in model.modules()]
    height, width = shape[1:]
    images = torch.randint(0, 256, (100, height, width, shape[0]), dtype=torch.uint8)
    advice = advise(model, images, device="cpu")
    assert set(advice.passed) | {each.rule for each in advice.findings} == set(RULES)
    assert advice.input_shape == shape
    assert advice.images == 100
    assert [module.training for module in model.modules()] == modes


def test_what_has_no_automatic_change_says_so() -> None:
    shallow = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    (found,) = advise(shallow, input_shape=(1, 28, 28), rules=["small-field"], device="cpu").findings
    with pytest.raises(ArgumentError, match="small-field has no automatic change: where to deepen"):
        found.apply(shallow, (1, 28, 28))


def test_bad_input_is_named() -> None:
    with pytest.raises(ArgumentError, match="mlp has no convolutions to advise on; its layers are flatten, hidden1"):
        advise(models.create("mlp"))
    with pytest.raises(ArgumentError, match="unknown rule 'large-kernal'"):
        advise(large(), input_shape=(1, 12, 12), rules=["large-kernal"])
    with pytest.raises(ShapeError, match="can't take an image of 1×9×9"):
        advise(large(), input_shape=(1, 9, 9))
    with pytest.raises(ArgumentError, match="pass input_shape="):
        advise(large())
