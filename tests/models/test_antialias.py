"""Strided layers become blurred ones: against the composition written out, with weights, names and shapes kept."""

import copy

import pytest
import torch
from foreign import Block, Tutorial
from torch import Tensor, nn
from torch.nn import functional as F

from striate import layers, models, seeding
from striate.errors import ArgumentError, ShapeError
from striate.layers import BlurPool2d
from striate.models import Architecture, antialias


def some(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def plain() -> nn.Sequential:
    """conv with stride, norm, ReLU, pooling in ceil mode, conv with stride without an activation, average, dense."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 6, 3, stride=(1, 2)), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * 3 * 1, 10),
    )  # fmt: skip


def test_every_layer_becomes_the_one_without_stride_and_its_blur():
    model = plain().eval()
    model[1].running_mean.uniform_(-1, 1)
    x = some(2, 3, 34, 27)
    blurred = antialias(model, "tri-3", (3, 34, 27))
    y = F.conv2d(x, model[0].weight, model[0].bias, padding=1)
    y = BlurPool2d(4, "tri-3")(model[1](y).relu())  # (2, 4, 17, 14): the blur comes after the activation
    y = F.max_pool2d(F.pad(y, (0, 1, 0, 0), value=-torch.inf), 3, 1)  # in ceil mode the columns have one window more
    y = BlurPool2d(4, "tri-3")(y)  # (2, 4, 8, 7)
    y = BlurPool2d(6, "tri-3", (1, 2))(F.conv2d(y, model[4].weight, model[4].bias))  # (2, 6, 6, 3)
    y = BlurPool2d(6, "tri-3")(F.avg_pool2d(y, 2, 1))  # (2, 6, 3, 1)
    torch.testing.assert_close(blurred(x), model[7](y.flatten(1)))
    assert blurred(x).shape == model(x).shape


@pytest.mark.parametrize("size", range(5, 14))
@pytest.mark.parametrize("arguments", [(3, 2, 0), (3, 2, 1), (2, 2, 0), (2, 3, 1), (5, 4, 2), (3, 2, 1, 2), (1, 3)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooling_keeps_its_shape(size, arguments, ceil_mode):
    model = nn.Sequential(nn.MaxPool2d(*arguments, ceil_mode=ceil_mode))
    blurred = antialias(model, input_shape=(2, size, 9))
    for shape in ((2, 2, size, 9), (1, 2, 12, 13)):
        made = blurred(some(*shape))
        assert made.shape == model(some(*shape)).shape
        assert torch.isfinite(made).all()


@pytest.mark.parametrize(
    ("model", "shape"),
    [(plain(), (3, 34, 27)), (Tutorial(), (3, 32, 32)), (nn.Sequential(Block()), (4, 9, 8))],
    ids=["plain", "tutorial", "block"],
)
def test_weights_names_and_shapes_stay(model, shape):
    model.eval()
    x, before = some(3, *shape), copy.deepcopy(model.state_dict())
    was = model(x)
    blurred = antialias(model, input_shape=shape)
    assert torch.equal(model(x), was), "the network given is not changed"
    assert not blurred.training
    assert list(blurred.state_dict()) == list(before)
    assert [(n, p.shape) for n, p in blurred.named_parameters()] == [(n, p.shape) for n, p in model.named_parameters()]
    assert blurred(x).shape == was.shape
    assert not torch.allclose(blurred(x), was)
    blurred.load_state_dict({name: torch.zeros_like(value) for name, value in before.items()})
    model.load_state_dict(blurred.state_dict())


@pytest.mark.parametrize(
    ("model", "shape"),
    [(plain(), (3, 34, 27)), (Tutorial(), (3, 32, 32)), (nn.Sequential(Block()), (4, 9, 8))],
    ids=["plain", "tutorial", "block"],
)
def test_it_exports_with_any_batch(model, shape):
    blurred, x = antialias(model.eval(), input_shape=shape), some(3, *shape)
    dynamic = ({0: torch.export.Dim("batch", min=2, max=64)},)
    program = torch.export.export(blurred, (x,), dynamic_shapes=dynamic).module()
    for batch in (x, torch.cat([x, x])):
        torch.testing.assert_close(program(batch), blurred(batch))


def test_a_residual_block_of_torchvision_s_kind():
    """Its ReLU serves two places, so the blur stands directly behind the convolution; before it, where that is 1×1."""
    block = Block().eval()
    x = some(2, 4, 9, 8)
    blurred = antialias(nn.Sequential(block), "bin-5", (4, 9, 8))
    branch = block.bn1(BlurPool2d(8, "bin-5")(F.conv2d(x, block.conv1.weight, padding=1))).relu()
    shortcut = block.downsample[1](F.conv2d(BlurPool2d(4, "bin-5")(x), block.downsample[0].weight))
    torch.testing.assert_close(blurred(x), (block.bn2(block.conv2(branch)) + shortcut).relu())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern", "fashion_cnn", "resnet20", "resnet18", "googlenet"])
def test_our_models_take_it_as_an_option(name):
    model, blurred = models.create(name, seed=3), models.create(f"{name}:antialias=bin-5", seed=3)
    own = model.architecture.options
    assert blurred.architecture == Architecture(name, 10, 1, (28, 28), {**own, "antialias": "bin-5"})
    assert blurred.architecture.text == f"{name}:antialias=bin-5"
    assert Architecture.from_dict(blurred.architecture.to_dict()).make(3).architecture == blurred.architecture
    assert all(torch.equal(value, blurred.state_dict()[key]) for key, value in model.state_dict().items())
    assert len(blurred.state_dict()) == len(model.state_dict())
    assert {m.filter for m in blurred.modules() if isinstance(m, BlurPool2d)} == {"bin-5"}
    assert models.create(name, antialias=True).architecture.options == {**own, "antialias": "tri-4"}
    assert models.create(name, antialias=False).architecture == model.architecture
    assert models.create(f"{name}:antialias=none").architecture.text == name


def test_weights_of_a_run_bring_its_blur_along(tmp_path):
    """And weights of a network without blur load into one with it."""
    model = models.create("resnet20", seed=1)
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    blurred = models.create("resnet20:antialias=tri-3", weights=tmp_path / "plain.pt")
    assert torch.equal(blurred.conv1.weight, model.conv1.weight)
    assert blurred.architecture.options["antialias"] == "tri-3"


def test_every_step_down_of_a_residual_network_is_blurred():
    """Section 3.2's networks: the branch's convolution behind its ReLU, and the shortcut."""
    for name in ("resnet20", "resnet18:stem=small"):
        blurred = models.create(f"{name},antialias=true" if ":" in name else f"{name}:antialias=true")
        assert not any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in blurred.modules())
        behind = [
            type(m.relu1[0]).__name__ for m in blurred.modules() if isinstance(getattr(m, "relu1", None), nn.Sequential)
        ]
        assert behind == ["ReLU"] * (2 if name == "resnet20" else 3)


def test_the_blur_of_fashion_cnn_stands_behind_its_relus():
    kinds = [type(m).__name__ for m in models.create("fashion_cnn:antialias=true").modules() if not any(m.children())]
    assert kinds[:4] == ["Conv2d", "MaxPool2d", "ReLU", "BlurPool2d"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "blurs"),
    [
        ("efficientnet_lite0", 4), ("efficientnet_b0", 4), ("mobilenet_v2", 4), ("mobilenet_v3_large", 4),
        ("resnext50_32x4d", 1 + 2 * 3), ("seresnet50", 1 + 2 * 3), ("senet154", 1 + 2 * 3), ("convnext_tiny", 3),
    ],
)  # fmt: skip
def test_every_stride_behind_the_first_of_the_later_networks_is_blurred(name, blurs):
    """Shortcuts have their own; what is activated is blurred behind its activation."""
    with torch.device("meta"):
        plain, blurred = models.create(name, 5, 3, 64), models.create(name, 5, 3, 64, antialias="tri-3")
    made = [module for module in blurred.modules() if isinstance(module, BlurPool2d)]
    assert len(made) == blurs
    assert all(module.stride == (2, 2) for module in made)
    assert {name: value.shape for name, value in blurred.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    strided = [module for module in blurred.modules() if isinstance(module, nn.Conv2d) and module.stride != (1, 1)]
    assert len(strided) == 1, "the first"


def test_on_large_images_the_first_convolution_keeps_its_stride():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU())
    assert [m.stride for m in antialias(model, input_shape=(3, 64, 64)) if isinstance(m, nn.Conv2d)] == [(2, 2), (1, 1)]
    assert [m.stride for m in antialias(model, input_shape=(3, 63, 99)) if isinstance(m, nn.Conv2d)] == [(1, 1), (1, 1)]


def test_global_averages_stay_what_they_are():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AvgPool2d(8), nn.Flatten())
    x = some(2, 1, 8, 8)
    torch.testing.assert_close(antialias(model, input_shape=(1, 8, 8))(x), model(x))


def test_shifts_change_less_of_what_a_network_of_random_weights_says():
    """All its borders are circular: what depends on the position is aliasing alone."""
    conv = {"padding": 1, "padding_mode": "circular"}
    with seeding.scoped(0, "test"):
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, **conv), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, stride=2, **conv), nn.ReLU(), nn.Conv2d(8, 8, 3, **conv), layers.GlobalAvgPool2d(),
        ).requires_grad_(False)  # fmt: skip
    x = some(16, 1, 32, 32)

    def change(model: nn.Module) -> float:
        answers = torch.stack([model(x.roll((i, j), (2, 3))) for i in range(4) for j in range(4)])
        return float((answers.std(0) / answers.mean(0).std(0)).mean())

    plainly, rect, tri, bin_ = (
        change(model),
        *(change(antialias(model, name, (1, 32, 32))) for name in ("rect-2", "tri-3", "bin-5")),
    )
    assert bin_ < tri < rect < 0.9 * plainly


def test_refusals():
    with pytest.raises(
        ArgumentError, match=r"mlp has no strided pooling or convolution to blur: leave antialias out\."
    ):
        models.create("mlp:antialias=tri-4")
    with pytest.raises(ArgumentError, match=r"lenet5:antialias=tri-5: choose one of none, rect-2, tri-3, tri-4, bin-5"):
        models.create("lenet5", antialias="tri-5")
    with pytest.raises(ArgumentError, match="unknown filter 'tri-5'"):
        antialias(plain(), "tri-5", (3, 34, 27))
    with pytest.raises(ArgumentError, match=r"the input shape of Tutorial is unknown: pass input_shape"):
        antialias(Tutorial())
    with pytest.raises(ShapeError, match=r"Tutorial can't take an image of 3×16×16 \(channels×height×width\): mat1"):
        antialias(Tutorial(), input_shape=(3, 16, 16))
    with pytest.raises(ArgumentError, match=r"MaxPool2d is a single layer: use layers\.MaxBlurPool2d"):
        antialias(nn.MaxPool2d(2), input_shape=(1, 8, 8))
    with pytest.raises(ArgumentError, match="AvgPool2d with ceil_mode can't be blurred"):
        antialias(nn.Sequential(nn.AvgPool2d(2, ceil_mode=True)), input_shape=(1, 9, 9))
    with pytest.raises(ArgumentError, match="a Subsampling2d can't be blurred if no activation follows it"):
        antialias(nn.Sequential(layers.Subsampling2d(1)), input_shape=(1, 9, 9))
