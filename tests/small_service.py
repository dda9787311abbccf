"""A service of a network that needs no training, at a port of its own, and a client for it."""

import asyncio
import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from striate.data.images.any_image import prepare_any
from striate.preprocess import Preprocess
from striate.serving.application import application
from striate.serving.network import Network
from striate.serving.server import Protocol, Server, bound
from striate.serving.service import Service
from striate.serving.settings import Settings

CLASSES = ("dark", "grey", "<b>light</b>")
PREPROCESS = Preprocess(4, 4, 1, "stretch")


class Brightness:
    """Engine whose logits say how bright an image is; `wait` is called before each batch."""

    name, precision = "torch", "float32"

    def __init__(self, wait: Callable[[], object] = lambda: None):
        self.wait = wait
        self.batches: list[int] = []

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(len(pixels))
        if len(self.batches) > 8:  # the first ones are those of the start
            self.wait()
        mean = pixels.reshape(len(pixels), -1).mean(axis=1, keepdims=True) / 255
        return (-20 * np.abs(mean - np.array([0, 0.5, 1]))).astype(np.float32)


def network(engine: Brightness | None = None) -> Network:
    calibration: dict[str, Any] = {"temperature": 1.0, "images": 0, "source": "", "quantiles": {}}
    return Network(
        "brightness", "brightness & <more>", CLASSES, PREPROCESS, engine or Brightness(), calibration,
        "The probabilities are not calibrated: nothing was.", prepare_any,
    )  # fmt: skip


def picture(value: int = 255, size: tuple[int, int] = (6, 5), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("L", size, value).save(file, kind)
    return file.getvalue()


class Client:
    """Requests to a service; each has a connection of its own."""

    def __init__(self, port: int):
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes, kind: str | None = "image/png", **headers: str) -> tuple[int, Any]:
        """Post a body: the status and the JSON of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, content = self.ask("POST", path, body, named | ({"Content-Type": kind} if kind else {}))
        return status, json.loads(content)


@contextmanager
def serving(served: Network | None = None, **settings: Any) -> Iterator[tuple[Client, Service, list[dict[str, Any]]]]:
    """A client, the service, and the lines of its log."""
    lines: list[dict[str, Any]] = []
    service = Service(served or network(), Settings(**settings))

    def log(event: str, **values: Any) -> None:
        lines.append({"event": event, **values})

    config = uvicorn.Config(
        application(service, log), log_config=None, access_log=False, server_header=False, ws="none", lifespan="on",
        http=Protocol, loop="asyncio",
    )  # fmt: skip
    listener = bound("127.0.0.1", 0)
    server = Server(config, service, listener, log, linger=0.02)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.005)
    try:
        yield Client(port), service, lines
    finally:
        server.should_exit = True
        thread.join()
