"""Fields too small, weights that meet nothing but padding, strides that skip: against fields and gradients."""

import pytest
import torch
from foreign import residual
from looked_at import finding, findings
from torch import Tensor, nn

from striate import models
from striate.inspection import advise, receptive_fields


def shallow(*more: nn.Module) -> nn.Sequential:
    """Sees 3 + 1 + 2 · 2 = 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), *more,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


def test_last_maps_that_see_a_corner_are_found_with_the_layers_that_lack() -> None:
    found = finding("small-field", shallow(), (1, 28, 28))
    assert found.layers == ("2",)
    assert found.numbers == {"field": 8, "image": 28, "stride": 2, "layers_missing": 5}
    assert "8×8 of the image's 28×28 pixels (8.2 % of its area)" in found.found
    assert found.surgery is None
    deeper = receptive_fields(shallow(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5))), (1, 28, 28))
    assert deeper["7"].size == (28, 28)
    assert deeper["6"].size < (28, 28)


def test_fields_of_half_the_image_are_left_alone() -> None:
    assert findings("small-field", shallow(), (1, 16, 16)) == []
    assert findings("small-field", shallow(), (1, 28, 16)) == [], "along one side is enough"
    assert finding("small-field", shallow(), (1, 28, 17)).numbers["field"] == 8
    assert findings("small-field", models.create("fashion_cnn", seed=0), (1, 28, 28)) == []


def test_layers_are_missing_for_the_longer_side_and_rounded_up() -> None:
    assert finding("small-field", shallow(), (1, 29, 20)).numbers["layers_missing"] == 6  # 21 pixels, 4 each
    wide = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d((1, 2)), nn.Conv2d(4, 4, 3, padding=1))
    assert finding("small-field", wide, (1, 28, 28)).numbers["stride"] == 2


def test_a_field_that_is_not_known_is_not_judged() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.cumsum(2)

    model = nn.Sequential(nn.Conv2d(1, 4, 3), Sums(), nn.Conv2d(4, 4, 3), nn.Flatten())
    skipped = advise(model, input_shape=(1, 28, 28), rules=["small-field", "narrow-stage"], device="cpu").skipped
    assert skipped == {
        "small-field": "the receptive field of its final feature maps is unknown",
        "narrow-stage": "the receptive field of a convolution is unknown",
    }


def idle_by_gradient(model: nn.Module, path: str, shape: tuple[int, int, int]) -> int:
    """Weights by which no output of many images of noise has a derivative."""
    conv = model.eval().get_submodule(path)
    model(torch.rand(16, *shape) + 0.1).square().sum().backward()
    assert isinstance(conv, nn.Conv2d)
    return int((conv.weight.grad == 0).sum())


def deep(classes: int = 5) -> nn.Sequential:
    """Halves 8 pixels to 1, where it has a convolution."""
    halves = [each for _ in range(3) for each in (nn.Conv2d(4, 4, 3, padding=1), nn.Softplus(), nn.MaxPool2d(2))]
    last = (nn.Conv2d(4, 6, 3, padding="same"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
    return nn.Sequential(nn.Conv2d(1, 4, 1), *halves, *last)


def test_weights_that_only_meet_padding_are_those_without_a_gradient() -> None:
    model = deep()
    found = finding("large-field", model, (1, 8, 8))
    assert found.layers == ("10",)
    assert found.numbers["idle_weights"] == idle_by_gradient(model, "10", (1, 8, 8)) == 4 * 6 * 8
    assert "down to 1×1 there: 192 weights" in found.found
    changed = found.apply(model, (1, 8, 8))
    assert idle_by_gradient(changed, "10", (1, 8, 8)) == 0
    assert changed[3].stride == changed[6].stride == (1, 1)  # 8 → 7 → 6 → 3; the first alone: 8 → 7 → 3 → 1
    assert changed[9].stride == model[3].stride == 2
    assert "3 and 6 without a stride" in found.change


@pytest.mark.parametrize(("classes", "more", "is_found"), [(513, 0, False), (452, 2, True), (402, 0, True)])
def test_a_twentieth_of_all_weights_is_too_much(classes: int, more: int, is_found: bool) -> None:
    model = deep(classes)
    model.more = nn.Parameter(torch.zeros(more))
    share = 192 / sum(each.numel() for each in model.parameters())
    assert share == pytest.approx({513: 0.045, 452: 0.05, 402: 0.055}[classes], abs=1e-4)
    assert bool(findings("large-field", model, (1, 8, 8))) is is_found


def dilated(pools: int, dilation: int) -> nn.Sequential:
    """Reaches beyond its maps unless they have more cells to a side than the dilation."""
    halves = [nn.MaxPool2d(2) for _ in range(pools)]
    conv = nn.Conv2d(4, 8, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(nn.Conv2d(1, 4, 1), *halves, conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


@pytest.mark.slow
def test_four_strides_are_taken_away_at_most() -> None:
    model = dilated(pools=4, dilation=8)  # 16 → 12 without four strides, and 6 without three
    found = finding("large-field", model, (1, 16, 16))
    assert found.numbers["idle_weights"] == idle_by_gradient(model, "5", (1, 16, 16)) == 4 * 8 * 8
    assert "1 and 2 and 3 and 4 without a stride" in found.change
    assert idle_by_gradient(found.apply(model, (1, 16, 16)), "5", (1, 16, 16)) == 0
    found = finding("large-field", dilated(pools=5, dilation=19), (1, 32, 32))  # 27 without five, and 14 without four
    assert found.surgery is None
    assert found.manual == "removing the first strides is not enough or not possible"


def test_few_weights_may_stay_idle() -> None:
    """Two strides less and the plain convolution meets all; the dilated one, 64 of 1,473 weights, does not."""
    convs = (nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=2, dilation=2))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 400))
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.MaxPool2d(1, 1), nn.MaxPool2d(2), nn.MaxPool2d(2), *convs, *head)
    found = finding("large-field", model, (1, 4, 4))
    assert found.numbers["idle_weights"] == 8 * 8 * 8 + 8 * 8
    assert "Keep the feature maps larger: 2 and 3 without a stride." in found.change


def test_the_smallest_maps_are_named() -> None:
    convs = (nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1))
    found = finding("large-field", nn.Sequential(nn.Conv2d(1, 4, 1), nn.MaxPool2d(2), *convs), (1, 4, 4))
    assert found.layers == ("2", "4")
    assert "down to 1×1 there" in found.found


def test_a_kernel_with_two_sides_on_a_map_with_two_sides() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Softplus(), nn.Conv2d(4, 4, (3, 5), padding=(1, 2)), nn.Flatten())
    found = finding("large-field", model, (1, 2, 2))
    assert found.numbers["idle_weights"] == idle_by_gradient(model, "2", (1, 2, 2)) == 16 * (15 - 9)


def test_a_layer_that_is_called_again_on_larger_maps_is_not_idle() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool = nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.pool(self.conv(x))).flatten(1)

    assert findings("large-field", Again(), (1, 2, 2)) == []


def test_large_fields_on_maps_that_are_large_enough_are_left_alone() -> None:
    assert findings("large-field", deep(), (1, 16, 16)) == []
    assert findings("large-field", residual(), (3, 16, 16)) == []


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_a_published_resnet_on_small_images(stem: str) -> None:
    model = models.create(f"resnet18:stem={stem}", seed=0)
    found = findings("large-field", model, (1, 28, 28))
    assert bool(found) is (stem == "imagenet")
    if found:
        wide = 3 * 512 * 512 + 256 * 512  # the last stage's 3×3 convolutions see one cell, or a corner of four
        assert found[0].numbers["idle_weights"] == wide * 8 - 256 * 512 * (8 - 5)
        assert found[0].numbers["field"] == 435


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
