"""The MAP loss against equation 9 in NumPy, its limits, and the losses that recipes name."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, seeds

from striate.training import Recipe, map_loss
from striate.training.losses import balanced_weights, loss_of


def equation_9(distances, targets, penalty):
    """E = (1/P) sum over p of y_D + log(e^(-j) + sum over i of e^(-y_i)), as the paper writes it."""
    total = 0.0
    for y, d in zip(distances, targets, strict=True):
        total += y[d] + math.log(math.exp(-penalty) + sum(math.exp(-y_i) for y_i in y))
    return total / len(targets)


@quick
@given(seeds, st.integers(1, 6), st.integers(2, 10), st.floats(0.1, 30))
def test_map_loss_is_equation_9(seed, count, classes, penalty):
    rng = np.random.default_rng(seed)
    distances, targets = rng.uniform(0, 40, (count, classes)), rng.integers(0, classes, count)
    loss = map_loss(torch.from_numpy(-distances), torch.from_numpy(targets), penalty)
    assert loss.item() == pytest.approx(equation_9(distances, targets, penalty), rel=1e-9)
    assert loss.item() > 0


def test_without_rubbish_it_is_cross_entropy_and_the_penalty_only_adds():
    logits, targets = -torch.tensor([[1.0, 4.0, 9.0]]), torch.tensor([1])
    losses = [map_loss(logits, targets, penalty).item() for penalty in (0.1, 1, 5, 200)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item())


def test_distances_far_beyond_the_penalty_are_not_pushed_further():
    """The gradient at a wrong class dies out, and stays finite, where its distance is large."""
    distances = torch.tensor([[1.0, 5.0, 1000.0]], requires_grad=True)
    map_loss(-distances, torch.tensor([0]), 10).backward()
    right, near, far = distances.grad[0].tolist()
    assert right > 0 > near
    assert far == 0
    distances = torch.tensor([[1000.0, 1001.0, 2000.0]], requires_grad=True)
    loss = map_loss(-distances, torch.tensor([0]), 10)
    loss.backward()
    assert loss.item() == pytest.approx(990)
    assert torch.isfinite(distances.grad).all()
    assert distances.grad[0].tolist() == pytest.approx([1, 0, 0]), "the right class is still pulled, none is pushed"


def test_a_recipe_names_its_loss():
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 4, generator=draw) * 3, torch.tensor([0, 3, 1, 1, 2])
    chosen = loss_of(Recipe(loss="map", map_penalty=3))(logits, targets)
    assert torch.equal(chosen, map_loss(logits, targets, 3))
    logs = logits - logits.exp().sum(1, keepdim=True).log()
    right = -logs[torch.arange(5), targets].mean()
    torch.testing.assert_close(loss_of(Recipe(loss="cross-entropy"))(logits, targets), right)
    smooth = loss_of(Recipe(loss="cross-entropy", label_smoothing=0.2))(logits, targets)
    torch.testing.assert_close(smooth, 0.8 * right - 0.2 * logs.mean())


@quick
@given(seeds, st.integers(2, 10))
def test_mixed_targets_mix_the_losses(seed, classes):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(4, classes)))
    one, two = (torch.from_numpy(rng.integers(0, classes, 4)) for _ in range(2))
    share = rng.uniform()
    mixed = share * torch.eye(classes, dtype=torch.float64)[one] + (1 - share) * torch.eye(classes).double()[two]
    for recipe in (Recipe(loss="map"), Recipe(loss="cross-entropy", label_smoothing=0.1)):
        loss = loss_of(recipe)
        expected = share * loss(logits, one) + (1 - share) * loss(logits, two)
        assert loss(logits, mixed).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("kind", ["cross-entropy", "map"])
def test_class_weights_multiply_each_images_loss(kind: str):
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(12) % 3
    recipe = Recipe(loss=kind, label_smoothing=0.1 if kind == "cross-entropy" else 0.0)
    weights = torch.tensor([0.5, 1.0, 3.0])
    each = [loss_of(recipe)(logits[i : i + 1], targets[i : i + 1]) * weights[targets[i]] for i in range(12)]
    assert torch.allclose(loss_of(recipe, weights)(logits, targets), torch.stack(each).mean())
    mixed = F.one_hot(targets, 3).float()
    assert torch.allclose(loss_of(recipe, weights)(logits, mixed), torch.stack(each).mean(), atol=1e-6)


def test_balanced_weights_give_each_class_the_same_say():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(labels, 4)
    assert torch.allclose(weights[labels].mean(), torch.tensor(10 / 10 * 3 / 4))
    assert weights[3] == 0, "a class without images"
    totals = torch.zeros(3).index_add(0, labels, weights[labels])
    assert torch.allclose(totals, totals[0].expand(3))
