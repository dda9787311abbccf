"""AlexNet against the table, figure 2 and section 5 of its paper, and against functional PyTorch; torchvision's too."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, drawn, filled, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError

# The chapter's table for 227×227 colour images: output, window, parameters on one tower and on two.
TABLE = {
    "conv1": ((96, 55, 55), 34_944, 34_944),
    "pool2": ((96, 27, 27), 0, 0),
    "conv3": ((256, 27, 27), 614_656, 307_456),
    "pool4": ((256, 13, 13), 0, 0),
    "conv5": ((384, 13, 13), 885_120, 885_120),
    "conv6": ((384, 13, 13), 1_327_488, 663_936),
    "conv7": ((256, 13, 13), 884_992, 442_624),
    "pool8": ((256, 6, 6), 0, 0),
    "dense9": ((4096,), 37_752_832, 37_752_832),
    "dense10": ((4096,), 16_781_312, 16_781_312),
    "output": ((1000,), 4_097_000, 4_097_000),
}
WINDOWS = {"conv1": "11×11/4", "conv3": "5×5/1", "conv5": "3×3/1", "conv6": "3×3/1", "conv7": "3×3/1"}

# Figure 2 from the second layer on. Its 253,440 for the first is no number that 96 maps make; 55 · 55 · 96 is 290,400.
NEURONS = [186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


@pytest.mark.parametrize(("name", "towers", "total"), [("alexnet", 1, 62_378_344), ("alexnet_grouped", 2, 60_965_224)])
def test_each_layer_is_the_published_one(name, towers, total):
    table = drawn(name, 227)
    made, learned = outputs(table), {row.layer: row.parameters for row in table.rows}
    assert {layer: made[layer] for layer in TABLE} == {layer: row[0] for layer, row in TABLE.items()}
    assert {layer: learned[layer] for layer in TABLE} == {layer: row[towers] for layer, row in TABLE.items()}
    assert table.parameters == total
    assert table.unknown == ()
    windows = {row.layer: f"{row.kernel[0]}×{row.kernel[1]}/{row.stride[0]}" for row in table.rows if row.kernel}
    assert windows == WINDOWS | dict.fromkeys(("pool2", "pool4", "pool8"), "3×3/2")


def test_neurons_are_figure_2s():
    made = outputs(drawn("alexnet_grouped", 227))
    layers = ["conv3", "conv5", "conv6", "conv7", "dense9", "dense10", "output"]
    assert [torch.Size(made[layer]).numel() for layer in layers] == NEURONS
    assert torch.Size(made["conv1"]).numel() == 290_400


def test_multiply_adds_are_those_of_the_towers():
    """1.135 billion on one, 0.724 on two; a window sees all maps of the layer before, or half."""
    assert drawn("alexnet", 227).multiply_adds == 1_135_256_096
    grouped = drawn("alexnet_grouped", 227)
    assert grouped.multiply_adds == 724_406_816
    assert [row.layer for row in grouped.rows if "2 groups" in row.type] == ["conv3", "conv6", "conv7"]


@pytest.mark.parametrize(("name", "groups"), [("alexnet", 1), ("alexnet_grouped", 2)])
@pytest.mark.parametrize(("stem", "size"), [("small", (28, 21)), ("imagenet", (67, 99))])
def test_the_network_is_the_papers(name, groups, stem, size):
    model = sketch(f"{name}:stem={stem}", size, 5, 2).to_empty(device="cpu").eval()
    w = filled(model)

    def conv(x, layer, stride=1, padding=0, groups=1):
        return F.conv2d(x, w[f"{layer}.weight"], w[f"{layer}.bias"], stride, padding, groups=groups).relu()

    def pooled(x):
        return F.max_pool2d(F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2), 3, 2)

    x = 20 * pictures(2, 2, *size)  # large enough for the normalisation to show
    first = conv(x, "conv1", stride=4) if stem == "imagenet" else conv(x, "conv1", padding=2)
    x = pooled(conv(pooled(first), "conv3", padding=2, groups=groups))
    x = conv(conv(x, "conv5", padding=1), "conv6", padding=1, groups=groups)
    x = F.max_pool2d(conv(x, "conv7", padding=1, groups=groups), 3, 2).flatten(1)
    for layer in ("dense9", "dense10"):
        x = F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]).relu()
    expected = F.linear(x, w["output.weight"], w["output.bias"])
    assert expected.std() > 0.1
    torch.testing.assert_close(model(20 * pictures(2, 2, *size)), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "first", "second"),
    [("alexnet", 227, "dense9", "dense10"), ("alexnet_torchvision", 224, "classifier.1", "classifier.4")],
)
def test_half_of_the_inputs_of_both_hidden_dense_layers_are_dropped(name, size, first, second):
    notes = {row.layer: row.activation for row in drawn(name, size).rows}
    assert [notes[layer] for layer in ("flatten", first, second)] == ["dropout 0.5", "ReLU, dropout 0.5", "ReLU"]


def test_weights_start_as_section_5_says():
    w = models.create("alexnet:stem=imagenet", 7, 1, 67, seed=0).state_dict()
    ones = {"conv3.bias", "conv6.bias", "conv7.bias", "dense9.bias", "dense10.bias"}
    for name, tensor in w.items():
        if name.endswith("weight"):
            assert tensor.std().item() == pytest.approx(0.01, rel=0.03), name
            assert abs(tensor.mean().item()) < 0.0005, name
        else:
            assert (tensor == (name in ones)).all(), name


@pytest.mark.parametrize("name", ["alexnet", "alexnet_grouped"])
def test_the_small_form_starts_as_he_draws_it_with_an_even_guess(name):
    model = models.create(name, seed=0).eval()
    assert (model(pictures(2, 1, 28, 28)) == 0).all()
    w = model.state_dict()
    for layer in ("conv1", "conv3", "conv7", "dense10"):
        weight = w[f"{layer}.weight"]
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.03)
    assert all((tensor == 0).all() for name, tensor in w.items() if name.endswith("bias"))


# torchvision.models.alexnet.
FEATURES = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
CLASSIFIER = {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)}


def test_names_and_shapes_are_torchvisions():
    weights = {f"features.{i}.weight": shape for i, shape in FEATURES.items()}
    weights |= {f"classifier.{i}.weight": shape for i, shape in CLASSIFIER.items()}
    expected = {}
    for name, shape in weights.items():
        expected |= {name: shape, name.replace("weight", "bias"): shape[:1]}
    model = sketch("alexnet_torchvision")
    assert list(shapes(model).items()) == list(expected.items())
    assert count(model) == 61_100_840
    assert shapes(sketch("alexnet_torchvision", 300)) == expected
    assert round(drawn("alexnet_torchvision").multiply_adds / 1e9, 2) == 0.71  # torchvision's documentation


def test_each_layer_of_torchvisions_has_its_size():
    made = outputs(drawn("alexnet_torchvision"))
    sizes = {0: (64, 55, 55), 2: (64, 27, 27), 3: (192, 27, 27), 5: (192, 13, 13), 6: (384, 13, 13)}
    sizes |= {8: (256, 13, 13), 10: (256, 13, 13), 12: (256, 6, 6)}
    assert {i: made[f"features.{i}"] for i in sizes} == sizes
    assert made["flatten"] == (9216,)


@pytest.mark.parametrize(("stem", "size"), [("small", (28, 21)), ("imagenet", (64, 99))])
def test_torchvisions_network_is_its_weights_in_functional_pytorch(stem, size):
    model = sketch(f"alexnet_torchvision:stem={stem}", size, 5, 2).eval()
    if stem == "imagenet":  # its dense layers are the small form's, only fifty times as large
        model.classifier = nn.Identity()
    w = filled(model.to_empty(device="cpu"))

    def conv(x, layer, stride=1, padding=1):
        return F.conv2d(x, w[f"features.{layer}.weight"], w[f"features.{layer}.bias"], stride, padding).relu()

    x = F.max_pool2d(conv(pictures(2, 2, *size), 0, 4 if stem == "imagenet" else 1, 2), 3, 2)
    x = F.max_pool2d(conv(x, 3, padding=2), 3, 2)
    x = F.max_pool2d(conv(conv(conv(x, 6), 8), 10), 3, 2)
    x = (F.adaptive_avg_pool2d(x, (6, 6)) if stem == "imagenet" else x).flatten(1)
    if stem == "small":
        for layer in ("classifier.1", "classifier.4"):
            x = F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]).relu()
        x = F.linear(x, w["classifier.6.weight"], w["classifier.6.bias"])
    assert x.std() > 0.1
    torch.testing.assert_close(model(pictures(2, 2, *size)), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "stem", "least"),
    [
        ("alexnet", "imagenet", 67),
        ("alexnet_grouped", "imagenet", 67),
        ("alexnet_torchvision", "imagenet", 63),
        ("alexnet", "small", 15),
        ("alexnet_grouped", "small", 15),
        ("alexnet_torchvision", "small", 15),
    ],
)
def test_the_smallest_image(name, stem, least):
    text = f"{name}:stem={stem}"
    made = outputs(drawn(text, (least, 300)))
    assert made["features.12" if name == "alexnet_torchvision" else "pool8"][1] == 1
    assert made["output" if "pool8" in made else "classifier.6"] == (1000,)
    remedy = f"choose {name}:stem=small or pass" if stem == "imagenet" else "300: pass"
    with pytest.raises(ShapeError, match=rf"stem={stem} needs images of at least {least}×{least} .*{remedy} a larger"):
        sketch(text, (least - 1, 300))


def test_no_small_stem_is_advised_where_it_would_not_help():
    with pytest.raises(ShapeError, match="got 14×80: pass a larger --image-size"):
        sketch("alexnet:stem=imagenet", (14, 80))


@pytest.mark.parametrize(
    ("name", "grey28", "colour32"),
    [
        ("alexnet", 5_824_202, 7_139_722),
        ("alexnet_grouped", 4_411_082, 5_726_602),
        ("alexnet_torchvision", 4_557_514, 5_871_434),
    ],
)
def test_the_small_form_leaves_a_quarter(name, grey28, colour32):
    """C1 has 25 weights for each colour; 3×3 pixels of 32 and 2×2 of 28 are left for 1,024 units."""
    assert count(sketch(name, 28, 10, 1)) == grey28
    assert count(sketch(name, 32, 10, 3)) == colour32
    made = outputs(drawn(name, 32))
    last = "features.12" if name == "alexnet_torchvision" else "pool8"
    assert made[last] == (256, 3, 3)
    assert made["flatten"] == (2304,)
