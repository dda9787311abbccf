"""Fuzz target: requests to the service, from the bytes of HTTP to the images in them."""

import json
import socket
import struct
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from fuzz.harness import Target
from fuzz.mutations import mutated
from fuzz.readers import IMAGES
from hypothesis import strategies as st
from small_service import serving

from striate.serving.responses import RefusedError

_MODEL = "/v2/models/brightness/infer"
_FORM = "multipart/form-data; boundary=xyz"
_INPUT = {"name": "image", "shape": [1, 4, 4, 1], "datatype": "UINT8"}
_stack = ExitStack()  # never closed: the service's threads end with the process


def _request(path: str, kind: str, body: bytes, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def _binary(given: dict[str, object], binary: bytes) -> bytes:
    header = json.dumps({"inputs": [{**given, "parameters": {"binary_data_size": len(binary)}}]}).encode()
    length = f"Inference-Header-Content-Length: {len(header)}"
    return _request(_MODEL, "application/octet-stream", header + binary, length)


_FILES = [content for valid in IMAGES.values() for content in valid]
_PART = b'--xyz\r\nContent-Disposition: form-data; name="images"; filename="a"\r\nContent-Type: image/png\r\n\r\n'
_VALID = [
    _request("/predict?top=2", "image/png", IMAGES["PNG"][0]),
    _request("/predict", _FORM, _PART + IMAGES["PNG"][0] + b"\r\n" + _PART + IMAGES["JPEG"][0] + b"\r\n--xyz--\r\n"),
    _request(_MODEL, "application/json", json.dumps({"inputs": [{**_INPUT, "data": [7] * 16}]}).encode()),
    _binary(_INPUT, bytes(16)),
    _binary({**_INPUT, "shape": [1], "datatype": "BYTES"}, struct.pack("<I", len(_FILES[0])) + _FILES[0]),
    b"GET /v2/models/brightness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]


@st.composite
def _with_a_file(draw: st.DrawFn) -> bytes:
    """A sound request with a damaged image."""
    content = draw(mutated(_FILES))
    if draw(st.booleans()):
        return _request("/predict", "image/x", content)
    return _request("/predict", _FORM, _PART + content + b"\r\n--xyz--\r\n")


@st.composite
def _with_json(draw: st.DrawFn) -> bytes:
    """A request with JSON that is nearly what it should be."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    strange = st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
    )
    given = {**_INPUT, "data": [7] * 16, "parameters": {}}
    values = {"id": "a", "inputs": [given], "outputs": [{"name": "logits"}], "parameters": {}}
    changed = draw(st.sampled_from([given, values]))
    changed[draw(st.sampled_from(sorted(changed)))] = draw(strange)
    return _request(_MODEL, "application/json", json.dumps(values).encode("utf-8", "surrogatepass"))


@cache
def _port() -> int:
    """The port of a service for all inputs."""
    return _stack.enter_context(serving(max_body=2**20))[0].port


def _read(content: bytes, folder: Path) -> int:
    """Send a request, and return the status of the answer; 0 if the connection was ended without one."""
    with socket.create_connection(("127.0.0.1", _port()), timeout=20) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(2**16):
            answer += part
    status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    if 400 <= status < 500:
        raise RefusedError(status, "refused")
    return status


def _wrong(content: bytes, status: int) -> str:
    return "" if status in (0, 200) else f"status {status}"


TARGETS = (
    Target("request", mutated(_VALID), _read, _wrong),
    Target("request with an image", _with_a_file(), _read, _wrong),
    Target("request with JSON", _with_json(), _read, _wrong),
)
