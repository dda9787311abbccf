"""Programs that compute exported networks, ONNX Runtime and OpenVINO, behind one interface."""

import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import numpy as np

from striate.errors import ArgumentError, CheckpointError
from striate.hardware import cores
from striate.types import Precision

KEY = "striate"  # of a file's metadata
INPUT = "image"
OUTPUTS = ("logits", "probabilities")


class Runtime(Protocol):
    """An exported network, ready to compute.

    Args:
        engine: the name of the program that computes it.
        card: what the file says about itself, JSON, or `None` if it says nothing.
        inputs: the names of its inputs.
        widths: by output, the size of its last dimension; a name or -1 where it is free.
    """

    engine: str
    card: str | None
    inputs: list[str]
    widths: Mapping[str, Any]

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute logits and probabilities, float32 (N, classes), of uint8 (N, H, W, C)."""
        ...


class OnnxRuntime:
    """An ONNX file in ONNX Runtime, on the CPU; see `Runtime`.

    Raises:
        ArgumentError: if ONNX Runtime is not installed.
        CheckpointError: if the bytes are no ONNX file.
    """

    engine = "onnxruntime"

    def __init__(self, content: bytes, name: str):
        try:
            import onnxruntime
        except ImportError:
            raise ArgumentError(f"{name}: ONNX files need ONNX Runtime: pip install 'striate[onnx]'.") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised, too
        options.intra_op_num_threads = _threads()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class of their own
            raise CheckpointError(f"{name} is no ONNX file, or damaged: {_reason(error)}") from error
        self.card: str | None = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self.inputs: list[str] = [each.name for each in self._session.get_inputs()]
        self.widths: Mapping[str, Any] = {
            each.name: each.shape[-1] for each in self._session.get_outputs() if each.shape
        }

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute; see `Runtime.run`."""
        logits, probabilities = self._session.run(list(OUTPUTS), {INPUT: images})
        return logits, probabilities


class OpenVino:
    """An ONNX file, or a model in OpenVINO's own format, in OpenVINO, on the CPU; see `Runtime`.

    Args:
        content: an ONNX file, or the .xml file of OpenVINO's format.
        name: for messages.
        weights: the .bin file that belongs to the .xml file.
        precision: "bfloat16" for products in it, where the processor has them.

    Raises:
        ArgumentError: if OpenVINO is not installed.
        CheckpointError: if the bytes are no such file.
    """

    engine = "openvino"

    def __init__(self, content: bytes, name: str, weights: bytes | None = None, precision: Precision = "float32"):
        core = openvino_core(name)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],  # else the processor decides
            "INFERENCE_NUM_THREADS": _threads(),
        }
        try:
            model = core.read_model(model=content, weights=weights or b"")
            compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:  # RuntimeError, and what Python's bindings raise
            raise CheckpointError(f"{name} is no file that OpenVINO reads, or damaged: {_reason(error)}") from error
        self.card: str | None = _card(model)
        self.inputs: list[str] = [each.any_name for each in model.inputs]
        self.widths: Mapping[str, Any] = {
            each.any_name: _last(each.partial_shape) for each in model.outputs if each.names
        }
        self._request = compiled.create_infer_request()
        self._core = core
        self._model: Any = model
        self._settings = settings
        self._prepared: dict[tuple[int, ...], Any] = {}  # requests for batches of one shape
        self._lock = threading.Lock()  # a request computes one batch at a time

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute; see `Runtime.run`."""
        with self._lock:
            found = self._prepared.get(images.shape, self._request).infer({INPUT: images})
            logits, probabilities = (found[output] for output in OUTPUTS)
        return logits, probabilities

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Compile for images of this shape, (N, H, W, C): where shapes change, batches take more than twice as long."""
        with self._lock:
            if shape not in self._prepared:
                fixed = self._model.clone()
                fixed.reshape({INPUT: list(shape)})
                self._prepared[shape] = self._core.compile_model(fixed, "CPU", self._settings).create_infer_request()


def openvino_core(name: str) -> Any:
    """The process's own `openvino.Core`.

    Raises:
        ArgumentError: if OpenVINO is not installed.
    """
    try:
        return _core()
    except ImportError:
        raise ArgumentError(f"{name}: this needs OpenVINO: pip install 'striate[openvino]'.") from None


@cache
def _core() -> Any:
    """One for the life of the process.

    A core gives the thread that compiles a stack for its signal handlers, and takes it away in the thread that frees
    the core: if that is another one, the first one's next Ctrl-C would be a segmentation fault (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def _card(model: Any) -> str | None:
    place = ["framework", KEY]  # where OpenVINO keeps the metadata of the ONNX file that a model was made of
    return str(model.get_rt_info(place).astype(str)) if model.has_rt_info(place) else None


def _last(shape: Any) -> int:
    if shape.rank.is_dynamic or not len(shape) or shape[len(shape) - 1].is_dynamic:
        return -1
    return int(shape[len(shape) - 1].get_length())


def _threads() -> int:
    own = os.environ.get("OMP_NUM_THREADS", "")
    return int(own) if own.isdigit() and int(own) else cores()


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
