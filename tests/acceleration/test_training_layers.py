"""The layers that training computes in another way: which, only for as long, and with PyTorch's results."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from striate.acceleration import convolutions, depthwise, small_maps, training_layers
from striate.acceleration.convolutions import whole_image, with_winograd_gradients
from striate.acceleration.pooling import averaged
from striate.acceleration.training_layers import TrainingLayers
from striate.layers import BlurPool2d, SameConv2d
from striate.models import create

LAST = torch.channels_last


@pytest.fixture(autouse=True)
def _narrow_vectors(monkeypatch):
    """The bounds of a processor without AVX-512 and AMX, whatever this one has."""
    channels, tiles = convolutions.bounds("AVX2", zen_5=False)
    monkeypatch.setattr(convolutions, "LEAST_CHANNELS", channels)
    monkeypatch.setattr(convolutions, "MANY_TILES", tiles)
    monkeypatch.setattr(small_maps, "FEW_PIXELS", 0)


def layers(model, device="cpu", precision="float32", frozen=()):
    return TrainingLayers(model, list(frozen), torch.device(device), precision)


def replaced(model, *args, **kwargs):
    return set(layers(model, *args, **kwargs).replacements.values())


def test_it_is_for_wide_and_depthwise_layers_and_those_that_may_cover_their_images():
    narrow = nn.Sequential(nn.Conv2d(63, 64, 3), nn.Conv2d(64, 64, 5), nn.Linear(64, 64))
    wide = nn.Sequential(nn.Conv2d(64, 64, 3), narrow)
    assert replaced(wide) == {with_winograd_gradients, whole_image}
    assert replaced(narrow) == replaced(wide, precision="bfloat16") == {whole_image}
    depthwise_one = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), BlurPool2d(4))
    for precision in ("float32", "bfloat16"):
        assert list(layers(depthwise_one, precision=precision).replacements) == list(depthwise_one)
        assert replaced(depthwise_one, precision=precision) == {depthwise.with_fast_gradients}
    assert replaced(wide, "cuda") == replaced(depthwise_one, "cuda") == set()


def test_networks_of_small_images():
    assert replaced(create("lenet5")) == replaced(create("lenet5_modern")) == {averaged, whole_image}
    assert replaced(create("lenet5"), precision="bfloat16") == {whole_image}
    assert replaced(create("quicknet_s"), precision="bfloat16") == replaced(create("mlp")) == set()


class Standardized(nn.Conv2d):
    """One that a user may write."""

    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight - weight.mean((1, 2, 3), keepdim=True), bias)


def test_layers_that_compute_something_else_are_left_alone():
    assert replaced(nn.Sequential(Standardized(64, 64, 3), nn.Conv2d(64, 64, 5, padding_mode="circular"))) == set()


def gradients(model, images, context):
    """The result and all gradients."""
    model.zero_grad()
    images = images.clone(memory_format=torch.preserve_format).requires_grad_()
    with context:
        result = model(images)
    result.flatten(1).tanh().sum(1).square().sum().backward()
    return [result.detach(), images.grad, *(each.grad for each in model.parameters())]


@pytest.fixture
def taken(monkeypatch):
    """Grows by one with each result of a function that stands for PyTorch's."""
    made = []

    def counted(function):
        def counting(*args, **kwargs):
            found = function(*args, **kwargs)
            made.extend([function.__name__] if found is not None else [])
            return found

        return counting

    for module, name in (
        (convolutions, "with_winograd_gradients"),
        (convolutions, "whole_image"),
        (depthwise, "with_fast_gradients"),
        (training_layers, "averaged"),
    ):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return made


@pytest.mark.parametrize(
    ("model", "size", "functions"),
    [
        (nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()), (16, 64, 8, 8), ["with_winograd_gradients"]),
        (SameConv2d(6, 6, 5, groups=6), (4, 6, 9, 9), ["with_fast_gradients"]),
        (SameConv2d(6, 6, 5, stride=2, groups=6), (4, 6, 9, 9), []),
        (create("lenet5_modern", seed=0), (128, 1, 28, 28), ["averaged", "whole_image"]),
        (create("lenet5", seed=0), (128, 1, 28, 28), ["averaged", "whole_image"]),
    ],
    ids=["wide", "same", "same, stride 2", "lenet5_modern", "lenet5"],
)
def test_results_and_gradients_are_those_of_pytorch(taken, model, size, functions):
    model = model.to(memory_format=LAST)
    images = torch.randn(size, generator=torch.Generator().manual_seed(0)).to(memory_format=LAST)
    found, expected = gradients(model, images, layers(model)), gradients(model, images, nullcontext())
    assert taken == functions
    for own, pytorchs in zip(found, expected, strict=True):
        torch.testing.assert_close(own, pytorchs, rtol=1e-4, atol=2e-5 * float(pytorchs.abs().max()))


def test_blurring_has_the_fast_gradient_of_depthwise_filters(taken):
    blur, images = BlurPool2d(6), torch.randn(4, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    found = []
    for context in (layers(blur, precision="bfloat16"), nullcontext()):
        with torch.autocast("cpu", torch.bfloat16):
            found.append(gradients(blur, images.to(memory_format=LAST), context))
    assert taken == ["with_fast_gradients"]
    for own, pytorchs in zip(*found, strict=True):
        torch.testing.assert_close(own, pytorchs, rtol=0, atol=0.02 * float(pytorchs.abs().max()))


def test_averages_of_few_channels_are_taken_by_rows_and_columns():
    model = create("lenet5_modern").to(memory_format=LAST)
    images = torch.zeros(128, 6, 28, 28).to(memory_format=LAST).requires_grad_()
    with layers(model):
        inside = model.s2(images)
    assert type(inside.grad_fn).__name__ == "_AveragesBackward"
    assert type(model.s2(images).grad_fn).__name__ == "AvgPool2DBackward0"


def test_outside_all_is_as_it_was():
    norm = nn.BatchNorm2d(64).eval()
    model = nn.Sequential(nn.Conv2d(64, 64, 3), norm, SameConv2d(64, 64, 5, groups=64), nn.Conv2d(64, 64, 3))
    before = [set(vars(each)) for each in model.modules()]
    context = layers(model, frozen=[norm])
    with context:
        assert [set(vars(each)) for each in model.modules()] != before
    assert [set(vars(each)) for each in model.modules()] == before
    assert context.folded is not None
    assert layers(model, "cuda", frozen=[norm]).folded is not None
