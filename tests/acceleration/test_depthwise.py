"""Gradients of depthwise convolutions are those of PyTorch in float64, whatever way they are computed."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.acceleration import depthwise
from striate.acceleration.depthwise import filter_gradient, input_gradient, with_fast_gradients
from striate.acceleration.replacing import ReplacedConvolutions

CPU = "cpu"


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def expected(x, weight, gradient, stride, padding):
    return torch.ops.aten.convolution_backward(
        gradient.double(), x.double(), weight.double(), None, stride, padding, (1, 1), False, (0, 0), len(weight),
        (True, True, False),
    )  # fmt: skip


sizes, windows, borders = st.integers(5, 12), st.integers(1, 7), st.integers(0, 3)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, windows, windows, st.integers(1, 3), st.integers(1, 3), borders, borders)
def test_the_filters_gradient_is_put_together_from_columns(height, width, rows, columns, down, right, top, left):
    rows, columns = min(rows, height), min(columns, width)
    x, weight = drawn(2, 3, height, width), drawn(3, 1, rows, columns, seed=1)
    result = F.conv2d(x, weight, None, (down, right), (top, left), 1, 3)
    gradient = drawn(*result.shape, seed=2)
    found = filter_gradient(gradient, x, weight, (down, right), (top, left))
    own = expected(x, weight, gradient, (down, right), (top, left))[1]
    torch.testing.assert_close(found.double(), own, rtol=0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, windows, windows, borders, borders)
def test_the_inputs_gradient_is_put_together_from_even_and_odd_places(height, width, rows, columns, top, left):
    rows, columns = min(rows, height), min(columns, width)
    x, weight = drawn(2, 3, height, width), drawn(3, 1, rows, columns, seed=1)
    gradient = drawn(*F.conv2d(x, weight, None, 2, (top, left), 1, 3).shape, seed=2)
    found = input_gradient(gradient, x, weight, (top, left))
    torch.testing.assert_close(found.double(), expected(x, weight, gradient, (2, 2), (top, left))[0], rtol=0, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def gradients(mode, x, weight, bias, **settings):
    """What a convolution gives, and the gradients of all it was given."""
    given = [each.detach().requires_grad_() for each in (x, weight, bias)]
    with mode:
        result = F.conv2d(*given, groups=len(weight), **settings)
    (result.float().tanh() * drawn(*result.shape, seed=3)).sum().backward()
    return [result.detach(), *(each.grad for each in given)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_a_convolution_in_the_context_has_the_gradients_of_pytorch(stride, window, half):
    x, weight, bias = drawn(4, 8, 11, 9), drawn(8, 1, window, window, seed=1), drawn(8, seed=2)
    settings = {"stride": stride, "padding": window // 2}
    exact = gradients(torch.autocast(CPU, enabled=False), x.double(), weight.double(), bias.double(), **settings)
    with torch.autocast(CPU, torch.bfloat16, enabled=half):
        found = gradients(ReplacedConvolutions(with_fast_gradients), x, weight, bias, **settings)
    assert found[0].dtype == (torch.bfloat16 if half else torch.float32)
    assert [each.dtype for each in found[1:]] == [torch.float32] * 3
    for mine, theirs in zip(found, exact, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=(2e-2 if half else 2e-6) * scale)


def test_only_what_pays_is_replaced(monkeypatch):
    called = []
    monkeypatch.setattr(depthwise, "_convolution", lambda *given: called.append(given[1].shape) or given[0])
    x = drawn(2, 6, 8, 8)
    with ReplacedConvolutions(with_fast_gradients):
        F.conv2d(x, drawn(6, 1, 3, 3), padding=1, groups=6)  # oneDNN is fast
        F.conv2d(x, drawn(6, 6, 5, 5), padding=2)  # dense
        F.conv2d(x, drawn(6, 3, 5, 5), padding=2, groups=2)  # grouped
        F.conv2d(x, drawn(6, 1, 5, 5), padding=4, dilation=2, groups=6)
        F.conv2d(x, drawn(6, 1, 5, 5), padding="same", groups=6)
        assert not called
        F.conv2d(x, drawn(6, 1, 5, 5), padding=2, groups=6)
    assert called == [(6, 1, 5, 5)]
