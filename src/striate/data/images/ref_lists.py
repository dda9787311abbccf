"""Lists of references to images that may be millions: columns of numbers and text, of which references are made."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias, cast, overload

import numpy as np

from striate.data.images.image_ref import ImageRef

_WHOLE = -1  # the length in the column of an image that is a file of its own
_TOGETHER = 10_000  # references that are made at once


class Texts(Sequence[str]):
    """Many short texts, kept as one: as texts of their own, each would take 50 bytes more.

    Args:
        text: what holds them.
        starts, ends: where each lies in it, int64 (N,).
    """

    def __init__(self, text: str, starts: np.ndarray, ends: np.ndarray):
        self._text, self._starts, self._ends = text, starts, ends

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """Copy these texts."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ends = lengths.cumsum()
        return cls("".join(texts), ends - lengths, ends)

    @classmethod
    def joined(cls, parts: "Sequence[Texts]") -> "Texts":
        """The texts of all parts, in order."""
        shifts = np.cumsum([0, *(len(part._text) for part in parts)])
        starts = [part._starts + shift for part, shift in zip(parts, shifts, strict=False)]
        ends = [part._ends + shift for part, shift in zip(parts, shifts, strict=False)]
        return cls("".join(part._text for part in parts), _concatenated(starts), _concatenated(ends))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> "Texts": ...

    def __getitem__(self, place: int | slice) -> "str | Texts":
        start, end = self._starts[place], self._ends[place]
        return Texts(self._text, start, end) if isinstance(place, slice) else self._text[start:end]

    def __iter__(self) -> Iterator[str]:
        text = self._text
        return (text[start:end] for start, end in zip(self._starts.tolist(), self._ends.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Texts) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of other lists

    def chosen(self, positions: np.ndarray) -> "Texts":
        """The texts at these positions, int64 (n,)."""
        return Texts(self._text, self._starts[positions], self._ends[positions])


class WholeFiles(Sequence[ImageRef]):
    """References to files that hold one image each.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> ImageRef: ...

    @overload
    def __getitem__(self, place: slice) -> "WholeFiles": ...

    def __getitem__(self, place: int | slice) -> "ImageRef | WholeFiles":
        return WholeFiles(self.paths[place]) if isinstance(place, slice) else ImageRef(self.paths[place])

    def __iter__(self) -> Iterator[ImageRef]:
        return map(ImageRef, self.paths)

    def chosen(self, positions: np.ndarray) -> "PartsOfFiles":
        """The references at these positions, int64 (n,); not as whole files, so that digests of before still hold."""
        return PartsOfFiles.of([self[place] for place in positions.tolist()])


class PartsOfFiles(Sequence[ImageRef]):
    """References to images that lie in files with others, as in tar shards, or in files of their own.

    Args:
        files: the files, and maybe others that no image lies in.
        numbers: the position of each image's file in `files`, int64 (N,), as the next two.
        offsets, lengths: the byte range of the image in the file; a length of −1 for the whole file.
        names: of the images in their files.
    """

    def __init__(
        self, files: Sequence[str | Path], numbers: np.ndarray, offsets: np.ndarray, lengths: np.ndarray, names: Texts
    ):
        self.files, self.numbers, self.offsets, self.lengths, self.names = files, numbers, offsets, lengths, names

    @classmethod
    def of(cls, image_refs: Sequence[ImageRef]) -> "PartsOfFiles":
        """The same references."""
        number = {path: place for place, path in enumerate(dict.fromkeys(each.path for each in image_refs))}
        lengths = [_WHOLE if each.length is None else each.length for each in image_refs]
        columns = [number[each.path] for each in image_refs], [each.offset for each in image_refs], lengths
        numbers, offsets, sizes = (np.array(each, dtype=np.int64) for each in columns)
        return cls(list(number), numbers, offsets, sizes, Texts.of([each.name for each in image_refs]))

    @classmethod
    def joined(cls, parts: "Sequence[PartsOfFiles]") -> "PartsOfFiles":
        """The references of all parts, in order."""
        number = {path: place for place, path in enumerate(dict.fromkeys(chain(*(part.files for part in parts))))}
        numbers = [np.array([number[path] for path in part.files], dtype=np.int64)[part.numbers] for part in parts]
        offsets, lengths = (_concatenated([getattr(part, name) for part in parts]) for name in ("offsets", "lengths"))
        return cls(list(number), _concatenated(numbers), offsets, lengths, Texts.joined([part.names for part in parts]))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> ImageRef: ...

    @overload
    def __getitem__(self, place: slice) -> "PartsOfFiles": ...

    def __getitem__(self, place: int | slice) -> "ImageRef | PartsOfFiles":
        columns = self.numbers[place], self.offsets[place], self.lengths[place]
        if isinstance(place, slice):
            return PartsOfFiles(self.files, *columns, self.names[place])
        number, offset, length = map(int, columns)
        return ImageRef(self.files[number], offset, None if length == _WHOLE else length, self.names[place])

    def __iter__(self) -> Iterator[ImageRef]:
        for start in range(0, len(self), _TOGETHER):
            some = self[start : start + _TOGETHER]
            lengths = (None if length == _WHOLE else length for length in some.lengths.tolist())
            paths = map(self.files.__getitem__, some.numbers.tolist())
            yield from map(ImageRef, paths, some.offsets.tolist(), lengths, some.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartsOfFiles) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of other lists

    @property
    def are_parts(self) -> bool:
        """True if all images are parts of files, and none is a whole file."""
        return bool((self.lengths != _WHOLE).all())

    def chosen(self, positions: np.ndarray) -> "PartsOfFiles":
        """The references at these positions, int64 (n,)."""
        columns = self.numbers[positions], self.offsets[positions], self.lengths[positions]
        return PartsOfFiles(self.files, *columns, self.names.chosen(positions))


RefList: TypeAlias = WholeFiles | PartsOfFiles


def ref_list(image_refs: Sequence[ImageRef]) -> RefList:
    """These references as columns."""
    return image_refs if isinstance(image_refs, WholeFiles | PartsOfFiles) else PartsOfFiles.of(image_refs)


def joined(lists: Sequence[RefList]) -> RefList:
    """The references of all lists, in order."""
    if all(isinstance(each, WholeFiles) for each in lists):
        return WholeFiles(list(chain(*(cast(WholeFiles, each).paths for each in lists))))
    return PartsOfFiles.joined([each if isinstance(each, PartsOfFiles) else PartsOfFiles.of(each) for each in lists])


class Labels(Sequence[str]):
    """The names of images in messages, made when they are asked for.

    Args:
        image_refs: the images.
    """

    def __init__(self, image_refs: Sequence[ImageRef]):
        self._image_refs = image_refs

    def __len__(self) -> int:
        return len(self._image_refs)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> "Labels": ...

    def __getitem__(self, place: int | slice) -> "str | Labels":
        return Labels(self._image_refs[place]) if isinstance(place, slice) else self._image_refs[place].label

    def __iter__(self) -> Iterator[str]:
        return (each.label for each in self._image_refs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple | list | Labels) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


def _concatenated(columns: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=np.int64), *columns])
