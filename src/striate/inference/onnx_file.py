"""Files that `striate export --to onnx` wrote, opened and asked without PyTorch."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from striate.errors import ArgumentError, CheckpointError, ShapeError
from striate.files import read_regular
from striate.hardware import cores
from striate.preprocess import Preprocess

FORMAT = 1
KEY = "striate"  # of the metadata
BATCH = 64  # images that are computed at once
SUFFIX = ".onnx"

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

    @property
    def temperature(self) -> float:
        """The temperature: the file divides logits by it before softmax."""
        return float(self.calibration["temperature"]) if self.calibration else 1.0


@dataclass(frozen=True)
class OnnxFile:
    """An exported network, ready to answer.

    Args:
        name: for messages.
        content: the file's bytes.
        card: what it says about itself.
        session: ONNX Runtime's.
    """

    name: str
    content: bytes
    card: Card
    session: Any

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "OnnxFile":
        """Open a file.

        Raises:
            CheckpointError: if it can't be read, is damaged, or was written by another program.
            ArgumentError: if ONNX Runtime is not installed.
        """
        try:
            content = read_regular(path)
        except OSError as error:
            raise CheckpointError(f"can't read {os.fspath(path)}: {error.strerror}.") from error
        return cls.of(content, os.fspath(path))

    @classmethod
    def of(cls, content: bytes, name: str) -> "OnnxFile":
        """Open a file by its bytes; see `open`."""
        session = _session(content, name)
        metadata = session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise CheckpointError(
                f"{name} was not written by 'striate export': it has no classes and no preprocessing."
            )
        try:
            card = Card.model_validate_json(metadata[KEY])
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise CheckpointError(
                f"{name} is damaged: its metadata, at '{where}', is not what Striate writes."
            ) from error
        if card.format != FORMAT:
            raise CheckpointError(f"{name} is of format {card.format}; this Striate reads {FORMAT}.")
        outputs = {each.name: each.shape for each in session.get_outputs()}
        if [each.name for each in session.get_inputs()] != ["image"] or any(
            outputs.get(output, ["N", 0])[1:] != [len(card.classes)] for output in ("logits", "probabilities")
        ):
            raise CheckpointError(
                f"{name} is damaged: its inputs and outputs are not those that its metadata tells of."
            )
        return cls(name, content, card, session)

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
        logits, probabilities = self.session.run(["logits", "probabilities"], {"image": pixels})
        return logits, probabilities

    def answers(self, pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Compute logits and probabilities, each float32 (N, classes), of pictures (h, w, 1 or 3) of several sizes."""
        parts = [self.answer(batch) for batch in _batches(pictures)]
        if not parts:
            return (np.empty((0, len(self.card.classes)), np.float32),) * 2
        logits, probabilities = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(probabilities)


def is_onnx_file(run: object) -> bool:
    """True for an `OnnxFile`, and for a path that ends in .onnx and is no folder."""
    if isinstance(run, str | os.PathLike):
        path = Path(os.fspath(run))
        return path.suffix.lower() == SUFFIX and not path.is_dir()
    return isinstance(run, OnnxFile)


def opened_file(run: object) -> "OnnxFile":
    """An `OnnxFile` as it is, or the one at a path, see `OnnxFile.open`."""
    return run if isinstance(run, OnnxFile) else OnnxFile.open(run)  # type: ignore[arg-type]


def _session(content: bytes, name: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ArgumentError(f"{name}: exported files need ONNX Runtime: pip install 'striate[onnx]'.") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised, too
    own = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(own) if own.isdigit() else cores()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{name} is no ONNX file, or damaged: {reason}") from error


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
