"""Filling of a cache entry by all processes of a machine that need it: each decodes blocks that no other has taken.

Beside the file of pixels lie, while it is being filled:

blocks         a byte for each block, 1 once it is in the file, and one more. Whoever decodes a block has locked its
               byte; the process that makes the entry has locked the last
block-N.json   the bad images of block N, if it has some: {position: reason}
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from striate.data.cache_store import mapped
from striate.files import read_json, write_json

try:
    import fcntl
except ImportError:  # Windows, where nobody helps
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

_LEAST, _MOST, _BLOCKS = 256, 4096, 32  # images in a block, and how many blocks there are between these

Shape = tuple[int, int, int, int]


class Filling:
    """A file of pixels that is being filled.

    It is used by its open files: what is done with the folder meanwhile does not matter to those who help.

    Args:
        folder: where it lies, named pixels; as large as all images.
        shape: (N, H, W, C) of all images.
        makes: whether this process makes the entry. Else it helps.

    Raises:
        OSError: if there is nothing to help with.
    """

    def __init__(self, folder: Path, shape: Shape, *, makes: bool):
        if not makes and not _HAS_LOCKS:
            raise OSError("this system has no locks on parts of files")
        self.folder, self.shape = folder, shape
        self.path = folder / "pixels"
        size = min(max(shape[0] // _BLOCKS, _LEAST), _MOST)
        self.blocks = [range(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]
        self._file = (folder / "blocks").open("w+b" if makes else "r+b")
        try:
            if makes:
                self._file.write(bytes(len(self.blocks) + 1))
                self._file.flush()
                self._locked(len(self.blocks))
            self._done = mmap.mmap(self._file.fileno(), len(self.blocks) + 1)
            self.pixels = self.path.open("r+b")
        except (OSError, ValueError) as error:  # its maker has not written it yet
            self._file.close()
            raise OSError(*error.args) from error

    def is_done(self, number: int) -> bool:
        """True once all images of a block are in the file."""
        return self._done[number] == 1

    @property
    def images_done(self) -> int:
        """The number of images that are in the file."""
        return sum(len(block) for number, block in enumerate(self.blocks) if self.is_done(number))

    @property
    def is_given_up(self) -> bool:
        """True where this process helps, and the one that made the entry has ended."""
        if not self._locked(len(self.blocks)):
            return False
        self._unlock(len(self.blocks))
        return True

    @contextmanager
    def taken(self, number: int) -> Iterator[bool]:
        """Take a block for this process; false if it is done, or another process has it."""
        if self.is_done(number) or not self._locked(number):
            yield False
            return
        try:
            yield not self.is_done(number)  # another process may just have finished it
        finally:
            self._unlock(number)

    def finish(self, number: int, problems: dict[int, str]) -> None:
        """Note that a block is in the file, but for its bad images: by position among all, the reasons."""
        if problems:
            write_json(self._note(number), problems)
        self.pixels.flush()
        self._done[number] = 1

    def problems(self) -> dict[int, str]:
        """The reason for each bad image, by its position, once all blocks are done."""
        notes = [self._note(number) for number in range(len(self.blocks))]
        noted = [read_json(note) for note in notes if note.exists()]
        return {int(position): reason for each in noted for position, reason in each.items()}

    def of_block(self, number: int) -> np.ndarray:
        """The pixels of a block that is done: uint8 (n, H, W, C)."""
        block = self.blocks[number]
        return mapped(self.path, self.shape)[block.start : block.stop]

    def leave_out(self, bad: set[int]) -> None:
        """Move the good images together, and shorten the file to them."""
        pixels = np.memmap(self.path, dtype=np.uint8, mode="r+", shape=self.shape)
        end = 0
        for block in self.blocks:
            good = pixels[[position for position in block if position not in bad]]
            pixels[end : end + len(good)] = good
            end += len(good)
        pixels.flush()
        del pixels
        self.pixels.truncate(end * int(np.prod(self.shape[1:])))

    def close(self, *, remove: bool = False) -> None:
        """Close the files; remove what lies beside the pixels, too, if asked for."""
        self.pixels.close()
        self._done.close()
        self._file.close()
        if remove:
            for path in (self.folder / "blocks", *map(self._note, range(len(self.blocks)))):
                path.unlink(missing_ok=True)

    def _locked(self, byte: int) -> bool:
        """Lock a byte for this process, if no other has; where there are no locks, nobody else is there."""
        try:
            if _HAS_LOCKS:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def _unlock(self, byte: int) -> None:
        if _HAS_LOCKS:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def _note(self, number: int) -> Path:
        return self.folder / f"block-{number}.json"
