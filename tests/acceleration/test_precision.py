"""bfloat16 where it pays: chosen by a rule, kept in the run, and near to float32 in what it learns."""

import copy
import time

import pytest
import torch
from small_run import Dropping, dataset, recipe
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import striate
from striate.acceleration import precision
from striate.acceleration.precision import multiply_adds, usual
from striate.data.loader import Loader
from striate.models import evaluating
from striate.preprocess import Preprocess
from striate.runs import resume, train
from striate.training import Training, optimizers
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


@pytest.fixture
def bfloat16(monkeypatch):
    """A device with instructions for bfloat16."""
    monkeypatch.setattr(precision, "supported", lambda device: True)


def test_multiply_adds_are_those_of_the_layers():
    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 8 * 8, 10))
    assert multiply_adds(model, IMAGES[:1]) == 8 * 8 * 6 * 25 + 6 * 8 * 8 * 10
    grouped = nn.Conv2d(8, 8, 3, groups=4)
    assert multiply_adds(grouped, torch.zeros(2, 8, 5, 5)) == 2 * 3 * 3 * 8 * 2 * 9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "quicknet_s", "efficientnet_b0", "convnext_tiny", "seresnet50"])
def test_multiply_adds_are_half_of_pytorchs_count_of_operations(name):
    model, image = striate.create(name), torch.zeros(1, 1, 28, 28)
    with evaluating(model), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(image)
    assert multiply_adds(model, image) == counter.get_total_flops() // 2 > 0


def test_enough_work_makes_it_bfloat16(bfloat16):
    one, least = multiply_adds(Dropping(), IMAGES[:1]), precision.LEAST_WORK["cpu"]
    assert usual(Dropping(), IMAGES, -(-least // one), CPU) == "bfloat16"
    assert usual(Dropping(), IMAGES, least // one - 1, CPU) == "float32"


@pytest.mark.parametrize(
    ("name", "batch", "chosen"),
    [("lenet5_modern", 128, "bfloat16"), ("fashion_cnn", 128, "bfloat16"), ("quicknet_m", 64, "bfloat16"),
     ("mlp", 32, "float32"), ("lenet5", 1, "float32")],
)  # fmt: skip
def test_networks_measured_on_two_processors(bfloat16, name, batch, chosen):
    """docs/benchmarks/xeon.md and epyc-avx512-quick.md: the first two train 1.1 to 3.1 times as fast in bfloat16."""
    model = striate.create(name, seed=0)
    assert usual(model, torch.zeros(1, 1, 28, 28), batch, CPU) == chosen


def test_no_clock_takes_part(bfloat16, monkeypatch):
    for name in ("perf_counter", "monotonic", "process_time", "time"):
        monkeypatch.setattr(time, name, lambda: pytest.fail("looked at the clock"))
    assert usual(Dropping(), IMAGES, 10**9, CPU) == "bfloat16"


def test_the_choice_leaves_no_trace(bfloat16):
    model = nn.Sequential(nn.BatchNorm2d(1), Dropping())
    before, numbers = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    usual(model, IMAGES, 64, CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), numbers)


@pytest.mark.parametrize("has", [True, False])
def test_a_run_keeps_what_was_chosen(monkeypatch, tmp_path, has):
    monkeypatch.setattr(precision, "supported", lambda device: has)
    monkeypatch.setitem(precision.LEAST_WORK, "cpu", 1)
    run = train(Dropping(), dataset(), recipe(epochs=1), out=tmp_path / "run")
    assert run.recipe.precision == ("bfloat16" if has else "float32")
    assert resume(run.path, model=Dropping(), data=dataset()).recipe == run.recipe
    other = train(Dropping(), dataset(), recipe(epochs=1, precision="float32"), out=tmp_path / "other")
    assert other.recipe.precision == "float32"


def test_only_processors_with_the_instructions_are_told(monkeypatch):
    for has, told in (({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has, raising=False)
        assert precision.supported(CPU) is told
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision.supported(CPU) is False
