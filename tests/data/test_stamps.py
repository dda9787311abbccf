"""Stamps of many images, and that processes which see the same files look at a share of them each."""

import os
from pathlib import Path

import numpy as np
import pytest
from several import Several

from striate.data.images.image_ref import ImageRef
from striate.data.images.ref_lists import WholeFiles, ref_list
from striate.data.stamps import Stamps, stamps_of


def test_a_file_of_many_images_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(100))
    (tmp_path / "b.png").write_bytes(bytes(7))
    refs = [ImageRef(tmp_path / "a.tar", 10 * n, 10) for n in range(10)] + [ImageRef(str(tmp_path / "b.png"))]
    expected = [each.stamp for each in refs]
    looked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: (looked.append(str(path)), stat(path, **options))[1])
    assert list(stamps_of(refs)) == expected
    assert sorted(looked) == [str(tmp_path / "a.tar"), str(tmp_path / "b.png")]
    assert list(stamps_of([ImageRef(tmp_path / "gone", 0, 1)])) == [(str(tmp_path / "gone"), -2, 0, 0, 1)]


@pytest.mark.parametrize(
    "path", ["a/b.png", "./b.png", "b.png", "{here}/./b.png", "{here}/x/../b.png", "{here}//b.png"]
)
def test_the_path_in_a_stamp_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    refs = [ImageRef(path.format(here=tmp_path)), ImageRef(f"{tmp_path}/c.png")]
    assert [stamp[0] for stamp in stamps_of(refs)] == [os.path.abspath(str(each.path)) for each in refs]


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_processes_look_at_a_share_each_where_all_see_the_same_files(several: Several, tmp_path: Path, apart: bool):
    for number in range(1100):
        (tmp_path / f"{number}.png").write_bytes(bytes(number % 7))
    (tmp_path / "500.png").unlink()
    names = [str(tmp_path / f"{number}.png") for number in range(1100)]
    expected = [list(stamp) for stamp in stamps_of(WholeFiles(names))]
    assert expected[500][1] == -2
    found = several.values(3, "look", names=names, apart=apart)
    assert all(each["stamps"] == expected[: len(each["stamps"])] for each in found)
    assert [len(each["stamps"]) for each in found] == [1100, 1100, 1100 - apart]
    looked = [each["looked"] for each in found]
    assert looked == ([551, 551, 1099 + 1] if apart else [368, 368, 367])  # and one at which all look


@pytest.mark.slow
def test_few_files_are_looked_at_by_each(several: Several, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"1")
    found = several.values(2, "look", names=[str(tmp_path / "a.png")], apart=False)
    assert [each["looked"] for each in found] == [1, 1]


def test_stamps_tell_sizes_the_last_change_and_whether_they_hold(tmp_path: Path):
    refs = [ImageRef(str(tmp_path / "a.tar"), 10 * n, 10) for n in range(3)] + [ImageRef(str(tmp_path / "b.png"))]
    (tmp_path / "a.tar").write_bytes(bytes(100))
    (tmp_path / "b.png").write_bytes(bytes(7))
    os.utime(tmp_path / "a.tar", ns=(0, 5))
    os.utime(tmp_path / "b.png", ns=(0, 6))
    stamps = stamps_of(refs)
    assert (stamps.bytes, stamps.newest) == (37, 6)
    assert list(stamps.chosen(np.array([3, 0]))) == [refs[3].stamp, refs[0].stamp]
    assert stamps.hold()
    os.utime(tmp_path / "b.png", ns=(0, 7))
    assert not stamps.hold()
    assert stamps.chosen(np.array([0, 1])).hold()
    assert list(stamps.renewed()) == [each.stamp for each in refs]
    assert stamps_of([]).newest == 0


def test_a_digest_differs_where_a_stamp_does():
    def digest(image_refs: list[ImageRef] | WholeFiles, sizes: list[int], changes: list[int]) -> str:
        return Stamps(ref_list(image_refs), np.array(sizes), np.array(changes)).digest

    files, parts = WholeFiles(["/a", "/b"]), [ImageRef("/a", 0, 1), ImageRef("/a", 1, 2)]
    expected = digest(files, [1, 2], [3, 4])
    assert digest(WholeFiles(["/a", "/b"]), [1, 2], [3, 4]) == expected
    others = [
        digest(files, [1, 3], [3, 4]),
        digest(files, [1, 2], [3, 5]),
        digest(files, [2, 1], [3, 4]),
        digest(WholeFiles(["/a", "/c"]), [1, 2], [3, 4]),
        digest(WholeFiles(["/a/b"]), [1], [3]),
        digest(parts, [3, 3], [4, 4]),
        digest(parts[::-1], [3, 3], [4, 4]),
        digest([parts[0], ImageRef("/a", 1, 3)], [3, 3], [4, 4]),
        digest([parts[0], ImageRef("/a", 1)], [3, 3], [4, 4]),
    ]
    assert len({expected, *others}) == 1 + len(others)
    one = Stamps(files, np.array([1, 2]), np.array([3, 4])).chosen(np.array([1]))
    assert one.digest == digest([ImageRef("/b")], [2], [4]), "caches of earlier versions hold"
