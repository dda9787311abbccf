"""torchvision's GoogLeNet: its names and shapes, written down anew, and its weights in functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, drawn, filled, outputs, pictures, shapes, sketch
from models.test_googlenet import PUBLISHED, Composition, without_dropout
from torch import nn

from striate import models
from striate.errors import ShapeError
from striate.models import Outputs


def unit(name, outputs, inputs, window):
    """What one convolution with batch normalisation keeps."""
    norm = {f"{name}.bn.{each}": (outputs,) for each in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.conv.weight": (outputs, inputs, window, window)} | norm | {f"{name}.bn.num_batches_tracked": ()}


def inception(name, inputs, ones, reduce3, threes, reduce5, fives, pooled):
    name = f"inception{name}"
    return (
        unit(f"{name}.branch1", ones, inputs, 1)
        | unit(f"{name}.branch2.0", reduce3, inputs, 1)
        | unit(f"{name}.branch2.1", threes, reduce3, 3)
        | unit(f"{name}.branch3.0", reduce5, inputs, 1)
        | unit(f"{name}.branch3.1", fives, reduce5, 3)
        | unit(f"{name}.branch4.1", pooled, inputs, 1)
    )


def expected_state(auxiliary):
    """torchvision.models.googlenet's state, in its order."""
    state = unit("conv1", 64, 3, 7) | unit("conv2", 64, 64, 1) | unit("conv3", 192, 64, 3)
    inputs = 192
    for name, (_, maps, *widths, _) in PUBLISHED.items():
        state |= inception(name, inputs, *widths)
        inputs = maps
    for name, maps in (("aux1", 512), ("aux2", 528)) if auxiliary else ():
        state |= unit(f"{name}.conv", 128, maps, 1)
        state |= {f"{name}.fc1.weight": (1024, 2048), f"{name}.fc1.bias": (1024,)}
        state |= {f"{name}.fc2.weight": (1000, 1024), f"{name}.fc2.bias": (1000,)}
    return state | {"fc.weight": (1000, 1024), "fc.bias": (1000,)}


@pytest.mark.parametrize(("auxiliary", "parameters"), [(True, 13_004_888), (False, 6_624_904)])
@pytest.mark.parametrize("size", [224, 300])
def test_names_and_shapes_are_torchvisions(auxiliary, parameters, size):
    text = f"googlenet_torchvision:auxiliary={auxiliary}"
    assert list(shapes(sketch(text, size)).items()) == list(expected_state(auxiliary).items())
    assert count(sketch(text, size)) == parameters


def test_a_state_of_torchvisions_loads_strictly():
    state = {name: torch.zeros(shape) for name, shape in expected_state(True).items()}
    assert models.create("googlenet_torchvision", 1000, 3, 224).load_state_dict(state, strict=True)


@pytest.mark.slow
def test_each_layer_has_its_size():
    table = drawn("googlenet_torchvision")
    made = outputs(table)
    stem = {"conv1.conv": (64, 112, 112), "maxpool1": (64, 56, 56), "conv2.conv": (64, 56, 56)}
    stem |= {"conv3.conv": (192, 56, 56), "maxpool2": (192, 28, 28), "maxpool3": (480, 14, 14)}
    stem |= {"maxpool4": (832, 7, 7), "avgpool": (1024,), "fc": (1000,)}
    assert {layer: made[layer] for layer in stem} == stem
    for name, (size, _, ones, *_) in PUBLISHED.items():
        assert made[f"inception{name}.branch1.conv"] == (ones, size, size)
    assert round(table.multiply_adds / 1e9, 2) == 1.5  # torchvision's documentation
    windows = {row.layer: (row.kernel[0], row.padding) for row in table.rows if row.layer.startswith("maxpool")}
    assert windows == dict.fromkeys(("maxpool1", "maxpool2", "maxpool3"), (3, "valid (ceil)")) | {
        "maxpool4": (2, "valid (ceil)")
    }
    assert {row.activation for row in table.rows if row.layer == "avgpool"} == {"dropout 0.2"}


class TorchvisionComposition(Composition):
    def conv(self, x, name, stride=1):
        w = {each: self.w[f"{name}.{each}"] for each in ("conv.weight", "bn.weight", "bn.bias")}
        mean, var = self.w[f"{name}.bn.running_mean"], self.w[f"{name}.bn.running_var"]
        x = F.conv2d(x, w["conv.weight"], None, stride, w["conv.weight"].shape[-1] // 2)
        x = (x - mean[:, None, None]) / (var[:, None, None] + 0.001).sqrt()
        return (x * w["bn.weight"][:, None, None] + w["bn.bias"][:, None, None]).relu()

    def pool(self, x, window=3):
        return F.max_pool2d(x, window, 2, ceil_mode=True)

    def head(self, x, name):
        x = self.conv(F.adaptive_avg_pool2d(x, 4), f"{name}.conv").flatten(1)
        return self.dense(self.dense(x, f"{name}.fc1").relu(), f"{name}.fc2")

    def __call__(self, x, stem):
        x = self.conv(x, "conv1", 2 if stem == "imagenet" else 1)
        x = self.conv(self.conv(self.pool(x) if stem == "imagenet" else x, "conv2"), "conv3")
        x = self.pool(self.inception(self.inception(self.pool(x), "3a"), "3b"))
        early = x = self.inception(x, "4a")
        for name in ("4b", "4c", "4d"):
            x = self.inception(x, name)
        late, x = x, self.pool(self.inception(x, "4e"), 2)
        x = self.inception(self.inception(x, "5a"), "5b").mean((2, 3))
        return self.dense(x, "fc"), self.head(early, "aux1"), self.head(late, "aux2")


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "size"), [("small", (28, 21)), ("imagenet", (64, 99))])
def test_the_network_and_its_heads_are_the_weights_in_functional_pytorch(stem, size):
    model = sketch(f"googlenet_torchvision:stem={stem}", size, 5, 2).to_empty(device="cpu")
    filled(model)
    model.double()  # in float32 the order of its sums, another on each processor, tells in the fifth digit
    images = pictures(2, 2, *size).double()
    composed = TorchvisionComposition(model.state_dict())(images, stem)
    assert all(logits.std() > 0.1 for logits in composed)
    without_dropout(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    made = model(images)
    assert isinstance(made, Outputs)
    assert made.weight == 0.3
    for ours, expected in zip((made.logits, *made.auxiliary), composed, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.eval()(images), composed[0], rtol=1e-5, atol=1e-5)


def test_images_are_normalised_as_torchvision_does_in_the_end():
    """`transform_input` of its pretrained networks takes images normalised with ImageNet's values."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    transformed = (pixels - mean) / std * (std / 0.5) + (mean - 0.5) / 0.5
    ours = [torch.tensor(each) for each in models.facts("googlenet_torchvision").normalization]
    torch.testing.assert_close((pixels - ours[0]) / ours[1], transformed)


def test_weights_start_as_torchvisions():
    model = models.create("googlenet_torchvision", seed=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 50_000:
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.03)
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 0.001
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert model.aux1.dropout.p == model.aux2.dropout.p == 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "least"), [("imagenet", 15), ("small", 4)])
def test_the_smallest_image(stem, least):
    text = f"googlenet_torchvision:stem={stem}"
    assert outputs(drawn(text, (least, 70)))["fc"] == (1000,)
    with pytest.raises(ShapeError, match=rf"stem={stem} needs images of at least {least}×{least} pixels"):
        sketch(text, (least - 1, 70))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "maps"), [(28, (28, 14, 7, 4)), (32, (32, 16, 8, 4))])
def test_the_small_form_keeps_the_resolution_twice_as_long(size, maps):
    made = outputs(drawn("googlenet_torchvision", size))
    layers = ("conv1.conv", "inception3a.branch1.conv", "inception4a.branch1.conv", "inception5a.branch1.conv")
    assert tuple(made[layer][1] for layer in layers) == maps
    assert "maxpool1" not in made
