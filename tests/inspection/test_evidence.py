"""Which layers a page shows."""

from itertools import pairwise

import pytest
from torch import nn

import striate
from striate.inspection.evidence import MOST_LAYERS, stages


def names(name: str, side: int, channels: int = 1) -> list[str]:
    return [
        call.name for call in stages(striate.create(name, image_size=side, channels=channels), (channels, side, side))
    ]


def test_small_networks_show_every_layer_with_its_activation() -> None:
    assert names("lenet5", 28) == ["squash1", "squash2", "squash3", "squash4"]  # and not the field, which only pads
    assert names("fashion_cnn", 28) == ["conv1", "relu1", "relu3", "conv4", "relu4", "relu6", "conv7", "relu7"]
    assert names("mlp", 28) == []


@pytest.mark.slow
def test_deep_networks_show_their_blocks() -> None:
    assert names("googlenet", 64, 3)[-3:] == ["pool4", "inception5a", "inception5b"]
    resnet = names("resnet18", 32)
    assert resnet[:2] == ["relu", "layer1.0"]  # small ones have no pooling, and what stands there hands its input on
    assert len(resnet) <= MOST_LAYERS
    assert [name for name in resnet if name.startswith("layer")] == [
        f"layer{n}.{k}" for n in range(1, 5) for k in (0, 1)
    ]


def test_a_long_chain_without_blocks_is_thinned_evenly() -> None:
    chain = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(50)])
    shown = [int(call.name) for call in stages(chain, (1, 6, 6))]
    assert len(shown) == MOST_LAYERS
    assert (shown[0], shown[-1]) == (0, 49)
    assert max(b - a for a, b in pairwise(shown)) <= 3


@pytest.mark.parametrize(("last", "shown"), [(nn.ReLU(), "1"), (nn.BatchNorm2d(2), "1"), (nn.Dropout(), "0")])
def test_what_is_merely_changed_or_handed_on_is_shown_once(last: nn.Module, shown: str) -> None:
    assert [call.name for call in stages(nn.Sequential(nn.Conv2d(1, 2, 3), last), (1, 6, 6))] == [shown]
