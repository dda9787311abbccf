"""Each variation trains, and does something else than the unchanged network; the table tells differences."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from small_run import split

from benchmarks import ablation
from benchmarks.store import Store
from benchmarks.variations import BASE, VARIATIONS, Variation
from striate.data import Dataset
from striate.inference import score
from striate.models.quicknet import WIDTHS
from striate.training import Recipe, recipe

FAST = recipe("fast", "quicknet_s").replace(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def mirrored() -> Dataset:
    """Shapes that keep their labels in a mirror, large enough for three poolings and for growing."""
    splits = [split(count, seed) for seed, count in enumerate((48, 12))]
    large = [type(each)(each.images.repeat(1, 3, 3, 1), each.labels) for each in splits]
    return Dataset("shapes", ("cross", "bar", "dot"), large[0], None, large[1], mirror=True)


@pytest.fixture(scope="module")
def base_losses(mirrored: Dataset) -> list[float]:
    """The losses of the training that nothing is changed in."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return losses(BASE, mirrored, monkeypatch)


def losses(variation: Variation, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of the test images at the end, alone and in views."""
    seen: list[float] = []

    def spy(model, split, preprocess, tta):
        result = score(model, split, preprocess, tta=tta)
        seen.append(result.loss)
        return result

    monkeypatch.setattr(ablation, "score", spy)
    found = ablation.trained(variation, "quicknet_s", FAST, data)
    assert set(found) == {"alone", "views", "seconds"}
    assert found["seconds"] > 0
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("variation", VARIATIONS[1:], ids=lambda each: each.name)
def test_a_variation_is_another_training(
    variation: Variation, mirrored: Dataset, base_losses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert losses(variation, mirrored, monkeypatch) != base_losses


@pytest.mark.slow
@pytest.mark.parametrize("model", WIDTHS)
@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda each: each.name)
def test_every_quicknet_can_be_varied(variation: Variation, model: str) -> None:
    network = variation.build(model, 4, (1, 28, 28), torch.rand(40, 1, 28, 28))
    assert network.eval()(torch.rand(2, 1, 28, 28)).shape == (2, 4)
    third = network.unit6.conv.out_channels / WIDTHS[model][2]
    assert third == {"three quarters of all maps": 0.75, "one and a half times all maps": 1.5}.get(variation.name, 1)


@pytest.mark.slow
def test_the_unchanged_one_is_the_same_each_time(mirrored: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert losses(BASE, mirrored, monkeypatch) == losses(BASE, mirrored, monkeypatch)


def test_the_table_tells_differences_in_points(tmp_path: Path) -> None:
    store = Store(
        tmp_path / "results.json",
        {
            "model": "quicknet_s",
            "measured": "mnist, test images",
            "recipe": FAST.replace(precision="bfloat16").model_dump(),
        },
    )
    for name, accuracies, seconds in ((BASE.name, (0.90, 0.92), 0.002), ("GELU", (0.93, 0.95), 0.003)):
        for seed, accuracy in enumerate(accuracies):
            store.measure(f"{name}/{seed}", lambda a=accuracy, s=seconds: {"alone": a - 0.1, "views": a, "seconds": s})
    told = ablation.report(store)
    assert "quicknet_s on mnist, test images, 2 epochs, bfloat16" in told
    gelu = next(line for line in told.splitlines() if line.startswith("| GELU"))
    # Welch with variances of 2e-4 each: two degrees of freedom, t = 4.3027, standard error √2 points.
    assert [cell.strip() for cell in gelu.strip("|").split("|")] == [
        *("GELU", "2", "84.00 %", "94.00 %", "+3.00 (-3.08 to +9.08)", "1.50")
    ]


def test_choices_are_measured_on_training_images_of_every_class_and_results_on_the_test_images() -> None:
    whole, chosen = (ablation.Measured("digits", test).load() for test in (True, False))
    assert whole.test is not None
    assert chosen.test is not None
    assert len(chosen.train) + len(chosen.test) == len(whole.train)
    assert len(chosen.test) == pytest.approx(len(whole.train) / 6, abs=1)
    together = torch.cat([chosen.train.images, chosen.test.images]).flatten(1).tolist()
    assert sorted(together) == sorted(whole.train.images[:].flatten(1).tolist())
    assert chosen.test.labels.unique().tolist() == list(range(10))
    assert torch.equal(chosen.test.images, ablation.Measured("digits", False).load().test.images)


def test_a_crash_leaves_what_is_done_and_begins_nothing_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[str] = []

    def crashing(measured: ablation.Measured, model: str, fast: Recipe, key: str) -> dict[str, float]:
        begun.append(key)
        time.sleep(0.1)  # the first is kept, and the crash seen, before all are through
        if len(begun) == 2:
            raise MemoryError
        return {"alone": 0.9, "views": 0.9, "seconds": 1.0}

    monkeypatch.setattr(ablation, "ProcessPoolExecutor", lambda count, mp_context: ThreadPoolExecutor(1))
    monkeypatch.setattr(ablation, "_trained", crashing)
    path = tmp_path / "results.json"
    with pytest.raises(MemoryError):
        ablation.measure(path, ablation.Measured("digits", False), "quicknet_s", FAST, 40, [BASE.name])
    assert Store.opened(path).has(f"{BASE.name}/0")
    assert len(begun) < 40


def test_every_variation_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    precisions: list[str] = []

    def measure(
        path: Path, measured: ablation.Measured, model: str, fast: Recipe, seeds: int, names: list[str]
    ) -> None:
        assert str(measured) == "digits, held-out training images"
        asked.append(names)
        precisions.append(fast.precision)

    monkeypatch.setattr(ablation, "measure", measure)
    monkeypatch.setattr(ablation, "report", lambda store: "")
    monkeypatch.setattr(ablation.Store, "opened", lambda path: None)
    names = [each.name for each in VARIATIONS[1:]]
    assert (
        ablation.main(
            ["--out", str(tmp_path / "x.json"), "--data", "digits", "--precision", "bfloat16", "--only", *names]
        )
        == 0
    )
    assert asked == [[BASE.name, *names]]
    assert precisions == ["bfloat16"]


def test_an_unknown_variation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["--only", "GELO"]) == 2
    assert "Did you mean 'GELU'?" in capsys.readouterr().err
