"""Index of tar shards in the cache: where each sample lies and what its label is, so that headers are read once only.

It holds for shards of the same paths, sizes and times of change. A sample takes about 70 bytes.
"""

import base64
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.cache import Cache, key_of, settled
from striate.data.images.image_ref import ImageRef
from striate.data.sources.labelled import Label, LabelledImage
from striate.data.sources.tar_samples import Shard, ShardInfo, printable
from striate.data.stamps import stamps_of
from striate.errors import StorageError

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
    start = 0 if shard.info else len(shard.path.name) + 1
    refs, labels = [sample.image_ref for sample in shard.samples], [sample.label for sample in shard.samples]
    numbered = all(isinstance(label, int) for label in labels)
    return {
        "names": _BETWEEN.join(sample.key[start:] for sample in shard.samples),
        "offsets": _text([each.offset for each in refs]),
        "lengths": _text([each.length for each in refs]),
        "labels": _text(labels) if numbered else _BETWEEN.join(map(str, labels)),
        "numbered": numbered,
        "problems": shard.problems,
        "others": shard.others,
        "info": shard.info and asdict(shard.info),
    }


def _from_dict(path: Path, values: dict[str, Any]) -> Shard:
    """The inverse of `_to_dict`."""
    info = values["info"] and ShardInfo(tuple(values["info"].pop("classes")), **values["info"])
    names, start = _texts(values["names"]), "" if info else f"{path.name}/"
    labels: Sequence[Label] = _numbers(values["labels"]) if values["numbered"] else _texts(values["labels"])
    samples = [
        LabelledImage(ImageRef(path, offset, length, printable(name)), start + name, label)
        for name, offset, length, label in zip(
            names, _numbers(values["offsets"]), _numbers(values["lengths"]), labels, strict=True
        )
    ]
    return Shard(path, samples, values["problems"], Counter(values["others"]), info)


def _text(numbers: Sequence[Any]) -> str:
    return base64.b64encode(np.array(numbers, dtype="<i8").tobytes()).decode()


def _numbers(text: str) -> list[int]:
    numbers: list[int] = np.frombuffer(base64.b64decode(text), dtype="<i8").tolist()
    return numbers


def _texts(text: str) -> list[str]:
    return text.split(_BETWEEN) if text else []
