"""VGG-16 against column D of its paper's table 1, torchvision's names, and functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, drawn, filled, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError

# torchvision's index of each convolution, its maps, the maps it sees, and its size in pixels at 224×224.
CONVOLUTIONS = [
    (0, 64, 3, 224),
    (2, 64, 64, 224),
    (5, 128, 64, 112),
    (7, 128, 128, 112),
    (10, 256, 128, 56),
    (12, 256, 256, 56),
    (14, 256, 256, 56),
    (17, 512, 256, 28),
    (19, 512, 512, 28),
    (21, 512, 512, 28),
    (24, 512, 512, 14),
    (26, 512, 512, 14),
    (28, 512, 512, 14),
]
POOLS = {4: (64, 112), 9: (128, 56), 16: (256, 28), 23: (512, 14), 30: (512, 7)}
DENSE = {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}


def test_each_layer_is_column_ds():
    table = drawn("vgg16")
    made = outputs(table)
    assert {i: made[f"features.{i}"] for i, *_ in CONVOLUTIONS} == {i: (m, n, n) for i, m, _, n in CONVOLUTIONS}
    assert {i: made[f"features.{i}"] for i in POOLS} == {i: (maps, n, n) for i, (maps, n) in POOLS.items()}
    assert [made[f"classifier.{i}"] for i in DENSE] == [(4096,), (4096,), (1000,)]
    assert {row.kernel for row in table.rows if row.type == "conv"} == {(3, 3)}
    assert [row.activation for row in table.rows if row.type == "dense"] == ["ReLU, dropout 0.5"] * 2 + [""]
    assert table.parameters == 138_357_544
    assert round(table.multiply_adds / 1e9, 2) == 15.47  # torchvision's documentation


def test_names_and_shapes_are_torchvisions():
    weights = {f"features.{i}.weight": (maps, seen, 3, 3) for i, maps, seen, _ in CONVOLUTIONS}
    weights |= {f"classifier.{i}.weight": shape for i, shape in DENSE.items()}
    expected = {}
    for name, shape in weights.items():
        expected |= {name: shape, name.replace("weight", "bias"): shape[:1]}
    assert list(shapes(sketch("vgg16")).items()) == list(expected.items())
    assert shapes(sketch("vgg16", 320)) == expected


@pytest.mark.parametrize(("stem", "size"), [("small", (28, 41)), ("imagenet", (32, 65))])
def test_the_network_is_its_weights_in_functional_pytorch(stem, size):
    model = sketch(f"vgg16:stem={stem}", size, 5, 2).eval()
    if stem == "imagenet":  # its dense layers are the small form's, only many times as large
        model.classifier = nn.Identity()
    w, x = filled(model.to_empty(device="cpu")), pictures(2, 2, *size)
    for i, *_ in CONVOLUTIONS:
        x = F.conv2d(x, w[f"features.{i}.weight"], w[f"features.{i}.bias"], padding=1).relu()
        if i + 2 in POOLS:
            x = F.max_pool2d(x, 2, ceil_mode=stem == "small")
    x = (F.adaptive_avg_pool2d(x, (7, 7)) if stem == "imagenet" else x).flatten(1)
    if stem == "small":
        for layer in ("classifier.0", "classifier.3"):
            x = F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]).relu()
        x = F.linear(x, w["classifier.6.weight"], w["classifier.6.bias"])
    assert x.std() > 0.01
    torch.testing.assert_close(model(pictures(2, 2, *size)), x, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_weights_start_as_torchvisions():
    """Convolutions by what goes out, dense layers with deviation 0.01, biases at 0."""
    w = models.create("vgg16:stem=imagenet", 2, 1, 32, seed=0).state_dict()
    for i, maps, _, _ in CONVOLUTIONS[1:]:
        assert w[f"features.{i}.weight"].std().item() == pytest.approx((2 / (9 * maps)) ** 0.5, rel=0.03)
    assert w["classifier.0.weight"][:99].std().item() == pytest.approx(0.01, rel=0.03)
    assert w["classifier.6.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert all((tensor == 0).all() for name, tensor in w.items() if name.endswith("bias"))


def test_the_small_form_starts_as_he_draws_it_with_an_even_guess():
    model = models.create("vgg16", seed=0).eval()
    assert (model(pictures(2, 1, 28, 28)) == 0).all()
    w = model.state_dict()
    for name in [*(f"features.{i}" for i, *_ in CONVOLUTIONS[1:]), "classifier.0", "classifier.3"]:
        weight = w[f"{name}.weight"]
        assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.03), name
        assert (w[f"{name}.bias"] == 0).all()


def test_the_large_stem_needs_32_pixels_and_the_small_one_none():
    assert outputs(drawn("vgg16:stem=imagenet", (32, 70)))["features.30"] == (512, 1, 2)
    with pytest.raises(ShapeError, match=r"vgg16 with stem=imagenet needs images of at least 32×32 .*vgg16:stem=small"):
        sketch("vgg16:stem=imagenet", (31, 70))
    assert outputs(drawn("vgg16", (1, 33)))["features.30"] == (512, 1, 2)


def test_the_small_form_keeps_what_is_left_over():
    made = outputs(drawn("vgg16", 28))
    assert [made[f"features.{i}"][1] for i in POOLS] == [14, 7, 4, 2, 1]
    convolutions = 14_714_688  # those of the large form
    dense = 512 * 513 * 2 + 513 * 10
    assert count(sketch("vgg16", 28, 10)) == count(sketch("vgg16", 32, 10)) == convolutions + dense
    assert count(sketch("vgg16", 28, 10, channels=1)) == convolutions - 2 * 9 * 64 + dense
    assert count(sketch("vgg16").features) == convolutions
