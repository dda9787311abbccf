"""Files of weights: safetensors, PyTorch's, and those of runs with metadata. Only tensors are read, never code."""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from striate.errors import CheckpointError
from striate.files import open_regular
from striate.models.weights.pretrained import Pretrained, described
from striate.preprocess import Fit, Preprocess
from striate.resizing import Interpolation

_DEEPEST = 5  # dictionaries within dictionaries that are looked into for weights
_MOST_UNPACKED = 4  # times the size of a file: PyTorch's are not compressed, and a bomb unfolds to a thousand times
_OTHERS = {  # what people take for weights, by its first bytes
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes them",
    b"version https://git-lfs": "a pointer of Git LFS, and the file itself was not fetched (git lfs pull)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}


@dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights.

    Args:
        path: the file.
        tensors: by parameter name, on the CPU; those of a dictionary in the file have its name and a slash before.
        header: Striate's own metadata (`architecture`, `classes`, `preprocess`); empty in other files.
        published: what is known of a published file.
    """

    path: Path
    tensors: dict[str, Tensor]
    header: dict[str, Any]
    published: Pretrained | None = None


class _Ignored:
    """Stands for what training scripts save beside the weights, such as their arguments; nothing of it is kept."""

    def __new__(cls, *_: object) -> "_Ignored":
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


# Classes of plain values, by whose names PyTorch's reader finds the class above and never the real one.
_HARMLESS = [
    *("argparse.Namespace", "types.SimpleNamespace", "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath"),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath", "numpy.dtype", "numpy.ndarray"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
]


def read(path: str | Path, published: Pretrained | None = None) -> WeightFile:
    """Read a file of weights: .safetensors, PyTorch's .pth or .pt, or the folder of a finished run.

    The content decides, not the name. PyTorch's files are pickles: they are read with `weights_only=True`, and rejected
    if they contain anything but tensors and plain values.

    Args:
        path: the file or folder.
        published: what is known of it, if that is known already.

    Raises:
        CheckpointError: if there is no such file, it is damaged, rejected, or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        path = _of_run(path)
    header: dict[str, Any] = {}
    try:
        with open_regular(path) as file:
            start = file.read(32)
            file.seek(0)
            if start[8:9] == b"{":
                content, header = _safetensors(path)
            elif start.startswith((b"PK", b"\x80")):
                content = dict(_tensors(_torch(path, file, zipped=start.startswith(b"PK"))))
            else:
                raise CheckpointError(f"{path} holds no weights: it is {_kind(start)}.")
            size = file.seek(0, 2)
    except OSError as error:
        raise CheckpointError(f"can't read the weights {path}: {error.strerror or error}.") from error
    if not content:
        raise CheckpointError(f"{path} holds no weights: expected a state dict, tensors by parameter name.")
    for name, tensor in content.items():
        if strange := _strange(tensor, size):
            raise CheckpointError(f"{path} can't be used: {name} is {strange}.")
    return WeightFile(path, content, header, published or described(path))


def _kind(start: bytes) -> str:
    """Describe a file that is no file of weights by its first bytes."""
    if not start:
        return "empty"
    other = next((kind for signature, kind in _OTHERS.items() if start.startswith(signature)), None)
    return other or "neither a safetensors file nor one of PyTorch's"


def _strange(tensor: Tensor, size: int) -> str:
    """Say what makes a tensor useless as weights; empty for one of plain numbers in a file of `size` bytes."""
    if tensor.layout != torch.strided or tensor.is_nested:
        return "a sparse tensor, and dense ones are expected"
    if tensor.is_meta:
        return "a tensor without values (of the device meta)"
    if tensor.is_quantized:
        return "a quantized tensor, and floating-point numbers are expected"
    if tensor.is_complex():
        return "a tensor of complex numbers"
    if tensor.numel() * tensor.element_size() > max(size, 1024):
        return f"of shape {tuple(tensor.shape)}, of more values than the file holds"
    return ""


def _of_run(folder: Path) -> Path:
    """Return the path of the final weights in a run's folder."""
    if (folder / "model.safetensors").exists():
        return folder / "model.safetensors"
    if (folder / "run.json").exists():
        raise CheckpointError(f"{folder} is not finished; finish it first: striate train --resume {folder}")
    raise CheckpointError(f"{folder} is a folder and no run: name a file of weights in it.")


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = parsed_header((file.metadata() or {}).get("striate", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118  (not a dictionary)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged: {_first_line(error)}.") from error


def _torch(path: Path, file: IO[bytes], zipped: bool) -> Any:
    """Load the value of a PyTorch file."""
    if zipped:
        _check_archive(path, file)
    file.seek(0)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(_Ignored, name) for name in _HARMLESS]):
            warnings.simplefilter("ignore")  # about pickles that torch.save did not write
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if type(error).__name__ != "UnpicklingError" or wanted is None:
            raise CheckpointError(f"{path} is damaged, or no file of weights: {_first_line(error)}.") from error
        raise CheckpointError(
            f"{path} is rejected: it contains more than tensors ({wanted[1]}), and a pickle can run "
            "anything. If you trust where it comes from, load it yourself and save the tensors alone: "
            "torch.save(model.state_dict(), path)."
        ) from None


def _check_archive(path: Path, file: IO[bytes]) -> None:
    """Refuse a zip file that is cut off, damaged, a bomb, or another program's.

    `torch.load` itself does not compare the checksums.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = {entry.filename.partition("/")[2] for entry in entries}
            if "data.pkl" not in names or "constants.pkl" in names:
                raise CheckpointError(_other_archive(path, names))
            size = file.seek(0, 2)
            if sum(entry.file_size for entry in entries) > _MOST_UNPACKED * size:
                raise CheckpointError(f"{path} is compressed: save the weights again by torch.save, or as safetensors.")
            bad = archive.testzip()
    except CheckpointError:
        raise
    except Exception as error:  # zipfile raises many kinds for damaged files
        raise CheckpointError(f"{path} is damaged: {_first_line(error)}.") from error
    if bad is not None:
        raise CheckpointError(f"{path} is damaged: {bad} in it does not have its checksum (CRC-32).")


def _other_archive(path: Path, names: set[str]) -> str:
    if "constants.pkl" in names:
        return (
            f"{path} is a TorchScript program, and Striate runs no code of files. If you trust where it comes from, "
            "save its weights alone: torch.save(torch.jit.load(path).state_dict(), 'weights.pth')."
        )
    if "archive_format" in names:
        return (
            f"{path} is a program of torch.export, and Striate runs no code of files. If you trust where it comes "
            "from, save its weights alone: torch.save(torch.export.load(path).state_dict, 'weights.pth')."
        )
    return f"{path} holds no weights: it is a zip file, but not one that torch.save has written."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _tensors(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a training script's checkpoint with their names, see `WeightFile`."""
    seen: set[int] = set()
    waiting = [("", value, 0)]
    while waiting:
        prefix, value, depth = waiting.pop(0)
        if isinstance(value, Mapping) and id(value) not in seen and depth < _DEEPEST:
            seen.add(id(value))
            for name, inner in value.items():
                if not isinstance(name, str):  # such as the optimiser's, which are numbers
                    continue
                if isinstance(inner, Tensor):
                    yield f"{prefix}{name}", inner
                else:
                    waiting.append((f"{prefix}{name}/", inner, depth + 1))


_Side = Annotated[int, Field(ge=1, le=2**15)]  # pixels


class _Strict(BaseModel):
    """Values of the right types, without conversions; other keys are left out."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class ArchitectureRecord(_Strict):
    """An `Architecture` in JSON."""

    name: str
    classes: Annotated[int, Field(ge=2, le=2**20)]
    channels: Annotated[int, Field(ge=1, le=2**10)]
    image_size: tuple[_Side, _Side]
    options: dict[str, str | bool] = {}


class PreprocessRecord(_Strict):
    """A `Preprocess` in JSON."""

    height: _Side
    width: _Side
    channels: int
    fit: Fit
    mean: tuple[FiniteFloat, ...]
    std: tuple[FiniteFloat, ...]
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"


class _Header(_Strict):
    architecture: ArchitectureRecord | None = None
    classes: tuple[str, ...] | None = None
    preprocess: PreprocessRecord | None = None


def parsed_header(text: str) -> dict[str, Any]:
    """Parse the metadata, as JSON, and check the type and range of every value; what is not there is left out.

    Raises:
        ValueError: if it is not what Striate writes.
    """
    try:
        header = _Header.model_validate_json(text).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ValueError(
            f"its header is not what Striate writes ({place}{': ' if place else ''}{first['msg']})"
        ) from None
    if "preprocess" in header:
        Preprocess(**header["preprocess"])
    return header
