"""Tar files, whole and damaged."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.sources.tar_index import read_index
from striate.errors import DataError


def tar(contents: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def sign(content: bytearray, start: int) -> None:
    """Give the header at byte `start` the checksum that it needs to be taken for one."""
    content[start + 148 : start + 156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])


CONTENTS = {"a.jpg": b"x" * 700, "deep/b.png": b"", "ü" * 60 + "/c.jpg": b"y" * 512, "d.cls": b"7"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        (tmp_path / "shard.tar").write_bytes(content)
        return tmp_path / "shard.tar"

    return write


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_the_index_says(write: Callable[[bytes], Path], format: int) -> None:
    content = tar(CONTENTS, format)
    members, others = read_index(write(content))
    assert {name: content[offset : offset + length] for name, offset, length, _ in members} == CONTENTS
    assert not others


def test_links_and_devices_are_counted_and_folders_are_not(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("/etc/passwd")
            member.type, member.linkname = kind, "../../secret.jpg"
            archive.addfile(member)
    assert read_index(tmp_path / "a.tar") == ([], {"link": 2, "device": 2})


def test_a_file_cut_off_anywhere_is_refused_with_the_byte(write: Callable[[bytes], Path]) -> None:
    content = tar(CONTENTS)
    end = read_index(write(content)).members[-1].offset + 512  # where the end mark begins
    for cut in (1, 100, 511, 512, 700, 1535, 1536, 1600, 2048, end - 512, end - 1, end, end + 511):
        with pytest.raises(DataError, match=rf"shard\.tar is cut off at byte {cut:,}"):
            read_index(write(content[:cut]))
    read_index(write(content[: end + 512]))  # one block of zeros is enough
    with pytest.raises(DataError, match=r"shard\.tar is empty"):
        read_index(write(b""))


def test_a_damaged_header_does_not_hide_the_rest(write: Callable[[bytes], Path]) -> None:
    content = bytearray(tar({"a.jpg": b"x" * 700, "b.jpg": b"y", "c.jpg": b"z"}))
    content[1536 + 10] ^= 1  # in the name of b.jpg
    with pytest.raises(DataError, match=r"is damaged at byte 1,536 of"):
        read_index(write(bytes(content)))


def test_joined_tar_files_are_not_taken_for_one(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(DataError, match=r"goes on after its end mark at byte 1,024: were tar files joined"):
        read_index(write(tar({"a.jpg": b"x"}) + tar({"b.jpg": b"y"})))


@pytest.mark.parametrize(
    ("squeeze", "remedy"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_compressed_files_are_refused_with_advice(
    write: Callable[[bytes], Path], squeeze: Callable[[bytes], bytes], remedy: str
) -> None:
    with pytest.raises(DataError, match=f"is compressed.*`{remedy}`"):
        read_index(write(squeeze(tar(CONTENTS))))


def test_what_is_no_tar_file_is_refused(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shard\.tar is no tar file"):
        read_index(write(b"\x89PNG" + b"x" * 2000))
    with pytest.raises(DataError, match=r"can't read .*none\.tar: No such file"):
        read_index(tmp_path / "none.tar")
    with pytest.raises(DataError, match="Is a directory"):
        read_index(tmp_path)


def test_a_size_below_zero_does_not_go_in_circles(write: Callable[[bytes], Path]) -> None:
    """Python before 3.11.14, 3.12.12 and 3.13.6 reads such a file for ever (CVE-2025-8194)."""
    content = bytearray(tar({"a.jpg": b"x", "b.jpg": b"y"}))
    content[1024 + 124 : 1024 + 136] = (-1024).to_bytes(12, "big", signed=True)
    sign(content, 1024)
    with pytest.raises(DataError, match="is damaged at byte 1,024"):
        read_index(write(bytes(content)))


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(st.tuples(st.integers(0, 6000), st.binary(min_size=1, max_size=12), st.booleans()), max_size=6),
)
def test_damage_of_any_kind_is_a_plain_error(
    tmp_path_factory: pytest.TempPathFactory, format: int, damage: list[tuple[int, bytes, bool]]
) -> None:
    content = bytearray(tar(CONTENTS, format))
    for position, patch, signed in damage:
        content[position : position + len(patch)] = patch
        if signed:
            sign(content, position // 512 * 512)
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(content)
    try:
        members = read_index(path).members
    except DataError:
        return
    assert all(0 <= offset <= offset + length <= len(content) for _, offset, length, _ in members)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_tar_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DataError, match=r"can't read .*a\.tar: not a regular file\."):
        read_index(tmp_path / "a.tar")
