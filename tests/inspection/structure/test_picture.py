"""Pictures of architectures: what flows where, branches side by side, repeated blocks once."""

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import ShapeError
from striate.inspection import architecture_svg, describe
from striate.inspection.structure.picture import _blocks, _layout
from striate.inspection.structure.trace import flow

SVG = "{http://www.w3.org/2000/svg}"


class Branches(nn.Module):
    """A convolution, three branches of different depth that are concatenated, and a shortcut around them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)
        self.b = nn.Sequential(nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1))
        self.c = nn.MaxPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = torch.cat([self.a(x), self.b(x), self.c(x)[:, :1]], dim=1) + x
        return self.head(y.mean((2, 3)))


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ET.fromstring(svg).iter(f"{SVG}text")]


def test_layers_take_what_others_give() -> None:
    steps = flow(Branches(), (1, 5, 5))
    assert [(step.label, step.name, step.sources) for step in steps] == [
        ("conv", "stem", (-1,)),
        ("conv", "a", (0,)),
        ("conv", "b.0", (0,)),
        ("conv", "b.3", (2,)),
        ("max pool", "c", (0,)),
        ("concatenate", "", (1, 3, 4)),
        ("+", "", (0, 5)),
        ("dense", "head", (6,)),
    ]
    assert [step.output_shape for step in steps][-2:] == [(1, 4, 5, 5), (1, 3)]


def test_blocks_end_where_everything_passes_one_layer_and_branches_lie_side_by_side() -> None:
    blocks = list(_blocks(flow(Branches(), (1, 5, 5))))
    assert [[step.name or step.label for step in block.steps] for block in blocks] == [
        ["stem"],
        ["a", "b.0", "b.3", "c", "concatenate", "+"],
        ["head"],
    ]
    places, width = _layout(blocks[1])
    assert places == [(0, 0), (0, 1), (1, 1), (0, 2), (2, 0), (3, 0)]
    assert width == 3


@pytest.mark.parametrize(
    ("name", "channels", "size", "repeats"),
    [("resnet50", 3, 64, [2, 3, 5, 2]), ("resnet18", 3, 64, [2]), ("lenet5", 1, 28, []), ("googlenet", 3, 64, [])],
)
def test_repeated_blocks_are_drawn_once(name: str, channels: int, size: int, repeats: list[int]) -> None:
    found = texts(architecture_svg(striate.create(name, 10, channels, size)))
    assert [int(text[2:]) for text in found if text.startswith("× ")] == repeats


def test_what_is_drawn_is_what_the_table_has() -> None:
    """Every convolution of the table is drawn as often as its block is repeated."""
    model = striate.create("seresnet50", 10, 3, 64)
    blocks = list(_blocks(flow(model, (3, 64, 64))))
    drawn = Counter(step.name for block in blocks for step in block.steps if "conv" in step.label)
    table = describe(model)
    assert sorted(drawn) == sorted(row.layer for row in table.rows if row.type == "conv")
    assert set(drawn.values()) == {1}
    joins = Counter(step.label for block in blocks for step in block.steps if step.module is None or step.label == "+")
    assert joins == {"×": 16, "+": 16}


def test_shapes_lie_within_the_picture_and_layers_apart() -> None:
    root = ET.fromstring(architecture_svg(striate.create("googlenet", 10, 3, 64)))
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    boxes = []
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert left <= x
        assert x + w <= left + width
        assert top <= y
        assert y + h <= top + height
        if rect.attrib["class"] != "block":
            boxes.append((x, y, w, h))
    for number, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[number + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, "two layers overlap"


def test_names_are_escaped_and_equal_calls_draw_alike() -> None:
    module = nn.Sequential()
    module.add_module("<b>&", nn.Conv2d(1, 2, 3))
    svg = architecture_svg(module, (1, 5, 5))
    assert svg == architecture_svg(module, (1, 5, 5))
    assert "<b>" not in svg
    assert [node.text for node in ET.fromstring(svg).iter(f"{SVG}title")] == ["Sequential", "input", "<b>&"]


def test_an_image_that_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="can't take an image of 1×2×2"):
        architecture_svg(nn.Sequential(nn.Conv2d(1, 2, 3)), (1, 2, 2))
