"""Folders written as shards."""

import errno
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data import load
from striate.data.sources import tar_writer
from striate.data.sources.tar_pack import pack
from striate.data.sources.tar_samples import NAME
from striate.errors import ArgumentError, BadFilesError, DataError, StorageError

Folder = Callable[..., Path]
Paint = Callable[..., Path]


def assert_same(folder: Path, shards: Path) -> None:
    """The data set of the shards is that of the folder, image by image."""
    one, other = load(folder), load(shards)
    assert one.classes == other.classes
    assert (one.mirror, one.fit, one.sized) == (other.mirror, other.fit, other.sized)
    assert [name for name, _ in one.splits()] == [name for name, _ in other.splits()]
    for (_, left), (_, right) in zip(one.splits(), other.splits(), strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.labels, right.labels)
        names = [file.split(".tar: ")[1] for file in right.files]
        assert names == [shown(Path(file).relative_to(folder).as_posix()) for file in left.files]


def shown(name: str) -> str:
    """A name as people are told it: what can't be printed is an escape."""
    return name if name.isprintable() else name.encode("ascii", "backslashreplace").decode()


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_shards_are_the_folder_again(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=25, dogs=18)
    packed = pack(root, tmp_path / "out", shard_size=30_000)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(packed.shards)
    assert packed.images == {"train": 33, "val": 5, "test": 5}
    assert len(packed.shards) > 4
    assert_same(root, tmp_path / "out")


def test_splits_of_ones_own_are_kept(folder: Folder, tmp_path: Path) -> None:
    folder("train", a=4, b=4)
    root = folder("validation", a=1, b=2)
    packed = pack(root, tmp_path / "out")
    assert packed.shards == ("train-000000.tar", "val-000000.tar")
    assert packed.images == {"train": 8, "val": 3}
    assert_same(root, tmp_path / "out")


def test_the_files_are_kept_byte_for_byte_and_labelled(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=3, dogs=2)
    pack(root, tmp_path / "out")
    members = {}
    for path in (tmp_path / "out").iterdir():
        members |= contents(path)
    del members[NAME]
    for file in root.rglob("*.png"):
        name = file.relative_to(root).with_suffix("").as_posix()
        assert members.pop(f"{name}.png") == file.read_bytes()
        assert members.pop(f"{name}.cls") == (b"0" if file.parent.name == "cats" else b"1")
    assert not members


def test_each_image_is_followed_by_its_label_and_classes_are_mixed(folder: Folder, tmp_path: Path) -> None:
    root = folder("train", cats=20, dogs=20)
    pack(root, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        names = archive.getnames()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive} == {(0, 0, 0, "", 0o644)}
    assert [name.removesuffix(".png") for name in names[1::2]] == [name.removesuffix(".cls") for name in names[2::2]]
    kinds = [name.split("/")[1] for name in names[1::2]]
    assert kinds != sorted(kinds)
    assert {"cats", "dogs"} <= set(kinds[:10])


def test_the_seed_decides_the_order_and_nothing_else(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=12, dogs=12)
    bytes_of = {}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        packed = pack(root, tmp_path / name, seed=seed)
        bytes_of[name] = [(tmp_path / name / shard).read_bytes() for shard in packed.shards]
    assert bytes_of["one"] == bytes_of["same"]
    assert bytes_of["one"] != bytes_of["other"]
    assert_same(root, tmp_path / "other")


@pytest.mark.parametrize("size", [15_000, 40_000, 10**9])
def test_no_shard_is_larger_than_asked_for(folder: Folder, tmp_path: Path, size: int) -> None:
    root = folder("train", **{"c" * 90: 15, "d" * 120: 15})  # long names take more room
    pack(root, tmp_path / "out", shard_size=size)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out").glob("train-*.tar"))]
    assert max(sizes) <= size
    assert len(sizes) == 1 or min(sizes[:-1]) > size - 15_000


def test_an_image_larger_than_a_shard_gets_its_own(folder: Folder, tmp_path: Path) -> None:
    pack(folder("train", a=2, b=2), tmp_path / "out", shard_size=1)
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert_same(tmp_path / "set", tmp_path / "out")


def test_names_with_dots_and_names_alike_are_told_apart(folder: Folder, paint: Paint, tmp_path: Path) -> None:
    root = folder("train", cats=2, dogs=2)
    names = [
        "1.png",
        "1.jpg",
        "1.v2.png",
        "1_v2.png",
        "1.v2.bmp",
        "sub.dir/1.png",
        "ö/ü.PNG",
        "bad\udcff.png",
        "x-2.png",
    ]
    for seed, name in enumerate([*names, "x.bmp", "x.png"]):
        paint(root / "train" / "cats" / name, seed=seed)
    pack(root, tmp_path / "out")
    assert_same(root, tmp_path / "out")
    keys = [name for name in contents(tmp_path / "out" / "train-000000.tar") if name != NAME]
    assert len({name.rpartition("/")[2].partition(".")[0] + name.rpartition("/")[0] for name in keys}) == len(keys) / 2


file_names = st.text("aA.-_2 é", min_size=1, max_size=6).filter(lambda name: not name.startswith(".") and name.strip())


kinds = st.sampled_from([".png", ".bmp"])


@pytest.mark.slow
@settings(max_examples=25)
@given(st.sets(st.tuples(file_names, kinds), min_size=1, max_size=12), st.integers(20_000, 40_000))
def test_any_names_come_back(tmp_path_factory: pytest.TempPathFactory, names: set[tuple[str, str]], size: int) -> None:
    root = tmp_path_factory.mktemp("named")
    for seed, name in enumerate(["b/1.png", *(f"a/{stem}{suffix}" for stem, suffix in sorted(names))]):
        (root / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3, 3), seed, dtype=np.uint8)).save(root / "set" / name)
    pack(root / "set", root / "out", shard_size=size)
    assert_same(root / "set", root / "out")


def test_bad_files_are_all_named_and_nothing_is_written(folder: Folder, paint: Paint, tmp_path: Path) -> None:
    root = folder(cats=6, dogs=6)
    cut = (root / "cats" / "001.png").read_bytes()[:-60]
    (root / "cats" / "001.png").write_bytes(cut)
    (root / "dogs" / "002.png").write_text("no image")
    photograph = paint(root / "dogs" / "large.jpg", size=(300, 200))
    photograph.write_bytes(photograph.read_bytes()[:-2000])
    problems = {str(root / "cats" / "001.png"): "truncated", str(root / "dogs" / "002.png"): "not an image"}
    problems[str(photograph)] = "truncated"
    with pytest.raises(BadFilesError) as caught:
        pack(root, tmp_path / "out")
    assert caught.value.problems == problems
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    packed = pack(root, tmp_path / "out", skip_bad=True)
    assert packed.skipped == problems
    assert sum(packed.images.values()) == 10


def test_a_class_of_bad_files_alone_is_an_error_even_when_skipping(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=3, dogs=1)
    (root / "dogs" / "000.png").write_text("no image")
    with pytest.raises(DataError, match="no training image of dogs can be decoded"):
        pack(root, tmp_path / "out", skip_bad=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = folder(cats=3, dogs=3)
    monkeypatch.setattr(tarfile, "copyfileobj", full)
    with pytest.raises(
        StorageError, match=r"^no space left to write .*out: free some space, or choose another place\.$"
    ):
        pack(root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_stopping_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "packing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder(cats=3, dogs=3), tmp_path / "out", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_place_that_can_not_be_is_refused_first(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=1, dogs=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    with pytest.raises(ArgumentError, match="out already exists"):
        pack(root, tmp_path / "out")
    with pytest.raises(ArgumentError, match=r"lies in .*set, where it would be taken for a class"):
        pack(root, root / "shards")
    with pytest.raises(ArgumentError, match="lies in"):
        pack(root, root)
    with pytest.raises(ArgumentError, match="a shard of 0 bytes"):
        pack(root, tmp_path / "new", shard_size=0)
    with pytest.raises(DataError, match="does not exist"):
        pack(tmp_path / "none", tmp_path / "new")


def test_an_empty_folder_may_be_there(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    pack(folder(cats=1, dogs=1), tmp_path / "out")
    assert_same(tmp_path / "set", tmp_path / "out")


def test_progress_counts_up_to_all_images(folder: Folder, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    pack(folder(cats=6, dogs=6), tmp_path / "out", shard_size=1, progress=lambda *entry: told.append(entry))
    assert [(done, total) for what, done, total in told if what == "packing"] == [(n, 12) for n in range(1, 13)]


def shards_in(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@pytest.fixture
def by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images are packed by processes, too, two of them whatever the machine has."""
    monkeypatch.setattr(tar_writer, "_FEW", 0)
    monkeypatch.setattr(tar_writer, "worker_count", lambda shards: min(2, shards))


def test_processes_write_the_bytes_that_one_writes(
    folder: Folder, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = folder(cats=25, dogs=18)
    names = pack(root, tmp_path / "one", shard_size=30_000).shards
    request.getfixturevalue("by_processes")
    assert pack(root, tmp_path / "several", shard_size=30_000).shards == names
    assert shards_in(tmp_path / "several") == shards_in(tmp_path / "one")


KILLED = """
import os, sys
from pathlib import Path
from striate.data.sources import tar_pack, tar_writer
tar_pack._NOTED = 0.0
if sys.argv[3] == "processes":
    tar_writer._FEW, tar_writer.worker_count = 0, lambda shards: min(2, shards)
def progress(what, done, total):
    if what == sys.argv[4] and done >= int(sys.argv[5]):
        os.kill(os.getpid(), 9)
tar_pack.pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=30_000, progress=progress)
"""


@pytest.mark.parametrize(
    ("how", "what", "done"), [("one", "packing", 12), ("processes", "packing", 12), ("one", "decoding", 43)]
)
def test_what_a_killed_packing_had_done_is_not_done_again(
    folder: Folder, tmp_path: Path, how: str, what: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(cats=25, dogs=18)
    pack(root, tmp_path / "whole", shard_size=30_000)
    arguments = [str(root), str(tmp_path / "out"), how, what, str(done)]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments]).returncode == -9
    (left,) = tmp_path.glob(".out.of-*.part")
    kept = {path.name for path in left.glob("*.tar")}
    assert bool(kept) == (what == "packing")
    told: list[tuple[str, int]] = []
    wrote = []
    real = tar_writer._write
    monkeypatch.setattr(tar_writer, "_write", lambda path, *rest: (wrote.append(path.name), real(path, *rest)))
    pack(root, tmp_path / "out", shard_size=30_000, progress=lambda what, done, total: told.append((what, done)))
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "whole")
    assert not any(each == "decoding" for each, _ in told), "all images had been checked"
    assert kept.isdisjoint(wrote)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("alive", [True, False])
def test_a_process_that_writes_begins_nothing_for_one_that_is_gone(folder: Folder, tmp_path: Path, alive: bool) -> None:
    (image,) = folder(cats=1).rglob("*.png")
    sample = tar_writer.Sample(str(image), 0, "cats/000.png", "cats/000")
    request = [str(tmp_path / "train-000000.tar"), {"classes": ["cats"], "split": "train", "shards": 1}, [sample]]
    answers = io.BytesIO()
    packing = os.getppid() if alive else -1
    tar_writer.serve(io.BytesIO(json.dumps(request).encode() + b"\n"), answers, packing)
    assert (answers.getvalue(), (tmp_path / "train-000000.tar").exists()) == (
        (b"{}\n", True) if alive else (b"", False)
    )


def test_what_was_left_of_other_images_is_not_used(folder: Folder, paint: Paint, tmp_path: Path) -> None:
    root = folder(cats=25, dogs=18)
    arguments = [str(root), str(tmp_path / "out"), "one", "packing", "12"]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments]).returncode == -9
    paint(root / "cats" / "000.png", seed=77)
    pack(root, tmp_path / "out", shard_size=30_000)
    assert_same(root, tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))


@pytest.mark.usefixtures("by_processes")
@pytest.mark.parametrize("moment", ["decoding", "packing"])
def test_a_process_that_can_not_read_is_one_line(folder: Folder, tmp_path: Path, moment: str) -> None:
    root = folder(cats=25, dogs=18)

    def unplug(what: str, done: int, total: int) -> None:
        if what == moment and (what == "packing" or done == total):
            for path in root.rglob("*.png"):
                path.unlink()

    with pytest.raises(BadFilesError, match=r"\d+\.png: can't be read \(No such file or directory\)"):
        pack(root, tmp_path / "out", shard_size=30_000, progress=unplug)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_two_do_not_pack_into_one_place(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=3, dogs=3)

    def again(what: str, done: int, total: int) -> None:
        with pytest.raises(StorageError, match=r"another process is writing .*out: wait for it"):
            pack(root, tmp_path / "out")

    pack(root, tmp_path / "out", progress=again)
    assert_same(root, tmp_path / "out")
