"""References to images on disk: a file of its own, or a byte range of a tar or Arrow file."""

import os
from dataclasses import dataclass
from pathlib import Path

from striate.data.images.decode import UndecodableError

Stamp = tuple[str, int, int, int, int | None]


@dataclass(frozen=True)
class ImageRef:
    """Location of one image that is not decoded yet.

    Args:
        path: the file.
        offset, length: the byte range of the image in the file; without a length, the whole file.
        name: the name of the part in the file; empty for a whole file.
    """

    path: Path
    offset: int = 0
    length: int | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """The image's name in messages."""
        return f"{self.path}: {self.name}" if self.name else str(self.path)

    @property
    def source(self) -> Path | bytes:
        """The argument for `decode` and `probe`: the path, or the content of a part.

        Raises:
            UndecodableError: as `read`, for a part.
        """
        return self.path if self.length is None else self.read()

    @property
    def stamp(self) -> Stamp:
        """A stamp that changes with the content: path, size and time of change (ns) of the file, offset and length.

        A file that can't be accessed has minus the system's error number as its size.
        """
        try:
            status = self.path.stat()
            size, changed = status.st_size, status.st_mtime_ns
        except OSError as error:
            size, changed = -(error.errno or 1), 0
        return (os.path.abspath(self.path), size, changed, self.offset, self.length)

    def read(self) -> bytes:
        """Read the bytes of the image.

        Raises:
            UndecodableError: if the file can't be read, or ends before the part does.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(-1 if self.length is None else self.length)
        except OSError as error:
            raise UndecodableError(f"can't be read ({error.strerror})", self.path) from error
        if self.length is not None and len(content) < self.length:
            raise UndecodableError("truncated", self.path)
        return content
