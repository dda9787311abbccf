"""Samples of one tar shard in the WebDataset convention: an image and its label, found by the name they share.

Files of one sample share their name up to the first dot after the last slash; the rest is the kind of the file. An
image is named by its usual suffix. Its label is in .cls, a whole number or a name in plain text, or else in .json under
"label" or "class" (https://github.com/webdataset/webdataset). `striate data pack` adds a file to each shard about the
whole data set, so that class names travel with the images.

An index in the cache notes where each sample lies and what its label is, so that headers are read once only. It holds
for shards of the same paths, sizes and times of change. A sample takes about 70 bytes.
"""

import base64
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from striate.data.cache import Cache, key_of, settled
from striate.data.images.decode import SUFFIXES
from striate.data.images.image_ref import ImageRef
from striate.data.images.ref_lists import PartsOfFiles, Texts
from striate.data.sources.labelled import Label, Labelled
from striate.data.sources.tar_index import Member, read_index
from striate.data.stamps import stamps_of
from striate.errors import DataError, StorageError
from striate.files import open_regular
from striate.units import listed

# A name without a dot belongs to no sample in the WebDataset convention, so other readers ignore it.
NAME = "__striate__"
_VERSION = 1


@dataclass(frozen=True)
class ShardInfo:
    """Metadata of a shard about its data set, as `striate data pack` writes it.

    Args:
        classes: the names; a sample's .cls is a position in this tuple.
        split: "train", "val" or "test".
        shards: the number of shards of this split.
    """

    classes: tuple[str, ...]
    split: str
    shards: int

    def to_bytes(self) -> bytes:
        """Return JSON in ASCII."""
        return (json.dumps({"version": _VERSION, **asdict(self)}) + "\n").encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> "ShardInfo":
        """Parse what `to_bytes` wrote.

        Raises:
            ValueError: if it is something else.
        """
        value = json.loads(content)
        if not _is_valid(value):
            raise ValueError("not what `striate data pack` writes")
        return cls(tuple(value["classes"]), value["split"], value["shards"])


def _is_valid(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("version") == _VERSION
        and isinstance(value.get("classes"), list)
        and all(isinstance(name, str) for name in value["classes"])
        and value.get("split") in ("train", "val", "test")
        and isinstance(value.get("shards"), int)
    )


_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)  # the key, and the kind of the file
_LONGEST = 2**20  # bytes of a label's file; an image's metadata may be long, but not so long
_MOST_KINDS = 5


@dataclass(frozen=True)
class Shard:
    """The content of one shard.

    Args:
        path: the file.
        samples: its images with their labels, in the order of the file.
        problems: samples that can't be used, each with the reason.
        others: the number of ignored members, by suffix.
        info: the metadata of the data set, if `striate data pack` wrote the shard.
    """

    path: Path
    samples: Labelled
    problems: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    info: ShardInfo | None = None


def read_shard(path: Path) -> Shard:
    """Find the samples of a shard, from its headers and its labels alone.

    Raises:
        DataError: if the file is no complete, uncompressed tar file, see `read_index`.
    """
    members, others = read_index(path)
    problems: dict[str, str] = {}
    try:
        with open_regular(path) as file:
            info = _info(path, file, members)
            shard = Shard(path, _labelled(path, info, [], [], [], []), problems, others, info)
            groups = _grouped(shard, members).items()
            found = [sample for key, parts in groups if (sample := _sample(shard, file, key, parts)) is not None]
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}.") from error
    columns = zip(*((name, image.offset, image.length, label) for name, image, label in found), strict=True)
    return replace(shard, samples=_labelled(path, info, *map(list, columns))) if found else shard


def _labelled(
    path: Path,
    info: ShardInfo | None,
    names: list[str],
    offsets: Sequence[int] | np.ndarray,
    lengths: Sequence[int] | np.ndarray,
    labels: Sequence[Label],
) -> Labelled:
    """The images of a shard, from what is said of each."""
    own = Texts.of(names)
    shown = own if all(map(str.isprintable, names)) else Texts.of(list(map(printable, names)))
    keys = own if info else Texts.of([f"{path.name}/{name}" for name in names])
    columns = np.zeros(len(names), np.int64), np.array(offsets, np.int64), np.array(lengths, np.int64)
    return Labelled(PartsOfFiles([str(path)], *columns, shown), keys, labels)


def _info(path: Path, file: BinaryIO, members: list[Member]) -> ShardInfo | None:
    for member in members[:1]:  # it comes first
        if member.name == NAME:
            try:
                return ShardInfo.from_bytes(_content(file, member))
            except ValueError as error:
                raise DataError(f"{path}: its {NAME} is damaged ({error}). Pack it again.") from error
    return None


def _grouped(shard: Shard, members: list[Member]) -> dict[str, dict[str, Member]]:
    """Group the members of each sample by their kind: {"cats/01": {"jpg": …, "cls": …}}."""
    samples: dict[str, dict[str, Member]] = {}
    doubled = set()
    for member in members:
        found = _NAME.fullmatch(member.name)
        if not found:
            if member.name != NAME:
                shard.others["hidden or without a suffix"] += 1
            continue
        key, kind = found[1], found[2].lower()
        if kind in samples.setdefault(key, {}):
            shard.problems[_label(shard, member.name)] = "two members of this name"
            doubled.add(key)
        samples[key][kind] = member
    return {key: parts for key, parts in samples.items() if key not in doubled}


def _sample(shard: Shard, file: BinaryIO, key: str, parts: Mapping[str, Member]) -> tuple[str, Member, Label] | None:
    """Name, image and label of a sample; what is none is added to the shard's problems or others."""
    images = [kind for kind in parts if _is_image(kind)]
    if len(images) == 1:
        image = parts[images[0]]
        name = image.comment if shard.info and image.comment else image.name
        try:
            label = _label_of(file, parts, shard.info)
        except ValueError as error:
            shard.problems[_label(shard, name)] = str(error)
            return None
        used = (images[0], "cls" if "cls" in parts else "json")
        shard.others.update(f".{kind}" for kind in parts if kind not in used)
        return name, image, label
    if images or any(kind == "cls" or _is_image(kind.rpartition(".")[2]) for kind in parts):
        kinds = listed([f".{kind}" for kind in parts], _MOST_KINDS)
        shard.problems[_label(shard, key)] = f"{'several images' if images else 'no image'} of this name: {kinds}"
    else:
        shard.others.update(f".{kind}" for kind in parts)
    return None


def _is_image(kind: str) -> bool:
    return f".{kind}" in SUFFIXES


def _label_of(file: BinaryIO, parts: Mapping[str, Member], info: ShardInfo | None) -> Label:
    """Return the label of a sample: a number if it is one, else a name; with `info`, one of its classes' numbers.

    Raises:
        ValueError: giving the reason if there is no valid label.
    """
    if "cls" in parts:
        value: object = _content(file, parts["cls"]).decode("utf-8", "replace").strip()
    elif "json" in parts:
        value = _from_json(_content(file, parts["json"]))
    else:
        raise ValueError("no label: neither a .cls nor a .json file")
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII):
        value = int(value)
    if info is not None and value not in range(len(info.classes)):
        raise ValueError(f"label {str(value)[:40]!r} is none of the {len(info.classes)} classes")
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isprintable() and value and not re.fullmatch(r"[-+.\d]+", value):
        return value
    raise ValueError(f"{str(value)[:40]!r} is no label: expected a whole number from 0, or a name")


def _from_json(content: bytes) -> object:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        too_long = f" or longer than {_LONGEST:,} bytes" if len(content) == _LONGEST else ""
        raise ValueError(f"its .json is damaged{too_long}") from None
    for word in ("label", "class"):
        if isinstance(value, dict) and word in value:
            return value[word]
    raise ValueError('no label: its .json has neither "label" nor "class"')


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(min(member.length, _LONGEST))


def _label(shard: Shard, name: str) -> str:
    return ImageRef(shard.path, name=printable(name)).label


def printable(name: str) -> str:
    """Return a name that is safe for terminals: unprintable characters, such as control codes, become escapes."""
    return name if name.isprintable() else ascii(name)[1:-1]


_FEW_BYTES = 64 * 2**20  # of shards whose headers are read in a moment
_BETWEEN = "\0"  # names, none of which holds it


def indexed(
    paths: Sequence[Path], cache_size: int | None, read: Callable[[Sequence[Path]], list[Shard]]
) -> list[Shard]:
    """The content of shards, from the cache if they have not changed since it was noted there.

    Args:
        paths: the shards.
        cache_size: as for `Cache`; 0 for none.
        read: reads the shards themselves.
    """
    stamps = stamps_of([ImageRef(path) for path in paths])
    if cache_size == 0 or stamps.bytes < _FEW_BYTES:
        return read(paths)
    try:
        store = Cache(cache_size).store
    except OSError:  # the images' loading tells it
        return read(paths)
    key = key_of("shards", settled({"shards": stamps})["shards"])
    with contextlib.suppress(KeyError, TypeError, ValueError):  # no entry, or one that this version did not write
        found = (store.about(key) or {})["shards"]
        return [_from_dict(path, each) for path, each in zip(paths, found, strict=True)]
    shards = read(paths)
    with contextlib.suppress(OSError, StorageError):  # the next start takes longer
        store.note(key, {"shards": list(map(_to_dict, shards))})
    return shards


def _to_dict(shard: Shard) -> dict[str, Any]:
    """Plain values for JSON, few and long ones, which are written and read in no time."""
    image_refs, keys, labels = shard.samples
    start = 0 if shard.info else len(shard.path.name) + 1
    numbered = all(isinstance(label, int) for label in labels)
    return {
        "names": _BETWEEN.join(key[start:] for key in keys),
        "offsets": _text(image_refs.offsets),
        "lengths": _text(image_refs.lengths),
        "labels": _text(np.array(labels, dtype=np.int64)) if numbered else _BETWEEN.join(map(str, labels)),
        "numbered": numbered,
        "problems": shard.problems,
        "others": shard.others,
        "info": shard.info and asdict(shard.info),
    }


def _from_dict(path: Path, values: dict[str, Any]) -> Shard:
    """The inverse of `_to_dict`."""
    info = values["info"] and ShardInfo(tuple(values["info"].pop("classes")), **values["info"])
    names = _texts(values["names"])
    columns = _numbers(values["offsets"]), _numbers(values["lengths"])
    labels: Sequence[Label] = _shared(_numbers(values["labels"])) if values["numbered"] else _texts(values["labels"])
    if not len(names) == len(columns[0]) == len(columns[1]) == len(labels):
        raise ValueError(path)
    samples = _labelled(path, info, names, *columns, labels)
    return Shard(path, samples, values["problems"], Counter(values["others"]), info)


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.astype("<i8").tobytes()).decode()


def _numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<i8")


def _shared(numbers: np.ndarray) -> list[int]:
    """Python's numbers, one object for all that are equal."""
    different, places = np.unique(numbers, return_inverse=True)
    return list(map(different.tolist().__getitem__, places.tolist()))


def _texts(text: str) -> list[str]:
    return text.split(_BETWEEN) if text else []
