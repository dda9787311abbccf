"""Engines: programs that compute the logits of a network, PyTorch, ONNX Runtime or OpenVINO, behind one interface."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import torch
from torch import nn

from striate.errors import ArgumentError, unknown
from striate.inference.exported_file import FORMAT, Card, ExportedFile, FileEngine
from striate.inference.predictor import Predictor
from striate.preprocess import Preprocess
from striate.types import Precision
from striate.version import __version__

TORCH, ONNXRUNTIME, OPENVINO = "torch", "onnxruntime", "openvino"
ENGINES = (TORCH, ONNXRUNTIME, OPENVINO)


class Engine(Protocol):
    """Something that computes the logits of one network.

    Args:
        name: "torch", "onnxruntime" or "openvino".
        precision: of its products: "float32", "bfloat16" or "int8".
    """

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute logits, float32 (N, classes), of images of the network's own size, uint8 (N, height, width, C)."""
        ...


class TorchEngine:
    """PyTorch, by a `Predictor`; see `Engine`."""

    name = TORCH

    def __init__(self, module: nn.Module, preprocess: Preprocess, device: torch.device | str, precision: Precision):
        self._predictor = Predictor(module, preprocess, device, precision)
        self.precision: str = precision

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Compute; see `Engine.logits`."""
        return self._predictor(torch.from_numpy(pixels)).numpy()

    def prepare(self, pixels: np.ndarray) -> None:
        """Make the fast program for batches of this shape now, and not after several."""
        self._predictor.prepare(torch.from_numpy(pixels))


def engine_of(
    name: str,
    module: nn.Module,
    preprocess: Preprocess,
    classes: Sequence[str],
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> Engine:
    """Make a network's engine of this name.

    Args:
        name: one of `ENGINES`.
        module: from float32 (N, C, H, W) to logits (N, classes).
        preprocess: how images become its input.
        classes: the names of its outputs.
        device: for PyTorch; the others compute on the CPU.
        precision: "float32" or "bfloat16".

    Raises:
        ArgumentError: for another name, a device or precision that it does not have, or if it is not installed.
        ExportError: if PyTorch can't export the network for it.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ("auto", *ENGINES))
    if name == TORCH:
        return TorchEngine(module, preprocess, device, precision)
    if torch.device(device).type != "cpu":
        raise ArgumentError(f"engine={name} computes on the CPU: leave out the device, or take engine=torch.")
    check_installed(name)
    content = _exported(module, preprocess, classes)
    return FileEngine(ExportedFile.of(content, f"engine={name}", None, name, precision), precision)


def installed(precision: Precision = "float32") -> tuple[str, ...]:
    """The engines that are installed and compute in this precision on a CPU."""
    able = (TORCH, OPENVINO) if precision == "bfloat16" else ENGINES
    return tuple(name for name in able if name == TORCH or all(map(find_spec, ("onnx", "onnxscript", name))))


def check_installed(name: str) -> None:
    """Check that a network can be exported for an engine.

    Raises:
        ArgumentError: naming the extra that brings it.
    """
    for package in ("onnx", "onnxscript", name):
        if find_spec(package) is None:
            extra = "openvino" if name == OPENVINO else "onnx"
            raise ArgumentError(f"engine={name} needs the package {package}: pip install 'striate[{extra}]'.")


def _exported(module: nn.Module, preprocess: Preprocess, classes: Sequence[str]) -> bytes:
    """The network for images of its own size, as an ONNX file."""
    from striate.inference.onnx_graph import exported

    card = Card(
        format=FORMAT, striate=__version__, model="the network", input="tensor", classes=tuple(classes),
        preprocess=preprocess,
    )  # fmt: skip
    return exported(module, card)
