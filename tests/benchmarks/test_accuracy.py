"""Seconds to an accuracy: from curves over epochs, and from points at the end."""

import math
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.parts import accuracy
from benchmarks.plot import draw, median_curve
from benchmarks.programs import FASHION, PROGRAMS, TENSORFLOW, Program, by, ours
from benchmarks.store import Store

FAST, SURE = ours("quick", "fast", FASHION, epochs=2), ours("quick", "fast", FASHION, epochs=8)
BOOK = by(TENSORFLOW, "textbook", FASHION, "the textbook's program", epochs=3)
SHORT = ((10.0, 0.88), (20.0, 0.91), (30.0, 0.90))
REFERENCE_RATES = {FAST: 200.0, SURE: 200.0, BOOK: 110.0}
LONG = ((12.0, 0.87), (24.0, 0.89), (36.0, 0.93))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(accuracy, "PROGRAMS", (FAST, SURE, BOOK))
    monkeypatch.setattr(accuracy, "TEXTBOOK", BOOK)
    header = {"machine": {"processor": "a chip", "flags": ["avx2"], "threads": 2, "cores": 2, "memory_gib": 8.0}}
    kept = Store(tmp_path / "results.json", header)
    measured = {FAST: (((5.0, 0.899),), ((6.0, 0.905),)), SURE: (((15.0, 0.93),), ((16.0, 0.94),)), BOOK: (SHORT, LONG)}
    for program, curves in measured.items():
        for seed, curve in enumerate(curves):
            result: dict[str, object] = {"curve": curve, "yardstick": REFERENCE_RATES[program]}
            if program != BOOK:
                result |= {"alone": curve[-1][1] - 0.01, "precision": "bfloat16"}
            kept.measure(f"accuracy/{FASHION}/{program.title}/{seed}", lambda r=result: r)
    return kept


def test_a_curve_reaches_a_target_when_it_first_stands_there() -> None:
    assert accuracy.reached(SHORT, 0.90) == 20
    assert accuracy.reached(SHORT, 0.92) == math.inf


def test_seeds_of_curves_have_the_median_of_their_times() -> None:
    assert accuracy.time_to([SHORT, LONG], 0.87) == 11
    assert accuracy.time_to([SHORT, SHORT, LONG], 0.90) == 20
    assert accuracy.time_to([SHORT, LONG, LONG], 0.92) == 36
    assert accuracy.time_to([SHORT, SHORT, LONG], 0.92) == math.inf
    assert accuracy.time_to([], 0.5) == math.inf


def test_seeds_of_points_have_reached_their_mean() -> None:
    points = [((5.0, 0.899),), ((6.0, 0.905),), ((9.0, 0.902),)]
    assert accuracy.time_to(points, 0.902) == 6
    assert accuracy.time_to(points, 0.903) == math.inf


def test_tables(store: Store) -> None:
    lines = accuracy.tables(store).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    programs, fastest = cells[:5], cells[5:]
    quick = [
        "Striate quick, fast, epochs=2, bfloat16",
        "2",
        "90.20 %",
        "89.20 %",
        "5.50",
        "5.50",
        "–",
        "–",
        "–",
        "–",
        "200",
    ]
    assert programs[2] == quick
    assert programs[4][3:] == ["–", "33.0", "28.0", "–", "–", "–", "–", "110"]
    assert fastest[2] == ["90 %", FAST.title, "5.00", "14.0 (2.80×)"]
    assert fastest[3] == ["92 %", SURE.title, "14.1", "–"]
    assert fastest[5] == ["94 %", "–", "–", "–"]
    assert fastest[7] == ["92 %, the textbook's best", SURE.title, "14.1", "–"]


def test_runs_are_taken_seed_by_seed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (("twice", 2), ("once", 1), ("thrice", 3))
    programs = tuple(Program(TENSORFLOW, FASHION, name, seeds, {}) for name, seeds in asked)
    monkeypatch.setattr(accuracy, "PROGRAMS", programs)
    monkeypatch.setattr(accuracy, "_run", lambda bench, program, seed: {"curve": [[1.0, 0.5]]})
    accuracy.measure(bench)
    runs = ("twice/0", "once/0", "thrice/0", "thrice/1", "twice/1", "thrice/2")
    assert list(bench.store.results) == [f"accuracy/{FASHION}/{each}" for each in runs]


def test_programs_have_titles_of_their_own() -> None:
    titles = [(each.data, each.title) for each in PROGRAMS]
    assert len(set(titles)) == len(titles)
    assert FAST.title == "Striate quick, fast, epochs=2"
    assert FAST.arguments["settings"] == {"epochs": 2}


def test_the_middle_of_curves_that_end_early() -> None:
    assert median_curve([SHORT, LONG[:1]]) == [(11.0, 0.875), (20.0, 0.91), (30.0, 0.90)]


@pytest.mark.slow
def test_the_plot_names_every_program_and_the_machine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.plot.PROGRAMS", (FAST, SURE, BOOK))
    assert draw(store, FASHION, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert all(text in drawn for text in (FAST.title, SURE.title, BOOK.title, "a chip", "2 of 2 cores"))
    assert not draw(store, "mnist", tmp_path / "other.svg")
    assert not (tmp_path / "other.svg").exists()
