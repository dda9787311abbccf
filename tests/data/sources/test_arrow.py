"""Where images lie in Arrow files. Skipped where the library is not installed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.images.image_ref import ImageRef
from striate.data.sources.arrow import read_rows
from striate.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs pip install 'striate[huggingface]'")

contents = st.none() | st.binary(max_size=40)


@given(st.lists(st.lists(contents, max_size=6), min_size=1, max_size=4), st.booleans())
def test_each_image_lies_where_its_row_says(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes | None]], wide: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.arrow"
    kind = pyarrow.struct({"bytes": pyarrow.large_binary() if wide else pyarrow.binary(), "path": pyarrow.string()})
    schema = pyarrow.schema({"image": kind, "label": pyarrow.int64()})
    with pyarrow.ipc.new_stream(path, schema) as writer:
        for batch in batches:
            images = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(batch)]
            columns = [pyarrow.array(images, kind), pyarrow.array(range(len(batch)), pyarrow.int64())]
            writer.write_batch(pyarrow.record_batch(columns, schema))
    rows = list(read_rows(path, "image", "label"))
    every = [(number, content) for batch in batches for number, content in enumerate(batch)]
    assert len(rows) == len(every)
    for position, ((image_ref, label), (number, content)) in enumerate(zip(rows, every, strict=True)):
        assert label == number
        if content is None:
            assert image_ref == ImageRef(Path(f"{number}.png"))
        else:
            assert (image_ref.read(), image_ref.label) == (content, f"{path}: row {position}")


def test_what_can_not_be_read_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read .*none\.arrow"):
        list(read_rows(tmp_path / "none.arrow", "image", "label"))
    (tmp_path / "text.arrow").write_text("no Arrow file at all")
    with pytest.raises(DataError, match=r"text\.arrow is damaged: .*\. Remove it, and fetch or save it again"):
        list(read_rows(tmp_path / "text.arrow", "image", "label"))
    (tmp_path / "empty.arrow").touch()
    with pytest.raises(DataError, match=r"empty\.arrow"):
        list(read_rows(tmp_path / "empty.arrow", "image", "label"))
