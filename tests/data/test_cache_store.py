"""The store: bounded, never half-built, never pulled from under whoever uses it."""

import errno
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data import cache_store as module
from striate.data.cache_store import NoSpaceError, Store

SHAPE = (10, 2, 5, 1)


def put(store: Store, key: str, level: int, at: float | None = None, *, flushed: bool = True) -> None:
    """A hundred bytes of one level, last used `at` this time, and on the disk unless it is not waited for."""
    part = store.begin(key, 100, store.about(key))
    assert part is not None
    (part / "pixels").write_bytes(bytes([level] * 100))
    store.keep(key, {"level": level})
    if flushed:
        until_flushed(store)
    if at is not None:
        os.utime(store.folder / key / "about.json", (at, at))


def until_flushed(store: Store) -> None:
    """Wait until nothing is being flushed."""
    end = time.monotonic() + 60
    while any(store.folder.glob("*/flushing-*")):
        assert time.monotonic() < end
        time.sleep(0.001)


def held(store: Store) -> set[str]:
    return {path.name for path in store.folder.iterdir() if path.is_dir()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images", 1000)


def test_what_was_put_is_there_and_known(store: Store) -> None:
    assert store.open("a", SHAPE) is None
    assert store.about("a") is None
    put(store, "a", 7)
    found = store.open("a", SHAPE)
    assert found is not None
    assert found.shape == SHAPE
    assert (np.asarray(found) == 7).all()
    assert store.about("a") == {"level": 7}
    store.note("b", {"pixels": "none"})
    assert store.about("b") == {"pixels": "none"}
    assert store.open("b", SHAPE) is None


def test_what_was_made_meanwhile_is_not_begun_again(store: Store) -> None:
    put(store, "a", 7)
    put(store, "b", 8)
    assert store.begin("a", 950) is None  # for which "b" would have to go, and "a" itself
    assert held(store) == {"a", "b"}
    assert store.begin("a", 950, {"level": 7}) is not None


def test_nobody_changes_what_others_see(store: Store) -> None:
    put(store, "a", 7)
    one, other = store.open("a", SHAPE), store.open("a", SHAPE)
    assert one is not None
    assert other is not None
    torch.from_numpy(one).zero_()
    assert (np.asarray(other) == 7).all()
    assert (store.folder / "a" / "pixels").read_bytes() == bytes([7] * 100)


@pytest.mark.parametrize("damage", ["about.json", "pixels", "longer", "no about.json", "no pixels"])
def test_what_is_not_whole_is_not_there(damage: str, store: Store) -> None:
    put(store, "a", 7)
    if damage.startswith("no "):
        (store.folder / "a" / damage[3:]).unlink()
    else:
        with (store.folder / "a" / ("pixels" if damage == "longer" else damage)).open("r+b") as file:
            file.truncate(101 if damage == "longer" else 9)
    assert store.open("a", SHAPE) is None
    put(store, "a", 8)
    found = store.open("a", SHAPE)
    assert found is not None
    assert (np.asarray(found) == 8).all()


def test_what_was_used_longest_ago_makes_room(store: Store) -> None:
    for number in range(5):
        put(store, f"{number}", number, at=1000 + number)
    store.limit = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    assert store.open("0", SHAPE) is not None  # used just now
    put(store, "new", 1)
    assert held(store) == {"0", "2", "3", "4", "new"}
    assert sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file()) <= store.limit


def test_the_limit_holds_for_what_is_there_too(store: Store) -> None:
    for number in range(5):
        put(store, f"{number}", number, at=1000 + number)
    Store(store.folder, 400).trim()
    assert held(store) == {"3", "4"}
    Store(store.folder, 0).trim()
    assert held(store) == set()


def test_what_is_too_large_is_refused(store: Store) -> None:
    put(store, "a", 7)
    with pytest.raises(NoSpaceError, match="the cache is limited to 1 KB"):
        store.begin("b", 1001)
    assert held(store) == {"a"}


@pytest.mark.slow
def test_what_is_in_use_stays_as_long_as_a_tensor_over_it(store: Store) -> None:
    put(store, "a", 7)
    found = store.open("a", SHAPE)
    assert found is not None
    view = torch.from_numpy(found)[3:].flatten()
    del found
    gc.collect()
    with pytest.raises(NoSpaceError, match="other processes are using"):
        store.begin("b", 950)
    assert int(view.sum()) == 7 * 70
    del view
    gc.collect()
    assert store.begin("b", 950) is not None
    assert held(store) == {"b.part"}
    store.drop("b")
    assert held(store) == set()


def test_what_another_process_uses_or_makes_stays_until_it_is_killed(store: Store) -> None:
    put(store, "a", 7)
    code = (
        "import sys, time; from pathlib import Path; from striate.data.cache_store import Store\n"
        f"store = Store(Path({str(store.folder)!r}), 1000)\n"
        f"kept = store.open('a', {SHAPE}); store.begin('c', 10); print('ready', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert store.begin("c", 10) is None
        Store(store.folder, 0).trim()
        assert held(store) == {"a", "c.part"}
        with pytest.raises(NoSpaceError):
            store.begin("b", 950)
        other.kill()
    assert store.about("c") is None
    assert store.begin("b", 950) is not None
    assert held(store) == {"b.part"}
    store.drop("b")


def test_two_can_t_make_the_same(store: Store) -> None:
    other = Store(store.folder, 1000)
    part = store.begin("a", 100)
    assert part is not None
    assert other.begin("a", 100) is None
    other.drop("a")  # what it did not begin
    (part / "pixels").write_bytes(bytes(100))
    store.keep("a", {})
    assert other.open("a", SHAPE) is not None


@pytest.mark.slow
def test_what_is_made_again_replaces_what_is_open(store: Store) -> None:
    put(store, "a", 7)
    old = store.open("a", SHAPE)
    assert old is not None
    store.forget("a")
    assert store.open("a", SHAPE) is None
    put(store, "a", 8)
    new = store.open("a", SHAPE)
    assert new is not None
    assert (int(old[0, 0, 0, 0]), int(new[0, 0, 0, 0])) == (7, 8)
    del old
    gc.collect()
    store.trim()
    assert held(store) == {"a"}


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing is on the disk until this is set."""
    ready, really = threading.Event(), os.fsync

    def waiting(file: int) -> None:
        assert ready.wait(60)
        really(file)

    monkeypatch.setattr(os, "fsync", waiting)
    yield ready
    ready.set()


@pytest.mark.slow
def test_nobody_waits_for_the_disk(store: Store, slow_disk: threading.Event) -> None:
    put(store, "a", 7, flushed=False)
    other = Store(store.folder, 0)
    assert other.about("a") == {"level": 7}
    found = other.open("a", SHAPE)
    assert found is not None
    assert (np.asarray(found) == 7).all()
    other.trim()
    assert list((store.folder / "a").glob("unflushed-*"))
    slow_disk.set()
    until_flushed(store)
    assert not list((store.folder / "a").glob("unflushed-*"))
    assert store.about("a") == {"level": 7}
    del found
    gc.collect()
    assert {path.name for path in (store.folder / "a").iterdir()} == {"about.json", "pixels"}


@pytest.mark.slow
def test_what_never_came_to_the_disk_counts_while_someone_has_it_open(store: Store) -> None:
    put(store, "a", 7)
    found = store.open("a", SHAPE)
    (store.folder / "a" / "unflushed-by-one-that-was-killed").touch()
    assert store.about("a") == {"level": 7}
    del found
    gc.collect()
    assert store.about("a") is None
    assert store.open("a", SHAPE) is None
    put(store, "a", 8)
    again = store.open("a", SHAPE)
    assert again is not None
    assert (np.asarray(again) == 8).all()


@pytest.mark.slow
def test_a_process_that_is_killed_before_the_disk_has_it_leaves_nothing_that_is_used(store: Store) -> None:
    code = (
        "import os, time; from pathlib import Path; from striate.data.cache_store import Store\n"
        "os.fsync = lambda file: time.sleep(600)\n"
        f"store = Store(Path({str(store.folder)!r}), 1000)\n"
        "(store.begin('a', 100) / 'pixels').write_bytes(bytes([7] * 100)); store.keep('a', {'level': 7})\n"
        "print('kept', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"kept\n"
        with pytest.raises(subprocess.TimeoutExpired):  # it does not end before the disk has it
            other.wait(0.5)
        assert store.about("a") == {"level": 7}
        other.kill()
    assert store.about("a") is None


def test_what_is_being_flushed_may_be_removed_and_made_again(store: Store, slow_disk: threading.Event) -> None:
    put(store, "a", 7, flushed=False)
    assert store.begin("b", 950) is not None
    assert held(store) == {"b.part"}
    store.drop("b")
    put(store, "a", 7, flushed=False)
    store.forget("a")
    put(store, "a", 7, flushed=False)
    assert held(store) == {"a"}
    slow_disk.set()
    until_flushed(store)
    assert store.about("a") == {"level": 7}


def refuse(file: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_what_is_forgotten_while_it_is_flushed_is_no_refusal(store: Store, slow_disk: threading.Event) -> None:
    put(store, "a", 7, flushed=False)
    store.forget("a")
    slow_disk.set()
    until_flushed(store)
    assert store.about("a") is None


def test_what_vanishes_while_a_folder_is_removed_stops_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 7)
    really, calls = shutil.rmtree, []

    def interfered(place: Path) -> None:
        calls.append(place)
        if len(calls) == 1:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "flushing-by-another.lock")
        really(place)

    monkeypatch.setattr(shutil, "rmtree", interfered)
    Store(store.folder, 0).trim()
    assert held(store) == set()
    assert len(calls) == 2


def test_an_old_failure_does_not_touch_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 8)
    lock = module.acquire_lock(store.folder / "flushing-the-old-one.lock")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        module._flush(store.folder / "a", "unflushed-the-old-one", lock)
    assert store.about("a") == {"level": 8}


def test_what_is_lost_goes_first(store: Store) -> None:
    put(store, "a", 7)
    put(store, "b", 8)
    (store.folder / "b" / "unflushed-by-one-that-was-killed").touch()
    store.trim()
    assert held(store) == {"a"}


def test_without_a_thread_it_is_flushed_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    put(store, "a", 7, flushed=False)
    assert {path.name for path in (store.folder / "a").iterdir()} == {"about.json", "pixels"}


def test_what_comes_to_the_disk_just_now_is_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 7)
    mark = store.folder / "a" / "unflushed-for-a-moment"
    mark.touch()

    def ends_meanwhile(place: Path, **asked: bool) -> bool:
        mark.unlink()
        return False

    monkeypatch.setattr(module, "is_locked", ends_meanwhile)
    assert store.about("a") == {"level": 7}


def test_what_the_disk_refuses_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.warns(UserWarning, match="decoded images can't be written to disk .*Input/output error"):
        put(store, "a", 7)
    assert store.about("a") is None
    monkeypatch.undo()
    put(store, "a", 8)
    assert store.about("a") == {"level": 8}


def test_a_full_disk_is_refused_before_anything_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 7)
    free = module._SPARE + 50
    usage = shutil._ntuple_diskusage(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(NoSpaceError, match=r"the disk of .* is too full by 658 bytes"):
        store.begin("b", 900)
    monkeypatch.undo()
    monkeypatch.setattr(os, "posix_fallocate", lambda *arguments: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        store.begin("b", 800)
    assert held(store) == {"a"}


def test_a_file_system_without_locks_can_t_be_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(module.FileLock, "acquire", acquire)
    with pytest.raises(OSError, match="its file system has no locks"):
        store.trim()


def test_nothing_can_be_mapped_too(store: Store) -> None:
    assert store.begin("a", 0) is not None
    store.keep("a", {})
    found = store.open("a", (0, 2, 5, 1))
    assert found is not None
    assert found.shape == (0, 2, 5, 1)
