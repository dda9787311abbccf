"""GoogLeNet against its paper's table 1, section 5 and figure 3, and against functional PyTorch."""

import re

import pytest
import torch
import torch.nn.functional as F
from models.published import count, drawn, filled, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.models import Outputs, googlenet
from striate.models.googlenet import TABLE

# Table 1: output size, maps, #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool projection; parameters with biases.
INCEPTIONS = """
3a  28  256   64   96  128  16   32   32    163696
3b  28  480  128  128  192  32   96   64    388736
4a  14  512  192   96  208  16   48   64    376176
4b  14  512  160  112  224  24   64   64    449160
4c  14  512  128  128  256  24   64   64    510104
4d  14  528  112  144  288  32   64   64    605376
4e  14  832  256  160  320  32  128  128    868352
5a   7  832  256  160  320  32  128  128   1043456
5b   7 1024  384  192  384  48  128  128   1444080
"""
PUBLISHED = {name: [int(n) for n in row] for name, *row in (line.split() for line in INCEPTIONS.strip().splitlines())}
STEM = {
    "conv1.conv": (64, 112, 112),
    "pool1": (64, 56, 56),
    "conv2.conv": (64, 56, 56),
    "conv3.conv": (192, 56, 56),
    "pool2": (192, 28, 28),
    "pool3": (480, 14, 14),
    "pool4": (832, 7, 7),
    "avgpool": (1024,),
    "fc": (1000,),
}


@pytest.mark.slow
def test_each_layer_is_table_1s():
    made = outputs(drawn("googlenet"))
    assert {layer: made[layer] for layer in STEM} == STEM
    for name, (size, maps, ones, reduce3, threes, reduce5, fives, pooled, _) in PUBLISHED.items():
        convolutions = {
            "branch1": ones,
            "branch2.0": reduce3,
            "branch2.1": threes,
            "branch3.0": reduce5,
            "branch3.1": fives,
            "branch4.1": pooled,
        }
        for branch, expected in convolutions.items():
            assert made[f"inception{name}.{branch}.conv"] == (expected, size, size)
        assert ones + threes + fives + pooled == maps
        assert sum(TABLE[name][1:5:3]) + TABLE[name][2][1] + TABLE[name][3][1] == maps


@pytest.mark.slow
def test_parameters_are_exact():
    model = sketch("googlenet")
    counts = {name: count(getattr(model, f"inception{name}")) for name in PUBLISHED}
    assert counts == {name: row[-1] for name, row in PUBLISHED.items()}
    assert [count(layer) for layer in (model.conv1, model.conv2, model.conv3)] == [9_472, 4_160, 110_784]
    assert (count(model.aux1), count(model.aux2)) == (3_188_840, 3_190_888)
    assert count(model.fc) == 1_025_000
    assert drawn("googlenet").parameters == count(model) == 13_378_280
    assert drawn("googlenet:auxiliary=false").parameters == 6_998_552


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "written_in"), [("googlenet", googlenet), ("googlenet_torchvision", googlenet.GoogLeNetTorchvision)]
)
def test_the_table_in_the_docstring_is_the_model(name, written_in):
    lines = written_in.__doc__.splitlines()
    written = {line.split()[0]: line for line in lines if re.match(r" *(conv|inception|fc)", line)}
    model, made = sketch(name), outputs(drawn(name))
    assert len(written) == 3 + 9 + 1
    for layer, line in written.items():
        assert f" {count(getattr(model, layer)):,}" in line
        if layer.startswith("conv"):
            maps, height, width = made[f"{layer}.conv"]
            assert f" {height}×{width}×{maps} " in line
        elif layer in (f"inception{row}" for row in PUBLISHED):
            size, maps, *_ = PUBLISHED[layer.removeprefix("inception")]
            assert f" {size}×{size}×{maps} " in line


@pytest.mark.slow
def test_multiply_adds_and_the_order_of_figure_3():
    table = drawn("googlenet")
    assert round(table.multiply_adds / 1e9, 2) == 1.58
    first = ["input", "conv1.conv", "pool1", "norm1", "conv2.conv", "conv3.conv", "norm3", "pool2"]
    assert [row.layer for row in table.rows][: len(first)] == first
    assert {row.type for row in table.rows if row.layer.startswith("norm")} == {"local response norm"}
    notes = {row.layer: row.activation for row in table.rows}
    assert notes["avgpool"] == "dropout 0.4"
    assert {notes[row.layer] for row in table.rows if row.type == "conv"} == {"ReLU"}


def test_heads_are_section_5s():
    """Average pooling 5×5/3 to 4×4, 128 filters of 1×1, 1,024 units, dropout 70 %."""
    model = sketch("googlenet").train()
    assert shapes(model.aux1) == {
        "conv.conv.weight": (128, 512, 1, 1),
        "conv.conv.bias": (128,),
        "fc1.weight": (1024, 128 * 4 * 4),
        "fc1.bias": (1024,),
        "fc2.weight": (1000, 1024),
        "fc2.bias": (1000,),
    }
    assert model.aux1.dropout.p == model.aux2.dropout.p == 0.7
    with torch.device("meta"):
        assert model.aux1.pool(torch.zeros(1, 512, 14, 14)).shape == (1, 512, 4, 4)
        made = model(torch.zeros(2, 3, 224, 224))
    assert isinstance(made, Outputs)
    assert [logits.shape for logits in (made.logits, *made.auxiliary)] == [(2, 1000)] * 3
    assert made.weight == 0.3


class Composition:
    """The network in functional PyTorch, from a state; `ceil` is what torchvision's poolings do at the border."""

    def __init__(self, w):
        self.w = w

    def conv(self, x, name, stride=1):
        weight = self.w[f"{name}.conv.weight"]
        return F.conv2d(x, weight, self.w[f"{name}.conv.bias"], stride, weight.shape[-1] // 2).relu()

    def pool(self, x):
        """ "same": what lies right of and below the last whole window counts, and odd sides are padded on both."""
        odd = [side % 2 for side in x.shape[-2:]]
        return F.max_pool2d(F.pad(x, (odd[1], 1, odd[0], 1), value=-torch.inf), 3, 2)

    def inception(self, x, name):
        name = f"inception{name}"
        two = self.conv(self.conv(x, f"{name}.branch2.0"), f"{name}.branch2.1")
        three = self.conv(self.conv(x, f"{name}.branch3.0"), f"{name}.branch3.1")
        four = self.conv(F.max_pool2d(x, 3, 1, 1), f"{name}.branch4.1")
        return torch.cat([self.conv(x, f"{name}.branch1"), two, three, four], 1)

    def dense(self, x, name):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def head(self, x, name):
        window = (min(5, x.shape[2]), min(5, x.shape[3]))
        x = self.conv(F.avg_pool2d(x, window, 3), f"{name}.conv").flatten(1)
        return self.dense(self.dense(x, f"{name}.fc1").relu(), f"{name}.fc2")

    def __call__(self, x, stem):
        """Logits of the network and of both heads."""
        x = self.conv(x, "conv1", 2 if stem == "imagenet" else 1)
        x = F.local_response_norm(self.pool(x) if stem == "imagenet" else x, 5, alpha=5e-4, beta=0.75, k=2)
        x = F.local_response_norm(self.conv(self.conv(x, "conv2"), "conv3"), 5, alpha=5e-4, beta=0.75, k=2)
        x = self.pool(self.inception(self.inception(self.pool(x), "3a"), "3b"))
        early = x = self.inception(x, "4a")
        for name in ("4b", "4c", "4d"):
            x = self.inception(x, name)
        late, x = x, self.pool(self.inception(x, "4e"))
        x = self.inception(self.inception(x, "5a"), "5b").mean((2, 3))
        return self.dense(x, "fc"), self.head(early, "aux1"), self.head(late, "aux2")


def without_dropout(model):
    """In training mode, but for dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


@pytest.mark.parametrize(("stem", "size"), [("small", (28, 21)), ("imagenet", (64, 99))])
def test_the_network_and_its_heads_are_the_papers(stem, size):
    model = sketch(f"googlenet:stem={stem}", size, 5, 2).to_empty(device="cpu")
    composed = Composition(filled(model))(10 * pictures(2, 2, *size), stem)
    assert all(logits.std() > 0.1 for logits in composed)
    made = without_dropout(model)(10 * pictures(2, 2, *size))
    for ours, expected in zip((made.logits, *made.auxiliary), composed, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.eval()(10 * pictures(2, 2, *size)), composed[0], rtol=1e-5, atol=1e-5)


def test_heads_are_absent_in_inference_and_may_be_left_out():
    model = models.create("googlenet", seed=0).eval()
    for head in (model.aux1, model.aux2):
        head.register_forward_hook(lambda *_: pytest.fail("a head is computed in inference"))
    assert isinstance(model(pictures(1, 1, 28, 28)), torch.Tensor)
    without = models.create("googlenet:auxiliary=false", seed=0).train()
    assert isinstance(without(pictures(1, 1, 28, 28)), torch.Tensor)
    assert not any(name.startswith("aux") for name in without.state_dict())


def test_weights_start_as_he_draws_them_and_the_first_guess_is_even():
    model = models.create("googlenet", seed=0)
    made = model(pictures(2, 1, 28, 28))
    assert all((logits == 0).all() for logits in (made.logits, *made.auxiliary))
    for conv in (model.conv3.conv, model.inception5b.branch2[1].conv, model.aux1.fc1):
        assert conv.weight.std().item() == pytest.approx((2 / conv.weight[0].numel()) ** 0.5, rel=0.03)
        assert (conv.bias == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 65, (1, 96), (300, 224)])
def test_any_size_will_do(size):
    made = outputs(drawn("googlenet:stem=imagenet", size))
    assert made["fc"] == (1000,)
    model = sketch("googlenet:stem=imagenet", size)
    with torch.device("meta"):
        logits, auxiliary, _ = model.train()(torch.zeros(1, 3, *((size, size) if isinstance(size, int) else size)))
    assert [each.shape for each in (logits, *auxiliary)] == [(1, 1000)] * 3


@pytest.mark.slow
@pytest.mark.parametrize(("size", "maps"), [(28, (28, 14, 7, 4)), (32, (32, 16, 8, 4)), ((1, 9), (1, 1, 1, 1))])
def test_the_small_form_keeps_the_resolution_twice_as_long(size, maps):
    made = outputs(drawn("googlenet", size))
    layers = ("conv1.conv", "inception3a.branch1.conv", "inception4a.branch1.conv", "inception5a.branch1.conv")
    assert tuple(made[layer][1] for layer in layers) == maps
    assert "pool1" not in made
    model = sketch("googlenet", size)
    assert shapes(model)["conv1.conv.weight"] == (64, 3, 3, 3)
    assert count(model.inception4a) == PUBLISHED["4a"][-1]
