"""Pooling across channels: its parts on filters whose answer is known, and the whole experiment, short."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from html_page import Page
from scipy import stats
from torch import Tensor

from striate.errors import ArgumentError
from striate.inspection.studies import depthwise as study
from striate.inspection.studies.depthwise import GROUP, GROUPS, RECIPE, STROKES, DepthwiseStudy, Estimate, RotationNet
from striate.inspection.studies.depthwise_text import depthwise_dict, depthwise_text, headline, verdicts
from striate.preprocess import Preprocess
from striate.reports.studies_page import report_depthwise


def bars() -> Tensor:
    """For every group four filters, (32, 1, 5, 5): a bar at 0°, 45°, 90° and 135° to the left of upright."""
    x, y = torch.arange(5.0) - 2, 2 - torch.arange(5.0)[:, None]
    four = []
    for degrees in (0, 45, 90, 135):
        angle = torch.tensor(degrees).deg2rad()
        four.append((1.5 - (x * angle.cos() + y * angle.sin()).abs()).clamp(0, 1) - 0.4)
    return torch.stack(four).repeat(GROUPS, 1, 1)[:, None]


def test_estimates_are_student_s():
    for values in ((0.5, 0.7), (0.91, 0.93, 0.92), tuple(0.01 * i * i for i in range(10))):
        low, high = stats.t.interval(0.95, len(values) - 1, stats.tmean(values), stats.sem(values))
        assert Estimate(values).interval == pytest.approx((low, high), rel=1e-3)
        assert Estimate(values).mean == pytest.approx(stats.tmean(values))
    assert Estimate((0.5,)).interval is None
    assert Estimate((0.5, 0.7)).minus(Estimate((0.4, 0.3))).values == pytest.approx((0.1, 0.4))


def test_the_networks_have_the_parameters_they_claim():
    counts = [sum(p.numel() for p in RotationNet(filters, group).parameters()) for _, filters, group in study.ARMS]
    assert counts == [5502, 9822, 5496]


def test_the_filter_that_points_that_way_wins():
    model = RotationNet(GROUPS * GROUP, GROUP)
    model.conv1.weight.data = bars()
    torch.nn.init.zeros_(model.conv1.bias)
    winners = study._winners(model, Preprocess(16, 16, 1))
    assert winners.shape == (GROUPS, len(STROKES))
    for angle, expected in ((0, 0), (10, 0), (45, 1), (90, 2), (80, 2), (135, 3), (175, 0)):
        assert winners[:, STROKES.index(angle)].tolist() == [expected] * GROUPS, angle
    model.conv1.weight.data.neg_()
    torch.nn.init.constant_(model.conv1.bias, -100)
    assert (study._winners(model, Preprocess(16, 16, 1)) == -1).all()


def test_turned_copies_are_alike_and_chance_is_less():
    within, across = study._similarity(bars())
    assert within > 0.9
    assert across > 0.9, "every group holds the same"
    noise = torch.randn(32, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert max(study._similarity(noise)) < 0.6
    one_sided = bars().clone()
    one_sided[4:] = noise[4:]
    assert study._similarity(one_sided)[1] < 0.7


def test_turning_is_to_the_left():
    image = torch.zeros(1, 5, 5, 1, dtype=torch.uint8)
    image[0, 0, 2] = 200
    assert torch.equal(study.turned(image, 90)[0, :, :, 0], torch.rot90(image[0, :, :, 0]))


@pytest.fixture(scope="module")
def short() -> DepthwiseStudy:
    return study.depthwise_study(2, RECIPE.replace(epochs=1, batch_size=8))


@pytest.mark.slow
def test_the_experiment_in_short(short: DepthwiseStudy):
    assert [arm.parameters for arm in short.arms] == [5502, 9822, 5496]
    for arm in short.arms:
        assert len(arm.accuracy.values) == 2
        assert arm.accuracy.values[0] != arm.accuracy.values[1]
        assert 0.15 < arm.accuracy.mean <= 1
        assert arm.by_angle[study.ANGLES.index(0)][1] == 1, "upright, it agrees with itself"
        accuracies = [accuracy for accuracy, _ in arm.by_angle]
        assert arm.accuracy.mean == pytest.approx(sum(accuracies) / len(accuracies))
    assert short.filters.shape == (GROUPS, GROUP, 5, 5)
    assert short.images == 359


def test_text_page_and_json(short: DepthwiseStudy, tmp_path: Path):
    assert "2 seeds, mean and 95 % interval" in depthwise_text(short)
    assert len(verdicts(short)) == 6
    json.dumps(depthwise_dict(short), allow_nan=False)
    page = Page(report_depthwise(short, tmp_path / "depthwise.html"))
    assert page.headings == ["Results", "Learned groups of filters"]
    assert page.tags.count("img") == GROUPS * GROUP
    for group in range(1, GROUPS + 1):
        assert all(f'alt="filter {n} of group {group}"' in page.html for n in range(1, GROUP + 1))
    assert page.tags.count("i") == GROUPS * len(STROKES)
    assert all(link.startswith(("data:", "#")) for link in page.links)


@pytest.mark.parametrize(
    ("values", "said"), [((0.1, 0.1001), "significant"), ((0.1, -0.1), "not significant"), ((0.3,), "one seed")]
)
def test_what_is_said_follows_the_interval(values: tuple[float, ...], said: str):
    from striate.inspection.studies.depthwise_text import _real

    assert said in _real(Estimate(values))


def arm(name: str, *consistency: float) -> study.Arm:
    return study.Arm(name, 1, Estimate((0.5,) * len(consistency)), Estimate(consistency), ())


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ((0.92, 0.93, 0.94), "makes the network 2.00 points more consistent"),
        ((0.88, 0.89, 0.90), "makes the network 2.00 points less consistent"),
        ((0.80, 0.91, 0.99), "has no significant effect on rotation"),
    ],
)
def test_the_headline_says_what_was_found(short: DepthwiseStudy, mine: tuple[float, ...], said: str):
    arms = (arm("with", *mine), arm("without", 0.5, 0.5, 0.5), arm("equal", 0.90, 0.91, 0.92))
    assert said in headline(dataclasses.replace(short, arms=arms))


def test_refusals():
    for seeds in (0, 11):
        with pytest.raises(ArgumentError, match=f"seeds={seeds}: choose 1 to 10"):
            study.depthwise_study(seeds)
