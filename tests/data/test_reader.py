"""Images in memory, from the cache, or decoded when asked for: the same images, and only as much work as is needed."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data import Dataset, LazyImages, build, load, reader
from striate.data import cache as cached
from striate.data.cache_store import Store
from striate.data.images import prepare
from striate.data.images.decoder_pool import Chunk, Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.stamps import stamps_of
from striate.errors import BadFilesError
from striate.preprocess import Preprocess

Folder = Callable[..., Path]
Paint = Callable[..., Path]


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads decode, which begin sooner than processes; that both give the same is tested with `Decoders`."""
    monkeypatch.setattr(build, "Decoders", lambda *words, processes: Decoders(*words, processes=False))


@pytest.fixture
def worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is too small for the cache."""
    monkeypatch.setattr(build, "_FEW_FILES", 1)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that does not fit into the cache is decoded into memory."""
    monkeypatch.setattr(reader, "IN_MEMORY", 0)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded, one by one."""
    names: list[str] = []
    really = prepare.decode_to

    def counting(take: object, source: Path, *words: object) -> object:
        names.append(Path(source).name)
        return really(take, source, *words)

    monkeypatch.setattr(prepare, "decode_to", counting)
    return names


@pytest.fixture
def pets(folder: Folder, paint: Paint) -> Path:
    """Forty images written an hour ago, one of them in grey, one larger."""
    root = folder(cats=22, dogs=18)
    paint(root / "cats" / "grey.png", 50, mode="L")
    paint(root / "dogs" / "large.png", 51, size=(90, 50))
    age(root)
    return root


def age(root: Path, hours: float = 1) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, (time.time() - 3600 * hours,) * 2)


def assert_same(one: Dataset, other: Dataset) -> None:
    assert (one.classes, one.skipped, one.mirror, one.fit) == (other.classes, other.skipped, other.mirror, other.fit)
    for (name, ours), (other_name, theirs) in zip(one.splits(), other.splits(), strict=True):
        assert name == other_name
        assert torch.equal(ours.images[:], theirs.images[:])
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.files == theirs.files
        assert np.array_equal(ours.power_sums(), theirs.power_sums())
    assert one.fingerprint() == other.fingerprint()


def kept() -> list[Path]:
    return sorted(Path(os.environ["STRIATE_CACHE"]).rglob("pixels"))


def test_a_small_folder_is_decoded_into_memory_and_nowhere_else(pets: Path) -> None:
    dataset = load(pets)
    assert isinstance(dataset.train.images, torch.Tensor)
    assert not list(Path(os.environ["STRIATE_CACHE"]).iterdir())


@pytest.mark.usefixtures("worth_keeping")
def test_cached_and_lazy_images_are_those_in_memory(
    pets: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    in_memory = load(pets, cache_size=0)
    assert not kept()
    cached = load(pets)
    assert len(kept()) == 3
    assert any("cached 516.1 KB of decoded images in" in note for note in cached.notes)
    monkeypatch.setattr(reader, "IN_MEMORY", 0)
    lazy = load(pets, cache_size=0)
    assert isinstance(lazy.train.images, LazyImages)
    assert any(
        "the images of train, val, test (516.1 KB decoded) are decoded in every epoch" in note for note in lazy.notes
    )
    assert_same(in_memory, cached)
    assert_same(in_memory, lazy)

    decoded.clear()
    again = load(pets)
    assert not decoded  # neither pixels nor headers
    assert not any("cached" in note for note in again.notes)
    assert [note for note in again.notes if "resized to" in note]
    assert_same(in_memory, again)
    assert again.fingerprint() == load(pets, cache_size=0).fingerprint()


@pytest.mark.usefixtures("worth_keeping")
def test_the_second_start_reads_no_header(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(pets)

    def probe(source: object) -> None:
        raise AssertionError(source)

    monkeypatch.setattr("striate.data.images.image_ref.header", probe)
    assert load(pets).train.images.shape == first.train.images.shape


@pytest.mark.usefixtures("worth_keeping")
@pytest.mark.parametrize("what", ["content", "one more", "one less", "name"])
def test_a_folder_that_changed_is_decoded_again(
    what: str, pets: Path, paint: Paint, decoded: list[str], tmp_path: Path
) -> None:
    before = load(pets, image_size=8)
    path = pets / "cats" / "003.png"
    if what == "content":
        size = path.stat().st_size
        path.write_bytes((pets / "cats" / "004.png").read_bytes()[:size].ljust(size, b"\0"))
        os.utime(path, ns=(0, time.time_ns() - 10**12))
    elif what == "one more":
        paint(pets / "cats" / "new.png", 99)
    elif what == "one less":
        path.unlink()
    else:
        path.rename(pets / "cats" / "new.png")
    age(pets, hours=2)
    decoded.clear()
    after = load(pets, image_size=8)
    assert decoded
    assert_same(after, load(pets, image_size=8, cache_size=0))
    assert after.train.files != before.train.files or after.fingerprint() != before.fingerprint()


@pytest.mark.slow
@pytest.mark.usefixtures("worth_keeping")
def test_every_way_of_preparing_is_kept_apart(pets: Path) -> None:
    ways = [{}, {"image_size": 8}, {"image_size": (8, 9)}, {"channels": 1}, {"fit": "crop"}, {"fit": "stretch"}]
    for way in ways:
        assert_same(load(pets, **way), load(pets, **way, cache_size=0))
    assert len(kept()) == 3 * len(ways)


def test_the_name_depends_on_what_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [("/a", 1, 2, 0, None), ("/b", 1, 2, 0, None)]
    wanted = Preprocess(8, 8, 1)
    names = {cached.key_of(kind, stamps, wanted) for kind in ("pixels", "headers")}
    names |= {cached.key_of("pixels", stamps[::-1], wanted), cached.key_of("pixels", stamps)}
    for place, name in (
        ("striate.data.images.decode", "VERSION"),
        ("striate.data.images.prepare", "VERSION"),
        ("PIL", "__version__"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(f"{place}.{name}", "another")
            names.add(cached.key_of("pixels", stamps, wanted))
    assert len(names) == 7


@pytest.mark.usefixtures("worth_keeping")
@pytest.mark.parametrize("size", [0, None])
def test_bad_files_are_named_again_and_looked_at_again(
    size: int | None, pets: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IN_MEMORY", 0 if size is None else 10**9)
    path = pets / "cats" / "003.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-60])
    (pets / "dogs" / "zero.png").touch()
    age(pets)
    for _ in range(2):
        with pytest.raises(BadFilesError, match="2 files can't be used") as caught:
            load(pets, cache_size=size)
        assert caught.value.problems == {str(path): "truncated", str(pets / "dogs" / "zero.png"): "empty file"}
    decoded.clear()
    skipping = load(pets, cache_size=size, skip_bad=True)
    assert skipping.skipped == caught.value.problems
    if size is None:
        assert decoded == ["003.png"]  # the other's header is bad already
    monkeypatch.setattr(reader, "IN_MEMORY", 10**9)
    assert_same(skipping, load(pets, cache_size=0, skip_bad=True))


@pytest.mark.usefixtures("worth_keeping")
@pytest.mark.parametrize(("size", "memory"), [(None, 10**9), (45_000, 0)])
def test_a_file_that_could_not_be_read_for_a_while_is_used_when_it_can_be(
    size: int | None, memory: int, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IN_MEMORY", memory)
    really = prepare.decode_to

    def refusing(take: object, source: Path, *words: object) -> object:
        if Path(source) == pets / "cats" / "003.png":
            raise prepare.UndecodableError("can't be read (Permission denied)", source)
        return really(take, source, *words)

    with monkeypatch.context() as for_now:
        for_now.setattr(prepare, "decode_to", refusing)
        assert list(load(pets, cache_size=size, skip_bad=True).skipped) == [str(pets / "cats" / "003.png")]
    assert_same(load(pets, cache_size=size), load(pets, cache_size=0))
    assert len(kept()) == (3 if size is None else 0)


@pytest.mark.usefixtures("worth_keeping", "no_memory")
def test_what_does_not_fit_is_surveyed_once(pets: Path, decoded: list[str]) -> None:
    size = 45_000  # enough for what is known of the images
    lazy = load(pets, cache_size=size)
    assert isinstance(lazy.train.images, LazyImages)
    assert any("the cache is limited to 45 KB" in note for note in lazy.notes)
    assert len(decoded) == 42
    lazy.fingerprint(), lazy.train.power_sums()
    assert len(decoded) == 42
    decoded.clear()
    again = load(pets, cache_size=size)
    assert not decoded
    again.fingerprint(), again.train.power_sums()
    assert not decoded
    assert_same(again, lazy)


@pytest.mark.usefixtures("worth_keeping")
def test_what_this_version_did_not_write_is_made_again(pets: Path) -> None:
    expected = load(pets, cache_size=0)
    load(pets)
    for path in Path(os.environ["STRIATE_CACHE"]).rglob("about.json"):
        path.write_text('{"of": "another version"}')
    assert_same(load(pets), expected)


@pytest.mark.usefixtures("worth_keeping")
@pytest.mark.parametrize("every", [1, 997, 10**9], ids=["all bytes", "every 997th byte", "one byte"])
def test_damaged_pixels_are_decoded_again_and_it_is_said(pets: Path, decoded: list[str], every: int) -> None:
    expected = load(pets, cache_size=0)
    load(pets)
    for path in kept():
        pixels = np.fromfile(path, dtype=np.uint8)
        pixels[::every] ^= 255
        pixels.tofile(path)
    decoded.clear()
    again = load(pets)
    assert len(decoded) == len(again.train) + len(again.val or ()) + len(again.test or ())
    assert any(note.startswith("the cached images of train were damaged") for note in again.notes)
    assert_same(again, expected)
    decoded.clear()
    assert_same(load(pets), expected)
    assert not decoded


@pytest.mark.usefixtures("worth_keeping")
def test_facts_of_the_cache_that_were_changed_are_made_again(pets: Path) -> None:
    expected = load(pets, cache_size=0)
    load(pets)
    for path in Path(os.environ["STRIATE_CACHE"]).rglob("about.json"):
        values = json.loads(path.read_text())
        if values.get("known"):
            values["known"]["sums"][0][0] += 1
            path.write_text(json.dumps(values))
    assert_same(load(pets), expected)


@pytest.mark.usefixtures("worth_keeping")
def test_two_that_begin_at_once_decode_once(pets: Path, decoded: list[str]) -> None:
    found: list[Dataset] = []
    waiting = threading.Event()

    def progress(what: str, done: int, total: int) -> None:
        if what == "waiting for another process that decodes train":
            waiting.set()
        elif what == "decoding train":  # whichever begins first ends only when the other has seen that it must wait
            assert waiting.wait(timeout=60)

    def begin() -> None:
        found.append(load(pets, progress=progress))

    both = [threading.Thread(target=begin) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert_same(*found)
    assert len(decoded) == 42


@pytest.mark.usefixtures("worth_keeping")
def test_what_another_ended_just_before_is_not_decoded_again(
    pets: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    begin, others = Store.begin, []

    def late(store: Store, key: str, size: int, seen: object) -> Path | None:
        monkeypatch.setattr(Store, "begin", begin)
        others.append(load(pets))
        return begin(store, key, size, seen)

    monkeypatch.setattr(Store, "begin", late)
    assert_same(load(pets), others[0])
    assert len(decoded) == 42


@pytest.mark.slow
@pytest.mark.usefixtures("worth_keeping")
def test_a_killed_process_leaves_nothing_that_is_used(pets: Path, tmp_path: Path) -> None:
    code = (
        "import os; from striate.data import build, load; from striate.data.images import decoder_pool\n"
        "build._FEW_FILES = 1\n"
        "build.Decoders = lambda *words, processes: decoder_pool.Decoders(*words, processes=False)\n"
        "decoder_pool._TASK = 8\n"
        "def progress(what, done, total):\n"
        "    if what == 'decoding train' and done >= 8: os._exit(9)\n"
        f"load({str(pets)!r}, progress=progress)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 9
    (part,) = (path.parent for path in kept())
    assert part.suffix == ".part"
    assert_same(load(pets), load(pets, cache_size=0))
    assert len(kept()) == 3
    assert not part.exists()


class FullDisk(io.FileIO):
    """A file on one."""

    def write(self, content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("worth_keeping")
@pytest.mark.parametrize("moment", ["begin", "write", "keep", "place"])
@pytest.mark.parametrize("memory", [0, 10**9])
def test_a_disk_that_is_full_loses_no_run(
    moment: str, memory: int, pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = load(pets, cache_size=0)
    monkeypatch.setattr(reader, "IN_MEMORY", memory)

    def full(*words: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as now:
        if moment == "place":
            (tmp_path / "file").touch()
            now.setenv("STRIATE_CACHE", str(tmp_path / "file"))
        elif moment == "write":
            really = Path.open
            now.setattr(
                Path, "open", lambda path, mode="r", **more: (FullDisk if mode == "r+b" else really)(path, mode, **more)
            )
        else:
            now.setattr(Store, moment, full)
        dataset = load(pets)
    assert isinstance(dataset.train.images, torch.Tensor if memory else LazyImages)
    if not memory:
        assert any("decoded in every epoch" in note for note in dataset.notes)
    assert not kept()
    assert_same(dataset, expected)


def test_who_is_interrupted_waits_for_no_decoding(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(build, "Decoders", lambda *words, **more: made.append(Decoders(*words, **more)) or made[0])

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "decoding train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(pets, progress=interrupt)
    assert made[0]._ended.is_set()


@pytest.mark.usefixtures("worth_keeping")
def test_a_file_that_changes_while_it_is_decoded_is_not_kept(pets: Path, decoded: list[str]) -> None:
    path = pets / "cats" / "003.png"
    before = path.stat()

    def touching(what: str, done: int, total: int) -> None:
        if what == "decoding train":
            os.utime(path)

    load(pets, progress=touching)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if the change had been too fast for the clock
    decoded.clear()
    load(pets)
    assert "003.png" in decoded


def test_a_stamp_is_written_as_json() -> None:
    for path in ('/a/ö "x".png', "/bad\udcff\n.png"):
        for stamp in ((path, 5, 10**18, 0, None), (path, -2, 0, 12, 34)):
            assert cached._as_json(stamp) == json.dumps(stamp)


def test_a_file_written_a_moment_ago_is_waited_for(
    tmp_path: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_ref, slept = ImageRef(paint(tmp_path / "a.png")), []
    now = 10**18
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(time, "sleep", slept.append)
    for changed in (now - 2 * 10**9, now - 10**9, now, now + 10**9):
        os.utime(image_ref.path, ns=(0, changed))
        assert list(cached.settled({"train": stamps_of([image_ref])})["train"]) == [image_ref.stamp]
    assert slept == [1.0, 2.0]


@pytest.mark.usefixtures("worth_keeping")
def test_the_cache_keeps_to_its_limit_by_forgetting_other_folders(pets: Path, tmp_path: Path) -> None:
    load(pets, image_size=32)
    (large,) = (path for path in kept() if path.stat().st_size == 34 * 32 * 32 * 3)
    copy = shutil.copytree(pets, tmp_path / "copy")
    dataset = load(copy, image_size=32, cache_size=200_000)
    assert isinstance(dataset.train.images, torch.Tensor)
    assert not large.exists()
    assert sum(path.stat().st_size for path in kept()) <= 200_000


@pytest.mark.usefixtures("worth_keeping", "no_memory")
def test_memory_does_not_grow_with_the_number_of_images(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = set(), []
    really = Decoders.stream

    def watching(self: Decoders, image_refs: list) -> Iterator[Chunk]:
        for chunk in really(self, image_refs):
            alive.add(id(chunk.pixels))
            most.append(len(chunk.pixels))
            yield chunk

    monkeypatch.setattr(Decoders, "stream", watching)
    monkeypatch.setattr("striate.data.images.decoder_pool._TASK", 4)
    load(pets, cache_size=0)
    assert max(most) == 4


def test_an_image_that_no_memory_holds_is_refused_at_once(pets: Path) -> None:
    for action in (partial(load, pets, image_size=2**16), partial(load, pets, image_size=2**16, cache_size=0)):
        with pytest.raises(build.DataError, match=r"12\.0 GiB of memory: choose a smaller size"):
            action()
