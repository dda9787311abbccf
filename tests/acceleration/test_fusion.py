"""Convolutions fused with what follows them give the outputs of the network as it is written."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from disturbed import disturb_norms
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import striate
from striate.acceleration import fusion
from striate.acceleration.fusion import fused
from striate.layers import Add, SameConv2d

ACTIVATIONS = [nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.GELU("tanh")]


def disturbed(model):
    """The model with normalisations that do something, in evaluation mode, channels last."""
    return disturb_norms(model).eval().to(memory_format=torch.channels_last)


def calls(network):
    """How many convolutions there are of their own, and how many with more in one call of oneDNN."""
    layers = [each for each in network.modules() if isinstance(each, fusion._FusedConvolution)]
    return len(layers), sum(each.laid_out is not None for each in layers)


@torch.inference_mode()
def agrees(model, x, *, large=True):
    """Assert that the model gives the same fused, the first time, again and as a program; return the fused network."""
    if large:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fusion, "_is_large", lambda output, weight: True)
            network = fused(model)
            network(x)
    else:
        network = fused(model)
    expected = model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.freeze(torch.jit.trace(network.eval(), x, check_trace=False))
    for each in (network, network, program):
        torch.testing.assert_close(each(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    return network


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [
        ("efficientnet_lite0", 65, 49),
        ("mobilenet_v3_large:stem=small", 17, 46),
        ("resnet18:stem=small", 16, 20),
        ("seresnet50:stem=small", 9, 53),
        ("quicknet_m", 28, 4),
        ("fashion_cnn", 28, 5),
    ],
)
def test_a_network_gives_the_same_outputs(name, size, layers):
    channels = 1 if size == 28 else 3
    model = disturbed(striate.create(name, 5, channels, size, seed=0))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = agrees(model, torch.randn(2, channels, size, size))
    assert calls(network) == (layers, layers)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    norms = sum(isinstance(each, nn.BatchNorm2d) for each in called(network))
    assert norms == (2 if name == "quicknet_m" else 0), "all are folded but those that follow pooling"


def called(network):
    modules = dict(network.named_modules())
    return [modules[node.target] for node in network.graph.nodes if node.op == "call_module"]


@given(data=st.data())
def test_any_convolution_with_what_follows_it(data):
    kernel, stride, dilation = (data.draw(st.integers(1, most)) for most in (5, 3, 2))
    depthwise, bias, norm, shortcut = (data.draw(st.booleans()) for _ in range(4))
    channels, after = data.draw(st.sampled_from([1, 3, 8])), data.draw(st.sampled_from([None, *ACTIVATIONS]))
    height, width = data.draw(st.integers(9, 14)), data.draw(st.integers(9, 14))
    out, groups = (channels, channels) if depthwise else (4, 1)
    torch.manual_seed(data.draw(st.integers(0, 9)))
    if data.draw(st.booleans()):
        conv = SameConv2d(channels, out, kernel, stride, groups=groups, bias=bias)
    else:
        padding = data.draw(st.sampled_from(["valid", 0, 1, 2] + (["same"] if stride == 1 else [])))
        conv = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.add, self.after = conv, nn.BatchNorm2d(out), Add(), after

        def forward(self, x, other):
            x = self.conv(x)
            x = self.norm(x) if norm else x
            x = self.add(other, x) if shortcut else x
            return x if after is None else self.after(x)

    x = torch.randn(2, channels, height, width).to(memory_format=torch.channels_last)
    model = disturbed(Block())
    other = torch.randn_like(conv(x))
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "_is_large", lambda output, weight: True)
        network = fused(model)
        expected = model(x, other)
        for _ in range(2):
            torch.testing.assert_close(network(x, other), expected, rtol=1e-4, atol=1e-5)
    if norm or shortcut or after is not None:
        assert calls(network) == (1, 1)


def test_values_that_others_use_stay(monkeypatch):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

        def forward(self, x):
            x = self.norm(self.conv(x))
            return self.relu(x) + x.sigmoid()

    network = agrees(disturbed(Twice()), torch.randn(2, 3, 9, 9))
    assert [type(each) for each in called(network)] == [fusion._FusedConvolution, nn.ReLU]


def test_a_shortcut_of_another_shape_is_added_as_it_is_written():
    class Broadcast(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv2d(3, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1)

        def forward(self, x):
            return self.conv(x) + self.pool(x)

    assert calls(agrees(Broadcast().eval(), torch.randn(2, 3, 9, 9))) == (1, 0)


def test_a_normalisation_that_learns_is_no_part_of_the_convolution():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    assert [type(each) for each in called(fused(model))] == [fusion._FusedConvolution, nn.BatchNorm2d, nn.ReLU]


def test_small_convolutions_are_pytorch_s():
    model = disturbed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert calls(agrees(model, torch.randn(1, 3, 9, 9), large=False)) == (1, 0)
    assert calls(agrees(model, torch.randn(64, 3, 30, 30), large=False)) == (1, 1)


def test_depthwise_filters_take_zeros_where_one_cell_more_is_behind(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("images are copied")

    conv = SameConv2d(4, 4, 3, stride=2, groups=4)
    model, x = nn.Sequential(conv, nn.ReLU()).eval(), torch.randn(2, 4, 8, 10)
    with torch.inference_mode():
        expected, network = model(x), fused(model)
        network(x)
        monkeypatch.setattr(F, "pad", refuse)
        torch.testing.assert_close(network(x), expected)
