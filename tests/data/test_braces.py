"""Braces in names of shards."""

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.braces import expand
from striate.errors import ArgumentError


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
