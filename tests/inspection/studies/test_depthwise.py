"""Pooling across channels: its parts on templates whose answer is known, and the whole experiment, short."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from html_page import Page
from scipy import stats

from striate.data import Split
from striate.errors import ArgumentError
from striate.inspection.studies import depthwise as study
from striate.inspection.studies.changes import CHANGES
from striate.inspection.studies.depthwise import DepthwiseStudy, Estimate
from striate.inspection.studies.depthwise_text import depthwise_dict, depthwise_text, headline, verdicts
from striate.inspection.studies.templates import GROUP, TemplateNet, networks
from striate.layers import DepthwiseMaxPool2d
from striate.preprocess import Preprocess
from striate.reports.study_pages import report_depthwise

TURNS = len(CHANGES["rotation"].strengths)


def test_estimates_are_student_s():
    for values in ((0.5, 0.7), (0.91, 0.93, 0.92), tuple(0.01 * i * i for i in range(10))):
        low, high = stats.t.interval(0.95, len(values) - 1, stats.tmean(values), stats.sem(values))
        assert Estimate(values).interval == pytest.approx((low, high), rel=1e-3)
        assert Estimate(values).mean == pytest.approx(stats.tmean(values))
    assert Estimate((0.5,)).interval is None
    assert Estimate((0.5, 0.7)).minus(Estimate((0.4, 0.3))).values == pytest.approx((0.1, 0.4))


def test_the_networks_have_the_parameters_they_claim():
    counts = [sum(p.numel() for p in make().parameters()) for make in networks(16, 10).values()]
    assert counts == [80 * 257, 80 * 257 + 81 * 10, 10 * 257, 5502, 5496]
    for make in networks(28, 7).values():
        assert make()(torch.zeros(2, 1, 28, 28)).shape == (2, 7)


def test_the_template_that_points_that_way_wins():
    """One class with a bar turned by −60°, 0°, 60° among templates of noise, and another class that never answers."""
    change, side = CHANGES["rotation"], 28
    bar = torch.zeros(1, side, side, 1, dtype=torch.uint8)
    bar[0, 4:24, 13:15] = 255
    model = TemplateNet(side, 2 * GROUP, DepthwiseMaxPool2d(GROUP))
    torch.nn.init.zeros_(model.templates.weight)
    torch.nn.init.constant_(model.templates.bias, -1)
    for template, angle in ((5, -60), (2, 0), (7, 60)):
        model.templates.weight.data[template] = change(bar, angle).float().flatten() / 255
    test = Split(bar.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    winners = study._winners(model, test, 2, change, Preprocess(side, side, 1))
    assert winners.order[0, :3].tolist() == [5, 2, 7], "by the angle at which they win"
    for angle, rank in ((-65, 0), (-40, 0), (-20, 1), (0, 1), (25, 1), (35, 2), (60, 2), (80, 2)):
        place = change.strengths.index(angle)
        assert winners.chosen[0, place] == rank, angle
        assert winners.shares[0, :, place].tolist() == [float(each == rank) for each in range(GROUP)]
    assert winners.used[0].tolist() == [True] * 3 + [False] * 5
    assert torch.equal(winners.examples[0, change.strengths.index(0)], bar[0, :, :, 0])


@pytest.fixture(scope="module")
def short() -> DepthwiseStudy:
    return study.depthwise_study(seeds=2, steps=30)


@pytest.mark.slow
def test_the_experiment_in_short(short: DepthwiseStudy):
    for arm in (*short.templates, *short.filters):
        assert len(arm.accuracy.values) == 2
        assert arm.accuracy.values[0] != arm.accuracy.values[1]
        assert 0.15 < arm.accuracy.mean <= 1
        assert arm.accuracy.mean == pytest.approx(sum(arm.by_strength) / TURNS)
    assert short.weights.shape == (10, GROUP, 16, 16)
    assert short.winners.shares.sum(1).allclose(torch.ones(10, TURNS))
    assert len(short.likeness) == 2
    assert short.images == 359


@pytest.mark.slow
def test_text_page_and_json(short: DepthwiseStudy, tmp_path: Path):
    assert "2 seeds, mean and 95 % interval" in depthwise_text(short)
    assert len(verdicts(short)) == 4
    json.dumps(depthwise_dict(short), allow_nan=False)
    path = report_depthwise(short, tmp_path / "depthwise.html")
    page, again = Page(path), tmp_path / "again.html"
    assert report_depthwise(short, again).read_bytes() == path.read_bytes()
    assert page.headings == ["Results", "Templates, and which one wins"]
    assert page.tags.count("img") == 10 * GROUP + 10
    for name in range(10):
        assert all(f'alt="template {n} of class {name}"' in page.html for n in range(1, GROUP + 1))
    assert page.tags.count("option") == 10
    assert page.tags.count("script") == 1
    assert page.html.count('data-labels="−90°|−85°') == 1
    assert all(link.startswith(("data:", "#")) for link in page.links)


@pytest.mark.slow
def test_the_page_allows_its_own_script_and_no_other(short: DepthwiseStudy, tmp_path: Path):
    import base64
    import hashlib
    import re

    hostile = dataclasses.replace(short, classes=("</script><script>alert(1)</script>", *short.classes[1:]))
    html = report_depthwise(hostile, tmp_path / "depthwise.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in html


@pytest.mark.slow
def test_the_maximum_over_groups_beats_the_linear_readout():
    data = study.load("digits", image_size=16)
    accuracy = []
    for make in list(networks(16, 10).values())[:2]:
        model, preprocess = make(), Preprocess(16, 16, 1).with_statistics(data.train.images)
        study._train(model, data.train, CHANGES["rotation"], preprocess, seed=0, steps=200)
        assert getattr(model.readout, "temperature", 0) == 0, "annealed"
        ((found,),) = study._accuracies({"": [model]}, data.test, CHANGES["rotation"], preprocess)
        accuracy.append(float(found.mean()))
    assert accuracy[0] > accuracy[1] + 0.08


@pytest.mark.slow
def test_a_change_that_is_no_map_of_the_plane_has_no_likeness(tmp_path: Path):
    found = study.depthwise_study(change="brightness", seeds=1, steps=3)
    assert found.likeness == ()
    assert len(verdicts(found)) == 3
    page = Page(report_depthwise(found, tmp_path / "depthwise.html"))
    assert "0.05 of the range" in page.html
    assert "likeness" not in page.text


def arm(name: str, *accuracy: float) -> study.Arm:
    return study.Arm(name, 1, Estimate(accuracy), ())


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ((0.92, 0.93, 0.94), "recognises 2.0 points more of the changed images"),
        ((0.88, 0.89, 0.90), "recognises 2.0 points fewer of the changed images"),
        ((0.80, 0.91, 0.99), "has no significant effect on rotation"),
    ],
)
@pytest.mark.slow
def test_the_headline_says_what_was_found(short: DepthwiseStudy, mine: tuple[float, ...], said: str):
    arms = (arm("maximum", *mine), arm("linear", 0.90, 0.91, 0.92), arm("one", 0.5, 0.5, 0.5))
    assert said in headline(dataclasses.replace(short, templates=arms))


@pytest.mark.parametrize(
    ("values", "said"), [((0.1, 0.1001), "significant"), ((0.1, -0.1), "not significant"), ((0.3,), "one seed")]
)
def test_what_is_said_follows_the_interval(values: tuple[float, ...], said: str):
    from striate.inspection.studies.depthwise_text import _real

    assert said in _real(Estimate(values))


def test_refusals():
    for seeds in (0, 11):
        with pytest.raises(ArgumentError, match=f"seeds={seeds}: choose 1 to 10"):
            study.depthwise_study(seeds=seeds)
    with pytest.raises(ArgumentError, match="rotation"):
        study.depthwise_study(change="rotatoin")
