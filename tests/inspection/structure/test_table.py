"""How tables are written."""

import json

import pytest
from torch import nn

import striate
from striate.inspection import describe


@pytest.mark.parametrize("name", ["lenet5", "fashion_cnn", "mlp"])
def test_text_is_aligned_and_fits_a_terminal(name: str) -> None:
    lines = describe(striate.create(name)).text().splitlines()
    rule = lines[1]
    assert max(map(len, lines)) <= 120
    assert lines.count(rule) == 2
    gaps = [i for i, mark in enumerate(rule) if mark == " "]
    assert all(line[i : i + 1].strip() == "" for line in lines for i in gaps)
    numbers = [line for line in lines[3:] if line[-1:].isdigit()]
    assert {len(line) for line in numbers} == {len(rule)}  # right-aligned
    assert numbers[-1].startswith("total")


@pytest.mark.slow
def test_wide_tables_go_without_connections() -> None:
    described = describe(striate.create("resnet18", classes=1000, channels=3, image_size=224))
    *table, note = described.text().splitlines()
    assert max(map(len, table)) <= 120
    assert table[0].split()[-3:] == ["activation", "parameters", "mult-adds"]
    assert table[-1].split() == ["total", "11,689,512", "1,814,073,344"]
    assert note == "Connections are left out to save space; --markdown and --json have them."
    assert "| connections |" in described.markdown()
    assert "connections" in describe(striate.create("fashion_cnn")).text()


def test_text_of_lenet5() -> None:
    text = describe(striate.create("lenet5")).text()
    assert (
        "c3       partial conv        16  10×10  5×5/1 valid  14×14  scaled tanh       1,516      151,600    150,000\n"
        in text
    )
    assert text.splitlines()[-1].split() == ["total", "60,000", "340,908", "328,096"]


def test_markdown_has_every_column_in_every_row() -> None:
    described = describe(striate.create("lenet5"))
    lines = described.markdown().splitlines()
    assert {line.count("|") for line in lines} == {13}
    assert lines[0].startswith("| layer | type | channels | size | kernel | stride | padding | field | activation |")
    assert lines[1].count("---:") == 4
    assert "| s2 | subsample | 6 | 14×14 | 2×2 | 2 | valid | 6×6 | scaled tanh | 12 | 5,880 | 1,176 |" in lines
    assert len(lines) == 2 + len(described.rows) + 1


def test_json_keeps_numbers() -> None:
    values = json.loads(json.dumps(describe(striate.create("lenet5")).to_dict()))
    assert values["totals"] == {"parameters": 60_000, "frozen": 0, "connections": 340_908, "multiply_adds": 328_096}
    assert values["input_shape"] == [1, 28, 28]
    assert values["layers"][2]["kernel"] == [5, 5]
    assert values["layers"][-1]["kernel"] is None
    assert [layer["field"] for layer in values["layers"]][-4:] == ["32×32", "all", "all", "all"]
    assert len(values["fields"]) == len(values["layers"])
    c3 = {"size": [14, 14], "stride": [2, 2], "start": [-2, -2], "centre": [4.5, 4.5], "whole": False}
    assert values["fields"][0] is None
    assert values["fields"][4] == c3


def test_what_is_not_known_is_not_hidden() -> None:
    described = describe(nn.Sequential(nn.Flatten(2), nn.GRU(4, 2)), (3, 2, 2))
    text = described.text()
    assert "≥ 0" in text
    assert text.splitlines()[-1].startswith("?: unknown")
    assert described.to_dict()["unknown"] == ["1"]
    frozen = describe(nn.Conv2d(1, 1, 3).requires_grad_(False), (1, 3, 3))
    assert frozen.markdown().endswith("\n\n10 more parameters are not trainable.")
