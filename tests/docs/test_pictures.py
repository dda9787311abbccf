"""Pictures on the pages: arrays in grey or colour, a slider that works by itself."""

import json
import re

import pytest
import torch

from docs.building.pictures import row, slider

ONE = re.compile(r'<img src="(data:image/png;base64,[^"]+)"')


def test_a_row_has_a_caption_for_each_picture_and_keeps_colours() -> None:
    black = torch.zeros(2, 2, 3, dtype=torch.uint8)
    shown = row({"a < b": torch.eye(2), "black": black, "white": black + 255}).data
    assert shown.count("<figcaption>") == 3
    assert 'alt="a &lt; b"' in shown
    assert len(set(ONE.findall(shown))) == 3


@pytest.mark.parametrize("shared", [False, True])
def test_shared_greys_tell_bright_from_dark(shared: bool) -> None:
    first, second = ONE.findall(row({"weak": torch.eye(2), "strong": 2 * torch.eye(2)}, shared=shared).data)
    assert (first != second) == shared


def test_a_slider_begins_with_its_first_frame_and_holds_the_others() -> None:
    frames = {f"{by} pixels": {"figure": torch.eye(3).roll(by, -1), "still": torch.eye(3)} for by in range(3)}
    shown = slider(frames, "moved by").data
    sources = json.loads(re.search(r"sources = (\[.*?\]\]), part", shown)[1])
    assert [len(each) for each in sources] == [2, 2, 2]
    assert len({each[0] for each in sources}) == 3
    assert len({each[1] for each in sources}) == 1
    assert ONE.findall(shown) == sources[0]
    assert 'type="range" min="0" max="2"' in shown
    assert "<output>0 pixels</output>" in shown
