"""Convolutions with fewer products are those of the sum, and are chosen by shapes where they can be."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from striate.acceleration import convolutions, winograd
from striate.acceleration.convolutions import by_winograd
from striate.acceleration.replacing import ReplacedConvolutions
from striate.acceleration.winograd import FILTER, INPUT, OUTPUT, convolution, transformed


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_matrices_make_a_correlation_of_six_with_three_values():
    """Exactly, in rational numbers: the law that the method rests on, along one axis."""
    signal, taps = np.random.default_rng(0).integers(-9, 9, (2, 6)).astype(float)
    made = OUTPUT.double().numpy() @ ((FILTER.numpy() @ taps[:3]) * (INPUT.double().numpy() @ signal))
    np.testing.assert_allclose(made, correlate(signal, taps[:3], mode="valid"), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 13), st.integers(1, 13), st.booleans())
def test_it_is_a_convolution_with_a_padding_of_one(count, inputs, outputs, height, width, biased):
    x, weight = drawn(count, inputs, height, width), drawn(outputs, inputs, 3, 3, seed=1) / (3 * inputs**0.5)
    bias = drawn(outputs, seed=2) if biased else None
    expected = F.conv2d(x.double(), weight.double(), None if bias is None else bias.double(), padding=1)
    result = convolution(x.contiguous(memory_format=torch.channels_last), transformed(weight), bias)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-4)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_many_images_are_taken_in_parts(monkeypatch):
    x, filters = drawn(7, 5, 9, 6), transformed(drawn(4, 5, 3, 3, seed=1) / (3 * 5**0.5))
    whole = convolution(x, filters, None)
    monkeypatch.setattr(winograd, "CHUNK", 2 * 36 * 3 * 2 * 5)
    torch.testing.assert_close(convolution(x, filters, None), whole, rtol=0, atol=1e-4)


@pytest.fixture
def called(monkeypatch):
    """Wherever it fits, the convolution with fewer products pays; how often it was called."""
    calls = []

    def counted(*args):
        calls.append(args)
        return convolution(*args)

    monkeypatch.setattr(convolutions, "feature_maps_pay", lambda x, weight: True)
    monkeypatch.setattr(convolutions, "convolution", counted)
    return calls


def test_where_it_does_not_pay_the_result_is_pytorchs_own():
    x, weight = drawn(2, 3, 8, 8), drawn(4, 3, 3, 3)
    with ReplacedConvolutions(by_winograd):
        result = F.conv2d(x, weight, padding=1)
    assert torch.equal(result, F.conv2d(x, weight, padding=1))


def test_what_pays_follows_from_shapes_alone(monkeypatch):
    """A clock that stands still or runs wild changes nothing."""
    _, tiles = convolutions.bounds("AVX512", zen_5=False)
    monkeypatch.setattr(convolutions, "MANY_TILES", tiles)
    x, weight = drawn(16, 256, 16, 16), drawn(256, 256, 3, 3) / 48
    results = []
    for ticks in (0.0, 1e9):
        monkeypatch.setattr(time, "perf_counter", lambda ticks=ticks: ticks)
        with ReplacedConvolutions(by_winograd):
            results.append(F.conv2d(x, weight, padding=1))
    direct = F.conv2d(x, weight, padding=1)
    assert torch.equal(*results)
    assert not torch.equal(results[0], direct)
    torch.testing.assert_close(results[0], direct, rtol=0, atol=1e-3)


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same"}, {"padding": (1, 1), "stride": [1, 1]}])
@pytest.mark.parametrize("biased", [True, False])
def test_calls_that_fit_take_fewer_products(called, options, biased):
    with ReplacedConvolutions(by_winograd):
        F.conv2d(drawn(1, 2, 8, 8), drawn(3, 2, 3, 3), drawn(3) if biased else None, **options)
        torch.nn.Conv2d(2, 3, 3, padding=1)(drawn(1, 2, 8, 8))
        F.conv2d(input=drawn(1, 2, 8, 8), weight=drawn(3, 2, 3, 3), bias=drawn(3), **options)
    assert len(called) == 3


@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((1, 2, 8, 8), (3, 2, 5, 5), {"padding": 1}),
        ((1, 2, 8, 8), (3, 2, 3, 3), {}),
        ((1, 2, 8, 8), (3, 2, 3, 3), {"padding": 1, "stride": 2}),
        ((1, 2, 8, 8), (3, 2, 3, 3), {"padding": 1, "dilation": 2}),
        ((1, 4, 8, 8), (4, 2, 3, 3), {"padding": 1, "groups": 2}),
        ((2, 8, 8), (3, 2, 3, 3), {"padding": 1}),
    ],
    ids=["5×5", "no padding", "stride", "dilation", "groups", "no batch"],
)
def test_all_else_stays_as_it_is(called, x, weight, options):
    x, weight = drawn(*x), drawn(*weight)
    with ReplacedConvolutions(by_winograd):
        result = F.conv2d(x, weight, **options)
    assert torch.equal(result, F.conv2d(x, weight, **options))
    assert called == []


def test_other_precisions_stay_as_they_are(called):
    with ReplacedConvolutions(by_winograd):
        F.conv2d(drawn(1, 2, 8, 8).double(), drawn(3, 2, 3, 3).double(), padding=1)
    assert called == []
