"""Optimisers: the right one, over the right parameters, with decay on weights only."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate import models
from striate.training import Recipe
from striate.training.optimizers import COEFFICIENTS, NEWTON_SCHULZ_STEPS, Muon, optimizer_of, orthogonalized


def small():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("kind", ["sgd", "adamw", "nadam", "muon"])
def test_decay_acts_on_weights_and_not_on_biases_or_scales(kind):
    model = small()
    optimizer = optimizer_of(Recipe(optimizer=kind, weight_decay=0.1), model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.1, 0, 0, 0, 0.1, 0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


@pytest.mark.parametrize(
    ("settings", "kind", "defaults"),
    [
        ({"optimizer": "adamw"}, torch.optim.AdamW, {}),
        ({"optimizer": "nadam"}, torch.optim.NAdam, {}),
        ({"momentum": 0.8}, torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        ({"momentum": 0.8, "nesterov": False}, torch.optim.SGD, {"momentum": 0.8, "nesterov": False}),
        ({"momentum": 0}, torch.optim.SGD, {"momentum": 0, "nesterov": False}),
    ],
)
def test_a_recipe_names_its_optimizer(settings, kind, defaults):
    optimizer = optimizer_of(Recipe(learning_rate=0.03, **settings), small())
    assert isinstance(optimizer, kind)
    for group in optimizer.param_groups:
        assert group["lr"] == 0.03
        assert defaults.items() <= group.items()


@pytest.mark.parametrize(
    ("settings", "same", "difference"),
    [
        ({"optimizer": "adamw"}, lambda groups: torch.optim.AdamW(groups, lr=0.03), 0),
        ({"optimizer": "nadam"}, lambda groups: torch.optim.NAdam(groups, lr=0.03), 0),
        ({}, lambda groups: torch.optim.SGD(groups, lr=0.03, momentum=0.9, nesterov=True), 1e-7),
    ],
)
def test_updates_are_those_of_pytorchs_optimizers(settings, same, difference):
    model, images = small(), torch.randn(3, 2, 1, 4, 4)
    copied = copy.deepcopy(model)
    optimizer = optimizer_of(Recipe(learning_rate=0.03, momentum=0.9, weight_decay=0.1, **settings), model)
    decay = {len(group["params"]): group["weight_decay"] for group in optimizer.param_groups}
    weights = [parameter for parameter in copied.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in copied.parameters() if parameter.ndim == 1]
    other = same([{"params": weights, "weight_decay": decay[2]}, {"params": rest, "weight_decay": decay[4]}])
    for step in range(3):
        for network, each in ((model, optimizer), (copied, other)):
            each.zero_grad()
            network(images[step]).square().mean().backward()
            each.step()
    for own, its in zip(model.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(own, its, rtol=0, atol=difference)
    assert optimizer.state_dict()["state"].keys() == other.state_dict()["state"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam", "muon"])
def test_training_does_not_import_pytorchs_compiler(optimizer, tmp_path):
    """A second from Enter: torch._dynamo, and sympy with it."""
    program = (
        "import sys, striate\n"
        f"run = striate.train('quicknet_s', epochs=1, optimizer='{optimizer}', out=sys.argv[1])\n"
        "striate.evaluate(run)\n"
        "print(sorted({'torch._dynamo', 'sympy', 'sklearn'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


def test_what_is_frozen_is_left_out_and_no_group_is_empty():
    model = small()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    held = {id(p) for group in optimizer_of(Recipe(), model).param_groups for p in group["params"]}
    assert held == {id(p) for layer in model[1:] for p in layer.parameters()}
    assert len(optimizer_of(Recipe(), nn.Linear(2, 2, bias=False)).param_groups) == 1


def test_lenet5s_prototypes_are_not_trained_and_its_coefficients_do_not_decay():
    model = models.create("lenet5")
    groups = optimizer_of(Recipe(weight_decay=0.1), model).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(p.numel() for group in groups for p in group["params"]) == 60_000
    assert decay[id(model.s2.weight)] == 0
    assert decay[id(model.c3.weight)] == 0.1


def matrix(outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))


def by_singular_values(values: np.ndarray) -> np.ndarray:
    """The iteration acts on each singular value alone, as an odd polynomial: an independent way to the same matrix."""
    u, s, vt = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    a, b, c = COEFFICIENTS
    for _ in range(NEWTON_SCHULZ_STEPS):
        s = a * s + b * s**3 + c * s**5
    return u @ np.diag(s) @ vt * max(1, values.shape[0] / values.shape[1]) ** 0.5


@given(outputs=st.integers(1, 40), inputs=st.integers(1, 40), seed=st.integers(0, 99))
def test_it_equals_the_polynomial_of_the_singular_values(outputs: int, inputs: int, seed: int):
    given_matrix = matrix(outputs, inputs, seed)
    expected = by_singular_values(given_matrix.numpy())
    np.testing.assert_allclose(orthogonalized(given_matrix).numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("inputs", [40, 400])
@pytest.mark.parametrize("decay", [1.0, 2.0])
def test_in_bfloat16_it_is_near_where_singular_values_differ_by_orders_of_magnitude(inputs: int, decay: float):
    left, right = (torch.linalg.qr(matrix(size, 32, seed))[0] for seed, size in ((1, 32), (2, inputs)))
    given_matrix = left * torch.arange(1, 33) ** -decay @ right.T
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = orthogonalized(given_matrix)
    expected = torch.from_numpy(by_singular_values(given_matrix.numpy()))
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < 0.1 * expected.norm()


def test_singular_values_come_near_one():
    values = torch.linalg.svdvals(orthogonalized(matrix(16, 400)))
    assert values.min() > 0.5
    assert values.max() < 1.3


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_the_size_of_the_gradient_does_not_matter(scale: float):
    torch.testing.assert_close(orthogonalized(matrix(4, 9) * scale), orthogonalized(matrix(4, 9)), rtol=1e-3, atol=1e-4)


def test_a_gradient_of_zero_moves_nothing():
    assert torch.equal(orthogonalized(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_a_group_that_is_not_orthogonal_is_nesterov_sgd():
    ours, theirs = (nn.Parameter(matrix(3, 4)) for _ in range(2))
    muon = Muon([{"params": [ours]}], lr=0.1, momentum=0.8)
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.8, nesterov=True)
    for seed in range(4):
        for parameter, optimizer in ((ours, muon), (theirs, sgd)):
            parameter.grad = matrix(3, 4, seed)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_the_first_orthogonal_step_by_hand():
    weight = nn.Parameter(matrix(6, 18).view(6, 2, 3, 3).to(memory_format=torch.channels_last))
    before = weight.detach().clone()
    gradient = matrix(6, 18, 1).view(6, 2, 3, 3)
    weight.grad = gradient.clone()
    Muon([{"params": [weight], "orthogonal": True}], lr=0.1, momentum=0.9, weight_decay=0.5).step()
    update = torch.from_numpy(by_singular_values(gradient.flatten(1).numpy())).float().view(6, 2, 3, 3)
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5) - 0.1 * update, rtol=1e-3, atol=1e-4)


def test_only_hidden_weights_move_orthogonally():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 3))
    groups = optimizer_of(Recipe(optimizer="muon", weight_decay=0.1), model).param_groups
    shapes = [[tuple(p.shape) for p in group["params"]] for group in groups]
    assert shapes == [[(4, 1, 3, 3), (8, 16)], [(3, 8)], [(4,), (8,), (3,)]]
    assert [group["orthogonal"] for group in groups] == [True, False, False]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.1, 0.0]
