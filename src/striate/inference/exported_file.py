"""Files that `striate export` wrote for other programs, opened and asked without PyTorch."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from striate.errors import ArgumentError, CheckpointError, ShapeError, unknown
from striate.files import read_regular, sha256
from striate.inference.runtimes import INPUT, OUTPUTS, OnnxRuntime, OpenVino, Runtime
from striate.preprocess import Preprocess
from striate.types import PRECISIONS, Precision

FORMAT = 1
BATCH = 64  # images that are computed at once
ONNX, OPENVINO = ".onnx", ".xml"
WEIGHTS = ".bin"  # beside a file of OpenVINO's
UNSEALED = ("checksum of this file " * 3)[:64]  # where its checksum will be, which counts as this itself
RUNTIMES = {ONNX: ("onnxruntime", "openvino"), OPENVINO: ("openvino",)}  # by a file's suffix, the usual first

Input = Literal["image", "tensor"]


class Measured(BaseModel):
    """The accuracy of the network that was exported, on images it was not trained on."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    accuracy: Annotated[float, Field(ge=0, le=1)]
    interval: tuple[float, float]
    n: PositiveInt
    split: str


class Card(BaseModel):
    """Description of an exported network, kept in the file's metadata as JSON.

    Args:
        format: the version of this card.
        striate: the version of Striate that wrote it.
        model: the network's name.
        input: "image" if pictures of any size may be asked about, "tensor" if only those of the network's size.
        classes: the names, in the order of the outputs.
        preprocess: how a picture becomes the network's input; the file does it itself, but for resizing with "tensor".
        calibration: a `Calibration` as plain values, or `None`.
        run: the SHA-256 of the run's model.safetensors, or `None` for other networks.
        measured: how well the network did, if images with labels were there.
        precision: of the products: "float32", or "int8" for 8-bit integers.
        checksum: the SHA-256 of the file, in which `UNSEALED` stands in its place.
        weights: the SHA-256 of the .bin file beside a file of OpenVINO's.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    format: int
    striate: str
    model: str
    input: Input
    classes: tuple[str, ...]
    preprocess: Preprocess
    calibration: dict[str, Any] | None = None
    run: str | None = None
    measured: Measured | None = None
    precision: Literal["float32", "int8"] = "float32"
    checksum: str = UNSEALED
    weights: str | None = None

    @property
    def temperature(self) -> float:
        """The temperature: the file divides logits by it before softmax."""
        return float(self.calibration["temperature"]) if self.calibration else 1.0


@dataclass(frozen=True)
class ExportedFile:
    """An exported network, ready to answer.

    Args:
        name: for messages.
        card: what it says about itself.
        runtime: what computes it.

    >>> file = ExportedFile.open(striate.export(run, out="opened.onnx").path)
    >>> logits, probabilities = file.answer(data.test.images[:2].numpy())
    >>> file.card.classes[:3], probabilities.shape
    (('0', '1', '2'), (2, 10))
    """

    name: str
    card: Card
    runtime: Runtime

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], engine: str = "auto", precision: Precision = "float32"
    ) -> "ExportedFile":
        """Open a file.

        Args:
            path: .onnx, or .xml with its .bin beside it.
            engine: "onnxruntime" or "openvino"; "auto" for the one that the format is made for.
            precision: "bfloat16" for products in it, by OpenVINO on a processor that has them.

        Raises:
            CheckpointError: if it can't be read, is damaged, or was written by another program.
            ArgumentError: if the engine does not compute such files, or is not installed.
        """
        path = Path(path)
        content = _read(path)
        weights = _read(path.with_suffix(WEIGHTS)) if path.suffix.lower() == OPENVINO else None
        return cls.of(content, str(path), weights, engine, precision)

    @classmethod
    def of(
        cls,
        content: bytes,
        name: str,
        weights: bytes | None = None,
        engine: str = "auto",
        precision: Precision = "float32",
    ) -> "ExportedFile":
        """Open a file by its bytes, with those of its .bin file if it has one; see `open`."""
        known = RUNTIMES[ONNX if weights is None else OPENVINO]
        if engine not in ("auto", *known):
            raise unknown(f"engine for {name}", engine, ("auto", *known))
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        engine = known[0] if engine == "auto" else engine
        if precision == "bfloat16" and engine == "onnxruntime":
            raise ArgumentError(f"{name}: ONNX Runtime computes in float32 on a CPU; bfloat16 needs --engine openvino.")
        runtime: Runtime = (
            OnnxRuntime(content, name) if engine == "onnxruntime" else OpenVino(content, name, weights, precision)
        )
        card = _card(runtime, name)
        if card.checksum != _checksum(content, card.checksum) or card.weights != (weights and sha256(weights)):
            raise CheckpointError(f"{name} is damaged: it is not as it was written.")
        return cls(name, card, runtime)

    def uncalibrated(self, tta: str | None = None) -> str | None:
        """The reason why its probabilities are not calibrated, a sentence, or `None` if they are."""
        if tta not in (None, "none"):
            return "The probabilities are not calibrated for these views; they are with --tta none."
        return None if self.card.calibration else "The probabilities are not calibrated: the exported network was not."

    def answer(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute logits and probabilities, each float32 (N, classes), of uint8 (N, H, W, 1 or 3).

        Raises:
            ShapeError: for images of another shape or type than the file takes.
        """
        shape, preprocess = pixels.shape, self.card.preprocess
        size = (preprocess.height, preprocess.width, preprocess.channels)
        fits = shape[1:] == size if self.card.input == "tensor" else shape[-1] in (1, 3) and 0 not in shape
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or not fits:
            wanted = "(N, H, W, 1 or 3)" if self.card.input == "image" else str(("N", *size)).replace("'", "")
            raise ShapeError(f"{self.name} takes images uint8 {wanted}, not {pixels.dtype} {shape}.")
        return self.runtime.run(pixels)

    def answers(self, pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Compute logits and probabilities, each float32 (N, classes), of pictures (h, w, 1 or 3) of several sizes."""
        parts = [self.answer(batch) for batch in _batches(pictures)]
        if not parts:
            return (np.empty((0, len(self.card.classes)), np.float32),) * 2
        logits, probabilities = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(probabilities)


class FileEngine:
    """An exported file, computed by the program that it was opened with; see `Engine` in engines.py."""

    def __init__(self, file: ExportedFile, precision: str = "float32"):
        self._file = file
        self.name = file.runtime.engine
        self.precision = file.card.precision if file.card.precision == "int8" else precision

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute logits, float32 (N, classes), of images of the network's own size, uint8 (N, height, width, C)."""
        return self._file.answer(pixels)[0]

    def prepare(self, pixels: np.ndarray) -> None:
        """Prepare for batches of this shape, where the program does."""
        if isinstance(self._file.runtime, OpenVino):
            self._file.runtime.prepare(pixels.shape)


def is_exported_file(run: object) -> bool:
    """True for an `ExportedFile`, and for a path that ends in .onnx or .xml and is no folder.

    >>> is_exported_file("model.onnx"), is_exported_file(run)
    (True, False)
    """
    if isinstance(run, str | os.PathLike):
        path = Path(os.fspath(run))
        return path.suffix.lower() in RUNTIMES and not path.is_dir()
    return isinstance(run, ExportedFile)


def opened_file(run: object, engine: str = "auto", precision: Precision = "float32") -> ExportedFile:
    """An `ExportedFile` as it is, or the one at a path, see `ExportedFile.open`."""
    return run if isinstance(run, ExportedFile) else ExportedFile.open(run, engine, precision)  # type: ignore[arg-type]


def sealed(content: bytes) -> bytes:
    """Put the checksum of a file into the card in it, in place of `UNSEALED`."""
    return content.replace(UNSEALED.encode(), sha256(content).encode(), 1)


def _checksum(content: bytes, noted: str) -> str:
    return sha256(content.replace(noted.encode(), UNSEALED.encode(), 1))


def _card(runtime: Runtime, name: str) -> Card:
    """The card of a file, which must fit its inputs and outputs."""
    if runtime.card is None:
        raise CheckpointError(f"{name} was not written by 'striate export': it has no classes and no preprocessing.")
    try:
        card = Card.model_validate_json(runtime.card)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise CheckpointError(f"{name} is damaged: its metadata, at '{where}', is not what Striate writes.") from error
    if card.format != FORMAT:
        raise CheckpointError(f"{name} is of format {card.format}; this Striate reads {FORMAT}.")
    widths = [runtime.widths.get(output) for output in OUTPUTS]
    if runtime.inputs != [INPUT] or widths != [len(card.classes)] * len(OUTPUTS):
        raise CheckpointError(f"{name} is damaged: its inputs and outputs are not those that its metadata tells of.")
    return card


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}.") from error


def _batches(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Stack consecutive pictures of one shape."""
    batch: list[np.ndarray] = []
    for picture in pictures:
        if batch and (len(batch) == BATCH or picture.shape != batch[0].shape):
            yield np.stack(batch)
            batch = []
        batch.append(picture)
    if batch:
        yield np.stack(batch)
