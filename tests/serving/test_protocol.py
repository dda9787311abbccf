"""The Open Inference Protocol, against requests written by hand from its specification."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_service import Brightness, Client, picture, serving

PATH = "/v2/models/brightness/infer"
LENGTH = "Inference-Header-Content-Length"
PIXELS = np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1)
BINARY: dict[str, Any] = {"parameters": {"binary_data_size": 32}, "data": None}
FILES: dict[str, Any] = {"datatype": "BYTES", "data": None, "shape": [1]}
LOGITS = Brightness().logits(PIXELS)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(max_images=5) as (made, _, _):
        yield made


def tensor(**changes: Any) -> dict[str, Any]:
    values = {"name": "image", "shape": [2, 4, 4, 1], "datatype": "UINT8", "data": PIXELS.ravel().tolist()}
    return {name: value for name, value in (values | changes).items() if value is not None}


def test_json_in_and_out(client: Client) -> None:
    asked = {"id": "42", "model_name": "brightness", "inputs": [tensor()]}
    status, answer = client.post(PATH, json.dumps(asked).encode(), "application/json")
    assert status == 200
    assert (answer["id"], answer["model_name"]) == ("42", "brightness")
    logits, probabilities = answer["outputs"]
    assert (logits["name"], logits["datatype"], logits["shape"]) == ("logits", "FP32", [2, 3])
    assert np.array(logits["data"], np.float32).reshape(2, 3) == pytest.approx(LOGITS)
    assert np.array(probabilities["data"]).reshape(2, 3).sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize("nested", [PIXELS.tolist(), PIXELS.reshape(2, 16).tolist()])
def test_data_may_be_nested(client: Client, nested: Any) -> None:
    body = json.dumps({"inputs": [tensor(data=nested)], "outputs": [{"name": "logits"}]}).encode()
    status, answer = client.post(PATH, body, "application/json")
    assert status == 200
    assert [each["name"] for each in answer["outputs"]] == ["logits"]


def test_binary_in_and_out_by_hand(client: Client) -> None:
    header = (
        b'{"inputs":[{"name":"image","shape":[2,4,4,1],"datatype":"UINT8","parameters":{"binary_data_size":32}}],'
        b'"outputs":[{"name":"probabilities","parameters":{"binary_data":false}},'
        b'{"name":"logits","parameters":{"binary_data":true}}]}'
    )
    status, headers, content = client.ask(
        "POST", PATH, header + bytes(range(32)), {LENGTH: str(len(header)), "Content-Type": "application/octet-stream"}
    )
    assert status == 200
    length = int(headers[LENGTH.lower()])
    told, binary = json.loads(content[:length]), content[length:]
    assert [each["name"] for each in told["outputs"]] == ["probabilities", "logits"]
    assert told["outputs"][1] == {
        "name": "logits", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24},
    }  # fmt: skip
    assert len(told["outputs"][0]["data"]) == 6
    assert struct.unpack("<6f", binary) == pytest.approx(LOGITS.ravel().tolist())


def test_binary_output_of_all_by_a_parameter(client: Client) -> None:
    asked = {"inputs": [tensor()], "parameters": {"binary_data_output": True}}
    status, headers, content = client.ask("POST", PATH, json.dumps(asked).encode())
    assert status == 200
    length = int(headers[LENGTH.lower()])
    assert len(content) == length + 2 * 24
    logits = np.frombuffer(content[length : length + 24], "<f4").reshape(2, 3)
    assert np.array_equal(logits, LOGITS)


def test_image_files_of_any_size_are_elements_of_bytes(client: Client) -> None:
    files = [picture(0), picture(255, (40, 30), "JPEG")]
    binary = b"".join(struct.pack("<I", len(each)) + each for each in files)
    given = tensor(shape=[2], datatype="BYTES", data=None, parameters={"binary_data_size": len(binary)})
    header = json.dumps({"inputs": [given]}).encode()
    status, answer = client.post(PATH, header + binary, Inference_Header_Content_Length=str(len(header)))
    assert status == 200
    logits = np.array(answer["outputs"][0]["data"]).reshape(2, 3)
    assert logits.argmax(axis=1).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"[1]", 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b"\xff\xfe", 400, "body"),
        ({}, 400, "inputs"),
        ({"inputs": []}, 400, "inputs"),
        ({"inputs": [tensor(), tensor()]}, 400, "inputs"),
        ({"inputs": [tensor(name="x")]}, 400, "inputs.0.name"),
        ({"inputs": [tensor(datatype="FP32")]}, 400, "inputs.0.datatype"),
        ({"inputs": [tensor(datatype="BYTES", shape=[1], data=["a"])]}, 400, "inputs.0.datatype"),
        ({"inputs": [tensor(shape=[2, 16])]}, 400, "inputs.0.shape"),
        ({"inputs": [tensor(shape=[-2, 4, 4, 1])]}, 400, "inputs.0.shape.0"),
        ({"inputs": [tensor(shape=[0, 4, 4, 1], data=[])]}, 400, "inputs.0.shape"),
        ({"inputs": [tensor(shape=[6, 4, 4, 1], data=[0] * 96)]}, 413, "inputs.0.shape"),
        ({"inputs": [tensor(data=[0] * 31)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[256] * 32)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[-1] * 32)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[0.5] * 32)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=["0"] * 32)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[[0] * 31, [0]])]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[[0] * 31, 0])]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=[[0] * 16] * 3)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=10**12)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(data=None)]}, 400, "inputs.0.data"),
        ({"inputs": [tensor(parameters={"binary_data_size": 32})]}, 400, "inputs.0.parameters.binary_data_size"),
        ({"inputs": [tensor()], "outputs": [{"name": "x"}]}, 400, "outputs.0.name"),
        ({"inputs": [tensor()], "id": 7}, 400, "id"),
    ],
)
def test_what_is_wrong_is_refused_and_the_field_named(client: Client, asked: Any, status: int, field: str) -> None:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    found, answer = client.post(PATH, body, "application/json")
    assert (found, answer.get("field")) == (status, field), answer


@pytest.mark.parametrize(
    ("length", "binary", "changes", "field"),
    [
        ("x", b"", {}, LENGTH),
        ("-1", b"", {}, LENGTH),
        ("9" * 5000, b"", {}, LENGTH),
        ("99999", b"", {}, LENGTH),
        (None, bytes(31), BINARY, "inputs.0.parameters.binary_data_size"),
        (None, bytes(32), {**BINARY, "data": [0] * 32}, "inputs.0.data"),
        (None, bytes(16), {**BINARY, "parameters": {"binary_data_size": 16}}, "inputs.0.shape"),
        (None, b"\xff\xff\xff\xff", FILES | {"parameters": {"binary_data_size": 4}}, "inputs.0.data"),
        (None, b"\x01\0\0\0a", FILES | {"parameters": {"binary_data_size": 5}}, "inputs.0.data[0]"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(
    client: Client, length: str | None, binary: bytes, changes: dict[str, Any], field: str
) -> None:
    header = json.dumps({"inputs": [tensor(**changes)]}).encode()
    named = {"Inference_Header_Content_Length": length or str(len(header))}
    found, answer = client.post(PATH, header + binary, "application/octet-stream", **named)
    assert (found, answer["field"]) == (400, field), answer
