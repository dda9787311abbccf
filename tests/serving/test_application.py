"""The service over HTTP: answers, refusals that name the field, limits, the token, headers, metrics and the log."""

import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_service import CLASSES, PREPROCESS, Brightness, Client, network, picture, serving

from striate.data.images.any_image import prepare_any
from striate.serving.openapi import document
from striate.serving.service import Service
from striate.serving.settings import Settings

Served = tuple[Client, Service, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(max_body=200_000, max_images=5) as made:
        yield made


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    return served[0]


def form(*files: bytes, names: tuple[str, ...] = ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png")) -> bytes:
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in zip(names, files, strict=False)
    ]
    return b"".join(parts) + b"--xyz--\r\n"


FORM = "multipart/form-data; boundary=xyz"


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "IMAGE/PNG; charset=x", "application/octet-stream", None])
def test_predict_takes_the_bytes_of_an_image(client: Client, kind: str | None) -> None:
    status, answer = client.post("/predict", picture(255), kind)
    assert status == 200
    assert answer["model"] == "brightness"
    (found,) = answer["predictions"]
    assert (found["path"], found["class"], found["calibrated"]) == ("image 1", "<b>light</b>", False)
    assert list(found["probabilities"]) == ["<b>light</b>", "grey", "dark"]
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert set(answer["milliseconds"]) == {"decode", "wait", "compute", "total"}


def test_predict_takes_several_images_in_order(client: Client) -> None:
    status, answer = client.post("/predict?top=1", form(picture(0), picture(255, kind="JPEG"), picture(128)), FORM)
    assert status == 200
    found = answer["predictions"]
    assert [(each["path"], each["class"]) for each in found] == [
        ("a.png", "dark"), ("b.png", "<b>light</b>"), ("c.png", "grey"),
    ]  # fmt: skip
    assert [len(each["probabilities"]) for each in found] == [1, 1, 1]


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "field", "reason"),
    [
        ("/predict", b"", "image/png", 400, "images", "no image"),
        ("/predict", b"hello", "image/png", 400, "images[0]", "not an image"),
        ("/predict", picture()[:-30], "image/png", 400, "images[0]", "truncated|damaged"),
        ("/predict", form(picture(), b"no", picture()), FORM, 400, "images[1]", "not an image"),
        ("/predict", form(*[picture()] * 6), FORM, 413, "images", "more than 5 images"),
        ("/predict", form(picture())[:-20], FORM, 400, "body", "ends too early"),
        ("/predict", b"nothing of it", FORM, 400, "body", "is not multipart/form-data"),
        ("/predict", form(picture()), "multipart/form-data", 400, "Content-Type", "without a boundary"),
        ("/predict", picture(), "text/plain", 415, "Content-Type", "text/plain is no image"),
        ("/predict", bytes(200_001), "image/png", 413, "body", "larger than 200000 bytes"),
        ("/predict", picture(size=(3000, 3000)), "image/png", 413, "images[0]", "too large: 9 million pixels"),
        ("/predict?top=x", picture(), "image/png", 400, "top", "a number from 1 on"),
        ("/predict?top=0", picture(), "image/png", 400, "top", "a number from 1 on"),
        ("/predict?coverage=2", picture(), "image/png", 400, "coverage", "from 0.5 to 0.99"),
        ("/predict?coverage=0.9", picture(), "image/png", 400, "coverage", "are not calibrated"),
        ("/predict?tpo=3", picture(), "image/png", 400, "tpo", "no such parameter"),
        ("/explain", picture(), "image/png", 404, None, "an exported file is served"),
        ("/nowhere", b"", None, 404, "path", "nothing at this address"),
        ("/metrics", b"", None, 405, "method", "other methods"),
        ("/v2/models/other/infer", b"{}", None, 404, "path", "nothing at this address"),
    ],
)
def test_what_is_wrong_is_refused_and_the_field_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, kind: str | None, status: int,
    field: str | None, reason: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("STRIATE_MAX_PIXELS", "5000000")
    found, answer = client.post(path, body, kind)
    assert found == status
    assert answer.get("field") == field
    assert re.search(reason, answer["error"])
    assert "\n" not in answer["error"]


def test_a_compressed_body_is_refused(client: Client) -> None:
    status, answer = client.post("/predict", picture(), Content_Encoding="gzip")
    assert (status, answer["field"]) == (415, "Content-Encoding")


def test_a_body_without_a_length_is_limited_while_it_comes(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_what_is_not_http_is_refused(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(b"hello\r\n\r\n")
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_endless_headers_end_the_connection(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012
            for _ in range(1000):
                connection.sendall(bytes(b"a" * 10_000))
            connection.recv(1)


def test_the_protocols_addresses(client: Client) -> None:
    assert json.loads(client.get("/v2")[2])["extensions"] == ["binary_tensor_data"]
    assert json.loads(client.get("/v2/health/live")[2]) == {"live": True}
    assert json.loads(client.get("/v2/health/ready")[2])["ready"]
    assert client.get("/v2/models/brightness/ready")[0] == 200
    told = json.loads(client.get("/v2/models/brightness")[2])
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 4, 4, 1]}]
    assert [each["shape"] for each in told["outputs"]] == [[-1, 3], [-1, 3]]
    assert told["parameters"] == {"classes": list(CLASSES)}


def test_pages_are_escaped_and_run_nothing_from_elsewhere(client: Client) -> None:
    status, headers, page = client.get("/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"<more>" not in page
    assert b"<b>" not in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("path", ["/", "/v2", "/metrics", "/openapi.json", "/nowhere"])
def test_no_cookies_and_nothing_for_other_origins(client: Client, path: str) -> None:
    _, headers, _ = client.get(path, Origin="https://elsewhere.example", Cookie="a=b")
    assert "set-cookie" not in headers
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_metrics_and_one_line_of_log_a_request(served: Served) -> None:
    client, _, lines = served
    client.post("/predict", form(picture(), picture()), FORM)
    client.get("/../../etc/passwd%0aadmin")
    while not lines or lines[-1]["path"] != "/../../etc/passwd\nadmin":  # a line is written after its answer
        time.sleep(0.001)
    told, odd = [line for line in lines if line["event"] == "request"][-2:]
    assert {name: told[name] for name in ("method", "path", "status", "images", "client")} == {
        "method": "POST", "path": "/predict", "status": 200, "images": 2, "client": "127.0.0.1",
    }  # fmt: skip
    assert odd["status"] == 404
    text = client.get("/metrics")[2].decode()
    assert 'striate_requests_total{path="/predict",status="200"}' in text
    assert 'striate_requests_total{path="other",status="404"}' in text
    assert "passwd" not in text
    assert re.search(r"^striate_waiting_images 0.0$", text, re.M)
    assert re.search(r"^striate_images_total [1-9]", text, re.M)


def test_the_token_is_asked_for_everywhere_but_for_health() -> None:
    with serving(token="sesame-1") as (client, _, lines):
        assert client.get("/v2/health/live")[0] == client.get("/v2/health/ready")[0] == 200
        for path in ("/", "/metrics", "/openapi.json", "/v2", "/nowhere"):
            status, headers, content = client.get(path)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert json.loads(content)["field"] == "Authorization"
        for wrong in ("sesame-1", "Bearer", "Bearer sesame-", "Bearer sesame-11", "Basic sesame-1", "Bearer \xe9"):
            assert client.get("/v2", Authorization=wrong)[0] == 401
        assert client.get("/v2", Authorization="bearer sesame-1")[0] == 200
        assert client.post("/predict", picture(), Authorization="Bearer sesame-1")[0] == 200
        assert "sesame" not in json.dumps(lines)
        secured = json.loads(client.get("/openapi.json", Authorization="Bearer sesame-1")[2])
        assert secured["security"] == [{"token": []}]


def test_a_full_queue_answers_503_and_then_goes_on() -> None:
    go, reached = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        go.wait()

    with serving(network(Brightness(wait)), queue=2) as (client, service, _):
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(client.post("/predict", picture())[0]))]
        threads[0].start()
        assert reached.wait(20)
        for count in (1, 2):
            threads.append(threading.Thread(target=lambda: answers.append(client.post("/predict", picture())[0])))
            threads[-1].start()
            while service.batcher.waiting < count:
                time.sleep(0.001)
        status, headers, content = client.ask("POST", "/predict", picture())
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert "2 images are waiting" in json.loads(content)["error"]
        go.set()
        for each in threads:
            each.join()
        assert answers == [200, 200, 200]
        assert client.post("/predict", picture())[0] == 200


def test_what_waits_past_the_timeout_is_answered_503_and_not_computed() -> None:
    engine = Brightness(lambda: time.sleep(0.2))
    with serving(network(engine), timeout=0.1) as (client, service, _):
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/predict", picture())[0])) for _ in range(2)
        ]
        threads[0].start()
        while len(engine.batches) < 9:  # 8 at the start
            time.sleep(0.001)
        threads[1].start()
        for each in threads:
            each.join()
        assert sorted(answers) == [200, 503]
        assert len(engine.batches) == 9
        assert service.batcher.waiting == 0


def test_an_engine_that_breaks_is_an_answer_of_500_that_tells_nothing() -> None:
    def broken() -> None:
        raise RuntimeError("secret")

    with serving(network(Brightness(broken))) as (client, service, lines):
        status, answer = client.post("/predict", picture())
        assert status == 500
        assert "secret" not in answer["error"]
        assert [line["exception"] for line in lines if line["event"] == "error"] == ["RuntimeError: secret"]
        assert service.batcher.waiting == 0
        assert service.batcher.computing == 0


def test_leaving_is_told_by_readiness_before_connections_end() -> None:
    with serving() as (client, service, _):
        service.ready = False
        status, headers, _ = client.get("/v2/health/ready")
        assert (status, headers["connection"]) == (503, "close")
        assert client.get("/v2/health/live")[0] == 200
        assert client.post("/predict", picture())[0] == 200


def test_the_description_has_every_address(served: Served) -> None:
    client, service, _ = served
    told = json.loads(client.get("/openapi.json")[2])
    assert told == document(service.network, Settings(max_body=200_000, max_images=5))
    assert set(told["paths"]) == {
        "/", "/predict", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/brightness",
        "/v2/models/brightness/ready", "/v2/models/brightness/infer", "/metrics", "/openapi.json",
    }  # fmt: skip
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told)):
        assert reference in told["components"]["schemas"]
    for path, methods in told["paths"].items():
        if "get" in methods:
            assert client.get(path)[0] == 200


def test_pixels_are_those_of_predict(client: Client) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    own = Brightness().logits(prepare_any(file.getvalue(), PREPROCESS)[None])[0]
    found = client.post("/predict", file.getvalue())[1]["predictions"][0]["probabilities"]
    expected = np.exp(own.astype(float)) / np.exp(own.astype(float)).sum()
    assert [found[name] for name in CLASSES] == pytest.approx(expected.tolist(), rel=1e-6)
