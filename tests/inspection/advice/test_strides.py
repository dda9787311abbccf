"""Strides that skip: what nothing reads, and kernels that reach."""

import pytest
import torch
from foreign import residual
from looked_at import finding, findings
from torch import nn

from striate import models


def with_step(step: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), step, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "unread"),
    [
        (nn.Conv2d(4, 4, 1, stride=2), 1 - 25 / 81),
        (nn.Conv2d(4, 4, 1, stride=(1, 2)), 1 - 45 / 81),
        (nn.Conv2d(4, 4, 2, stride=3), 1 - 36 / 81),
        (nn.Conv2d(4, 4, 2, stride=3, padding=1), 1 - 36 / 81),
        (nn.Conv2d(4, 4, (3, 1), stride=(1, 2)), 1 - 45 / 81),
        (nn.AvgPool2d(2, stride=3), 1 - 36 / 81),
    ],
)
def test_cells_between_the_windows_are_counted_and_then_read(step: nn.Module, unread: float) -> None:
    model = with_step(step)
    found = finding("skipping-stride", model, (1, 9, 9))
    assert found.layers == ("2",)
    assert found.numbers["unread"] == pytest.approx(unread)
    changed = found.apply(model, (1, 9, 9))
    x = torch.randn(2, 4, 9, 9)
    assert changed[2](x).shape == model[2](x).shape
    assert findings("skipping-stride", changed, (1, 9, 9)) == []


def test_a_max_pooling_that_skips_has_a_kernel_that_reaches() -> None:
    model = with_step(nn.MaxPool2d(1, stride=2))
    changed = finding("skipping-stride", model, (1, 9, 9)).apply(model, (1, 9, 9))
    assert (changed[2].kernel_size, changed[2].stride, changed[2].padding) == ((3, 3), (2, 2), (1, 1))


def test_an_average_pooling_that_reaches_leaves_a_constant_image_constant() -> None:
    model = with_step(nn.AvgPool2d(2, stride=3))
    changed = finding("skipping-stride", model, (1, 9, 9)).apply(model, (1, 9, 9))
    assert torch.equal(changed[2](torch.ones(1, 4, 9, 9)), torch.ones(1, 4, 3, 3))


def test_the_layer_that_skips_most_is_told() -> None:
    steps = nn.Sequential(nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, stride=3))  # 9 → 5 → 2
    found = finding("skipping-stride", with_step(steps), (1, 9, 9))
    assert found.layers == ("2.0", "2.1")
    assert found.numbers == {"unread": pytest.approx(1 - 4 / 25), "layers": 2}


def test_a_pointwise_convolution_keeps_its_weights_behind_an_average() -> None:
    model = with_step(nn.Conv2d(4, 4, 1, stride=2))
    found = finding("skipping-stride", model, (1, 8, 8))
    pool, conv = found.apply(model, (1, 8, 8))[2]
    x = torch.randn(2, 4, 8, 8)
    expected = nn.functional.conv2d(x.reshape(2, 4, 4, 2, 4, 2).mean((3, 5)), model[2].weight, model[2].bias)
    assert torch.allclose(conv(pool(x)), expected, atol=1e-6)
    assert found.saves.parameters == 0


def test_what_another_path_reads_is_not_skipped() -> None:
    """The shortcut of a residual block; torchvision's has its ReLU in place."""
    assert findings("skipping-stride", residual(), (3, 12, 12)) == []
    assert findings("skipping-stride", with_step(nn.MaxPool2d(3, 2)), (1, 9, 9)) == []
    model = models.create("fashion_cnn", seed=0)  # its last layer begins at 0, so that no output depends on anything
    assert findings("skipping-stride", model, (1, 28, 28)) == []


@pytest.mark.slow
def test_the_published_bottleneck_skips_and_the_later_one_does_not() -> None:
    found = finding("skipping-stride", models.create("resnet50:downsample=v1", image_size=32, seed=0), (1, 32, 32))
    assert found.numbers["unread"] == 0.75
    assert found.layers[:2] == ("layer2.0.conv1", "layer2.0.downsample.0")
    later = models.create("resnet50:downsample=v1.5", image_size=32, seed=0)
    assert findings("skipping-stride", later, (1, 32, 32)) == []
