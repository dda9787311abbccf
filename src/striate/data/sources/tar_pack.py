"""Writer of tar shards in the WebDataset convention, from a folder of images: `striate data pack`."""

import os
import tarfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from striate import files, seeding
from striate.data.build import Part
from striate.data.cache import key_of
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.sources.folder import Layout, plan_of, read_layout
from striate.data.sources.tar_samples import ShardInfo
from striate.data.sources.tar_writer import Sample, ShardPlan, in_blocks, write_all
from striate.data.stamps import stamps_of
from striate.errors import ArgumentError, BadFilesError, DataError
from striate.files import read_json, write_json
from striate.hardware import worker_count
from striate.preprocess import Preprocess
from striate.types import Progress
from striate.units import listed

SHARD_SIZE = 256_000_000  # bytes
CHECKED = "checked.json"  # notes which images were decoded, for a packing that continues
ORDER = ("train", "val", "test")
_NOTED = 10.0  # seconds between two notes
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
    names are in every shard. The same folder, sizes and seed give the same bytes, however many processes write. `out`
    appears when all is written; if this process was killed before, the next one continues its work.

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
    image_refs = [image_ref for part in plan.values() for image_ref in part.image_refs]
    key = key_of(f"pack {shard_size} {seed} {layout.classes}", stamps_of(image_refs))
    with files.new_folder(out, continues=key) as place:
        problems = _undecodable(image_refs, place / CHECKED, progress)
        skipped = {image_ref.label: reason for image_ref, reason in problems.items()}
        if skipped and not skip_bad:
            raise BadFilesError(skipped)
        shards = _planned(folder, layout, plan, problems, shard_size, seed)
        _write(place, shards, progress)
        for each in [place / CHECKED, *place.glob("*.part")]:
            each.unlink(missing_ok=True)
    images = Counter[str]()
    for shard in shards:
        images[shard.info.split] += len(shard.samples)
    return Packed(tuple(shard.name for shard in shards), dict(images), skipped)


def _planned(
    folder: Path,
    layout: Layout,
    plan: Mapping[str, Part],
    problems: Mapping[ImageRef, str],
    shard_size: int,
    seed: int,
) -> list[ShardPlan]:
    """Return all shards of what can be decoded."""
    pairs = {split: zip(part.image_refs, part.labels.tolist(), strict=True) for split, part in plan.items()}
    good = {split: [each for each in pairs[split] if each[0] not in problems] for split in ORDER if split in plan}
    trained = {label for _, label in good["train"]}
    if lacking := [name for label, name in enumerate(layout.classes) if label not in trained]:
        raise DataError(f"{folder}: no training image of {listed(lacking)} can be decoded.")
    shards: list[ShardPlan] = []
    for split, samples in _sampled(folder, good).items():
        order = torch.randperm(len(samples), generator=seeding.generator(seed, "pack", split))
        parts = _shards([samples[position] for position in order.tolist()], layout.classes, shard_size)
        info = ShardInfo(layout.classes, split, len(parts))
        shards += [ShardPlan(f"{split}-{number:06}.tar", info, each) for number, each in enumerate(parts)]
    return shards


def _write(place: Path, shards: Sequence[ShardPlan], progress: Progress | None) -> None:
    """Write the shards, telling how many of the images are done."""
    done, total = 0, sum(len(shard.samples) for shard in shards)

    def wrote(shard: ShardPlan) -> None:
        nonlocal done
        done += len(shard.samples)
        if progress is not None:
            progress("packing", done, total)

    write_all(place, shards, wrote)


def _check(folder: Path, out: Path, shard_size: int) -> None:
    if shard_size < 1:
        raise ArgumentError(f"a shard of {shard_size} bytes holds nothing: choose a larger size.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ArgumentError(f"{out} lies in {folder}, where it would be taken for a class: choose another folder.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ArgumentError(f"{out} already exists: choose another name, or remove it first.")


def _undecodable(image_refs: Sequence[ImageRef], checked: Path, progress: Progress | None) -> dict[ImageRef, str]:
    """Return the images that can't be decoded, each with the reason; those that were checked before are noted."""
    noted: dict[str, Any] = read_json(checked) if checked.exists() else {"count": 0, "problems": {}}
    problems = {image_refs[int(at)]: reason for at, reason in noted["problems"].items()}
    first, noted_at = int(noted["count"]), time.monotonic()
    left = image_refs[first:]
    decoders = Decoders(_SMALL, worker_count(len(left)), processes=len(left) > _FEW)
    try:
        for chunk in decoders.stream(left):
            problems |= {left[chunk.start + position]: reason for position, reason in chunk.problems.items()}
            done = first + chunk.start + len(chunk.pixels)
            if done == len(image_refs) or time.monotonic() - noted_at > _NOTED:
                places = {at: problems[each] for at, each in enumerate(image_refs[:done]) if each in problems}
                write_json(checked, {"count": done, "problems": places})
                noted_at = time.monotonic()
            if progress is not None:
                progress("decoding", done, len(image_refs))
    finally:
        decoders.close()
    return problems


def _sampled(folder: Path, plan: Mapping[str, Sequence[tuple[ImageRef, int]]]) -> dict[str, list[Sample]]:
    """Return the samples of each split, with unique keys.

    A key ends at the first dot of a file's name, so it has none itself: photo.v2.jpg becomes photo_v2.jpg.
    """
    taken: set[str] = set()
    samples: dict[str, list[Sample]] = {split: [] for split in plan}
    start = os.path.join(folder, "")
    for split, part in plan.items():
        for image_ref, label in part:
            path = str(image_ref.path)
            original = path.removeprefix(start).replace(os.sep, "/")
            above, mark, name = original.rpartition("/")
            plain = above + mark + os.path.splitext(name)[0].replace(".", "_")
            keys = chain((plain,), (f"{plain}-{number}" for number in count(2)))
            key = next(key for key in keys if key not in taken)
            taken.add(key)
            samples[split].append(Sample(path, label, original, key))
    return samples


def _shards(samples: Sequence[Sample], classes: tuple[str, ...], shard_size: int) -> list[list[Sample]]:
    """Distribute the samples over shards."""
    info = ShardInfo(classes, "train", len(samples)).to_bytes()  # as long as any, so that it always fits
    empty = shard_size - tarfile.RECORDSIZE - tarfile.BLOCKSIZE - in_blocks(len(info))  # its end fills a record
    shards: list[list[Sample]] = []
    free = 0
    for sample in samples:
        needed = sample.size()
        if needed > free:
            shards.append([])
            free = empty
        free -= needed
        shards[-1].append(sample)
    return shards
