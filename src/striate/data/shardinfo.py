"""What `striate data pack` writes into each shard about the whole data set, so that class names travel with images."""

import json
from dataclasses import asdict, dataclass
from typing import Any

# A name without a dot belongs to no sample in the WebDataset convention, so other readers pass it over.
NAME = "__striate__"
_VERSION = 1


@dataclass(frozen=True)
class ShardInfo:
    """What a shard says of itself.

    Args:
        classes: the names; a sample's .cls is a position in this tuple.
        split: "train", "val" or "test".
        shards: how many shards this split has.
    """

    classes: tuple[str, ...]
    split: str
    shards: int

    def to_bytes(self) -> bytes:
        """JSON in ASCII."""
        return (json.dumps({"version": _VERSION, **asdict(self)}) + "\n").encode("ascii")

    @classmethod
    def from_bytes(cls, content: bytes) -> "ShardInfo":
        """What `to_bytes` wrote.

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
