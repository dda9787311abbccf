"""bfloat16 where it is faster: measured on a copy, kept in the run, and near to float32 in what it learns."""

import copy
from contextlib import nullcontext
from itertools import count

import pytest
import torch
from small_run import Dropping, dataset, recipe

import striate
from striate.acceleration import precision
from striate.acceleration.precision import fastest
from striate.data.loader import Loader
from striate.preprocess import Preprocess
from striate.runs import resume, train
from striate.training import Training, optimizers, recipes
from striate.training.optimizers import orthogonalized

CPU = torch.device("cpu")
IMAGES = torch.randn(4, 1, 8, 8)


def steps(kind: str, **settings) -> list[float]:
    data = dataset()
    batches = Loader(data.train, Preprocess(8, 8, 1), 16, seed=0)
    return [step.loss for step in Training(Dropping(), batches, recipe(augment="none", precision=kind, **settings))]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_muons_products_are_in_the_precision_of_the_run(kind, dtype, monkeypatch):
    updates = []

    def watched(matrix):
        updates.append(orthogonalized(matrix))
        return updates[-1]

    monkeypatch.setattr(optimizers, "orthogonalized", watched)
    steps(kind, optimizer="muon")
    assert {each.dtype for each in updates} == {dtype}


def test_bfloat16_learns_nearly_the_same():
    exact, near = steps("float32"), steps("bfloat16")
    assert exact != near
    assert near == pytest.approx(exact, rel=0.03)


class Clock:
    """Seconds, of which float32 takes as many as it is told and bfloat16 one."""

    def __init__(self, monkeypatch, float32):
        self.now = 0.0
        plain = precision._pass

        def passed(model, inputs, kind):
            plain(model, inputs, kind)
            self.now += float32 if kind == "float32" else 1.0

        monkeypatch.setattr(precision, "_pass", passed)

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("float32", "faster"), [(0.9, "float32"), (1.1, "bfloat16"), (1.0, "float32")])
def test_the_faster_one_is_chosen(monkeypatch, float32, faster):
    assert fastest(Dropping(), IMAGES, CPU, Clock(monkeypatch, float32)) == faster


def test_one_slow_pass_does_not_decide(monkeypatch):
    slow = count()
    clock = Clock(monkeypatch, 0.9)
    monkeypatch.setattr(precision, "SECONDS", 20.0)
    plain = precision._pass

    def disturbed(model, inputs, kind):
        plain(model, inputs, kind)
        clock.now += 5.0 * (next(slow) == 2)  # the first that is timed

    monkeypatch.setattr(precision, "_pass", disturbed)
    assert fastest(Dropping(), IMAGES, CPU, clock) == "float32"


@pytest.mark.parametrize(
    ("large", "chosen"), [({"float32"}, "bfloat16"), ({"bfloat16"}, "float32"), ({"float32", "bfloat16"}, "float32")]
)
def test_what_the_device_has_no_memory_for_is_not_chosen(monkeypatch, large, chosen):
    plain = precision._pass

    def small(model, inputs, kind):
        if kind in large:
            raise torch.OutOfMemoryError("a small card")
        plain(model, inputs, kind)

    monkeypatch.setattr(precision, "_pass", small)
    assert fastest(Dropping(), IMAGES, CPU) == chosen


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_the_trial_computes_convolutions_as_training_does(monkeypatch, kind):
    asked = []

    def noted(model, device, kind):
        asked.append((device, kind))
        return nullcontext()

    monkeypatch.setattr(precision, "training_convolutions", noted)
    precision._pass(Dropping(), IMAGES, kind)
    assert asked == [(CPU, kind)]


@pytest.mark.slow
@pytest.mark.parametrize("model", [Dropping(), striate.create("quicknet_s", image_size=8)], ids=["dropout", "norms"])
def test_the_trial_leaves_no_trace(model):
    before, numbers = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert fastest(model, IMAGES, CPU) in ("float32", "bfloat16")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), numbers)


@pytest.mark.slow
def test_networks_with_auxiliary_classifiers_can_be_tried():
    model = striate.create("googlenet", 10, 3, 64)
    assert fastest(model, torch.randn(2, 3, 64, 64), CPU) in ("float32", "bfloat16")


@pytest.mark.parametrize("has", [True, False])
def test_a_run_keeps_what_was_chosen(monkeypatch, tmp_path, has):
    tried = []

    def always(model, inputs, device):
        tried.append(tuple(inputs.shape))
        return "bfloat16"

    monkeypatch.setattr(recipes, "supported", lambda device: has)
    monkeypatch.setattr(recipes, "fastest", always)
    run = train(Dropping(), dataset(), recipe(epochs=1), out=tmp_path / "run")
    assert run.recipe.precision == ("bfloat16" if has else "float32")
    assert tried == ([(16, 1, 8, 8)] if has else [])
    assert resume(run.path, model=Dropping(), data=dataset()).recipe == run.recipe
    train(Dropping(), dataset(), recipe(epochs=1, precision="float32"), out=tmp_path / "other")
    assert len(tried) == has, "nothing is measured where the recipe says it"


def test_a_processor_without_the_instructions_is_not_measured(monkeypatch):
    for has, told in (({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has, raising=False)
        assert precision.supported(CPU) is told
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision.supported(CPU) is False
