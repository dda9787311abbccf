"""Stamps of many images, by which a change of any file is noticed.

Where processes work together, those that see the same files look at a share of them each: of a million files that is
most of the time of a start from a cache.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
import xxhash

from striate.data.images.image_ref import ImageRef, Stamp
from striate.files import read_regular
from striate.processes import ALONE, World, shares, world

_BOOT = Path("/proc/sys/kernel/random/boot_id")  # of Linux: another one for each machine and each of its starts
_FEW = 1000  # files that each process looks at itself

Statuses = tuple[list[int], list[int]]  # sizes and times of change, see `ImageRef.stamp`


def stamps_of(image_refs: Sequence[ImageRef]) -> dict[ImageRef, Stamp]:
    """The stamp of each image; a file that many images lie in is looked at once."""
    return _stamps(image_refs, ALONE)


def common_stamps_of(image_refs: Sequence[ImageRef]) -> dict[ImageRef, Stamp]:
    """As `stamps_of`, in processes that work together, which all call it."""
    return _stamps(image_refs, world())


def _stamps(image_refs: Sequence[ImageRef], processes: World) -> dict[ImageRef, Stamp]:
    paths = [each.path for each in image_refs]
    offsets, lengths = [each.offset for each in image_refs], [each.length for each in image_refs]
    different = paths if lengths.count(None) == len(lengths) else list(dict.fromkeys(paths))
    sizes, changes = _statuses(different) if processes.size == 1 else _common(different, processes)
    if different is not paths:
        by_path = dict(zip(different, zip(sizes, changes, strict=True), strict=True))
        sizes, changes = ([by_path[path][field] for path in paths] for field in range(2))
    return dict(zip(image_refs, zip(_absolute(paths), sizes, changes, offsets, lengths, strict=True), strict=True))


def _absolute(paths: Sequence[str | Path]) -> list[str]:
    """Absolute paths; a path itself where it is absolute, without a copy."""
    plain: dict[str, bool] = {}
    found = []
    for path in paths:
        folder = path[: path.rfind("/")] if isinstance(path, str) else ""
        if folder not in plain:
            plain[folder] = folder != "" and os.path.abspath(folder) == folder
        found.append(str(path) if plain[folder] else os.path.abspath(path))
    return found


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
    return sizes, changes


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
    rows = torch.tensor(_statuses(paths[own.start : own.stop]), dtype=torch.int64).T.contiguous()
    found = processes.exchanged(rows, list(map(len, parts)))
    sizes, changes = torch.cat([found[rank] for rank in mates[groups[processes.rank]]]).T.tolist()
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
    names = xxhash.xxh3_128_hexdigest("\0".join(map(str, paths)).encode("utf-8", "surrogateescape"))
    return f"{len(paths)} {machine.strip()} {status.st_dev} {status.st_ino} {names}"
