"""Contents of a run's JSON files: their types are checked when they are read, and their checksums notice damage.

Files that a checksum covers are written once: a checkpoint and result.json name the SHA-256 of the other files, and
carry one of their own values. Runs of before have none, and are read as they are.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from striate.errors import CheckpointError
from striate.files import read_regular, sha256, unsealed
from striate.inference import Calibration
from striate.models.weights.file import ArchitectureRecord, PreprocessRecord


class Record(BaseModel):
    """Values of a JSON file. Numbers are finite; keys that are not named may have any value."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _FormatRecord(Record):
    """The part of a file that every version of it has."""

    format: int


class DataRecord(Record):
    """The data in run.json."""

    source: str
    skip_bad: bool
    fingerprint: str


class EnvironmentRecord(Record):
    """The software and the machine in run.json."""

    threads: PositiveInt
    device: str


class RunRecord(Record):
    """run.json."""

    format: int
    model: ArchitectureRecord | None
    data: DataRecord
    weights: str | None = None
    classes: tuple[str, ...]
    preprocess: PreprocessRecord
    recipe: dict[str, Any]
    environment: EnvironmentRecord


class CheckpointRecord(Record):
    """step-N.json."""

    model_config = ConfigDict(extra="forbid")

    step: NonNegativeInt
    plan: str
    totals: dict[str, float]
    scalars: dict[str, float | bool]
    sha256: str
    files: dict[str, str] = Field(default_factory=dict)
    checksum: str = ""


class ScoreRecord(Record):
    """A `Score`."""

    model_config = ConfigDict(extra="forbid")

    accuracy: float
    top1_error: float
    top5_error: float
    loss: float
    n: PositiveInt


class FitRecord(Record):
    """head.json, a `Fit`."""

    model_config = ConfigDict(extra="forbid")

    mistakes: NonNegativeInt | None
    images: PositiveInt
    inverse_penalty: float
    held_out: ScoreRecord | None
    sha256: str
    calibration: Calibration | None = None


class EpochRecord(Record):
    """A line of metrics.jsonl."""

    epoch: PositiveInt
    step: PositiveInt
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float
    images_per_second: float
    waiting: float


class ResultRecord(Record):
    """result.json."""

    model: str
    data: str
    seed: int
    epochs: float
    steps: str
    train_seconds: float
    images_per_second: float
    parameters: int
    sha256: str
    files: dict[str, str] = Field(default_factory=dict)
    split: str = ""
    n: int = 0
    accuracy: float = 0.0
    top5_error: float = 0.0
    loss: float | None = None
    tta: str = "none"


def read(path: Path, kind: type[Record], version: int | None = None) -> dict[str, Any]:
    """Read a JSON file whose values are those of a record, and compare its checksum if it has one.

    Args:
        path: the file.
        kind: the record.
        version: the only "format" that is read, for files that say theirs.

    Raises:
        CheckpointError: naming the file, if it is missing, unreadable, damaged or of another format.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}.") from error
    if version is not None and (found := parsed(content, _FormatRecord, str(path))["format"]) != version:
        raise CheckpointError(f"{path} has format {found}; this Striate reads {version}.")
    return parsed(content, kind, str(path))


def parsed(content: bytes, kind: type[Record], name: str) -> dict[str, Any]:
    """The values of a record in JSON, as `read`; `name` stands for it in errors."""
    try:
        kind.model_validate_json(content)
        values: dict[str, Any] = json.loads(content)
    except ValidationError as error:
        raise CheckpointError(f"{name} is damaged: {_first(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is damaged: it is not JSON ({error}).") from None
    if not unsealed(values):
        raise CheckpointError(f"{name} is damaged: its values do not have their checksum.")
    return values


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each of these files of a folder that is there."""
    return {name: sha256(read_regular(folder / name)) for name in names if (folder / name).is_file()}


def verified(path: Path, checksum: str) -> bytes:
    """Read a file that has this SHA-256.

    Raises:
        CheckpointError: if it is missing, unreadable, or not the one that was written.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}.") from error
    if sha256(content) != checksum:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the recorded one.")
    return content


def check(folder: Path, expected: Mapping[str, str]) -> None:
    """Compare files of a run with their checksums.

    Raises:
        CheckpointError: naming the first that is missing or is not the one that was written.
    """
    found = checksums(folder, expected)
    for name, checksum in expected.items():
        if found.get(name) != checksum:
            what = "is not what the run wrote (its SHA-256 differs)" if name in found else "is gone"
            raise CheckpointError(f"{folder / name} {what}: bring it back as it was, or train again with a new --out.")


def _first(error: ValidationError) -> str:
    """The first thing wrong with a value, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
