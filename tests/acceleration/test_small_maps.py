"""Filters' gradients as one product are those of PyTorch in float64, and only where they can be."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick
from torch import nn

from striate.acceleration import small_maps
from striate.acceleration.replacing import ReplacedConvolutions
from striate.acceleration.small_maps import MANY_CHANNELS, SOME_CHANNELS, filter_gradient, pays, with_fast_gradients
from striate.acceleration.training_layers import TrainingLayers

LAST = torch.channels_last


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).to(memory_format=LAST)


@quick
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)
def test_the_filters_gradient_is_one_product(n, channels, maps, height, width, seed):
    x, gradient = drawn(n, channels, height, width, seed=seed), drawn(n, maps, height, width, seed=seed + 1)
    expected = torch.nn.grad.conv2d_weight(x.double(), (maps, channels, 3, 3), gradient.double(), padding=1)
    found = filter_gradient(gradient, x)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    assert found.is_contiguous(memory_format=LAST)


@pytest.fixture(autouse=True)
def _matrix_units(monkeypatch):
    """The bounds of a processor with AMX, whatever this one has."""
    _bounds(monkeypatch, matrix_units=True)


def _bounds(monkeypatch, matrix_units=False, zen_5=False):
    few, some = small_maps.largest_maps(matrix_units, zen_5)
    monkeypatch.setattr(small_maps, "FEW_PIXELS", few)
    monkeypatch.setattr(small_maps, "SOME_PIXELS", some)


@pytest.fixture
def products(monkeypatch):
    """Grows by one with each gradient that is a product; no layer is too narrow for it."""
    made = []
    monkeypatch.setattr(small_maps, "SOME_CHANNELS", 1)
    monkeypatch.setattr(
        small_maps, "filter_gradient", lambda gradient, x: made.append(tuple(x.shape)) or filter_gradient(gradient, x)
    )
    return made


def gradients(x, weight, bias, dtype, **options):
    """What a convolution gives, and the gradients of all it was given."""
    given = [each.detach().to(dtype).requires_grad_() for each in (x, weight, bias)]
    result = F.conv2d(*given, **options)
    (result.to(dtype).tanh() * drawn(*result.shape, seed=3).to(dtype)).sum().backward()
    return [result.detach(), *(each.grad for each in given)]


@pytest.mark.parametrize("padding", [1, (1, 1), "same"])
def test_a_convolution_in_the_context_has_the_gradients_of_pytorch(products, padding):
    x, weight, bias = drawn(6, 8, 3, 4), drawn(5, 8, 3, 3, seed=1), drawn(1, 5, 1, 1, seed=2).flatten()
    exact = gradients(x, weight, bias, torch.float64, padding=padding)
    with torch.autocast("cpu", torch.bfloat16):
        plain = gradients(x, weight, bias, torch.float32, padding=padding)
        with ReplacedConvolutions(with_fast_gradients):
            found = gradients(x, weight, bias, torch.float32, padding=padding)
    assert products == [(6, 8, 3, 4)]
    assert found[0].dtype == torch.bfloat16
    for own, pytorchs, theirs in zip(found, plain, exact, strict=True):
        assert float((own - theirs).norm()) < 1.1 * float((pytorchs - theirs).norm()) < 0.03 * float(theirs.norm())


@pytest.mark.parametrize(
    ("size", "filters", "options"),
    [
        ((2, 8, 5, 4), (5, 8, 3, 3), {"padding": 1}),
        ((2, 8, 4, 4), (5, 8, 3, 3), {"padding": 1, "stride": 2}),
        ((2, 8, 4, 4), (5, 8, 3, 3), {"padding": 1, "dilation": 2}),
        ((2, 8, 4, 4), (5, 8, 3, 3), {"padding": 0}),
        ((2, 8, 4, 4), (8, 1, 3, 3), {"padding": 1, "groups": 8}),
        ((2, 8, 4, 4), (5, 8, 5, 5), {"padding": 1}),
        ((8, 4, 4), (5, 8, 3, 3), {"padding": 1}),
    ],
)
def test_other_convolutions_are_pytorchs(products, size, filters, options):
    x = torch.zeros(size, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), ReplacedConvolutions(with_fast_gradients):
        F.conv2d(x, torch.zeros(filters, requires_grad=True), **options).sum().backward()
    assert products == []


def test_other_numbers_are_pytorchs(products):
    with ReplacedConvolutions(with_fast_gradients):
        F.conv2d(drawn(2, 8, 4, 4), drawn(5, 8, 3, 3).requires_grad_(), padding=1).sum().backward()
        with torch.autocast("cpu", torch.bfloat16):
            double = F.conv2d(drawn(2, 8, 4, 4).double(), drawn(5, 8, 3, 3).double().requires_grad_(), padding=1)
    assert double.dtype == torch.float64
    double.sum().backward()
    assert products == []


@pytest.mark.parametrize(
    ("channels", "side", "gains"),
    [
        (MANY_CHANNELS, 8, True),
        (MANY_CHANNELS, 9, False),
        (MANY_CHANNELS - 1, 8, False),
        (MANY_CHANNELS - 1, 4, True),
        (SOME_CHANNELS, 4, True),
        (SOME_CHANNELS - 1, 4, False),
    ],
)
def test_the_more_channels_the_larger_may_maps_be(channels, side, gains):
    images, filters = torch.empty(1, 1, side, side, device="meta"), torch.empty(channels, 999, 3, 3, device="meta")
    assert pays(images, filters) == gains


def test_on_zen_5_maps_must_be_smaller(monkeypatch):
    _bounds(monkeypatch, zen_5=True)
    filters = torch.empty(MANY_CHANNELS, 999, 3, 3, device="meta")
    assert [pays(torch.empty(1, 1, side, side, device="meta"), filters) for side in (4, 5)] == [True, False]


@pytest.mark.parametrize(
    ("processor", "precision", "taken"),
    [
        ({"matrix_units": True}, "bfloat16", 1),
        ({"matrix_units": True}, "float32", 0),
        ({"zen_5": True}, "bfloat16", 1),
        ({}, "bfloat16", 0),
    ],
)
def test_it_is_for_bfloat16_on_processors_that_gain(monkeypatch, processor, precision, taken):
    _bounds(monkeypatch, **processor)
    model = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Linear(8, 8))
    replaced = TrainingLayers(model, [], torch.device("cpu"), precision).replacements
    assert list(replaced.values()) == [with_fast_gradients] * taken
