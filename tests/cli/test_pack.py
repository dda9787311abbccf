"""`striate data pack`, and that its two words are one command."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest


def test_what_is_packed_can_be_checked(striate: Callable, pets: Path, tmp_path: Path) -> None:
    answer = striate("data", "pack", pets, tmp_path / "out", "--shard-size", "25 kB", "--seed", "3")
    assert answer.code == 0
    shards = len(list((tmp_path / "out").iterdir()))
    assert shards > 3
    assert answer.out == (
        f"16 train, 2 val, 2 test images in {shards} shards; train on them with --data {tmp_path / 'out'}\n"
    )
    some = f"{tmp_path}/out/{{test-000000,train-{{000000..000001}}}}.tar"
    told = striate("data", some, "--json", "--out", tmp_path / "a.png")
    assert set(json.loads(told.out)["splits"]) == {"train", "test"}
    assert "train has 2 of its" in told.err


@pytest.mark.parametrize("size", ["big", "-1", "0", "12 parsecs"])
def test_a_size_that_is_none_is_refused(striate: Callable, pets: Path, tmp_path: Path, size: str) -> None:
    answer = striate("data", "pack", pets, tmp_path / "out", f"--shard-size={size}")
    assert answer.code == 2
    assert size in answer.err
    assert answer.err.count("\n") == 1


def test_bad_files_are_named_or_left_out(striate: Callable, pets: Path, tmp_path: Path) -> None:
    (pets / "cats" / "3.png").write_text("no image")
    answer = striate("data", "pack", pets, tmp_path / "out")
    assert answer.code == 2
    assert f"{pets / 'cats' / '3.png'}: not an image" in answer.err
    answer = striate("data", "pack", pets, tmp_path / "out", "--skip-bad")
    assert answer.code == 0
    assert answer.err == f"left out {pets / 'cats' / '3.png'}: not an image\n"


def test_data_alone_still_takes_any_source(
    striate: Callable, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pets.rename(tmp_path / "pack")
    for arguments in (["./pack"], ["--json", "pack"]):
        answer = striate("data", *arguments)
        assert answer.code == 0
        assert "cats" in answer.out
    assert striate("data", "pack").code == 2


def test_help_tells_of_both(striate: Callable) -> None:
    assert re.search(r"\n  data pack +Write a folder", striate("--help").out)
    assert "striate data pack" in striate("data", "--help").out
    assert "striate data pack [OPTIONS]" in striate("data", "pack", "--help").out


def test_the_contact_sheet_of_a_pattern_has_a_plain_name(
    striate: Callable, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    striate("data", "pack", pets, "out")
    assert striate("data", "out/{train,val}-000000.tar").code == 0
    assert (tmp_path / "train-val-000000.tar-contact-sheet.png").is_file()
