"""Lists of references as columns: laws of the lists that they stand for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.data.images.image_ref import ImageRef
from striate.data.images.ref_lists import Labels, PartsOfFiles, Texts, WholeFiles, joined, ref_list

names = st.text(max_size=4)
references = st.builds(
    ImageRef,
    st.sampled_from(["/a.tar", "/ö.tar", Path("c.png")]),
    st.integers(0, 2**40),
    st.none() | st.integers(0, 99),
    names,
)
lists = st.lists(references, max_size=9)


@quick
@given(st.lists(names, max_size=9), st.data())
def test_texts_are_the_texts(plain: list[str], data: st.DataObject):
    texts = Texts.of(plain)
    assert list(texts) == plain == [texts[place] for place in range(len(texts))]
    bounds = data.draw(st.slices(len(plain)))
    assert list(texts[bounds]) == plain[bounds]
    assert texts == Texts.of(plain) != Texts.of([*plain, "more"])
    assert list(Texts.joined([texts, Texts.of(["x"]), texts])) == [*plain, "x", *plain]


@quick
@given(lists, lists, st.data())
def test_parts_of_files_are_the_references(plain: list[ImageRef], more: list[ImageRef], data: st.DataObject):
    refs = PartsOfFiles.of(plain)
    assert list(refs) == plain == [refs[place] for place in range(len(refs))]
    assert refs == ref_list(plain) != PartsOfFiles.of([*plain, ImageRef("/more")])
    bounds = data.draw(st.slices(len(plain)))
    assert list(refs[bounds]) == plain[bounds]
    places = data.draw(st.lists(st.integers(0, len(plain) - 1), max_size=5)) if plain else []
    assert list(refs.chosen(np.array(places, dtype=np.int64))) == [plain[place] for place in places]
    assert list(joined([refs, PartsOfFiles.of(more)])) == [*plain, *more]
    assert refs.are_parts == all(each.length is not None for each in plain)
    labels = Labels(refs)
    assert labels == [each.label for each in plain] == [labels[place] for place in range(len(labels))]
    assert hash(labels) == hash(tuple(each.label for each in plain))
    assert labels[bounds] == [each.label for each in plain[bounds]]


def test_many_are_made_some_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("striate.data.images.ref_lists._TOGETHER", 3)
    plain = [ImageRef("/a.tar", number, None if number % 2 else 5, str(number)) for number in range(8)]
    assert list(PartsOfFiles.of(plain)) == plain


def test_references_to_whole_files_are_a_sequence():
    refs = WholeFiles(["/a", "/b", "/c"])
    assert list(refs) == [ImageRef("/a"), ImageRef("/b"), ImageRef("/c")] == [refs[0], refs[1], refs[-1]]
    assert list(refs[1:]) == [ImageRef("/b"), ImageRef("/c")]
    assert list(refs.chosen(np.array([2, 0]))) == [ImageRef("/c"), ImageRef("/a")]
    assert ImageRef("/b") in refs


def test_whole_files_join_with_each_other_and_with_parts():
    files, part = WholeFiles(["/a", "/b"]), ImageRef("/t.tar", 3, 4, "x")
    assert isinstance(joined([files, files]), WholeFiles)
    assert list(joined([files, files])) == [*files, *files]
    assert list(joined([files, PartsOfFiles.of([part])])) == [*files, part]
