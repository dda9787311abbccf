"""Pages of tables from a results file, each table with what made it."""

import json
import shlex
from pathlib import Path

import pytest

from benchmarks import publish
from benchmarks.__main__ import _options
from benchmarks.parts import PARTS
from benchmarks.programs import OURS, PEERS, PROGRAMS, PYTORCH
from benchmarks.store import REFERENCE_RATE, Store

MACHINE = {"processor": "a chip", "flags": ["avx2"], "threads": 2, "cores": 2, "memory_gib": 8.0}
AT = {"commit": "1234567", "date": "2026-12-01", REFERENCE_RATE: 110.0}
LATER = {"commit": "89abcde", "date": "2026-12-03", REFERENCE_RATE: 110.0}
FASHION = next(each for each in PROGRAMS if each.peer == OURS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "chip.json"
    versions = {peer.name: {"python": "3.11.7"} for peer in PEERS}
    store = Store(path, {"size": "full", "machine": MACHINE, "versions": versions})
    made_up = {
        f"accuracy/{FASHION.data}/{FASHION.title}/0": {"curve": [[5.0, 0.91]], "alone": 0.9, "precision": "float32"},
        "throughput/train/fashion_cnn/32/striate/0": {"images_per_second": 300.0, "precision": "float32"},
        "throughput/train/fashion_cnn/32/pytorch/0": {"images_per_second": 150.0},
        "throughput/latency/fashion_cnn/1/striate/0": {"seconds": 0.002},
        "throughput/latency/fashion_cnn/1/pytorch/0": {"seconds": 0.003},
        "startup/striate/striate --help/0": {"seconds": 0.1},
        "memory/striate/0": {"mib": 561.0},
        "folder/3000/striate/0": {"first": 800.0, "later": 10_000.0},
        "folder/3000/pytorch/0": {"first": 400.0, "later": 500.0},
        "product/pytorch/0": {"gflops": 110.0},
    }
    for key, result in made_up.items():
        store.measure(key, lambda each={**result, **AT}: each)
    store.measure("throughput/train/fashion_cnn/32/striate/1", lambda: {"images_per_second": 320.0, **LATER})
    store.measure("product/flax/0", lambda: {"error": "out of memory", **AT})
    return path


def tables_of(text: str) -> dict[str, str]:
    """Text below each heading, by heading."""
    sections = text.split("\n## ")[1:]
    return {each.partition("\n")[0]: each.partition("\n")[2] for each in sections}


def test_every_table_has_its_footer(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "docs"
    assert publish.main([str(results), "--out", str(out)]) == 0
    text = (out / "chip.md").read_text(encoding="utf-8")
    assert text.startswith("# Benchmark tables: chip\n\na chip, 2 of 2 cores, 8 GiB; avx2. ")
    found = tables_of(text)
    assert len(found) == 9
    assert found.pop("Failed").strip() == "- product/flax/0: out of memory"
    for heading, below in found.items():
        lines = below.strip().splitlines()
        assert lines[0].startswith("|"), heading
        assert "| -" in lines[1], heading
        footer = next(line for line in lines if line.startswith("*Measured"))
        assert "a chip, 2 of 2 cores" in footer
        assert '`make bench ARGS="--only ' in footer
    rates = next(below for heading, below in found.items() if heading.startswith("Throughput"))
    assert "| 310 " in rates, "the median of two rounds"
    assert "commit 1234567, 89abcde; 2 rounds; 2026-12-01 to 2026-12-03;" in rates
    latency = next(below for heading, below in found.items() if heading.startswith("Latency"))
    assert "commit 1234567; 1 round; 2026-12-01;" in latency
    assert (out / "chip-fashion-mnist.svg").exists()
    assert "](chip-fashion-mnist.svg)" in text
    assert not (out / "chip-mnist.svg").exists()
    assert "Written: " in capsys.readouterr().out


def test_the_commands_match_the_results_of_their_tables(results: Path) -> None:
    store = Store.opened(results)
    seen = set()
    for section in publish.SECTIONS:
        words = shlex.split(publish.command("full", section))
        assert words[:2] == ["make", "bench"]
        chosen = _options().parse_args(shlex.split(words[2].removeprefix("ARGS=")))
        assert chosen.only in PARTS
        part = publish.selected(store, chosen.match)
        assert seen.isdisjoint(part.results)
        seen |= set(part.results)
    assert seen == {key for key in store.results if store.has(key)}


def test_sizes_have_commands_of_their_own() -> None:
    section = publish.Section("folder", "folder/")
    assert publish.command("quick", section) == """make bench-quick ARGS="--only folder --match 'folder/'\""""
    assert publish.command("smoke", section) == """make bench ARGS="--size smoke --only folder --match 'folder/'\""""


def test_results_without_a_date_or_a_commit_say_so(results: Path) -> None:
    kept = json.loads(results.read_text())
    for each in kept["results"].values():
        del each["date"], each["commit"]
    results.write_text(json.dumps(kept))
    part = publish.selected(Store.opened(results), "folder/")
    assert "commit unknown; 1 round; date unknown" in publish.footer(part, publish.Section("folder", "folder/"))


def test_a_page_may_have_another_name(results: Path, tmp_path: Path) -> None:
    assert publish.main([str(results), "--out", str(tmp_path / "docs"), "--name", "epyc"]) == 0
    assert (tmp_path / "docs" / "epyc.md").exists()
    assert "](epyc-fashion-mnist.svg)" in (tmp_path / "docs" / "epyc.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("header", "measured", "message"),
    [
        ({"model": "quicknet_s"}, True, "holds no results of 'python -m benchmarks'"),
        ({"size": "full", "machine": MACHINE, "versions": {}}, False, "can't read"),
    ],
)
def test_other_files_are_refused_in_a_line(
    header: dict[str, object],
    measured: bool,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "other.json"
    if measured:
        Store(path, header).measure("as it is/0", lambda: {"views": 0.9})
    assert publish.main([str(path), "--out", str(tmp_path / "docs")]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert not (tmp_path / "docs").exists()


def test_plain_pytorch_is_compared(results: Path) -> None:
    text = publish.page(Store.opened(results), "chip", {})
    assert PYTORCH.title in text
    assert "400" in text


@pytest.mark.parametrize("results", sorted((publish.ROOT / "benchmarks" / "results").glob("*.json")), ids=str)
def test_published_pages_are_what_their_results_give(results: Path, tmp_path: Path):
    for written in publish.publish(results, tmp_path, results.stem):
        published = publish.ROOT / "docs" / "benchmarks" / written.name
        if written.suffix == ".md":  # plots differ with Matplotlib's version
            assert written.read_text() == published.read_text()
        assert published.exists()
