"""Copies among images: the same picture twice, with equal pixels or encoded again, at another quality or size.

Every image becomes a thumbnail of 16×16 grey values. Pictures whose thumbnails are nearly equal up to brightness and
contrast are then compared in colour at up to 64×64 pixels, and are copies if they differ by at most a third of their
contrast. Small images have less detail to tell them apart by, and so have enlarged digits, which are grey: their limit
is lower. docs/label-errors.md says which copies are found.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from striate.data.dataset import Dataset
from striate.data.lazy import Images, LazyImages
from striate.data.statistics import chunk_length
from striate.errors import CheckpointError, StorageError
from striate.files import cache_folder, json_bytes, read_json, read_regular, sealed, sha256, unsealed, write_json
from striate.resizing import resized_together
from striate.types import Progress
from striate.units import plural
from striate.version import __version__

_SIDE, _SIDE_COMPARED = 16, 64
_DETAILED = 48  # pixels of the shorter side, of images in colour
# From how many pixels on: the correlation of two thumbnails, and the difference of two pictures as a share of their
# contrast, that copies reach.
_LIMITS = {_DETAILED: (0.97, 0.35), 0: (0.995, 0.08)}
_FLAT = 2.0  # pixel values: thumbnails of less contrast are no pictures, and are copies only if all pixels are equal
_DIRECTIONS, _NEIGHBOURS, _PAIRS, _SAMPLE = 16, 8, 256, 10_000
_MOST_FILES = 100_000  # that are read at each start to find equal ones
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def copies(
    parts: Sequence[Images], closeups: Images | None = None, progress: Progress | None = None, since: int = 0
) -> np.ndarray:
    """Group images that show the same picture.

    Args:
        parts: images of one size, one split after another.
        closeups: the same images, all together, in more detail: candidates are compared by these.
        progress: called now and then.
        since: the first position whose copies are looked for, among all images; of those before only equal ones are.

    Returns:
        int64 (N,): the number of each image's group; an image without a copy has a group of its own.
    """
    thumbnails = _thumbnails(parts, progress)
    count = len(thumbnails)
    original = _equal(parts, thumbnails)  # the first image with the same pixels
    firsts = np.flatnonzero(original == np.arange(count))
    compared = [closeups] if closeups is not None else list(parts)
    pairs = firsts[_candidates(thumbnails[firsts], _limits(parts)[0], int(np.searchsorted(firsts, since)))]
    same = _are_same(compared, pairs, _limits(compared)[1])
    rows = np.concatenate([np.arange(count), pairs[same, 0]])
    columns = np.concatenate([original, pairs[same, 1]])
    from scipy.sparse import coo_array  # here, as every command imports this module, and few look for copies
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count))
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups.astype(np.int64)


def groups_of_several(groups: np.ndarray) -> list[list[int]]:
    """The positions in each group of two images and more, in their order."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return sorted(part.tolist() for part in np.split(order, starts) if len(part) > 1)


def with_leak_notes(data: Dataset) -> Dataset:
    """Return the data set with a note for each of val and test that has copies of training images in it.

    What was found in images in memory is kept among the caches: to look takes a second for Fashion-MNIST.
    """
    if any(isinstance(split.images, LazyImages) for _, split in data.splits()):
        return replace(data, notes=(*data.notes, *leak_notes(data)))
    kept = cache_folder() / "copies" / f"{_key(data)}.json"
    notes = _read(kept)
    if notes is None:
        notes = leak_notes(data)
        with suppress(StorageError, OSError):  # a cache that can't be written is one that is not there
            write_json(kept, sealed({"notes": notes}))
    return replace(data, notes=(*data.notes, *notes))


def _key(data: Dataset) -> str:
    """A name for these images, in this version of the search."""
    facts = [[name, list(split.images.shape), list(split.files)] for name, split in data.splits()]
    found = hashlib.sha256(json_bytes({"version": __version__, "splits": facts}))
    for _, split in data.splits():
        found.update(split.images[:].contiguous().numpy().data)
    return found.hexdigest()


def _read(path: Path) -> list[str] | None:
    """The notes that were kept; `None` if there are none, or the file is damaged."""
    with suppress(CheckpointError, KeyError, TypeError):
        values = read_json(path)
        if isinstance(values, dict) and unsealed(values):
            return [str(note) for note in values["notes"]]
    return None


def leak_notes(data: Dataset) -> list[str]:
    """A note for each of val and test that has training images in it.

    Images that are decoded on demand are not decoded for this: of those, files with equal bytes are found.
    """
    splits = [(name, split) for name, split in data.splits() if len(split)]
    if len(splits) < 2:
        return []
    if any(isinstance(split.images, LazyImages) for _, split in splits):
        if sum(len(split) for _, split in splits) > _MOST_FILES:
            return [
                f"of more than {_MOST_FILES:,} images that are decoded on demand, val and test are not searched for "
                "training images: striate data does"
            ]
        groups = _equal_files([file for _, split in splits for file in split.files])
    else:
        groups = copies([split.images for _, split in splits], since=len(data.train))
    if len(groups) != sum(len(split) for _, split in splits):
        return []  # not every image is a file
    trained, held_out = groups[: len(data.train)], groups[len(data.train) :]
    notes = []
    for name, split in splits[1:]:
        own, held_out = held_out[: len(split)], held_out[len(split) :]
        seen = np.flatnonzero(np.isin(own, trained))
        if len(seen):
            first = int(seen[0])
            twin = int(np.flatnonzero(trained == own[first])[0])
            of = f", such as {split.files[first]}, which is {data.train.files[twin]}" if split.files else ""
            notes.append(
                f"{len(seen):,} of {plural(len(split), f'{name} image')} show a picture of the training images{of}: a "
                "test set with training images in it measures nothing; striate data --html lists them"
            )
    return notes


def _thumbnails(parts: Sequence[Images], progress: Progress | None) -> np.ndarray:
    """Grey thumbnails: float32 (N, side·side)."""
    total, found = sum(len(part) for part in parts), []
    for part in parts:
        side = min(_SIDE, *part.shape[1:3])
        for chunk in part.split(chunk_length(part)) if len(part) else ():
            small = resized_together(chunk.numpy(), side, side).astype(np.float32)
            found.append((small[..., 0] if small.shape[3] == 1 else small @ _LUMA).reshape(len(small), -1))
            if progress is not None:
                progress("looking for copies", sum(map(len, found)), total)
    return np.concatenate(found)


def _limits(parts: Sequence[Images]) -> tuple[float, float]:
    _, height, width, channels = parts[0].shape
    return _LIMITS[_DETAILED if min(height, width) >= _DETAILED and channels == 3 else 0]


def _equal(parts: Sequence[Images], thumbnails: np.ndarray) -> np.ndarray:
    """The position of the first image with exactly the same pixels, of each image."""
    alike = defaultdict(list)
    for position, thumbnail in enumerate(thumbnails):
        alike[thumbnail.tobytes()].append(position)
    original = np.arange(len(thumbnails))
    for positions in alike.values():
        if len(positions) > 1:
            known: dict[bytes, int] = {}
            for position in positions:
                digest = hashlib.blake2b(_at(parts, np.array([position])).tobytes(), digest_size=16).digest()
                original[position] = known.setdefault(digest, position)
    return original


def _candidates(thumbnails: np.ndarray, correlation: float, since: int) -> np.ndarray:
    """Pairs of thumbnails that correlate as strongly, the second from `since` on or both: int64 (pairs, 2).

    Unit vectors that do are near each other, and stay so where they are projected onto the directions in which all
    vary the most; a tree finds the nearest there.
    """
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    contrast = np.sqrt((centred**2).mean(axis=1))
    pictures = np.flatnonzero(contrast > _FLAT)
    if len(pictures) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    units = centred[pictures] / np.linalg.norm(centred[pictures], axis=1, keepdims=True)
    sample = units[:: -(-len(units) // _SAMPLE)]
    _, directions = np.linalg.eigh(sample.T @ sample)
    radius = float(np.sqrt(2 * (1 - correlation)))
    places = units @ directions[:, -_DIRECTIONS:]
    neighbours = min(_NEIGHBOURS, len(pictures) - 1) + 1
    first = int(np.searchsorted(pictures, since))
    from scipy.spatial import cKDTree

    _, found = cKDTree(places).query(places[first:], neighbours, distance_upper_bound=radius, workers=-1)
    one, rank = np.nonzero(found < len(pictures))
    one, other = one + first, found[one, rank]
    pairs = np.unique(np.sort(np.stack([one, other], axis=1)[one != other], axis=1), axis=0)
    near = np.einsum("ij,ij->i", units[pairs[:, 0]], units[pairs[:, 1]]) >= correlation
    return pictures[pairs[near]]


def _are_same(parts: Sequence[Images], pairs: np.ndarray, limit: float) -> np.ndarray:
    """Compare pairs of pictures; true where they differ by no more than a share of their contrast: bool (pairs,)."""
    same = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _PAIRS):
        part = pairs[start : start + _PAIRS]
        needed, places = np.unique(part, return_inverse=True)
        pictures = _compared(_at(parts, needed))
        one, other = (pictures[places.reshape(part.shape)[:, column]] for column in (0, 1))
        difference = np.sqrt(((one - other) ** 2).mean(axis=1))
        same[start : start + _PAIRS] = difference <= limit * np.minimum(one.std(axis=1), other.std(axis=1))
    return same


def _compared(images: np.ndarray) -> np.ndarray:
    """Images at the size at which they are compared, as float32 (n, values)."""
    if min(images.shape[1:3]) > _SIDE_COMPARED:
        images = resized_together(images, _SIDE_COMPARED, _SIDE_COMPARED)
    return images.reshape(len(images), -1).astype(np.float32)


def _at(parts: Sequence[Images], positions: np.ndarray) -> np.ndarray:
    """The images at ascending positions, counted through all parts: uint8 (n, H, W, C)."""
    found, start = [], 0
    for part in parts:
        own = positions[(positions >= start) & (positions < start + len(part))] - start
        if len(own):
            found.append(part[torch.from_numpy(own)].numpy())
        start += len(part)
    return np.concatenate(found)


def _equal_files(files: Sequence[str]) -> np.ndarray:
    """Group files by their bytes; only those that have their size in common with another are read: int64 (N,)."""
    sizes = defaultdict(list)
    for position, file in enumerate(files):
        path = Path(file)
        if not path.is_file():
            return np.zeros(0, dtype=np.int64)
        sizes[path.stat().st_size].append(position)
    groups = np.arange(len(files))
    for positions in sizes.values():
        known: dict[str, int] = {}
        for position in positions if len(positions) > 1 else ():
            groups[position] = known.setdefault(sha256(read_regular(files[position])), position)
    return groups
