"""Quicknet: the same function composed by hand, images of any size, and the counts its docstring tells."""

import pytest
import torch
import torch.nn.functional as F

from striate import models
from striate.errors import ShapeError
from tests.models.test_registry import stirred

COUNTS = {
    "quicknet_s": (270_626, 8_906_528),
    "quicknet_m": (599_394, 18_355_872),
    "quicknet_l": (1_069_314, 36_074_784),
}
every = pytest.mark.parametrize("name", COUNTS)


def by_hand(model, x, kernel, stride):
    """The network written out: the ReLU before the pooling, which the network has after it."""
    w = model.state_dict()

    def norm(x, name):
        return F.batch_norm(x, *(w[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))

    def unit(x, name, pool):
        maps = F.conv2d(x, w[f"{name}.conv.weight"], padding=1)
        maps = norm(maps, f"{name}.norm").relu()
        if pool:
            return F.max_pool2d(maps, 2)
        return maps + x if maps.shape == x.shape else maps

    def more(x, name):
        for place in range(2 if name == "more2" else 1):
            x = unit(x, f"{name}.{place}", pool=False) if f"{name}.{place}.conv.weight" in w else x
        return x

    x = F.conv2d(x, w["conv1.weight"], w.get("conv1.bias"), stride=stride, padding=kernel // 2)
    x = F.max_pool2d((norm(x, "norm2") if "norm2.weight" in w else x).relu(), 2)
    x = unit(unit(more(x, "more2"), "unit3", pool=True), "unit5", pool=False)
    x = unit(unit(more(x, "more5"), "unit6", pool=True), "unit8", pool=False)
    x = more(x, "more8")
    return F.linear(x.amax((2, 3)), w["output.weight"]) * 0.2


@every
@pytest.mark.parametrize(("size", "channels", "kernel", "stride"), [((28, 28), 1, 3, 1), ((97, 64), 3, 7, 4)])
def test_the_same_function_by_hand(name, size, channels, kernel, stride):
    model = stirred(name, image_size=size, channels=channels).eval()
    images = torch.randn(3, channels, *size, generator=torch.Generator().manual_seed(0))
    # All scales are positive, as they are after training's start; with a negative one pooling would not commute.
    torch.testing.assert_close(model(images), by_hand(model, images, kernel, stride), rtol=1e-4, atol=1e-5)


@every
def test_counts(name):
    from striate.inspection import describe

    model = models.create(name)
    assert (sum(p.numel() for p in model.parameters()), describe(model).multiply_adds) == COUNTS[name]


@every
@pytest.mark.parametrize(("stem", "least"), [("small", 8), ("imagenet", 61)])
def test_the_smallest_image(name, stem, least):
    model = models.create(f"{name}:stem={stem}", image_size=least, seed=0).eval()
    assert model(torch.zeros(2, 1, least, least)).shape == (2, 10)
    with pytest.raises(ShapeError, match=rf"at least {least}×{least}"):
        models.create(f"{name}:stem={stem}", image_size=least - 1)
