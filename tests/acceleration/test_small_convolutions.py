"""PyTorch's own kernel computes the convolutions it is given, and is given only those that it can compute."""

import pytest
import torch
import torch.nn.functional as F

from striate.acceleration import small_convolutions
from striate.acceleration.small_convolutions import SmallConvolutions


@pytest.fixture
def calls(monkeypatch):
    """Grows by one with each call of the kernel."""
    made, kernel = [], small_convolutions._kernel
    monkeypatch.setattr(small_convolutions, "_kernel", lambda *args: made.append(args) or kernel(*args))
    return made


def both(*args, images=(2, 4, 9, 7), dtype=torch.float32, maps=6, kernel=(3, 5), inputs=4, **options):
    """A convolution inside and outside, of float64 for comparison."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, generator=generator).to(dtype)
    weight = torch.randn(maps, inputs, *kernel, generator=generator).to(dtype)
    bias = torch.randn(maps, generator=generator).to(dtype) if options.pop("biased", True) else None
    with SmallConvolutions():
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
    monkeypatch.setattr(small_convolutions, "_kernel", None)
    inside, expected = both()
    torch.testing.assert_close(inside.double(), expected, rtol=1e-5, atol=1e-5)
