"""Tar shards in the WebDataset convention as a data set; what a sample is, samples.py says."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from striate.data import notes
from striate.data.build import Label, Options, collect_labelled, named
from striate.data.dataset import Dataset
from striate.data.sources.tar_names import by_split, find_shards
from striate.data.sources.tar_samples import Shard, read_shard
from striate.data.splits import share
from striate.errors import DataError
from striate.hardware import worker_count
from striate.types import Progress

_MOST_KINDS = 5
_PARTS = 64  # of the work of finding samples: enough to show progress and to keep many cores busy


def load_shards(source: str, options: Options | None = None) -> Dataset:
    """The images in the tar shards that `source` names, see `load`.

    To find them, the shards' headers and labels are read, at every start; each image is then read where it lies.

    Raises:
        ArgumentError: if `source` names no tar files, see `find_shards`.
        DataError: if a shard is missing, damaged or compressed, or the shards' classes or splits don't fit together.
        BadFilesError: naming every sample that can't be used, unless `skip_bad`.
    """
    options = options or Options()
    shards = read_shards(find_shards(source), options.progress)
    problems = {label: why for shard in shards for label, why in shard.problems.items()}
    if not any(shard.samples for shard in shards):
        raise _nothing(source, shards, problems)
    classes = _classes(source, shards)
    parts = by_split([shard.path for shard in shards], [shard.info.split if shard.info else None for shard in shards])
    splits = {split: [sample for at in part for sample in shards[at].samples] for split, part in parts.items()}
    return collect_labelled(source, splits, classes, problems, options, _said(shards))


def read_shards(paths: Sequence[Path], progress: Progress | None = None) -> list[Shard]:
    """What the shards hold, in the order of `paths`, read in equal shares by as many threads as there are cores.

    Raises:
        DataError: naming all shards that can't be read.
    """
    found: list[Shard | None] = [None] * len(paths)
    broken: list[str] = []
    parts = [share(len(paths), worker=part, workers=_PARTS) for part in range(min(_PARTS, len(paths)))]

    def read(part: range) -> int:
        for position in part:
            try:
                found[position] = read_shard(paths[position])
            except DataError as error:
                broken.append(str(error))
        return len(part)

    with ThreadPoolExecutor(worker_count(len(paths))) as pool:
        try:
            done = 0
            for count in pool.map(read, parts):
                done += count
                if progress is not None:
                    progress("reading shards", done, len(paths))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all that is left
            raise
    if broken:
        raise DataError("\n".join(sorted(broken)))
    return [shard for shard in found if shard is not None]


def _nothing(source: str, shards: Sequence[Shard], problems: dict[str, str]) -> DataError:
    """The error for shards without one usable sample: most likely they follow another convention."""
    kinds = sum((shard.others for shard in shards), Counter[str]())
    seen = [kind for kind, _ in kinds.most_common(_MOST_KINDS)]
    hint = next((f" {label}: {why}." for label, why in problems.items()), f" Found {', '.join(seen) or 'nothing'}.")
    return DataError(
        f"{source}: no image with a label. Expected pairs like 0001.jpg and 0001.cls, whose text is the number of a "
        f'class, or 0001.jpg and 0001.json with a "label".{hint}'
    )


def _classes(source: str, shards: Sequence[Shard]) -> dict[Label, str]:
    """The name of each label: as written in the shards, or else as `named` says."""
    first = shards[0]
    for shard in shards:
        if (shard.info and shard.info.classes) != (first.info and first.info.classes):
            raise DataError(
                f"{source}: {first.path} and {shard.path} were not packed together: their classes differ, so the same "
                "number means different things."
            )
    if first.info:
        return dict(enumerate(first.info.classes))
    return named(source, (sample.label for shard in shards for sample in shard.samples))


def _said(shards: Sequence[Shard]) -> list[str]:
    """What to tell about shards: what was passed over or is not there, and what the classes are called."""
    said = notes.of_layout(sum((shard.others for shard in shards), Counter[str]()), ())
    totals = {shard.info.split: shard.info.shards for shard in shards if shard.info}
    present = Counter(shard.info.split for shard in shards if shard.info)
    said += [
        f"{split} has {present[split]} of its {total} shards: the images in the others are left out"
        for split, total in totals.items()
        if present[split] < total
    ]
    if not totals and any(isinstance(sample.label, int) for shard in shards for sample in shard.samples[:1]):
        said.append("the shards name no classes: their numbers serve as names")
    return said
