"""Local response normalisation against the paper's formula, and against PyTorch's layer with its other alpha."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.response import local_response_norm
from strategies import images, quick
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import LocalResponseNorm

formats = st.sampled_from([torch.contiguous_format, torch.channels_last])
constants = {"alpha": st.floats(0, 2), "beta": st.sampled_from([0.5, 0.75, 1.0, 1.3]), "k": st.floats(0.5, 3)}


@quick
@given(st.data(), st.integers(1, 9), st.sampled_from([1, 3, 5, 7]), st.fixed_dictionaries(constants))
def test_is_the_papers_formula(data, maps, size, values):
    x = data.draw(images(2, maps, 2, 3)).contiguous(memory_format=data.draw(formats))
    expected = local_response_norm(x.numpy(), size, **values)
    np.testing.assert_allclose(LocalResponseNorm(size, **values)(x).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_defaults_are_the_papers_and_pytorch_divides_alpha_by_the_size():
    x = 50 * torch.rand(2, 12, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LocalResponseNorm()(x), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(x))
    assert not torch.allclose(LocalResponseNorm()(x), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)(x))


def test_a_large_response_damps_its_neighbours_and_no_others():
    x = torch.ones(1, 9, 1, 1)
    x[0, 4] = 1000
    damped = LocalResponseNorm()(x).flatten() < 0.1
    assert damped.tolist() == [False, False, True, True, False, True, True, False, False]


def test_squares_do_not_overflow_in_half_precision():
    x = torch.full((1, 5, 1, 1), 300, dtype=torch.float16)
    out = LocalResponseNorm()(x)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), LocalResponseNorm()(x.float()), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("size", "match"),
    [(4, "size=4: the number of channels in a window is odd; use 3 or 5"), (0, "size must be an integer of")],
)
def test_refuses_windows_without_a_middle(size, match):
    with pytest.raises(ArgumentError, match=match):
        LocalResponseNorm(size)


def test_refuses_what_is_no_image():
    with pytest.raises(ShapeError, match="LocalResponseNorm takes images"):
        LocalResponseNorm()(torch.zeros(2, 3))
