"""Writer of tar shards in the WebDataset convention, from a folder of images: `striate data pack`."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import torch

from striate import files, seeding
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.sources import tar_samples
from striate.data.sources.folder import plan_of
from striate.data.sources.layout import read_layout
from striate.data.sources.tar_samples import ShardInfo
from striate.errors import ArgumentError, BadFilesError, DataError
from striate.hardware import worker_count
from striate.preprocess import Preprocess
from striate.types import Progress
from striate.units import listed

SHARD_SIZE = 256_000_000  # bytes
_BLOCK = tarfile.BLOCKSIZE
_SMALL = Preprocess.resizing((1, 1), 1, "stretch")  # of images that are decoded only to check them
_FEW = 500  # images that threads have decoded before processes would have started


@dataclass(frozen=True)
class Packed:
    """The shards that were written.

    Args:
        shards: the names of the files.
        images: the number of images of each split.
        skipped: the files that were left out, each with the reason.
    """

    shards: tuple[str, ...]
    images: dict[str, int]
    skipped: dict[str, str]


def pack(
    folder: Path,
    out: Path,
    *,
    shard_size: int = SHARD_SIZE,
    seed: int = 0,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Packed:
    """Write the images of `folder` to train-000000.tar … in `out`, with the shards of val and test next to them.

    Classes and splits are those that `load` finds in the folder. The files' bytes are kept as they are. Each shard
    holds images of all classes, in an order drawn from the seed, each followed by the number of its class; the classes'
    names are in every shard. The same folder, sizes and seed give the same bytes. `out` appears when all is written.

    Args:
        folder: one folder of images a class, as for `load`.
        out: a folder that does not exist yet, or is empty.
        shard_size: the most bytes of a shard, unless its first image alone is larger.
        seed: the seed of the order.
        skip_bad: leave out files that can't be decoded, instead of raising for all of them together.
        progress: see `load`.

    Raises:
        ArgumentError: if `out` is not empty or lies in `folder`, or for a size below 1.
        DataError: if `folder` is laid out in another way, or has no usable image of a class to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
        StorageError: if `out` can't be written, as when the disk is full; nothing is left of it then.
    """
    _check(folder, out, shard_size)
    layout = read_layout(folder)
    plan = plan_of(layout)
    problems = _undecodable([image_ref for part in plan.values() for image_ref, _ in part], progress)
    if problems and not skip_bad:
        raise BadFilesError({image_ref.label: reason for image_ref, reason in problems.items()})
    plan = {
        split: [each for each in plan[split] if each[0] not in problems]
        for split in ("train", "val", "test")
        if split in plan
    }
    trained = {label for _, label in plan["train"]}
    if lacking := [name for label, name in enumerate(layout.classes) if label not in trained]:
        raise DataError(f"{folder}: no training image of {listed(lacking)} can be decoded.")
    shards = {}
    for split, samples in _sampled(folder, plan).items():
        order = torch.randperm(len(samples), generator=seeding.generator(seed, "pack", split))
        shards[split] = _shards([samples[position] for position in order.tolist()], layout.classes, shard_size)
    names: list[str] = []
    total = sum(map(len, plan.values()))
    with files.new_folder(out) as place:
        done = 0
        for split, parts in shards.items():
            info = ShardInfo(layout.classes, split, len(parts))
            for number, samples in enumerate(parts):
                names.append(f"{split}-{number:06}.tar")
                _write(place / names[-1], info, samples)
                done += len(samples)
                if progress is not None:
                    progress("packing", done, total)
    skipped = {image_ref.label: problems[image_ref] for image_ref in problems}
    return Packed(tuple(names), {split: len(part) for split, part in plan.items()}, skipped)


def _check(folder: Path, out: Path, shard_size: int) -> None:
    if shard_size < 1:
        raise ArgumentError(f"a shard of {shard_size} bytes holds nothing: choose a larger size.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ArgumentError(f"{out} lies in {folder}, where it would be taken for a class: choose another folder.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ArgumentError(f"{out} already exists: choose another name, or remove it first.")


def _undecodable(image_refs: Sequence[ImageRef], progress: Progress | None) -> dict[ImageRef, str]:
    """Return the images that can't be decoded, each with the reason."""
    problems: dict[ImageRef, str] = {}
    decoders = Decoders(_SMALL, worker_count(len(image_refs)), processes=len(image_refs) > _FEW)
    try:
        for chunk in decoders.stream(image_refs):
            problems |= {image_refs[chunk.start + position]: reason for position, reason in chunk.problems.items()}
            if progress is not None:
                progress("decoding", chunk.start + len(chunk.pixels), len(image_refs))
    finally:
        decoders.close()
    return problems


@dataclass(frozen=True)
class _Sample:
    """One image to write: its reference, the number of its class, its name in the folder, and its key in the shards."""

    image_ref: ImageRef
    label: int
    original: str
    key: str

    def image(self, length: int) -> tarfile.TarInfo:
        """Return the tar member for the image of `length` bytes; the name in the folder is kept where it differs."""
        name = self.key + self.image_ref.path.suffix
        return _member(name, length, {} if name == self.original else {"comment": self.original})

    def size(self) -> int:
        """Return the size in bytes of the image and its label in a shard."""
        length = self.image_ref.path.stat().st_size
        header = self.image(length).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        return len(header) * 2 + _in_blocks(length) + _BLOCK  # the label's header is no longer than the image's


def _sampled(folder: Path, plan: Mapping[str, Sequence[tuple[ImageRef, int]]]) -> dict[str, list[_Sample]]:
    """Return the samples of each split, with unique keys.

    A key ends at the first dot of a file's name, so it has none itself: photo.v2.jpg becomes photo_v2.jpg.
    """
    taken: set[str] = set()
    samples: dict[str, list[_Sample]] = {split: [] for split in plan}
    for split, part in plan.items():
        for image_ref, label in part:
            original = image_ref.path.relative_to(folder)
            plain = original.with_name(original.stem.replace(".", "_")).as_posix()
            keys = chain((plain,), (f"{plain}-{number}" for number in count(2)))
            key = next(key for key in keys if key not in taken)
            taken.add(key)
            samples[split].append(_Sample(image_ref, label, original.as_posix(), key))
    return samples


def _shards(samples: Sequence[_Sample], classes: tuple[str, ...], shard_size: int) -> list[list[_Sample]]:
    """Distribute the samples over shards."""
    info = ShardInfo(classes, "train", len(samples)).to_bytes()  # as long as any, so that it always fits
    empty = shard_size - tarfile.RECORDSIZE - _BLOCK - _in_blocks(len(info))  # the archive's end fills a record
    shards: list[list[_Sample]] = []
    free = 0
    for sample in samples:
        needed = sample.size()
        if needed > free:
            shards.append([])
            free = empty
        free -= needed
        shards[-1].append(sample)
    return shards


def _write(path: Path, info: ShardInfo, samples: Sequence[_Sample]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as archive:
        content = info.to_bytes()
        archive.addfile(_member(tar_samples.NAME, len(content)), io.BytesIO(content))
        for sample in samples:
            content = sample.image_ref.read()
            archive.addfile(sample.image(len(content)), io.BytesIO(content))
            content = str(sample.label).encode("ascii")
            archive.addfile(_member(f"{sample.key}.cls", len(content)), io.BytesIO(content))


def _in_blocks(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK


def _member(name: str, length: int, records: dict[str, str] | None = None) -> tarfile.TarInfo:
    """Return the header of a file without owner and time, so that equal contents give equal shards."""
    member = tarfile.TarInfo(name)
    member.size = length
    member.pax_headers = records or {}
    return member
