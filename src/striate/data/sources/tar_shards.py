"""Tar shards in the WebDataset convention as a data set: names, splits and classes; for samples see `tar_samples`.

A source is a folder of shards, one shard, or a pattern that is expanded as shells do: "shards-{000..063}.tar",
"{train,val}-0.tar".
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from striate.data.build import Options, without_collection
from striate.data.dataset import Dataset
from striate.data.sources.folder import SPLITS, file_notes
from striate.data.sources.labelled import Label, Labelled, collect_labelled, named
from striate.data.sources.tar_samples import Shard, indexed, read_shard
from striate.data.splits import share
from striate.errors import ArgumentError, DataError
from striate.hardware import worker_count
from striate.types import Progress
from striate.units import listed

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


_MOST_KINDS = 5


_PARTS = 64  # of the work of finding samples: enough to show progress and to keep many cores busy


def load_shards(source: str, options: Options | None = None) -> Dataset:
    """Load the images in the tar shards that `source` names, see `load`.

    To find them, the shards' headers and labels are read once, and kept in the cache; each image is then read where it
    lies.

    Raises:
        ArgumentError: if `source` names no tar files, see `find_shards`.
        DataError: if a shard is missing, damaged or compressed, or the shards' classes or splits don't fit together.
        BadFilesError: naming every sample that can't be used, unless `skip_bad`.
    """
    options = options or Options()
    with without_collection():
        splits, classes, problems, notes = _found(source, options)
    return collect_labelled(source, splits, classes, problems, options, notes)


def _found(source: str, options: Options) -> tuple[dict[str, Labelled], dict[Label, str], dict[str, str], list[str]]:
    """The images by split, the classes, the samples that can't be used, each with the reason, and notes."""
    shards = indexed(find_shards(source), options.cache_size, partial(read_shards, progress=options.progress))
    problems = {label: reason for shard in shards for label, reason in shard.problems.items()}
    if not any(shard.samples.labels for shard in shards):
        raise _nothing(source, shards, problems)
    classes = _classes(source, shards)
    parts = by_split([shard.path for shard in shards], [shard.info.split if shard.info else None for shard in shards])
    splits = {split: Labelled.joined([shards[at].samples for at in part]) for split, part in parts.items()}
    return splits, classes, problems, _notes(shards)


def read_shards(paths: Sequence[Path], progress: Progress | None = None) -> list[Shard]:
    """Read the content of the shards, in the order of `paths`, by as many threads as there are cores.

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


def are_shards(source: str) -> bool:
    """Return whether `source` names shards: braces, a .tar name, or a folder that holds tar files and no folders."""
    path = Path(source)
    if path.is_dir():
        try:
            folders = (each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
            return bool(_shards_in(path)) and not any(folders)
        except OSError:  # an unreadable folder: reading it raises the error
            return False
    return "{" in source or "}" in source or source.endswith((".tar", *_COMPRESSED))


def find_shards(source: str) -> list[Path]:
    """List the shards that `source` names: those in a folder by name, those of a pattern in its order.

    Raises:
        ArgumentError: if the pattern is none, see `expand`, or names no tar files on this machine.
        DataError: naming the shards that are missing.
    """
    if "://" in source or source.startswith("pipe:"):
        raise ArgumentError(f"'{source}' is not on this machine: copy the shards here first, and name the copies.")
    path = Path(source)
    if path.is_dir():
        return _shards_in(path)
    names = [source] if path.exists() else expand(source)
    if other := [name for name in names if not name.endswith(".tar")]:
        packed = "Unpack compressed shards first" if other[0].endswith(_COMPRESSED) else "Shards are named x.tar"
        raise ArgumentError(f"'{source}' names {other[0]}, which is no .tar file. {packed}.")
    paths = [Path(name) for name in names]
    if missing := [each for each in paths if not each.is_file()]:
        count = f"{len(missing)} of {len(paths)} shards are" if len(paths) > 1 else "a shard is"
        raise DataError(f"{count} missing: {listed([str(each) for each in missing])}.{_present(missing[0].parent)}")
    return paths


def by_split(shards: Sequence[Path], written: Sequence[str | None]) -> dict[str, list[int]]:
    """Group the positions of the shards by split; under the one key "all" where they are not split.

    Args:
        shards: the files. A name like train-000.tar or cifar10_val_7.tar gives the split; where none does, the
            names of their folders may, as in train/000.tar.
        written: the split that is written inside each shard, which takes precedence over names.

    Raises:
        DataError: if some shards belong to a split and others don't, or there are splits but none to train on.
    """
    found = [inside or _split_named(path.stem) for path, inside in zip(shards, written, strict=True)]
    if not any(found):
        found = [_split_named(path.absolute().parent.name) for path in shards]
    splits: dict[str, list[int]] = {}
    for position, split in enumerate(found):
        splits.setdefault(split or "", []).append(position)
    if len(splits) == 1:
        return {"all": list(range(len(shards)))}
    if "" in splits:
        strays = listed([str(shards[position]) for position in splits.pop("")])
        raise DataError(
            f"no split is known of {strays}, while other shards belong to {' and '.join(splits)}: name shards like "
            "train-000.tar, val-000.tar and test-000.tar."
        )
    if "train" not in splits:
        raise DataError(f"there are shards of {' and '.join(splits)} but none of train, as train-000.tar would be.")
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _split_named(name: str) -> str | None:
    """Return the split that the name of a file or folder contains, if it is exactly one."""
    words = {SPLITS[word] for word in re.findall("[a-z]+", name.lower()) if word in SPLITS}
    return words.pop() if len(words) == 1 else None


def _present(folder: Path) -> str:
    if not folder.is_dir():
        return f" There is no folder {folder}."
    there = _shards_in(folder)
    return f" {folder} holds {there[0].name} … {there[-1].name} ({len(there)})." if there else f" {folder} holds none."


def _shards_in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix == ".tar" and not each.name.startswith("."))


_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 100_000  # shards; a range that is longer has a digit too many


def expand(pattern: str) -> list[str]:
    """Expand `pattern` to all names it stands for, in the order written, the last braces running fastest.

    A range counts up and keeps leading zeros: {08..10} is 08, 09, 10. Alternatives stand between commas and may hold
    braces themselves. A name without braces stands for itself.

    Raises:
        ArgumentError: naming what is wrong: a brace without its partner, a range that runs backwards, braces that hold
            neither a range nor alternatives, a name that comes twice, or more than 100,000 names.
    """
    names = []
    for name in _expanded(pattern, pattern):
        names.append(name)
        if len(names) > _MOST:
            raise ArgumentError(f"'{pattern}' stands for more than {_MOST:,} names: check its ranges.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ArgumentError(f"'{pattern}' names {name} twice: its images would be counted twice.")
        seen.add(name)
    return names


def _expanded(text: str, pattern: str) -> Iterator[str]:
    start = text.find("{")
    if start < 0:
        if "}" in text:
            raise ArgumentError(f"'{pattern}' closes a brace that it does not open.")
        yield text
        return
    if "}" in text[:start]:
        raise ArgumentError(f"'{pattern}' closes a brace that it does not open.")
    parts, end = _alternatives(text, start, pattern)
    choices = _counted(parts[0], pattern) if len(parts) == 1 else _each(parts, pattern)
    for choice in choices:
        for rest in _expanded(text[end:], pattern):
            yield text[:start] + choice + rest


def _each(parts: list[str], pattern: str) -> Iterator[str]:
    for part in parts:
        yield from _expanded(part, pattern)


def _alternatives(text: str, start: int, pattern: str) -> tuple[list[str], int]:
    """Return the alternatives in the braces that open at `start`, and the position after them."""
    parts, begin, depth = [], start + 1, 0
    for position in range(start, len(text)):
        letter = text[position]
        depth += (letter == "{") - (letter == "}")
        if depth == 0 or (depth == 1 and letter == ","):
            parts.append(text[begin:position])
            begin = position + 1
        if depth == 0:
            return parts, begin
    raise ArgumentError(f"'{pattern}' opens a brace that it does not close.")


def _counted(text: str, pattern: str) -> Iterator[str]:
    """Return the numbers of the range `text`, padded to the width of its ends if one begins with a zero."""
    found = _RANGE.fullmatch(text)
    if not found:
        raise ArgumentError(
            f"'{pattern}': {{{text}}} is neither a range like {{000..063}} nor alternatives like {{train,val}}."
        )
    first, last = found.groups()
    if int(first) > int(last):
        raise ArgumentError(f"'{pattern}': the range {{{text}}} runs backwards; write {{{last}..{first}}}.")
    padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{number:0{width}}" for number in range(int(first), int(last) + 1))


def _nothing(source: str, shards: Sequence[Shard], problems: dict[str, str]) -> DataError:
    """Return the error for shards without a usable sample: most likely they follow another convention."""
    kinds = sum((shard.others for shard in shards), Counter[str]())
    seen = [kind for kind, _ in kinds.most_common(_MOST_KINDS)]
    hint = next(
        (f" {label}: {reason}." for label, reason in problems.items()), f" Found {', '.join(seen) or 'nothing'}."
    )
    return DataError(
        f"{source}: no image with a label. Expected pairs like 0001.jpg and 0001.cls, whose text is the number of a "
        f'class, or 0001.jpg and 0001.json with a "label".{hint}'
    )


def _classes(source: str, shards: Sequence[Shard]) -> dict[Label, str]:
    """Return the name of each label: as written in the shards, or else by `named`."""
    first = shards[0]
    for shard in shards:
        if (shard.info and shard.info.classes) != (first.info and first.info.classes):
            raise DataError(
                f"{source}: {first.path} and {shard.path} were not packed together: their classes differ, so the same "
                "number means different things."
            )
    if first.info:
        return dict(enumerate(first.info.classes))
    return named(source, (label for shard in shards for label in shard.samples.labels))


def _notes(shards: Sequence[Shard]) -> list[str]:
    """Return notes on shards: ignored members, missing shards, and missing class names."""
    notes = file_notes(sum((shard.others for shard in shards), Counter[str]()))
    totals = {shard.info.split: shard.info.shards for shard in shards if shard.info}
    present = Counter(shard.info.split for shard in shards if shard.info)
    notes += [
        f"{split} has {present[split]} of its {total} shards: the images in the others are left out"
        for split, total in totals.items()
        if present[split] < total
    ]
    if not totals and any(isinstance(label, int) for shard in shards for label in shard.samples.labels[:1]):
        notes.append("the shards contain no class names: the numbers serve as names")
    return notes
