"""Open Inference Protocol v2 over HTTP: tensors in, tensors out, as JSON or with the binary tensor data extension.

Sources: github.com/kserve/open-inference-protocol (inference_rest.md), and the extension's page in the documentation of
Triton Inference Server.

The network's one input is `image`: UINT8 (N, height, width, channels) of its own size; or BYTES (N), the contents of
image files of any size, as binary data alone. Its outputs are `logits` and `probabilities`, FP32 (N, classes).
"""

import json
import math
import struct
from collections.abc import Callable
from itertools import chain
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from striate.serving.network import Network
from striate.serving.responses import RefusedError
from striate.serving.service import Answer

EXTENSION = "binary_tensor_data"
LENGTH = "Inference-Header-Content-Length"  # the header: bytes of JSON before the binary data
INPUT = "image"
OUTPUTS = ("logits", "probabilities")
_NAME = Annotated[str, Field(max_length=200)]
_MOST_INPUTS = 1


class _Parameters(BaseModel):
    model_config = ConfigDict(strict=True)

    binary_data_size: NonNegativeInt | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None


class _Input(BaseModel):
    model_config = ConfigDict(strict=True)

    name: _NAME
    shape: Annotated[list[NonNegativeInt], Field(max_length=8)]
    datatype: _NAME
    parameters: _Parameters = _Parameters()
    data: Any = None


class _Output(BaseModel):
    model_config = ConfigDict(strict=True)

    name: _NAME
    parameters: _Parameters = _Parameters()


class Infer(BaseModel):
    """A request for inference: the JSON of it."""

    model_config = ConfigDict(strict=True)

    id: _NAME | None = None
    parameters: _Parameters = _Parameters()
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=_MOST_INPUTS)]
    outputs: Annotated[list[_Output], Field(max_length=16)] | None = None


def metadata(network: Network) -> dict[str, Any]:
    """The protocol's description of a network."""
    shapes = {INPUT: ("UINT8", network.shape)} | {name: ("FP32", (len(network.classes),)) for name in OUTPUTS}
    tensors = {name: {"name": name, "datatype": kind, "shape": [-1, *shape]} for name, (kind, shape) in shapes.items()}
    return {
        "name": network.name,
        "platform": f"striate_{network.engine.name}",
        "inputs": [tensors[INPUT]],
        "outputs": [tensors[name] for name in OUTPUTS],
        "parameters": {"classes": list(network.classes)},
    }


def parsed(body: bytes, json_length: str | None) -> tuple[Infer, bytes]:
    """The JSON of a request and the binary data after it.

    Args:
        body: the bytes.
        json_length: the header that says how many of them are JSON; `None` if all are.

    Raises:
        RefusedError: naming the field, if it is not what the protocol asks for.
    """
    length = len(body)
    if json_length is not None:
        if not (json_length.isascii() and json_length.isdecimal() and int(json_length[:20]) <= len(body)):
            raise RefusedError(400, f"expected a number of bytes, at most the body's {len(body)}.", LENGTH)
        length = int(json_length)
    try:
        return Infer.model_validate_json(body[:length]), body[length:]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise RefusedError(400, f"{field}: {first['msg']}.", field) from error


def images_of(network: Network, request: Infer, binary: bytes) -> tuple[int, Callable[[], np.ndarray]]:
    """The number of a request's images, and a function that decodes them: uint8 (n, height, width, channels).

    Raises:
        RefusedError: naming the field, if they are not what the network takes.
    """
    (given,) = request.inputs
    if given.name != INPUT:
        raise RefusedError(400, f"no input has this name: the network's only one is '{INPUT}'.", "inputs.0.name")
    size = given.parameters.binary_data_size
    if (size or 0) != len(binary):
        raise RefusedError(400, f"{len(binary)} bytes follow the JSON.", "inputs.0.parameters.binary_data_size")
    if (size is None) == (given.data is None):
        raise RefusedError(400, "expected either data or binary data.", "inputs.0.data")
    if given.datatype == "BYTES":
        if size is None:
            raise RefusedError(400, "image files are taken as binary data alone.", "inputs.0.datatype")
        files = _elements(binary)
        if given.shape != [len(files)]:
            raise RefusedError(400, f"expected [{len(files)}], the number of image files.", "inputs.0.shape")
        return len(files), lambda: network.decoded(files, "inputs.0.data")
    if given.datatype != "UINT8":
        raise RefusedError(400, "expected UINT8 pixels, or BYTES, the contents of image files.", "inputs.0.datatype")
    if given.shape[1:] != list(network.shape):
        wanted = ", ".join(map(str, network.shape))
        raise RefusedError(400, f"expected [N, {wanted}], and not {given.shape}.", "inputs.0.shape")
    if size is not None and size != math.prod(given.shape):
        raise RefusedError(400, f"the shape has {math.prod(given.shape)} bytes, and not {size}.", "inputs.0.shape")
    if size is not None:
        return given.shape[0], lambda: np.frombuffer(bytearray(binary), np.uint8).reshape(given.shape)
    return given.shape[0], lambda: _pixels(given.data, given.shape)


def _elements(binary: bytes) -> list[bytes]:
    """The elements of a BYTES tensor, each after its length in four bytes."""
    found: list[bytes] = []
    place = 0
    while place < len(binary):
        length = struct.unpack_from("<I", binary, place)[0] if place + 4 <= len(binary) else len(binary)
        if place + 4 + length > len(binary):
            raise RefusedError(400, f"element {len(found)} ends after the data.", "inputs.0.data")
        found.append(binary[place + 4 : place + 4 + length])
        place += 4 + length
    return found


def _pixels(data: Any, shape: list[int]) -> np.ndarray:
    """Pixels of JSON numbers, in one list or nested as their shape is."""
    values, count = data, 1
    try:
        if not isinstance(values, list):
            raise TypeError
        for length in shape[:-1]:
            count *= length
            if not (values and isinstance(values[0], list)):
                break
            if len(values) != count or len(set(map(len, values))) != 1:
                raise ValueError
            values = list(chain.from_iterable(values))
        pixels = bytearray(values)  # which engines may write to, and so don't warn of
    except (TypeError, ValueError):
        raise RefusedError(400, "expected integers from 0 to 255, in the tensor's shape.", "inputs.0.data") from None
    if len(pixels) != math.prod(shape):
        raise RefusedError(400, f"expected {math.prod(shape)} numbers, and not {len(pixels)}.", "inputs.0.data")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def chosen_outputs(request: Infer) -> dict[str, bool]:
    """The outputs that a request asks for, and whether each is wanted as binary data.

    Raises:
        RefusedError: for one that there is not.
    """
    by_default = bool(request.parameters.binary_data_output)
    chosen = {}
    for place, each in enumerate(request.outputs or []):
        if each.name not in OUTPUTS:
            raise RefusedError(
                400, f"no output has this name: there are {' and '.join(OUTPUTS)}.", f"outputs.{place}.name"
            )
        own = each.parameters.binary_data
        chosen[each.name] = by_default if own is None else own
    return chosen or dict.fromkeys(OUTPUTS, by_default)


def encoded(network: Network, request: Infer, answer: Answer, outputs: dict[str, bool]) -> tuple[bytes, int | None]:
    """The body of an answer, and how many bytes of it are JSON; `None` if all are."""
    tensors: list[dict[str, Any]] = []
    binary = []
    for name, is_binary in outputs.items():
        values = (answer.logits if name == "logits" else answer.probabilities).astype("<f4")
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if is_binary:
            binary.append(values.tobytes())
            tensor["parameters"] = {"binary_data_size": values.nbytes}
        else:
            tensor["data"] = [value if math.isfinite(value) else None for value in values.ravel().tolist()]
        tensors.append(tensor)
    told = {"model_name": network.name, "outputs": tensors} | ({} if request.id is None else {"id": request.id})
    header = json.dumps(told, separators=(",", ":")).encode()
    return header + b"".join(binary), len(header) if binary else None
