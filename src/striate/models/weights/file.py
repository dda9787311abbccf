"""Files of weights: safetensors, PyTorch's, and those of Striate's runs. Only tensors are read, never code."""

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from striate.errors import CheckpointError
from striate.models.weights.pretrained import Pretrained, described

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts store the weights


@dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights.

    Args:
        path: the file.
        tensors: by parameter name, on the CPU.
        header: Striate's own metadata (`architecture`, `classes`, `preprocess`); empty in other files.
        published: what is known of a published file.
    """

    path: Path
    tensors: dict[str, Tensor]
    header: dict[str, Any]
    published: Pretrained | None = None


def read(path: str | Path, published: Pretrained | None = None) -> WeightFile:
    """Read a file of weights: .safetensors, PyTorch's .pth or .pt, or the folder of a finished run.

    The content decides, not the name. PyTorch's files are pickles: they are read with `weights_only=True`, and rejected
    if they contain anything but tensors. From a training script's checkpoint only the weights are used.

    Args:
        path: the file or folder.
        published: what is known of it, if that is known already.

    Raises:
        CheckpointError: if there is no such file, it is damaged, rejected, or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        path = _of_run(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"can't read the weights {path}: {error.strerror}.") from error
    header: dict[str, Any] = {}
    if start[8:] == b"{":
        content, header = _safetensors(path)
    elif start.startswith((b"PK", b"\x80")):
        content = _state_dict(_torch(path, zipped=start.startswith(b"PK")))
    else:
        raise CheckpointError(f"{path} holds no weights: it is neither a safetensors file nor one of PyTorch's.")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no weights: expected a state dict, tensors by parameter name.")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path} can't be used: {name} holds NaN or infinite numbers.")
    return WeightFile(path, tensors, header, published or described(path))


def _of_run(folder: Path) -> Path:
    """Return the path of the final weights in a run's folder."""
    if (folder / "model.safetensors").exists():
        return folder / "model.safetensors"
    if (folder / "run.json").exists():
        raise CheckpointError(f"{folder} is not finished; finish it first: striate train --resume {folder}")
    raise CheckpointError(f"{folder} is a folder and no run: name a file of weights in it.")


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("striate", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118  (not a dictionary)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error


def _torch(path: Path, zipped: bool) -> Any:
    """Load the value of a PyTorch file."""
    if zipped and not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is damaged: it ends too early.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch.save did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        if type(error).__name__ != "UnpicklingError":
            raise CheckpointError(f"{path} is damaged, or no file of weights: {_first_line(error)}.") from error
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({wanted[1]})" if wanted else ""
        raise CheckpointError(
            f"{path} is rejected: it contains more than tensors{what}, and a pickle can run "
            "anything. If you trust where it comes from, load it yourself and save the tensors alone: "
            "torch.save(model.state_dict(), path)."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _state_dict(value: Any) -> dict[str, Any]:
    """Find the weights in a training script's checkpoint."""
    while isinstance(value, Mapping):
        inner = next((value[key] for key in WRAPPERS if isinstance(value.get(key), Mapping)), None)
        if inner is None:
            return dict(value)
        value = inner
    return {}
