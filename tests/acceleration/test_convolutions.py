"""Convolutions of training with fewer products have the gradients of the sum, and are only where they can be."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.acceleration import convolutions
from striate.acceleration.convolutions import by_own_kernel, whole_image, with_winograd_gradients
from striate.acceleration.replacing import ReplacedConvolutions
from striate.acceleration.winograd import filter_gradient


@pytest.fixture(autouse=True)
def _narrow_vectors(monkeypatch):
    """The bounds of a processor without AVX-512, whatever this one has."""
    _bounds(monkeypatch, "AVX2")


def _bounds(monkeypatch, capability, zen_5=False):
    maps, tiles = convolutions.bounds(capability, zen_5)
    monkeypatch.setattr(convolutions, "LEAST_CHANNELS", maps)
    monkeypatch.setattr(convolutions, "MANY_TILES", tiles)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 13), st.integers(1, 13))
def test_the_gradient_of_the_filters_is_that_of_the_sum(count, inputs, outputs, height, width):
    x, gradient = drawn(count, inputs, height, width), drawn(count, outputs, height, width, seed=1)
    size = (count * height * width) ** 0.5
    expected = torch.nn.grad.conv2d_weight(x.double(), (outputs, inputs, 3, 3), gradient.double(), padding=1)
    torch.testing.assert_close(filter_gradient(x, gradient).double(), expected, rtol=0, atol=2e-5 * size)


def gradients(x, weight, bias, mode):
    """What a convolution gives, and the gradients of all it was given."""
    given = [each.detach().requires_grad_() for each in (x, weight, bias)]
    with mode:
        result = F.conv2d(*given, padding=1)
    (result.tanh() * drawn(*result.shape, seed=3).to(result.dtype)).sum().backward()
    return result.detach(), [each.grad for each in given]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "outputs", "height", "width"),
    [(258, 256, 7, 9), (64, 128, 13, 9), (256, 256, 3, 40)],
    ids=["all with fewer products", "filters alone", "maps smaller than a tile"],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_all_gradients_are_those_of_the_sum(inputs, outputs, height, width, layout):
    x = drawn(43, inputs, height, width).contiguous(memory_format=layout)
    weight = (drawn(outputs, inputs, 3, 3, seed=1) / (3 * inputs**0.5)).contiguous(memory_format=layout)
    bias = drawn(outputs, seed=2)
    expected, exact = gradients(x.double(), weight.double(), bias.double(), nullcontext())
    result, found = gradients(x, weight, bias, ReplacedConvolutions(with_winograd_gradients))
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-4)
    for mine, true in zip(found, exact, strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=0, atol=2e-5 * float(true.abs().max()))


def counted(monkeypatch):
    """How often the sums of both kinds are computed with fewer products."""
    calls = {"convolution": 0, "filter_gradient": 0}

    def counting(name):
        function = getattr(convolutions, name)

        def count(*args):
            calls[name] += 1
            return function(*args)

        monkeypatch.setattr(convolutions, name, count)

    for name in calls:
        counting(name)
    return calls


@pytest.mark.parametrize(
    ("x", "weight", "options", "products"),
    [
        ((64, 256, 5, 8), (256, 256, 3, 3), {"padding": 1}, (2, 1)),
        ((64, 256, 5, 8), (256, 256, 3, 3), {"padding": "same"}, (2, 1)),
        ((63, 256, 5, 8), (256, 256, 3, 3), {"padding": 1}, (0, 1)),
        ((64, 255, 5, 8), (256, 255, 3, 3), {"padding": 1}, (0, 1)),
        ((64, 256, 3, 13), (256, 256, 3, 3), {"padding": 1}, (0, 1)),
        ((8, 128, 5, 8), (64, 128, 3, 3), {"padding": 1}, (0, 1)),
        ((7, 128, 5, 8), (64, 128, 3, 3), {"padding": 1}, (0, 0)),
        ((8, 128, 5, 8), (63, 128, 3, 3), {"padding": 1}, (0, 0)),
        ((8, 64, 7, 8), (64, 64, 3, 3), {}, (0, 0)),
        ((8, 64, 7, 8), (64, 64, 3, 3), {"padding": 1, "stride": 2}, (0, 0)),
        ((8, 64, 7, 8), (64, 64, 5, 5), {"padding": 1}, (0, 0)),
        ((8, 128, 5, 8), (128, 64, 3, 3), {"padding": 1, "groups": 2}, (0, 0)),
    ],
)
def test_shapes_decide(monkeypatch, x, weight, options, products):
    calls = counted(monkeypatch)
    x, weight = drawn(*x).requires_grad_(), drawn(*weight, seed=1).requires_grad_()
    with ReplacedConvolutions(with_winograd_gradients):
        F.conv2d(x, weight, None, **options).sum().backward()
    assert tuple(calls.values()) == products


@pytest.mark.parametrize(
    ("x", "weight", "products"),
    [
        ((32, 256, 5, 8), (256, 256, 3, 3), (2, 1)),
        ((31, 256, 5, 8), (256, 256, 3, 3), (0, 1)),
        ((8, 256, 5, 8), (255, 256, 3, 3), (0, 0)),
    ],
)
def test_wide_vectors_have_other_bounds(monkeypatch, x, weight, products):
    calls = counted(monkeypatch)
    _bounds(monkeypatch, "AVX512")
    with ReplacedConvolutions(with_winograd_gradients):
        F.conv2d(drawn(*x).requires_grad_(), drawn(*weight, seed=1).requires_grad_(), padding=1).sum().backward()
    assert tuple(calls.values()) == products


def test_zen_5_leaves_all_to_onednn(monkeypatch):
    calls = counted(monkeypatch)
    _bounds(monkeypatch, "AVX512", zen_5=True)
    with ReplacedConvolutions(with_winograd_gradients):
        x, weight = drawn(32, 256, 5, 8).requires_grad_(), drawn(256, 256, 3, 3, seed=1).requires_grad_()
        F.conv2d(x, weight, padding=1).sum().backward()
    assert tuple(calls.values()) == (0, 0)


def test_only_what_learns_has_gradients(monkeypatch):
    calls = counted(monkeypatch)
    x, weight, bias = drawn(8, 64, 5, 8), drawn(64, 64, 3, 3), drawn(64).requires_grad_()
    with ReplacedConvolutions(with_winograd_gradients):
        F.conv2d(x, weight, bias, padding=1).sum().backward()
    assert not any(calls.values())
    torch.testing.assert_close(bias.grad, torch.full((64,), 320.0))


@pytest.mark.slow
def test_other_numbers_are_left_to_pytorch(monkeypatch):
    calls = counted(monkeypatch)
    with torch.autocast("cpu", dtype=torch.bfloat16), ReplacedConvolutions(with_winograd_gradients):
        assert F.conv2d(drawn(64, 256, 5, 5), drawn(256, 256, 3, 3), padding=1).dtype == torch.bfloat16
    with ReplacedConvolutions(with_winograd_gradients):
        assert F.conv2d(drawn(8, 64, 5, 5).double(), drawn(64, 64, 3, 3).double(), padding=1).dtype == torch.float64
    assert not any(calls.values())


@pytest.fixture
def calls(monkeypatch):
    """Grows by one with each call of the kernel."""
    made, kernel = [], convolutions._kernel
    monkeypatch.setattr(convolutions, "_kernel", lambda *args: made.append(args) or kernel(*args))
    return made


def both(*args, images=(2, 4, 9, 7), dtype=torch.float32, maps=6, kernel=(3, 5), inputs=4, **options):
    """A convolution inside and outside, of float64 for comparison."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, generator=generator).to(dtype)
    weight = torch.randn(maps, inputs, *kernel, generator=generator).to(dtype)
    bias = torch.randn(maps, generator=generator).to(dtype) if options.pop("biased", True) else None
    with ReplacedConvolutions(by_own_kernel):
        inside = F.conv2d(x, weight, bias, *args, **options)
    return inside, F.conv2d(x.double(), weight.double(), None if bias is None else bias.double(), *args, **options)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        ((), {"biased": False}),
        ((2,), {}),
        (((2, 1), (1, 2)), {}),
        ((), {"stride": (1, 3), "padding": 1, "dilation": (1, 1), "groups": 1}),
        ((), {"padding": "same"}),
        ((), {"padding": "valid", "stride": 2}),
        ((), {"padding": [2], "stride": [2]}),
    ],
)
def test_its_answer_is_that_of_a_convolution(calls, args, options):
    inside, expected = both(*args, **options)
    torch.testing.assert_close(inside.double(), expected, rtol=1e-5, atol=1e-5)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2, "inputs": 2},
        {"dilation": (2, 1)},
        {"padding": "same", "kernel": (3, 4)},
        {"images": (4, 9, 7)},
        {"dtype": torch.float64},
        {"images": (32, 4, 9, 7), "maps": 64},
        {"images": (32, 4, 9, 7), "maps": 16, "kernel": (1, 1)},
    ],
    ids=["grouped", "dilated", "uneven", "no batch", "double", "much work", "a large output"],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_all_else_stays_as_it_was(calls, options):
    inside, expected = both(**options)
    torch.testing.assert_close(inside.double(), expected, rtol=1e-4, atol=1e-4)
    assert calls == []


def test_without_the_kernel_nothing_changes(monkeypatch):
    monkeypatch.setattr(convolutions, "_kernel", None)
    inside, expected = both()
    torch.testing.assert_close(inside.double(), expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- filters as large as their images


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
def test_filters_that_cover_the_image_are_a_matrix_product(monkeypatch, layout, bias):
    products = []
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda *given: products.append(given) or linear(*given))
    conv = nn.Conv2d(16, 120, kernel_size=(5, 4), bias=bias).to(memory_format=layout)
    found = []
    for context in (ReplacedConvolutions(whole_image), nullcontext()):
        x = drawn(7, 16, 5, 4).contiguous(memory_format=layout).requires_grad_()
        conv.zero_grad()
        with context:
            result = conv(x)
        (result.tanh() * drawn(7, 120, 1, 1, seed=3)).sum().backward()
        found.append([result.detach(), x.grad, *(parameter.grad.clone() for parameter in conv.parameters())])
        assert conv.weight.grad.stride() == conv.weight.stride()
    assert len(products) == 1
    for own, its in zip(*found, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 8, 5, padding=1),
        nn.Conv2d(4, 8, 5, groups=2),
        nn.Conv2d(4, 8, 4),
        nn.Conv2d(4, 8, 3, dilation=2),
    ],
    ids=["padding", "groups", "smaller", "dilation"],
)
def test_other_filters_are_convolutions(monkeypatch, conv):
    monkeypatch.setattr(F, "linear", lambda *given: pytest.fail("took a matrix product"))
    x = drawn(2, 4, 5, 5)
    with ReplacedConvolutions(whole_image):
        result = conv(x)
    assert torch.equal(result, conv(x))
