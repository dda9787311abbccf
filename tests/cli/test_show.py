"""`striate show`: ready experiments."""

import json
from pathlib import Path

import pytest

from striate.inspection.studies import depthwise


@pytest.mark.slow
def test_pooling(striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = striate("show", "pooling")
    assert answer.code == 0
    assert "equal to A's, of 16 values: A 100 %, B 100 %, C 75 %" in answer.out
    assert "The page is pooling.html." in answer.err
    assert (tmp_path / "pooling.html").exists()
    assert json.loads(striate("show", "pooling", "--json").out)["same_as_a"] == [1.0, 1.0, 0.75]


@pytest.mark.slow
def test_depthwise(striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = depthwise.depthwise_study
    monkeypatch.setattr(depthwise, "depthwise_study", lambda *given, progress: whole(*given, 5, progress))
    answer = striate(
        "show", "depthwise", "--change", "shift", "--seeds", "1", "--out", tmp_path / "page.html", "--json"
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert (found["data"], found["change"]) == ("digits", "shift")
    assert [each["parameters"] for each in found["networks"]] == [20560, 21370, 2570, 5502, 5496]
    assert (tmp_path / "page.html").exists()


def test_bad_input_is_one_line(striate, tmp_path: Path):
    for arguments, words in (
        (["pooling", "--out", tmp_path], "is a folder"),
        (["depthwise", "--seeds", "0"], "seeds=0: choose 1 to 10"),
        (["depthwise", "--change", "rotate"], "rotation"),
        (["depthwise", "--data", "digit"], "digits"),
        (["padding"], "show"),
    ):
        answer = striate("show", *arguments)
        assert answer.code == 2
        assert words in answer.err
        assert "Traceback" not in answer.err
