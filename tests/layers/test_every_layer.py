"""Every layer answers the questions of check_layer, on every device there is, and its doctests run."""

import copy
import doctest
import importlib
import pkgutil

import pytest
import torch
from layers.check_layer import check_layer
from torch import Tensor, nn

import striate.layers
from striate import layers

TABLE = ((0, 1), (2,), (0, 2))
IMAGE = (2, 4, 7, 6)  # (N, C, H, W)

LAYERS: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = [
    # layer, shape in, shape out
    (layers.MaxPool2d(2), IMAGE, (2, 4, 3, 3)),
    (layers.MaxPool2d((3, 2), stride=2, padding="same"), IMAGE, (2, 4, 4, 3)),
    (layers.MaxPool2d((2, 4), stride=1, padding="same"), IMAGE, IMAGE),
    (layers.MaxPool2d(1, stride=3), IMAGE, (2, 4, 3, 2)),
    (layers.AvgPool2d((2, 3), stride=(1, 2)), IMAGE, (2, 4, 6, 2)),
    (layers.AvgPool2d(3, stride=2, padding="same"), IMAGE, (2, 4, 4, 3)),
    (layers.AvgPool2d(2, stride=1, padding="same"), IMAGE, IMAGE),
    (layers.GlobalAvgPool2d(), IMAGE, (2, 4)),
    (layers.GlobalAvgPool2d(keepdim=True), IMAGE, (2, 4, 1, 1)),
    (layers.GlobalMaxPool2d(), IMAGE, (2, 4)),
    (layers.GlobalMaxPool2d(keepdim=True), IMAGE, (2, 4, 1, 1)),
    (layers.BlurPool2d(4), IMAGE, (2, 4, 4, 3)),
    (layers.BlurPool2d(4, "bin-5", stride=(1, 3)), IMAGE, (2, 4, 7, 2)),
    (layers.BlurPool2d(4, "bin-5"), (2, 4, 1, 3), (2, 4, 1, 2)),
    (layers.MaxBlurPool2d(4, 2, filter="rect-2"), IMAGE, (2, 4, 3, 3)),
    (layers.MaxBlurPool2d(4, 3, stride=2, padding="same", filter="tri-3"), IMAGE, (2, 4, 4, 3)),
    (layers.BlurredConv2d(nn.Conv2d(4, 3, (3, 2), stride=2, padding=1)), IMAGE, (2, 3, 4, 4)),
    (layers.BlurredConv2d(nn.Conv2d(4, 3, 1, stride=2, bias=False), "tri-3"), IMAGE, (2, 3, 4, 3)),
    (layers.DepthwiseMaxPool2d(2), IMAGE, (2, 2, 7, 6)),
    (layers.DepthwiseMaxPool2d(3, stride=2, padding="same"), IMAGE, (2, 2, 7, 6)),
    (layers.DepthwiseAvgPool2d(2, stride=1), IMAGE, (2, 3, 7, 6)),
    (layers.DepthwiseAvgPool2d(3, padding="same"), IMAGE, (2, 2, 7, 6)),
    (layers.LocalResponseNorm(3, alpha=1, beta=0.75, k=1), IMAGE, IMAGE),
    (layers.LocalResponseNorm(5, alpha=0.5, beta=1, k=2), IMAGE, IMAGE),
    (layers.Inception(4, 2, (2, 3), (2, 2), 2), IMAGE, (2, 9, 7, 6)),
    (layers.ScaledTanh(), IMAGE, IMAGE),
    (layers.Subsampling2d(4), IMAGE, (2, 4, 3, 3)),
    (layers.PartialConv2d(TABLE, in_channels=4, kernel_size=(3, 2)), IMAGE, (2, 3, 5, 5)),
    (layers.RBFOutput(layers.digit_prototypes()), (2, 84), (2, 10)),
    (layers.Add(), IMAGE, IMAGE),
    (layers.SameConv2d(4, 6, 3, stride=2, groups=2), IMAGE, (2, 6, 4, 3)),
    (layers.SameConv2d(4, 2, 4), IMAGE, (2, 2, 7, 6)),
    (layers.SqueezeExcitation(4, 2), IMAGE, IMAGE),
    (layers.SqueezeExcitation(4, 3, nn.SiLU, nn.Hardsigmoid), IMAGE, IMAGE),
    (layers.InvertedResidual(4, 12, 4, 3, norm=nn.Identity, drop_rate=0.5).eval(), IMAGE, IMAGE),
    (
        layers.InvertedResidual(4, 4, 6, 5, 2, nn.SiLU, layers.SqueezeExcitation(4, 2), nn.Identity),
        *(IMAGE, (2, 6, 4, 3)),
    ),
    (layers.LayerNorm2d(4), IMAGE, IMAGE),
    (layers.PixelLinear(4, 6), IMAGE, (2, 6, 7, 6)),
    (layers.ScaledResidual(nn.Conv2d(4, 4, 3, padding=1), 4, drop_rate=0.5).eval(), IMAGE, IMAGE),
    (layers.StochasticDepth(0.5).eval(), IMAGE, IMAGE),
    (layers.WhiteningConv2d(4, directions=3), IMAGE, (2, 6, 7, 6)),
    (layers.PaddedShortcut(4, 7, stride=2), IMAGE, (2, 7, 4, 3)),
]
cases = pytest.mark.parametrize(
    ("layer", "given", "shape"), LAYERS, ids=[f"{i}-{type(case[0]).__name__}" for i, case in enumerate(LAYERS)]
)


def without_ties(*shape: int) -> Tensor:
    """Distinct values in (-1, 1), shuffled: no finite difference moves a maximum to another cell."""
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return (order.float() * 2 / count - 1).reshape(shape)


def with_some_weights(layer: nn.Module) -> nn.Module:
    """A copy whose parameters are none of the special values they start with."""
    layer = copy.deepcopy(layer)
    for i, parameter in enumerate(layer.parameters()):
        parameter.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(i))
    return layer


@pytest.mark.slow
@cases
def test_answers_every_question(layer: nn.Module, given: tuple[int, ...], shape: tuple[int, ...]):
    check_layer(with_some_weights(layer), without_ties(*given), shape)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@cases
def test_cuda_agrees_with_the_cpu(layer: nn.Module, given: tuple[int, ...], shape: tuple[int, ...]):
    layer, x = with_some_weights(layer), without_ties(*given)
    expected = layer(x)
    for image in (x, x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x):
        there = copy.deepcopy(layer).cuda()(image.cuda())
        assert there.shape == shape
        torch.testing.assert_close(there.cpu(), expected, rtol=1e-3, atol=1e-3)


def test_every_public_layer_is_questioned():
    public = [getattr(layers, name) for name in layers.__all__]
    assert {type(layer) for layer, _, _ in LAYERS} == {x for x in public if isinstance(x, type)}


def test_all_is_sorted_and_complete():
    modules = [
        importlib.import_module(f"striate.layers.{m.name}") for m in pkgutil.iter_modules(striate.layers.__path__)
    ]
    defined = {
        name
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    }
    assert layers.__all__ == sorted(layers.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert {name for name in defined if not name.startswith("_")} <= set(layers.__all__)


MODULES = [f"striate.layers.{module.name}" for module in pkgutil.iter_modules(striate.layers.__path__)]
DOCTESTS = [
    each for name in MODULES for each in doctest.DocTestFinder().find(importlib.import_module(name)) if each.examples
]


@pytest.mark.parametrize("examples", DOCTESTS, ids=lambda examples: examples.name.removeprefix("striate.layers."))
def test_doctests(examples: doctest.DocTest):
    assert doctest.DocTestRunner().run(examples).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_doctests(module: str):
    assert any(each.name.startswith(f"{module}.") for each in DOCTESTS)
