"""Arrow files, the storage of Hugging Face data sets: references to the images in them, and their labels.

An Arrow stream that is not compressed holds the bytes of a column as they are, one value after the other (Arrow
columnar format, "Variable-size Binary Layout" and "IPC Streaming Format").
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.data.images.image_ref import ImageRef
from striate.errors import DataError
from striate.files import open_regular

if TYPE_CHECKING:
    import pyarrow


class Row(NamedTuple):
    """One row: the reference to its image, or None if it has none, and its value in the column of labels."""

    image_ref: ImageRef | None
    label: Any


def read_rows(path: Path, image: str, label: str) -> Iterator[Row]:
    """Yield the rows of an Arrow file, without reading any image.

    Args:
        path: the file.
        image: the column of images: structs of "bytes", and of "path" for an image that is a file of its own.
        label: the column of labels.

    Raises:
        DataError: if the file is damaged or compressed, or can't be read.
    """
    import pyarrow

    try:
        with open_regular(path), pyarrow.memory_map(str(path)) as file:
            everything, first = file.read_buffer(), 0
            for batch in pyarrow.ipc.open_stream(everything):
                image_refs = _image_refs(path, batch.column(image), everything, first)
                yield from map(Row, image_refs, batch.column(label).to_pylist())
                first += batch.num_rows
    except OSError as error:
        raise DataError(f"can't read {path}: {error}.") from error
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is damaged: {error}. Remove it, and fetch or save it again.") from error


def _image_refs(
    path: Path, column: "pyarrow.StructArray", everything: "pyarrow.Buffer", first: int
) -> Iterator[ImageRef | None]:
    contents, files = column.field("bytes"), column.field("path").to_pylist()
    _, edges, data = contents.buffers()
    wide = np.dtype("<i8" if str(contents.type).startswith("large") else "<i4")
    ends = np.frombuffer(edges, wide)[contents.offset : contents.offset + len(contents) + 1]
    start = data.address - everything.address if ends[-1] else 0  # where nothing is stored there may be no buffer
    if start < 0 or start + int(ends[-1]) > everything.size:
        raise DataError(f"{path} is compressed, so that no image in it can be read by itself: save the data set again.")
    present = contents.is_valid().to_pylist()
    for row, file in enumerate(files):
        name = f"row {first + row}"
        if present[row]:
            yield ImageRef(path, start + int(ends[row]), int(ends[row + 1] - ends[row]), name)
        else:
            yield None if file is None else ImageRef(Path(file))
