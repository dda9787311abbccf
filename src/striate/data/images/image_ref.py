"""Where one image lies: a file of its own, or a stretch of a tar file."""

import os
from dataclasses import dataclass
from pathlib import Path

from striate.data.images.decode import UndecodableError

Stamp = tuple[str, int, int, int, int | None]


@dataclass(frozen=True)
class ImageRef:
    """One image that is not decoded yet.

    Args:
        path: the file.
        offset, length: the part of the file that is the image, in bytes; without a length, the whole file.
        name: what the part is called in the file; empty for a whole file.
    """

    path: Path
    offset: int = 0
    length: int | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """What to call it when talking to people."""
        return f"{self.path}: {self.name}" if self.name else str(self.path)

    @property
    def source(self) -> Path | bytes:
        """What `decode` and `probe` take: the path, or the content of a part.

        Raises:
            UndecodableError: as `read`, for a part.
        """
        return self.path if self.length is None else self.read()

    @property
    def stamp(self) -> Stamp:
        """What changes when the content does: path, size and time of change (ns) of the file, offset and length.

        A file that can't be looked at has minus the system's error number for its size.
        """
        try:
            status = self.path.stat()
            size, changed = status.st_size, status.st_mtime_ns
        except OSError as error:
            size, changed = -(error.errno or 1), 0
        return (os.path.abspath(self.path), size, changed, self.offset, self.length)

    def read(self) -> bytes:
        """The bytes of the image.

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
