"""Which shards a source names, and their splits."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.sources.tar_names import are_shards, by_split, expand, find_shards
from striate.errors import ArgumentError, DataError


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for name in ("train-00.tar", "train-01.tar", "val-00.tar", "notes.txt", ".hidden.tar"):
        (tmp_path / name).touch()
    return tmp_path


def test_shards_are_told_by_name_and_folders_by_what_they_hold(shards: Path, tmp_path: Path) -> None:
    for name in ("a.tar", "a-{0..3}.tar", "{a,b}", "a.tar.gz", "a.tgz", "https://x.org/a.tar"):
        assert are_shards(name)
    for name in ("digits", "tar", "pets", "a.tar/cats", "a.zip"):
        assert not are_shards(name)
    assert are_shards(str(shards))
    (shards / "cats").mkdir()
    assert not are_shards(str(shards))
    (tmp_path / "pets.tar" / "cats").mkdir(parents=True)
    assert not are_shards(str(tmp_path / "pets.tar"))


def test_a_folder_gives_its_shards_by_name_and_a_pattern_in_its_order(shards: Path) -> None:
    assert [path.name for path in find_shards(str(shards))] == ["train-00.tar", "train-01.tar", "val-00.tar"]
    named = find_shards(f"{shards}/{{val-00,train-{{00..01}}}}.tar")
    assert [path.name for path in named] == ["val-00.tar", "train-00.tar", "train-01.tar"]


def test_a_file_that_is_there_is_meant_whatever_its_name(shards: Path) -> None:
    (shards / "{odd}.tar").touch()
    assert find_shards(str(shards / "{odd}.tar")) == [shards / "{odd}.tar"]


def test_all_missing_shards_are_named_and_what_is_there_instead(shards: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_shards(f"{shards}/train-{{00..03}}.tar")
    assert str(caught.value) == (
        f"2 of 4 shards are missing: {shards}/train-02.tar, {shards}/train-03.tar. "
        f"{shards} holds train-00.tar … val-00.tar (3)."
    )
    with pytest.raises(DataError, match=r"100 of 100 shards are missing: .* and 90 more\. There is no folder none\.$"):
        find_shards("none/{00..99}.tar")
    (shards / "empty").mkdir()
    with pytest.raises(DataError, match=r"a shard is missing: .*1\.tar\. .*empty holds none\.$"):
        find_shards(str(shards / "empty" / "1.tar"))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("https://x.org/a-{0..3}.tar", "is not on this machine: copy the shards here first"),
        ("pipe:cat a.tar", "is not on this machine"),
        ("a-{0..3}.tar.gz", r"names a-0\.tar\.gz, which is no \.tar file\. Unpack compressed shards first"),
        ("{cats,dogs}", r"names cats, which is no \.tar file\. Shards are named x\.tar"),
        ("a-{3..0}.tar", "runs backwards"),
    ],
)
def test_what_names_no_shards_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        find_shards(source)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["a-0.tar", "a-1.tar"], {"all": [0, 1]}),
        (["train-0.tar", "train-1.tar"], {"all": [0, 1]}),
        (["test-0.tar"], {"all": [0]}),
        (["val-0.tar", "train-0.tar", "val-1.tar"], {"train": [1], "val": [0, 2]}),
        (["x_TEST.tar", "imagenet1k-validation-0.tar", "training.tar"], {"train": [2], "val": [1], "test": [0]}),
        (["train/0.tar", "valid/0.tar"], {"train": [0], "val": [1]}),
        (["test/train-0.tar", "test/val-0.tar"], {"train": [0], "val": [1]}),
        (["trainval-0.tar"], {"all": [0]}),
    ],
)  # fmt: skip
def test_splits_are_read_from_names(names: list[str], splits: dict[str, list[int]]) -> None:
    assert by_split([Path("/data") / name for name in names], [None] * len(names)) == splits


def test_what_is_written_in_a_shard_counts_more_than_its_name() -> None:
    assert by_split([Path("val-0.tar"), Path("b.tar")], ["train", "test"]) == {"train": [0], "test": [1]}


def test_shards_without_a_split_among_others_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"no split is known of /d/extra-0\.tar, while other shards belong to train: name"
    ):
        by_split([Path("/d/train-0.tar"), Path("/d/extra-0.tar")], [None, None])
    with pytest.raises(DataError, match="shards of val and test but none of train"):
        by_split([Path("/d/val-0.tar"), Path("/d/test-0.tar")], [None, None])


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("one.tar", ["one.tar"]),
        ("s-{000..002}.tar", ["s-000.tar", "s-001.tar", "s-002.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..011}", ["008", "009", "010", "011"]),
        ("{0..1}", ["0", "1"]),
        ("{5..5}.tar", ["5.tar"]),
        ("{train,val}-{0..1}", ["train-0", "train-1", "val-0", "val-1"]),
        ("{train-{0..1},val-0}.tar", ["train-0.tar", "train-1.tar", "val-0.tar"]),
        ("a{,b}", ["a", "ab"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("s-{9..0}.tar", r"runs backwards; write \{0\.\.9\}"),
        ("s-{0..9.tar", "opens a brace that it does not close"),
        ("s-0..9}.tar", "closes a brace that it does not open"),
        ("}{0..9}", "closes a brace that it does not open"),
        ("s-{a..c}.tar", r"\{a\.\.c\} is neither a range"),
        ("s-{-1..3}.tar", "neither a range"),
        ("s-{}.tar", "neither a range"),
        ("s-{7}.tar", "neither a range"),
        ("{a,b,a}.tar", r"names a\.tar twice"),
        ("{0..99999999999}.tar", "more than 100,000 names"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint) as caught:
        expand(pattern)
    assert f"'{pattern}'" in str(caught.value)


ranges = st.tuples(st.integers(0, 120), st.integers(0, 12), st.integers(1, 5)).map(
    lambda drawn: (f"{{{drawn[0]:0{drawn[2]}}..{drawn[0] + drawn[1]:0{drawn[2]}}}}", drawn)
)


@given(st.lists(ranges, min_size=1, max_size=2))
def test_ranges_multiply_and_keep_their_zeros(drawn: list) -> None:
    pattern = "/".join(text for text, _ in drawn)
    counted = [[f"{start + step:0{width}}" for step in range(more + 1)] for _, (start, more, width) in drawn]
    assert expand(pattern) == ["/".join(each) for each in itertools.product(*counted)]


alternatives = st.recursive(
    st.text("ab7-", min_size=1, max_size=3) | ranges.map(lambda drawn: drawn[0]),
    lambda inner: st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}"),
    max_leaves=6,
)


@pytest.mark.skipif(not shutil.which("bash"), reason="compares with bash")
def test_bash_agrees() -> None:
    @given(st.lists(alternatives, min_size=1, max_size=3).map("x".join))
    def agrees(pattern: str) -> None:
        bash.stdin.write(f"echo {pattern}\n")
        bash.stdin.flush()
        names = bash.stdout.readline().split()
        if len(set(names)) == len(names):
            assert expand(pattern) == names
        else:
            with pytest.raises(ArgumentError, match="twice"):
                expand(pattern)

    with subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bash:
        try:
            agrees()
        finally:
            bash.stdin.close()
