"""Writes are whole or not there at all, whatever fails; reads say what is wrong."""

import errno
import hashlib
import os
import signal
import socket
import stat
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate import files
from striate.errors import CheckpointError, StorageError
from striate.files import (
    acquire_lock,
    cache_folder,
    is_locked,
    new_folder,
    open_regular,
    read_json,
    read_regular,
    release_lock,
    sha256,
    write_atomic,
    write_json,
)

OLD, NEW = b"old", b"new" * 1000
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and limits")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_write_makes_folders_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for data in (OLD, NEW, b""):
        write_atomic(path, data)
        assert content(path.parent) == {"file": data}


@pytest.fixture
def happened(monkeypatch):
    """What was flushed, a folder or a file of so many bytes, and renamed, in its order."""
    steps, really = [], {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def flushed(handle):
        mode = os.fstat(handle)
        steps.append("folder" if stat.S_ISDIR(mode.st_mode) else f"{mode.st_size} bytes")
        really["fsync"](handle)

    def renaming(name):
        def renamed(source, target):
            steps.append("rename")
            really[name](source, target)

        return renamed

    monkeypatch.setattr(os, "fsync", flushed)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, renaming(name))
    return steps


def test_the_data_is_on_the_disk_before_it_gets_its_name(tmp_path, happened):
    """Flushed file, then the rename, then the flushed folder: the order in which a power cut can't leave half."""
    write_atomic(tmp_path / "file", NEW)
    assert happened == ["3000 bytes", "rename"] + ["folder"] * (os.name == "posix")


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "no space left to write {}: free some space, or choose another place with --out."),
        (errno.EDQUOT, "no space left to write {}"),
        (errno.EIO, "can't write {}: Input/output error; choose a place you may write to with --out."),
    ],
)
def test_a_failed_write_keeps_the_old_content_and_says_what_to_do(tmp_path, monkeypatch, call, number, advice):
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def fails(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(StorageError) as raised:
            write_atomic(path, NEW)
    assert str(raised.value).startswith(advice.format(path))
    assert content(tmp_path) == {"file": OLD}


@contextmanager
def largest_file(size):
    """A real limit of the system's on the size of files, with the signal that Python ignores by default ignored."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@posix
def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with largest_file(1000), pytest.raises(StorageError, match="no space left"):
        write_atomic(path, NEW)
    assert content(tmp_path) == {"file": OLD}


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, NEW)
    assert content(tmp_path) == {"file": OLD}


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "below", tmp_path / "folder"):
        with pytest.raises(StorageError, match="choose a place you may write to") as raised:
            write_atomic(path, NEW)
        assert str(path) in str(raised.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


@posix
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o000])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "ours", NEW)
        (tmp_path / "plain").write_bytes(NEW)
        assert os.umask(mask) == mask, "the mask is left as it was"
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert modes["ours"] == modes["plain"] == 0o666 & ~mask


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(value=values)
def test_json_comes_back_as_it_went(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_is_for_people(tmp_path):
    write_json(tmp_path / "a.json", {"größe": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "größe": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a": 1', b"\xff\xfe", b'{"a": 1}}'], ids=["empty", "open", "cut", "not text", "too long"]
)
def test_what_is_not_json_is_damaged(tmp_path, data):
    path = tmp_path / "run.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged: it is not JSON") as raised:
        read_json(path)
    assert str(path) in str(raised.value)


def test_what_can_not_be_read_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"can't read .*missing\.json: No such file or directory"):
        read_json(tmp_path / "missing.json")
    with pytest.raises(CheckpointError, match="can't read"):
        read_json(tmp_path)


@posix
def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "terminal").symlink_to("/dev/tty")
    (tmp_path / "to-pipe").symlink_to(tmp_path / "pipe")
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for name in ("pipe", "socket", "device", "to-pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(tmp_path / name)
    for name in ("terminal", "gone", "."):  # where there is no terminal, this is what is said
        with pytest.raises(OSError, match=r"not a regular|No such|Is a directory"):
            open_regular(tmp_path / name)
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors, "none is left open"
    with pytest.raises(CheckpointError, match=r"can't read .*pipe: not a regular file\."):
        read_json(tmp_path / "pipe")


def test_regular_files_and_links_to_them_are_read(tmp_path):
    (tmp_path / "file").write_bytes(NEW)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "file") == read_regular(str(tmp_path / "link")) == NEW
    with open_regular(tmp_path / "link", buffering=0) as file:
        assert file.read() == NEW


def test_json_nested_too_deep_is_damaged(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"deep\.json is damaged: it is nested too deep\."):
        read_json(tmp_path / "deep.json")


def test_sha256_is_the_standards():
    # FIPS 180-2, appendix B.1
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(NEW) == hashlib.new("sha256", NEW).hexdigest()
    assert files.sha256(b"") != files.sha256(b"\0")


def test_a_new_folder_is_there_when_all_of_it_is(tmp_path):
    with new_folder(tmp_path / "deep" / "out") as place:
        (place / "file").write_bytes(NEW)
        assert [path.name[:5] for path in (tmp_path / "deep").iterdir()] == [".out."]
    assert content(tmp_path / "deep" / "out") == {"file": NEW}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    if os.name == "posix":
        (tmp_path / "plain").mkdir()
        assert (tmp_path / "deep" / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_new_folder_takes_the_place_of_an_empty_one_only(tmp_path):
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as place:
        (place / "file").write_bytes(NEW)
    assert content(tmp_path / "out") == {"file": NEW}
    with pytest.raises(StorageError, match="can't write"), new_folder(tmp_path / "out") as place:
        (place / "other").write_bytes(NEW)
    assert content(tmp_path / "out") == {"file": NEW}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_new_folder_that_is_not_finished_is_removed(tmp_path, error):
    def stopped():
        with new_folder(tmp_path / "out") as place:
            (place / "file").write_bytes(NEW)
            raise error

    with pytest.raises(error):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_new_folder(tmp_path):
    complaint = r"^no space left to write .*out: free some space, or choose another place\.$"
    with pytest.raises(StorageError, match=complaint), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_is_on_the_disk_before_it_gets_its_name(tmp_path, happened):
    with new_folder(tmp_path / "out") as place:
        (place / "file").write_bytes(NEW)
    assert [step for step in happened if step != "folder"] == ["3000 bytes", "rename"]
    if os.name == "posix":
        assert happened == ["3000 bytes", "folder", "rename", "folder"]


def test_a_user_without_a_home_has_a_cache_of_their_own(monkeypatch):
    monkeypatch.delenv("STRIATE_CACHE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")  # as without a passwd entry
    assert cache_folder().is_absolute()
    assert str(os.getuid()) in cache_folder().name


def test_a_lock_that_no_process_holds_is_removed(tmp_path):
    held = acquire_lock(tmp_path / "used-1.lock")
    (tmp_path / "used-2.lock").touch()  # of a process that was killed
    assert is_locked(tmp_path)
    release_lock(held)
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
