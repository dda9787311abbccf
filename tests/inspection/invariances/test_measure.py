"""How invariant a network is: against an independent script, and for networks whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import residual
from html_page import Page
from reference.consistency import shift_consistency
from torch import Tensor, nn

from striate import models, seeding
from striate.errors import ArgumentError, DataError, ShapeError
from striate.inspection import Curve, Invariance, LayerShift, Point, invariance
from striate.inspection.invariances import classifier
from striate.inspection.invariances.classifier import timed_in_turns
from striate.inspection.invariances.perturbations import PERTURBATIONS, PROTOCOLS, offsets
from striate.inspection.invariances.result import gains
from striate.preprocess import Preprocess
from striate.reports.invariance_page import curves, drawn_points, layers, report_invariance


def pictures(count: int, side: int, channels: int) -> Tensor:
    """Blots: noise made smooth, so that a shift by a pixel changes something, and not everything."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))
    smooth = nn.functional.avg_pool2d(noise, 3, 1, 1, count_include_pad=False)
    return ((smooth - 0.3) / 0.4 * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    with seeding.scoped(3, "test"):
        plain = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(6 * 9, 5),
        )  # fmt: skip
        strange = residual()
    for _, statistics in ((0, m) for m in strange.modules() if isinstance(m, nn.BatchNorm2d)):
        statistics.running_mean.uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(0))
    found = {"plain": (plain, pictures(40, 14, 1)), "residual": (strange, pictures(40, 15, 3))}
    for model, images in found.values():  # each class as probable as the others, so that a shift may change the first
        with torch.no_grad():
            model[-1].bias -= model.eval()(images.permute(0, 3, 1, 2) / 255).mean(0)
    return found


@pytest.fixture(scope="module", params=["plain", "residual"])
def measured(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Invariance]:
    model, images = networks()[request.param]
    labels = torch.arange(len(images)) % 5
    return model, images, invariance(model, images, labels, seed=4)


@pytest.mark.slow
def test_shift_consistency_is_that_of_an_independent_script(measured):
    """Written from Zhang's definition, in NumPy, one image at a time; only the moves are handed over."""
    model, images, found = measured
    model.eval()

    def classify(image: np.ndarray) -> int:
        with torch.no_grad():
            return int(model(torch.from_numpy(image.transpose(2, 0, 1)[None] / 255).float()).argmax())

    values = set()
    for protocol in PROTOCOLS:
        for point in found.curve(f"translation, {protocol}").points:
            greatest = int(point.strength)
            moves = torch.stack(offsets(4, greatest, np.arange(len(images))), 1).numpy()
            assert point.consistency == shift_consistency(classify, images.numpy(), moves, protocol, greatest)
            values.add(point.consistency)
    assert len(values) > 3, "a network for which there is something to measure"
    assert min(values) < 0.9


def test_accuracy_and_consistency_of_the_right(measured):
    model, images, found = measured
    labels = torch.arange(len(images)) % 5
    with torch.no_grad():
        usual = model.eval()(images.permute(0, 3, 1, 2) / 255).argmax(1)
        mirrored = model(images.flip(2).permute(0, 3, 1, 2) / 255)
    right = usual == labels
    (point,) = found.curve("mirror").points
    assert found.accuracy == pytest.approx(float(right.double().mean()))
    assert point.consistency == pytest.approx(float((mirrored.argmax(1) == usual).double().mean()))
    assert point.accuracy == pytest.approx(float((mirrored.argmax(1) == labels).double().mean()))
    assert point.steady == pytest.approx(float((mirrored.argmax(1) == usual)[right].double().mean()))
    with torch.no_grad():
        p, q = mirrored.double().softmax(1), model(images.permute(0, 3, 1, 2) / 255).double().softmax(1)
    assert point.moved == pytest.approx(float((p - q).abs().sum(1).mean() / 2), abs=1e-6)


@pytest.mark.slow
def test_the_sample_is_that_of_the_exact_expectation():
    """Over all pairs of moves an image agrees with the chance Σ (n_c / n)², n_c of its n moves giving class c."""
    model, _ = networks()["plain"]
    images = pictures(400, 14, 1)
    greatest = 1
    votes = []
    for down in range(2):
        for right in range(2):
            moved = images.roll((down, right), (1, 2)).permute(0, 3, 1, 2) / 255
            votes.append(model(moved).argmax(1))
    counts = torch.nn.functional.one_hot(torch.stack(votes), 5).sum(0) / 4
    chance = counts.square().sum(1).double()
    found = invariance(model, images).curve("translation, circular").points[0]
    assert found.strength == greatest
    deviation = float((chance * (1 - chance)).sum().sqrt()) / len(images)
    assert abs(found.consistency - float(chance.mean())) < 4 * deviation


def test_a_network_with_circular_borders_and_no_stride_is_wholly_invariant_to_circular_shifts_only():
    with seeding.scoped(0, "test"):
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2, padding_mode="circular"), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 4),
        ).double()  # fmt: skip
    found = invariance(model, pictures(30, 14, 1))
    assert all(point.consistency == 1 and point.moved < 1e-9 for point in found.curve("translation, circular").points)
    assert min(point.moved for point in found.curve("translation, crop").points) > 1e-5
    assert found.accuracy is None
    assert found.shift_consistency().steady is None


def test_a_network_that_always_says_the_same_is_invariant_to_everything():
    model = nn.Sequential(nn.Flatten(), nn.Linear(49, 3))
    nn.init.zeros_(model[1].weight)
    found = invariance(model, pictures(5, 7, 1))
    assert {(point.consistency, point.moved) for curve in found.curves for point in curve.points} == {(1.0, 0.0)}


def test_the_seed_decides_and_the_model_stays_as_it_was():
    model, images = networks()["plain"]
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, same, other = (invariance(model, images, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_our_models_and_their_own_preprocessing():
    model = models.create("lenet5_modern", image_size=12, seed=0)
    preprocess = Preprocess(12, 12, 1, mean=(0.2,), std=(0.5,))
    found = invariance(model, pictures(6, 15, 1), torch.arange(6), preprocess=preprocess, name="mine")
    assert found.model == "mine"
    assert found.side == 12
    assert [layer.layer for layer in found.layers][:3] == ["field", "c1", "relu1"]
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(values["layers"][0])[:4] == ["layer", "type", "maps", "size"]
    assert "translation, circular" in found.text()
    assert found.milliseconds > 0


@pytest.mark.slow
def test_the_page_holds_every_network_and_loads_nothing(tmp_path: Path):
    model, images = networks()["plain"]
    found = [invariance(model, images[:8], torch.arange(8) % 5, name=name) for name in ("one & only", "other")]
    page = Page(report_invariance(found, tmp_path / "page.html", source="blots", notes=["a note"]))
    assert page.headings == ["Translation", "Other changes", "Layer by layer: one & only"]
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert page.tags.count("svg") == 3 + 5 + 2
    for words in ("a note", "one & only", "other", "Windows cut from the image enlarged"):
        assert words in page.text
    unlabelled = Page(report_invariance([invariance(model, images[:8])], tmp_path / "other.html"))
    assert "accuracy" not in unlabelled.text


def test_brief_is_the_shift_consistency_and_no_more():
    model, images = networks()["plain"]
    full, brief = (invariance(model, images, seed=2, brief=brief) for brief in (False, True))
    for protocol in PROTOCOLS:
        assert brief.shift_consistency(protocol) == full.shift_consistency(protocol)
    assert [len(curve.points) for curve in brief.curves] == [1, 1, 1]
    assert brief.layers == ()


def known(consistency: dict[float, float], milliseconds: float = 1.0, errors: tuple[float | None, ...] = ()):
    """An invariance with one curve under each protocol, as it might be found on images of 14 pixels."""
    points = tuple(Point(strength, share, None, 0.5, 0.1) for strength, share in consistency.items())
    made = tuple(LayerShift(f"l{n}", "conv", 1, None, None, None, each, 1.0, 1.0) for n, each in enumerate(errors))
    shifts = tuple(Curve(f"translation, {name}", "d", "", points) for name in PROTOCOLS)
    return Invariance(f"{milliseconds:g}", 10, 0.5, 14, shifts, made, milliseconds)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("consistency", "says"),
    [
        (
            {1: 0.95, 2: 0.93},
            "At least 90 % keep their class at every strength; lowest: 93.0\N{NO-BREAK SPACE}% at 2.",
        ),
        (
            {1: 0.95, 2: 0.5, 3: 0.91},
            "At least 90 % keep their class at 1, 3; lowest: 50.0\N{NO-BREAK SPACE}% at 2.",
        ),
        (
            {-2: 0.4, 1: 0.5},
            "Fewer than 90 % keep their class at every strength; lowest: 40.0\N{NO-BREAK SPACE}% at −2.",
        ),
    ],
)
def test_a_curve_is_read_in_a_sentence(consistency: dict[float, float], says: str):
    assert curves([known(consistency)])["translations"][0]["reads"] == says


@pytest.mark.slow
def test_the_sentence_names_the_first_of_several_networks():
    reads = curves([known({1: 0.95, 2: 0.93}, 3.0), known({1: 0.2, 2: 0.1}, 4.0)])["translations"][0]["reads"]
    assert reads.startswith("3: at least 90 % keep their class at every strength")


def test_a_curve_is_drawn_from_where_nothing_changes():
    model, images = networks()["plain"]
    for each in PERTURBATIONS:
        assert torch.equal(each.apply(images, each.unchanged, 0, np.arange(len(images))), images), each.name
    found = invariance(model, images[:8], torch.zeros(8, dtype=torch.int64))
    assert found.curve("translation, crop").unchanged is None, "even where nothing moves it enlarges the image"
    drawn = drawn_points(found, found.curve("scale"))
    assert [(at.consistency, at.accuracy, at.moved) for at in drawn if at.strength == 1] == [(1, found.accuracy, 0)]
    assert [at.strength for at in drawn] == [0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5]


def test_times_to_be_compared_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch):
    class Noted(nn.Module):
        def __init__(self, name: str, seconds: float):
            super().__init__()
            self.name, self.seconds = name, seconds

        def forward(self, x: Tensor) -> Tensor:
            nonlocal now
            order.append(self.name)
            now += self.seconds
            return x.flatten(1)

    order: list[str] = []
    now = 0.0
    monkeypatch.setattr(classifier.time, "perf_counter", lambda: now)
    plain = Preprocess(14, 14, 1)
    networks = [("quick", Noted("quick", 0.02), plain), ("slow", Noted("slow", 0.05), plain)]
    found = timed_in_turns([known({1: 0.9}), known({1: 0.8})], networks, pictures(10, 14, 1))
    assert order == ["quick", "slow"] * classifier.TIMED
    assert [each.milliseconds for each in found] == pytest.approx([2.0, 5.0])
    assert [each.shift_consistency().consistency for each in found] == [0.9, 0.8]


def test_what_another_network_gains_and_costs():
    more, less = gains([known({1: 0.9}, 2.0), known({1: 0.95}, 5.0), known({1: 0.875}, 1.0)])
    points = "+5.00 points of shift consistency (crop), +0.00 points of accuracy"
    assert more == f"5 against 2: {points}, 2.50 times the time per image."
    assert "1 against 2: −2.50 points of shift consistency" in less


@pytest.mark.slow
@pytest.mark.parametrize(
    ("errors", "at"), [((1.0, 0.9, None, 0.3, 0.2), ("l1", "l3")), ((0.5, 0.6), None), ((1.0,), None)]
)
def test_where_invariance_is_made(errors: tuple[float | None, ...], at: tuple[str, str] | None):
    made_at = layers(known({1: 1.0}, errors=errors))["made_at"]
    assert (made_at and tuple(each.layer for each in made_at)) == at


def test_refusals():
    model, images = networks()["plain"]
    with pytest.raises(ShapeError, match=r"images of shape \(40, 1, 14, 14\).*expected uint8 \(N, height, width"):
        invariance(model, images.permute(0, 3, 1, 2))
    with pytest.raises(ShapeError, match=r"type torch\.float32: expected uint8"):
        invariance(model, images.float())
    with pytest.raises(DataError, match="1 images: invariance is measured on two or more"):
        invariance(model, images[:1])
    with pytest.raises(ShapeError, match=r"labels of shape \(3,\).*expected int64 \(40,\)"):
        invariance(model, images, torch.arange(3))
    with pytest.raises(ShapeError, match=r"Sequential can't take images of 1×9×9 \(C×H×W\): mat1 and mat2"):
        invariance(model, images[:, :9, :9])
    with pytest.raises(ShapeError, match=r"Sequential gives \(40, 8, 6, 6\); a classifier gives logits"):
        invariance(model[:2], images)
    with pytest.raises(ArgumentError, match=r"no curve 'shear'\. Known: translation, crop; translation, zero"):
        invariance(model, images[:4]).curve("shear")
    broken = nn.Sequential(nn.Flatten(), nn.Linear(14 * 14, 3))
    nn.init.constant_(broken[1].weight, torch.nan)
    with pytest.raises(ArgumentError, match="Sequential gives values that are not finite"):
        invariance(broken, images)
