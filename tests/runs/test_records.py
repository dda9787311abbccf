"""Damage to a run's files: noticed when they are read, and never another result in silence."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import dataset, recipe
from strategies import quick

from striate.errors import CheckpointError
from striate.files import CHECKSUM, sealed
from striate.runs import Run, records, resume, train
from striate.training import Step

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its third epoch; and beside it, whole, the one it should become."""
    folder = tmp_path_factory.mktemp("runs")

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == 16:
            raise RuntimeError("as if killed")

    train("mlp", dataset(), recipe(epochs=3), out=folder / "whole")
    with pytest.raises(RuntimeError, match="as if killed"):
        train("mlp", dataset(), recipe(epochs=3), out=folder / "stopped", observer=stop)
    return folder / "stopped"


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path / "run")


def changed(path: Path, **values: object) -> None:
    """Change values of a JSON file, as another program or a bad disk would."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_checkpoint_whose_values_were_changed_gives_way_to_the_previous_one(run: Path, stopped: Path) -> None:
    newest = max((run / "checkpoints").glob("step-*.json"))
    changed(newest, step=12)
    continued = resume(run, data=dataset())
    assert (continued.path / WEIGHTS).read_bytes() == (stopped.parent / "whole" / WEIGHTS).read_bytes()


def test_a_run_file_that_was_changed_is_named(run: Path) -> None:
    values = json.loads((run / "run.json").read_text())
    changed(run / "run.json", recipe={**values["recipe"], "learning_rate": 0.5})
    for use in (lambda: resume(run, data=dataset()), lambda: Run.open(run).model()):
        with pytest.raises(CheckpointError, match=r"run\.json is not what the run wrote .*SHA-256"):
            use()


def test_files_of_a_finished_run_are_compared_when_they_are_used(stopped: Path, tmp_path: Path) -> None:
    whole = Run.open(shutil.copytree(stopped.parent / "whole", tmp_path / "run"))
    line, *rest = (whole.path / "metrics.jsonl").read_text().splitlines()
    (whole.path / "metrics.jsonl").write_text("\n".join([line.replace("1", "2"), *rest, ""]))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl"):
        whole.history()
    changed(whole.path / "run.json", classes=["a", "b", "c"])
    with pytest.raises(CheckpointError, match=r"run\.json is not what the run wrote"):
        Run.open(whole.path).model()


@pytest.mark.parametrize(
    "values", [{"accuracy": "high"}, {"accuracy": 1e999}, {"n": None}, {"seed": 0.5}, {"files": 1}]
)
def test_a_result_of_other_types_is_no_result(values: dict[str, object], stopped: Path, tmp_path: Path) -> None:
    whole = Run.open(shutil.copytree(stopped.parent / "whole", tmp_path / "run"))
    before = whole.result
    changed(whole.path / "result.json", **values)
    assert whole.result is None
    assert resume(whole.path, data=dataset()).result == before


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}", b"[]", b"\xff", b'{"format": NaN}', b"1" * 5000, b""])
def test_whatever_stands_in_a_file_is_one_line(content: bytes, run: Path) -> None:
    for name in ("run.json", "metrics.jsonl", "result.json"):
        (run / name).write_bytes(content + b"\n")
    with pytest.raises(CheckpointError, match=r"run\.json is damaged") as caught:
        Run.open(run)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="is damaged"):
        records.read(run / "result.json", records.ResultRecord)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_or_device_in_place_of_a_file_does_not_block(run: Path) -> None:
    os.mkfifo(run / "result.json")
    assert Run.open(run).result is None
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Run.open(run).history()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@quick
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_what_was_sealed_is_read_back(values: dict[str, object]) -> None:
    content = json.dumps(sealed(values)).encode()
    values.pop(CHECKSUM, None)
    assert records.parsed(content, records.Record, "it") == json.loads(json.dumps(values))


@quick
@given(st.data())
def test_no_changed_bit_of_a_checkpoint_stays_unnoticed(stopped: Path, data: st.DataObject) -> None:
    path = max((stopped / "checkpoints").glob("step-*.json"))
    content = bytearray(path.read_bytes())
    before = json.loads(content)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = records.parsed(bytes(content), records.CheckpointRecord, "it")
    except CheckpointError:
        return
    assert {**found, CHECKSUM: before[CHECKSUM]} == before  # white space
