"""LeNet-5 against the paper: its table to the unit, and the whole network again in NumPy from the paper's sentences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from reference import lenet as reference

from striate import models
from striate.errors import ArgumentError, ShapeError
from striate.layers import digit_prototypes
from striate.preprocess import Preprocess

# Table I: the maps of S2 that each map of C3 sees.
TABLE_I = [
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
]  # fmt: skip

# Layer, output (maps, height, width), trainable parameters: section II.B.
PUBLISHED = [
    ("c1", (6, 28, 28), 156),
    ("s2", (6, 14, 14), 12),
    ("c3", (16, 10, 10), 1_516),
    ("s4", (16, 5, 5), 32),
    ("c5", (120, 1, 1), 48_120),
    ("f6", (84,), 10_164),
    ("output", (10,), 0),
]


def digits(count=2, size=(28, 28), channels=1):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0)) * 1.275 - 0.1


def stirred(name, **settings):
    """A model whose every parameter is random, biases and coefficients too."""
    model = models.create(name, seed=0, **settings)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    return model


@pytest.mark.parametrize(("layer", "shape", "parameters"), PUBLISHED)
def test_each_layer_is_the_papers(layer, shape, parameters):
    model, shapes = models.create("lenet5"), {}
    module = getattr(model, layer)
    module.register_forward_hook(lambda _, inputs, output: shapes.update(out=tuple(output.shape[1:])))
    model(digits())
    assert shapes["out"] == shape
    assert sum(p.numel() for p in module.parameters()) == parameters


def squash(a):
    return 1.7159 * np.tanh(2 / 3 * a)


def conv(x, weight, bias):
    return (
        np.einsum("nchwij,ocij->nohw", sliding_window_view(x, weight.shape[2:], (2, 3)), weight) + bias[:, None, None]
    )


def subsample(x, weight, bias):
    images, maps, height, width = x.shape
    mean = x.reshape(images, maps, height // 2, 2, width // 2, 2).mean((3, 5))
    return mean * weight[:, None, None] + bias[:, None, None]


@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (1, (32, 32)), (3, (27, 20))])
def test_the_network_is_the_papers(channels, size):
    model = stirred("lenet5", channels=channels, image_size=size)
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}
    images = digits(2, size, channels)
    field = np.full((2, channels, 32, 32), -0.1)
    top, left = (32 - size[0]) // 2, (32 - size[1]) // 2
    field[:, :, top : top + size[0], left : left + size[1]] = images.numpy()
    x = squash(conv(field, w["c1.weight"], w["c1.bias"]))
    x = squash(subsample(x, w["s2.weight"], w["s2.bias"]))
    x = squash(reference.partial_conv2d(x, TABLE_I, w["c3.weight"], w["c3.bias"]))
    x = squash(subsample(x, w["s4.weight"], w["s4.bias"]))
    x = squash(conv(x, w["c5.weight"], w["c5.bias"]))[:, :, 0, 0]
    x = squash(x @ w["f6.weight"].T + w["f6.bias"])
    logits = -reference.rbf(x, digit_prototypes().double().numpy())
    np.testing.assert_allclose(model(images).detach().numpy(), logits, rtol=1e-4)


def test_modern_is_the_same_shape_with_todays_parts():
    model, x = stirred("lenet5_modern", classes=12), digits()
    w = model.state_dict()
    a = F.pad(x, (2, 2, 2, 2), value=-0.1)
    a = F.avg_pool2d(F.conv2d(a, w["c1.weight"], w["c1.bias"]).relu(), 2)
    a = F.avg_pool2d(F.conv2d(a, w["c3.weight"], w["c3.bias"]).relu(), 2)
    a = F.conv2d(a, w["c5.weight"], w["c5.bias"]).relu().flatten(1)
    a = F.linear(a, w["f6.weight"], w["f6.bias"]).relu()
    torch.testing.assert_close(model(x), F.linear(a, w["output.weight"], w["output.bias"]))


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
@pytest.mark.parametrize(
    ("size", "margins"), [((28, 28), (2, 2, 2, 2)), ((32, 32), (0,) * 4), ((27, 1), (2, 3, 15, 16))]
)
def test_small_images_stand_in_the_middle_of_the_background(name, size, margins):
    model = models.create(name, image_size=size)
    seen = {}
    model.c1.register_forward_pre_hook(lambda _, inputs: seen.update(field=inputs[0]))
    model(torch.full((1, 1, *size), 1.175))
    top, bottom, left, right = margins
    expected = np.pad(np.full(size, 1.175, np.float32), ((top, bottom), (left, right)), constant_values=-0.1)
    assert np.array_equal(seen["field"][0, 0].numpy(), expected)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
def test_normalisation_makes_black_the_background_and_ink_the_foreground(name):
    facts = models.facts(name)
    preprocess = Preprocess(1, 2, 1, mean=(facts.mean,), std=(facts.std,))
    inputs = preprocess.normalize(torch.tensor([[[[0], [255]]]], dtype=torch.uint8))
    torch.testing.assert_close(inputs.flatten(), torch.tensor([-0.1, 1.175]))


def test_a_logit_is_minus_the_squared_distance_to_the_classs_digit():
    model = models.create("lenet5", classes=4, seed=0)
    seen = {}
    model.squash6.register_forward_hook(lambda _, inputs, output: seen.update(f6=output))
    logits = model(digits(3))
    distances = (seen["f6"][:, None, :] - digit_prototypes()[:4]).square().sum(-1)
    torch.testing.assert_close(logits, -distances)
    assert (logits < 0).all()


def test_weights_start_in_the_papers_bounds():
    w = models.create("lenet5", seed=0).state_dict()
    for layer, fan_in in (("c1", 25), ("c5", 400), ("f6", 120)):
        assert 0.9 * 2.4 / fan_in < w[f"{layer}.weight"].abs().max() <= 2.4 / fan_in
        assert (w[f"{layer}.bias"] == 0).all()


def test_no_more_classes_than_digits():
    for classes in (11, 1000):
        with pytest.raises(ArgumentError, match=f"10 classes, got {classes}: use lenet5_modern"):
            models.create("lenet5", classes=classes)
        assert models.create("lenet5_modern", classes=classes)(digits(1)).shape == (1, classes)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_modern"])
@pytest.mark.parametrize("size", [33, (33, 20), (20, 64)])
def test_no_image_larger_than_the_field(name, size):
    with pytest.raises(ShapeError, match=f"{name} has an input field of 32×32 pixels.*--image-size 32 or less"):
        models.create(name, image_size=size)


def test_names_of_weights_are_stable():
    """Files of weights are read by these names."""
    pairs = [f"{layer}.{kind}" for layer in ("c1", "s2", "c3", "s4", "c5", "f6") for kind in ("weight", "bias")]
    assert list(models.create("lenet5").state_dict()) == [*pairs, "output.prototypes"]
    modern = [f"{layer}.{kind}" for layer in ("c1", "c3", "c5", "f6", "output") for kind in ("weight", "bias")]
    assert list(models.create("lenet5_modern").state_dict()) == modern
