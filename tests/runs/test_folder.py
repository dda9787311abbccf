"""Whose folder a run is: no two runs share one, no two processes train in one."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_run import dataset, recipe

from striate.errors import CheckpointError
from striate.runs import resume, train
from striate.runs.folder import locked, new_folder


def test_runs_without_a_name_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with new_folder(None, "mlp-digits") as first, new_folder(None, "mlp-digits") as second:
        assert [first.name, second.name] == ["mlp-digits-1", "mlp-digits-2"]


def test_a_folder_in_use_is_refused(tmp_path: Path):
    run = train("mlp", dataset(), recipe(), out=tmp_path / "run")
    (run.path / "result.json").unlink()
    with locked(run.path):
        with pytest.raises(CheckpointError, match="another process is training"):
            resume(run.path, data=dataset())
        with pytest.raises(CheckpointError, match="another process is training"):
            train("mlp", dataset(), recipe(), out=run.path)
    assert resume(run.path, data=dataset()).result


@pytest.mark.slow
def test_a_killed_process_leaves_no_lock(tmp_path: Path):
    program = (
        "import os, sys; from pathlib import Path; from striate.runs.folder import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("name", [".run.json.abcd.part", "split.csv", "tensorboard", "checkpoints"])
def test_what_an_unborn_run_leaves_is_in_nobodys_way(tmp_path: Path, name: str):
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_text("half")
    with new_folder(tmp_path, "any") as folder:
        assert folder == tmp_path


@pytest.mark.parametrize("name", ["run.json", "thesis.txt"])
def test_anything_else_is_not_written_over(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(CheckpointError, match="is taken"), new_folder(tmp_path, "any"):
        pass
