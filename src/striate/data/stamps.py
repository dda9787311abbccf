"""Stamps of many images, by which a change of any file is noticed.

Where processes work together, those that see the same files look at a share of them each: of a million files that is
most of the time of a start from a cache.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import cast

import numpy as np
import torch
import xxhash

from striate.data.images.image_ref import ImageRef, Stamp
from striate.data.images.ref_lists import RefList, WholeFiles, ref_list
from striate.files import read_regular
from striate.processes import ALONE, World, shares

_BOOT = Path("/proc/sys/kernel/random/boot_id")  # of Linux: another one for each machine and each of its starts
_FEW = 1000  # files that each process looks at itself
_TOGETHER = 10_000  # paths

Statuses = tuple[np.ndarray, np.ndarray]  # sizes and times of change, see `ImageRef.stamp`


@dataclass(frozen=True, eq=False)
class Stamps:
    """Stamps of images, in their order.

    Args:
        image_refs: the images.
        sizes, changes: of the files they lie in, int64 (N,), see `ImageRef.stamp`.
    """

    image_refs: RefList
    sizes: np.ndarray
    changes: np.ndarray

    def __iter__(self) -> Iterator[Stamp]:
        offsets: Iterable[int] = repeat(0)
        lengths: Iterable[int | None] = repeat(None)
        if not isinstance(self.image_refs, WholeFiles):
            offsets = self.image_refs.offsets.tolist()
            lengths = (None if each < 0 else each for each in self.image_refs.lengths.tolist())
        paths = _absolute_paths(self.image_refs)
        return zip(paths, self.sizes.tolist(), self.changes.tolist(), offsets, lengths, strict=False)

    @cached_property
    def digest(self) -> str:
        """A digest of them, from whole columns, as `key_of` is slow for millions."""
        paths = _absolute_paths(self.image_refs)
        digest = hashlib.blake2b(f"{len(paths)} ".encode(), digest_size=16)
        for names in _texts(paths):
            digest.update(names)
        columns = [self.sizes, self.changes]
        if not isinstance(self.image_refs, WholeFiles):
            columns += [self.image_refs.offsets, self.image_refs.lengths]
        for column in columns:
            digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def bytes(self) -> int:
        """The size of all images together."""
        if isinstance(self.image_refs, WholeFiles):
            return int(self.sizes.sum())
        lengths = self.image_refs.lengths
        return int(np.where(lengths > 0, lengths, self.sizes).sum())

    @property
    def newest(self) -> int:
        """The time of the last change."""
        return int(self.changes.max(initial=0))

    def chosen(self, positions: np.ndarray) -> "Stamps":
        """The stamps at these positions, int64 (n,)."""
        return Stamps(self.image_refs.chosen(positions), self.sizes[positions], self.changes[positions])

    def renewed(self) -> "Stamps":
        """The stamps that the images have now."""
        return stamps_of(self.image_refs)

    def hold(self) -> bool:
        """True if the images have these stamps still."""
        now = self.renewed()
        return np.array_equal(now.sizes, self.sizes) and np.array_equal(now.changes, self.changes)


def stamps_of(image_refs: Sequence[ImageRef], processes: World = ALONE) -> Stamps:
    """The stamps of images; a file that many images lie in is looked at once.

    Args:
        image_refs: the images.
        processes: those that call this for the same images, at the same time.
    """
    refs = ref_list(image_refs)
    files = refs.paths if isinstance(refs, WholeFiles) else refs.files
    sizes, changes = _statuses(files) if processes.size == 1 else _common(files, processes)
    if isinstance(refs, WholeFiles):
        return Stamps(refs, sizes, changes)
    return Stamps(refs, sizes[refs.numbers], changes[refs.numbers])


def _absolute_paths(image_refs: RefList) -> Sequence[str]:
    if isinstance(image_refs, WholeFiles):
        return _absolute(image_refs.paths)
    return list(map(_absolute(image_refs.files).__getitem__, image_refs.numbers.tolist()))


def _absolute(paths: Sequence[str | Path]) -> Sequence[str]:
    """Absolute paths; the paths themselves where all of them are absolute, without copies."""
    folders = {path[: path.rfind("/")] if isinstance(path, str) else "" for path in paths}
    if all(folder and os.path.abspath(folder) == folder for folder in folders):
        return cast(Sequence[str], paths)
    return list(map(os.path.abspath, paths))


def _texts(paths: Sequence[str | Path]) -> Iterator[bytes]:
    """The bytes of many paths, some at a time, each path with a zero at its end."""
    for start in range(0, len(paths), _TOGETHER):
        text = "\0".join(map(str, paths[start : start + _TOGETHER]))
        yield text.encode("utf-8", "surrogateescape") + b"\0"


def _statuses(paths: Sequence[str | Path]) -> Statuses:
    """Look at files."""
    stat, sizes, changes = os.stat, [], []
    for path in paths:
        try:
            status = stat(path)
        except OSError as error:
            sizes.append(-(error.errno or 1))
            changes.append(0)
        else:
            sizes.append(status.st_size)
            changes.append(status.st_mtime_ns)
    return np.array(sizes, dtype=np.int64), np.array(changes, dtype=np.int64)


def _common(paths: Sequence[str | Path], processes: World) -> Statuses:
    """Look at files, each process at a share of those that others see, too."""
    groups = processes.gathered(_view(paths))
    if len(set(groups)) == len(groups):  # nobody sees what another one sees
        return _statuses(paths)
    mates = {view: [rank for rank, other in enumerate(groups) if other == view] for view in groups}
    parts = [range(0)] * processes.size
    for view, ranks in mates.items():
        for rank, part in zip(ranks, shares(int(view.split()[0]), len(ranks)), strict=True):
            parts[rank] = part
    own = parts[processes.rank]
    rows = torch.from_numpy(np.stack(_statuses(paths[own.start : own.stop]), axis=1))
    found = processes.exchanged(rows, list(map(len, parts)))
    sizes, changes = torch.cat([found[rank] for rank in mates[groups[processes.rank]]]).numpy().T
    return sizes, changes


def _view(paths: Sequence[str | Path]) -> str:
    """A text that two processes share only if these paths are the same files to both: how many, where, their names."""
    try:
        status = os.stat(paths[0]) if len(paths) > _FEW else None
        machine = read_regular(_BOOT).decode() if status else ""
    except OSError:
        status = None
    if status is None:  # another text for each process
        return f"{len(paths)} {os.getpid()} {os.urandom(8).hex()}"
    digest = xxhash.xxh3_128()
    for names in _texts(paths):
        digest.update(names)
    return f"{len(paths)} {machine.strip()} {status.st_dev} {status.st_ino} {digest.hexdigest()}"
