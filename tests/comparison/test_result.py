"""Comparisons: means and intervals over seeds, pairs, what can't be compared, and how it reads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from outcomes import CLASSES, made_up, of_seeds
from small_run import recipe

from striate.comparison import compare, outcome
from striate.comparison.significance import holm, mean_interval, paired
from striate.data import Dataset, Split
from striate.errors import ArgumentError, DataError
from striate.evaluation import evaluate
from striate.evaluation.metrics import wilson_interval
from striate.runs import Run, train

THREE = {"small": of_seeds("small", 0.80), "tall": of_seeds("tall", 0.90), "wide": of_seeds("wide", 0.90)}


def test_rows_are_means_over_seeds_best_first():
    comparison = compare(THREE, multiply_adds={"small": 7})
    assert {row.name for row in comparison.rows[:2]} == {"tall", "wide"}
    small = comparison.rows[2]
    accuracies = [float(each.correct.mean()) for each in THREE["small"]]
    assert small.accuracies == tuple(accuracies)
    assert small.accuracy == pytest.approx(np.mean(accuracies))
    assert small.interval == pytest.approx(mean_interval(accuracies, step=1 / 1000))
    assert small.top1_error == pytest.approx(1 - small.accuracy)
    assert (small.seeds, small.train_seconds, small.images_per_second) == ((0, 1, 2), 61, 101)
    assert [row.multiply_adds for row in comparison.rows] == [None, None, 7]
    assert np.array(small.curve) == pytest.approx(np.array([(21, 0.6), (41, 0.7), (61, 0.8)]))


def test_one_seed_has_wilsons_interval_and_says_what_it_cant_know():
    comparison = compare({"tall": of_seeds("tall", 0.9, 1), "small": of_seeds("small", 0.8, 1)})
    right = int(made_up("tall").correct.sum())
    assert comparison.rows[0].interval == pytest.approx(wilson_interval(right, 1000))
    assert comparison.pairs[0].real
    assert "McNemar" in comparison.text()
    assert "another seed may reverse it" in comparison.text()
    assert "Student" not in comparison.text()


def test_pairs_are_tested_and_corrected_together():
    comparison = compare(THREE)
    correct = {name: np.stack([each.correct for each in group]) for name, group in THREE.items()}
    differences = [paired(correct[pair.better], correct[pair.other]) for pair in comparison.pairs]
    assert [pair.difference for pair in comparison.pairs] == differences
    assert [pair.corrected for pair in comparison.pairs] == holm([each.p for each in differences])
    assert all(pair.difference.mean >= 0 for pair in comparison.pairs)
    verdicts = {frozenset((pair.better, pair.other)): pair.real for pair in comparison.pairs}
    assert verdicts == {
        frozenset(("tall", "wide")): False,
        frozenset(("tall", "small")): True,
        frozenset(("wide", "small")): True,
    }


def test_a_single_model_has_a_row_and_no_pairs():
    comparison = compare({"tall": of_seeds("tall", 0.9)})
    assert len(comparison.rows) == 1
    assert comparison.pairs == ()
    assert "significant" not in comparison.text()


def test_seeds_that_failed_leave_the_others():
    comparison = compare({"tall": of_seeds("tall", 0.9, 3), "small": of_seeds("small", 0.8, 1)}, failures={"x": "why"})
    assert [len(row.seeds) for row in comparison.rows] == [3, 1]
    assert not comparison.pairs[0].difference.seeds
    assert "x failed: why" in comparison.text()
    assert "sign-flip test over the images alone" in comparison.text()


def test_curves_end_where_the_shortest_ends():
    group = of_seeds("tall", 0.9)
    group[1] = replace(group[1], curve=group[1].curve[:1])
    assert len(compare({"tall": group}).rows[0].curve) == 1
    group[1] = replace(group[1], curve=(), train_seconds=None, images_per_second=None)
    row = compare({"tall": group}).rows[0]
    assert (row.curve, row.train_seconds) == ((), 61)
    alone = compare({"tall": [group[1]]})
    assert alone.rows[0].train_seconds is None
    assert "–" in alone.text()


# ---------------------------------------------------------------- runs given as a list


def test_a_list_is_grouped_by_model_and_recipe():
    faster = [replace(each, settings={**each.settings, "learning_rate": 0.1}) for each in of_seeds("tall", 0.85)]
    comparison = compare([*of_seeds("tall", 0.9), *faster, *of_seeds("small", 0.8)])
    assert [row.name for row in comparison.rows] == ["tall", "tall (learning_rate=0.1)", "small"]
    assert [row.seeds for row in comparison.rows] == [(0, 1, 2)] * 3


@pytest.fixture(scope="module")
def runs(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two models, two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        train(model, shapes, recipe(epochs=1, seed=seed), out=folder / f"{model}-{seed}")
        for model in ("mlp", "fashion_cnn")
        for seed in (0, 1)
    ]


@pytest.mark.slow
def test_runs_and_folders_are_measured_as_evaluate_does(runs: list[Run], shapes: Dataset):
    comparison = compare([runs[0], runs[1].path, str(runs[2].path), outcome(runs[3], shapes)], shapes)
    assert {row.name for row in comparison.rows} == {"mlp", "fashion_cnn"}
    (mlp,) = (row for row in comparison.rows if row.name == "mlp")
    assert mlp.accuracies == tuple(evaluate(run, shapes).accuracy for run in runs[:2])
    assert mlp.parameters == (runs[0].result or {})["parameters"]
    assert mlp.train_seconds == pytest.approx(np.mean([(run.result or {})["train_seconds"] for run in runs[:2]]))
    assert (comparison.images, comparison.split) == (20, "test")
    assert mlp.curve[-1][1] == pytest.approx(np.mean([run.history()[-1]["val_accuracy"] for run in runs[:2]]))


@pytest.mark.slow
def test_the_runs_own_data_is_read_once_for_all(digits_run: Run, monkeypatch: pytest.MonkeyPatch):
    reads = []
    whole = Run.data
    monkeypatch.setattr(Run, "data", lambda run: reads.append(run) or whole(run))
    comparison = compare({"one": [digits_run], "other": [digits_run]})
    assert len(reads) == 1
    assert comparison.source == "digits"
    assert comparison.pairs[0].corrected == 1


def test_a_run_under_way_is_said_to_be(run: Run, shapes: Dataset, tmp_path: Path):
    for path in run.path.rglob("*"):
        if path.is_file() and path.name != "result.json":
            target = tmp_path / path.relative_to(run.path)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    comparison = compare([tmp_path], shapes)
    assert "has not finished training" in comparison.notes[0]


# ---------------------------------------------------------------- what can't be compared


def test_nothing_is_refused():
    for nothing in ([], {}, {"tall": []}):
        with pytest.raises(ArgumentError, match="no run to compare"):
            compare(nothing)


def test_the_same_training_twice_is_refused():
    with pytest.raises(ArgumentError, match="tall has more than one run with seed 1"):
        compare({"tall": [*of_seeds("tall", 0.9), made_up("tall", 1)]})


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "other letters"},
        {"split": "val"},
        {"truth": ("b",) * 1000},
        {"truth": ("a",) * 10, "correct": np.ones(10, dtype=bool)},
    ],
)
def test_other_images_are_refused(changes: dict):
    with pytest.raises(DataError, match=r"runs/tall/seed-0.*runs/small/seed-0.*compare on the same images"):
        compare([made_up("tall"), made_up("small", **changes)])


def test_other_classes_are_refused():
    with pytest.raises(DataError, match=r"a, b, c, d, e and 3 more and .* x, y: only runs with the same classes"):
        compare([made_up("tall"), made_up("small", classes=("x", "y"))])


def test_classes_in_another_order_are_the_same_classes():
    assert len(compare([made_up("tall"), made_up("small", classes=CLASSES[::-1])]).rows) == 2


def test_data_sets_with_other_test_images_are_refused(runs: list[Run], shapes: Dataset):
    fewer = replace(shapes, test=Split(shapes.test.images[:10], shapes.test.labels[:10]))
    with pytest.raises(DataError, match=r"20 images of shapes, test, and .* on 10 of shapes, test"):
        compare([outcome(runs[0], shapes), outcome(runs[2], fewer)])


# ---------------------------------------------------------------- how it reads


def test_the_dictionary_is_json_and_complete():
    values = json.loads(json.dumps(compare(THREE, failures={"x": "why"}).to_dict(), allow_nan=False))
    assert set(values) == {"data", "split", "n", "classes", "models", "pairs", "failures", "notes"}
    assert values["models"][2]["model"] == "small"
    assert set(values["pairs"][0]) >= {"better", "other", "difference", "interval", "p", "p_corrected", "real"}


def test_the_text_has_a_line_for_each_model_and_pair():
    lines = compare(THREE, multiply_adds={"small": 1234567}).text().splitlines()
    assert lines[0] == "letters, test: 1,000 images, 8 classes"
    (head,) = (line for line in lines if line.startswith("model "))
    (small,) = (line for line in lines if line.startswith("small "))
    for word in ("seeds", "accuracy", "top-1 error", "top-5 error", "parameters", "multiply-adds", "images/s"):
        assert word in head
    assert "1,234,567" in small
    assert len(head) == len(small)
    assert sum(line.endswith(" significant") and not line.endswith("not significant") for line in lines) == 2
    assert sum(line.endswith("not significant") for line in lines) == 1
    assert "Holm" in lines[-1]
    assert "training images" in lines[-1]


def test_few_classes_have_no_top_five():
    pair = [replace(made_up(name), classes=tuple("abc"), truth=("a",) * 1000) for name in ("tall", "small")]
    assert "top-5" not in compare(pair).text()
