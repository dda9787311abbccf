"""What hypothesis draws for the tests: shapes, windows and images."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

paddings = st.sampled_from(["valid", "same"])
seeds = st.integers(0, 2**32 - 1)

# For tests that compare with slow loops: enough examples to meet odd sizes and both ways round of kernel and stride.
quick = settings(max_examples=60, deadline=None)


@dataclass(frozen=True)
class Window:
    """A window and an image it fits: axes (height, width)."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: str


@st.composite
def windows(draw: st.DrawFn, largest: int = 9) -> Window:
    """Any kernel and stride on any image that "valid" allows; with "same" the kernel may exceed the image."""
    padding = draw(paddings)
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    least = kernel if padding == "valid" else (1, 1)
    image = (draw(st.integers(least[0], largest)), draw(st.integers(least[1], largest)))
    return Window(image, kernel, draw(st.tuples(st.integers(1, 6), st.integers(1, 6))), padding)


@st.composite
def channel_windows(draw: st.DrawFn) -> tuple[int, int, int, str]:
    """(channels, kernel, stride, padding) that depthwise pooling accepts."""
    padding = draw(paddings)
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    channels = kernel + stride * draw(st.integers(0, 3)) if padding == "valid" else draw(st.integers(1, 12))
    return channels, kernel, stride, padding


@st.composite
def images(draw: st.DrawFn, *shape: int) -> Tensor:
    """Float64 images of small whole numbers of both signs, so that ties are frequent and sums are exact."""
    return torch.from_numpy(np.random.default_rng(draw(seeds)).integers(-5, 6, shape).astype(np.float64))
