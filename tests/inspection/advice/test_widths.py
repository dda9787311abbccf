"""Stages that don't widen: found by their maps, and widened through whatever follows."""

from itertools import pairwise

import pytest
import torch
from foreign import residual
from looked_at import finding, findings
from torch import Tensor, nn
from torch.nn import functional as F

from striate import layers, models


def plain(*widths: int) -> nn.Sequential:
    """A convolution, normalised, for each width, with poolings between them, and a flattened head."""
    blocks: list[nn.Module] = []
    for before, after in zip((1, *widths), widths, strict=False):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    side = 16 >> len(widths)
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(widths[-1] * side * side, 5))


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def test_a_stage_that_is_no_wider_is_found_and_those_behind_keep_their_growth() -> None:
    model = plain(8, 8, 12)
    found = finding("narrow-stage", model, (1, 16, 16))
    assert found.layers == ("4",)
    assert found.numbers == {"stages": 1, "maps_before": 8, "maps": 8}
    assert "from 8 to 8 where the stride grows to 2" in found.found
    assert "8 → 16 → 24 channels" in found.change
    changed, by_hand = found.apply(model, (1, 16, 16)), plain(8, 16, 24)
    assert [p.shape for p in changed.parameters()] == [p.shape for p in by_hand.parameters()]
    assert [b.shape for b in changed.buffers()] == [b.shape for b in by_hand.buffers()]
    assert found.saves.parameters == parameters(model) - parameters(by_hand)
    assert changed(torch.randn(3, 1, 16, 16)).shape == (3, 5)
    assert findings("narrow-stage", changed, (1, 16, 16)) == []


def test_a_stage_that_shrinks_gets_twice_the_one_before() -> None:
    found = finding("narrow-stage", plain(8, 4, 12), (1, 16, 16))
    assert (found.numbers["maps_before"], found.numbers["maps"]) == (8, 4)
    assert "8 → 16 → 48 channels" in found.change
    changed = found.apply(plain(8, 4, 12), (1, 16, 16))
    assert [p.shape for p in changed.parameters()] == [p.shape for p in plain(8, 16, 48).parameters()]


def test_every_narrow_stage_is_named_and_the_first_one_counted() -> None:
    found = finding("narrow-stage", plain(8, 6, 5), (1, 16, 16))
    assert found.layers == ("4", "8")
    assert found.numbers == {"stages": 2, "maps_before": 8, "maps": 6}
    assert "from 8 to 6 where the stride grows to 2 and from 6 to 5 where the stride grows to 4" in found.found
    wide = nn.Sequential(nn.Conv2d(1, 8, 3), nn.MaxPool2d((1, 2)), nn.Conv2d(8, 8, 3), nn.Flatten())
    assert "where the stride grows to 1×2" in finding("narrow-stage", wide, (1, 16, 16)).found


def test_a_group_of_layers_makes_no_maps_of_its_own() -> None:
    first, second = (nn.Sequential(nn.Conv2d(*maps, 3), nn.ReLU(), nn.MaxPool2d(2)) for maps in ((1, 8), (8, 4)))
    found = finding("narrow-stage", nn.Sequential(first, second, nn.Flatten()), (1, 16, 16))
    assert (found.numbers["maps_before"], found.numbers["maps"]) == (8, 4)


def test_larger_maps_that_are_made_later_need_not_be_more() -> None:
    class CoarseFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.coarse, self.fine = nn.MaxPool2d(2), nn.Conv2d(1, 16, 3), nn.Conv2d(1, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            coarse = self.coarse(self.pool(x))
            return torch.cat([coarse.flatten(1), self.fine(x).flatten(1)], 1)

    assert findings("narrow-stage", CoarseFirst(), (1, 16, 16)) == []


def test_networks_that_widen_are_left_alone() -> None:
    strided = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.Flatten())
    for model, shape in ((plain(8, 16, 17), (1, 16, 16)), (residual(), (3, 16, 16)), (strided, (3, 32, 32))):
        assert findings("narrow-stage", model, shape) == []
    before = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.MaxPool2d(2))
    assert findings("narrow-stage", nn.Sequential(*before, nn.Conv2d(16, 16, 3), nn.Flatten()), (1, 16, 16)) == []


def gated(*widths: int) -> nn.Sequential:
    """The same with squeeze-and-excitation, behind which every unit sees the whole image."""
    model = plain(*widths)
    norms = [number for number, layer in enumerate(model) if isinstance(layer, nn.BatchNorm2d)]
    for number, width in zip(norms, widths, strict=True):
        model[number] = nn.Sequential(model[number], layers.SqueezeExcitation(width, 16))
    return model


def test_stages_behind_gates_are_told_by_the_size_of_their_feature_maps() -> None:
    assert findings("narrow-stage", gated(8, 12, 24), (1, 16, 16)) == []
    assert finding("narrow-stage", gated(8, 8, 12), (1, 16, 16)).layers == ("4",)
    assert "from 12 to 12 where the stride grows to 4" in finding("narrow-stage", gated(8, 12, 12), (1, 16, 16)).found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_large", "seresnet50"])
def test_published_networks_with_gates_widen(name: str) -> None:
    assert findings("narrow-stage", models.create(name, image_size=32), (1, 32, 32)) == []


def test_a_convolution_of_another_kind_is_not_widened() -> None:
    class Mine(nn.Conv2d):
        pass

    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), Mine(8, 8, 3), nn.Flatten())
    found = finding("narrow-stage", model, (1, 16, 16))
    assert (found.surgery, found.manual) == (None, "a layer is not a plain convolution")


class Branches(nn.Module):
    """Two branches beside each other, and stacked: (N, 8, H, W) to (N, 2 width, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(8, width, 1), nn.Conv2d(8, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(self.one(x)), F.relu(self.two(x))], 1)


def test_the_maps_of_branches_count_together() -> None:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    wide, narrow = (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), Branches(width), *head, nn.Linear(2 * width, 5))
        for width in (5, 4)
    )
    assert findings("narrow-stage", wide, (1, 16, 16)) == []
    found = finding("narrow-stage", narrow, (1, 16, 16))
    changed = found.apply(narrow, (1, 16, 16))
    assert (changed[2].one.out_channels, changed[2].two.out_channels, changed[5].in_features) == (8, 8, 16)


class Block(nn.Module):
    """A residual block that halves the sides and keeps the number of maps."""

    def __init__(self, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.shortcut = nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)) + self.shortcut(x))


def test_shortcuts_widen_too_where_they_can() -> None:
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    tail = (depthwise, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    for shortcut in (nn.Conv2d(8, 8, 1, 2), layers.PaddedShortcut(8, 8, 2)):
        model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Block(shortcut), *tail)
        changed = finding("narrow-stage", model, (1, 16, 16)).apply(model, (1, 16, 16))
        assert (changed[1].conv.out_channels, changed[1].norm.num_features, changed[2].groups) == (16, 16, 16)
        assert changed(torch.randn(2, 1, 16, 16)).shape == (2, 5)
    stuck = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Block(nn.MaxPool2d(2)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = finding("narrow-stage", stuck, (1, 16, 16))
    assert found.surgery is None
    assert found.manual == "the outputs of 0 and 1.conv, which belong to different stages, are added to each other"


class Grown(nn.Module):
    """A convolution and a pooling, and what a second convolution adds: (N, before, H, W) to (N, after, H/2, W/2)."""

    def __init__(self, before: int, after: int, add: nn.Module | None) -> None:
        super().__init__()
        self.enter, self.norm = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)
        self.pool, self.inside, self.add = nn.MaxPool2d(2), nn.Conv2d(after, after, 3, padding=1), add

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.pool(self.enter(x))))
        return x + self.inside(x) if self.add is None else self.add(self.inside(x), x)


def grown(*widths: int, add: nn.Module | None = None) -> nn.Sequential:
    blocks = [Grown(before, after, add) for before, after in pairwise(widths)]
    head = (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 5))
    return nn.Sequential(nn.Conv2d(1, widths[0], 3, padding=1), *blocks, *head)


@pytest.mark.parametrize("add", [None, layers.Add()])
def test_what_is_added_is_widened_together(add: nn.Module | None) -> None:
    model, by_hand = grown(8, 16, 16, add=add), grown(8, 16, 32, add=add)
    found = finding("narrow-stage", model, (1, 16, 16))
    assert found.layers == ("2.enter", "2.inside")
    assert "from 16 to 16 where the stride grows to 4" in found.found
    assert "8 → 16 → 32 channels" in found.change
    changed = found.apply(model, (1, 16, 16))
    assert [p.shape for p in changed.parameters()] == [p.shape for p in by_hand.parameters()]
    assert found.saves.parameters == parameters(model) - parameters(by_hand)
    assert findings("narrow-stage", changed, (1, 16, 16)) == []


def test_depthwise_maps_are_those_that_enter_it() -> None:
    class Separable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand, self.depthwise = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 2, 1, groups=8)
            self.shortcut = nn.Conv2d(8, 8, 1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.depthwise(self.expand(x)) + self.shortcut(x)

    model = nn.Sequential(nn.Conv2d(1, 8, 3), Separable(), nn.Flatten())
    found = finding("narrow-stage", model, (1, 16, 16))
    assert found.manual.startswith("the outputs of 1.expand and 1.shortcut, which belong to different stages")


def test_maps_that_are_stacked_are_not_tied() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3, 2), Branches(4), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.Flatten())
    assert "from 8 to 8 where the stride grows to 4" in finding("narrow-stage", model, (1, 20, 20)).found


def test_what_is_added_counts_where_it_is_first_taken() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), Grown(8, 8, None), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.Flatten())
    found = finding("narrow-stage", model, (1, 20, 20))
    assert found.layers == ("1.enter", "1.inside")
    assert "8 → 16 → 32 channels" in found.change


@pytest.mark.slow
def test_filters_that_double_before_the_pooling_are_left_alone() -> None:
    assert findings("narrow-stage", models.create("quicknet_s", seed=0), (1, 28, 28)) == []
    assert findings("narrow-stage", models.create("resnet18:antialias=true", seed=0), (1, 28, 28)) == []
