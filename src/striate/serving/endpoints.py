"""Endpoints of Striate's own: `POST /predict`, `POST /explain` and the page at `/`; protocol.py has the others.

Explanations take seconds. One thread makes them, one after the other, beside the engine; few may wait.
"""

import asyncio
import io
import math
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from striate.errors import StriateError
from striate.evaluation.prediction import predictions_of
from striate.files import read_regular
from striate.serving.bodies import Receiver, files_of
from striate.serving.monitoring import Log
from striate.serving.network import Network
from striate.serving.responses import RefusedError, busy, html_response, json_response
from striate.serving.service import Service

if TYPE_CHECKING:
    from striate.runs import Trained


TOP = 5  # classes that are listed unless `top` says otherwise


class Predicting:
    """`POST /predict`: classes and probabilities of image files, as `striate predict --json` prints them.

    Args:
        service: answers.
        receiver: of bodies.
    """

    def __init__(self, service: Service, receiver: Receiver):
        self._service, self._receiver = service, receiver
        self._network = service.network

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        top, coverage = self._parameters(request)
        self._service.batcher.check()
        body = await self._receiver.receive(request)
        try:
            kind = request.headers.get("content-type", "")
            names, files = files_of(kind, body, self._service.settings.max_images)
            request.scope["images"] = len(files)
            answer = await self._service.answer(len(files), partial(self._network.decoded, files, "images"))
        finally:
            self._receiver.release(len(body))
        network, calibrated = self._network, self._network.uncalibrated is None
        found = predictions_of(names, network.classes, answer.logits, answer.probabilities, top, calibrated)
        if coverage is not None:
            sets = network.sets(answer.logits, coverage)
            found = [
                replace(each, set=tuple(network.classes[place] for place in places), coverage=coverage)
                for each, places in zip(found, sets, strict=True)
            ]
        values = {"model": network.name, "predictions": [each.to_dict() for each in found]}
        return json_response({**values, "milliseconds": answer.milliseconds})

    def _parameters(self, request: Request) -> tuple[int, float | None]:
        """The number of classes to list, and the coverage of prediction sets if they are asked for."""
        values = known_parameters(request, ("coverage", "top"))
        most = len(self._network.classes)
        try:
            top = min(int(values.get("top", TOP)), most)
        except ValueError:
            top = 0
        if top < 1:
            raise RefusedError(400, "expected how many classes to list, a number from 1 on.", "top")
        if "coverage" not in values:
            return top, None
        try:
            coverage = float(values["coverage"])
        except ValueError:
            coverage = math.nan
        if not 0.5 <= coverage <= 0.99:
            raise RefusedError(400, "expected a share from 0.5 to 0.99, such as 0.95.", "coverage")
        if self._network.uncalibrated:
            raise RefusedError(400, self._network.uncalibrated, "coverage")
        return top, coverage


def known_parameters(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """The parameters in a request's address.

    Raises:
        RefusedError: if one of them is not known.
    """
    if not request.scope["query_string"]:
        return {}
    values = dict(request.query_params)
    for name in values:
        if name not in known:
            raise RefusedError(400, f"no such parameter; there are {' and '.join(known)}.", name)
    return values


MOST = 4  # explanations that are being made or wait
SECONDS = 10.0  # that one takes, for those who are told to come back
LEAST = 224  # pixels of a PNG's shorter side
SHOWN = ("page", "grad-cam", "gradients")  # explanations


class Explaining:
    """`POST /explain`: the page of `striate explain` for an image, or one attribution as a PNG.

    Args:
        network: the network.
        receiver: of bodies.
    """

    def __init__(self, network: Network, receiver: Receiver):
        self._network, self._receiver = network, receiver
        self._thread: ThreadPoolExecutor | None = None
        self._asked = 0

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        trained = self._network.trained
        if trained is None:
            raise RefusedError(404, "an exported file is served, whose layers can't be looked into: serve the run.")
        shown = known_parameters(request, ("show",)).get("show", SHOWN[0])
        if shown not in SHOWN:
            raise RefusedError(400, f"expected one of {', '.join(SHOWN)}.", "show")
        if self._asked >= MOST:
            raise busy(f"{MOST} explanations are being made.", MOST * SECONDS)
        self._asked += 1
        try:
            body = await self._receiver.receive(request)
            try:
                _, (content,) = files_of(request.headers.get("content-type", ""), body, 1)
                request.scope["images"] = 1
                return await self._made(trained, content, shown)
            finally:
                self._receiver.release(len(body))
        finally:
            self._asked -= 1

    async def _made(self, trained: "Trained", content: bytes, shown: str) -> Response:
        def make() -> Response:
            pixels = self._network.decoded([content], "images")[0]
            if shown == "page":
                return html_response(_page(trained, content))
            return Response(_picture(trained, pixels, shown), media_type="image/png")

        return await self.run(make)

    async def run(self, make: Callable[[], Response]) -> Response:
        """Call a function in the thread that explains, which alone may use the network's module."""
        if self._thread is None:
            from striate.hardware import single_core_threads

            self._thread = single_core_threads(1, "striate-explaining")
        return await asyncio.get_running_loop().run_in_executor(self._thread, make)

    def stop(self) -> None:
        """End the thread, after what was asked for is made."""
        if self._thread is not None:
            self._thread.shutdown()


def _page(trained: "Trained", content: bytes) -> bytes:
    """The page about an image, without the run's training images, which are not asked for at every request."""
    from striate.reports import explain

    with tempfile.TemporaryDirectory(prefix="striate-serve-") as folder:
        path = Path(folder) / "explain.html"
        explain(replace(trained, run=None), content, out=path, device="cpu")  # type: ignore[arg-type]
        return read_regular(path)


def _picture(trained: "Trained", pixels: np.ndarray, shown: str) -> bytes:
    """An attribution of the predicted class laid over the image, uint8 (height, width, channels), as a PNG."""
    import torch

    from striate.inspection import grad_cam, integrated_gradients
    from striate.reports.pictures import blended

    way: Callable[..., torch.Tensor] = grad_cam if shown == "grad-cam" else integrated_gradients
    with trained.on(torch.device("cpu")) as module:
        images = trained.preprocess.normalize(torch.from_numpy(pixels)[None])
        try:
            values = way(module, images)
        except StriateError as error:  # a network without feature maps
            raise RefusedError(400, str(error), "show") from error
    image = Image.fromarray(blended(pixels, values[0] if values.dim() == 3 else values[0].sum(0)))
    times = -(-LEAST // min(image.size))
    file = io.BytesIO()
    image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


Run = Callable[[Callable[[], Response]], Awaitable[Response]]


class Front:
    """The page at `/`: that of `striate export --to web`, or a plain one; made when it is first asked for.

    Args:
        network: the network.
        run: calls a function in the thread that may use the network's module.
        log: writes a line.
    """

    def __init__(self, network: Network, run: Run, log: Log):
        self._network, self._run, self._log = network, run, log
        self._page: Response | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        async with self._lock:  # it is made once
            if self._page is None:
                self._page = await self._made()
        return Response(self._page.body, headers=dict(self._page.headers))

    async def _made(self) -> Response:
        trained = self._network.trained
        if trained is None:
            return plain_page(self._network)
        try:
            return await self._run(lambda: web_page(trained))
        except StriateError as error:  # ONNX is not installed, or PyTorch can't export the network
            self._log("plain page", reason=str(error))
            return plain_page(self._network)


def web_page(trained: "Trained") -> Response:
    """The page in which the network runs in the browser.

    Raises:
        StriateError: if it can't be exported.
    """
    from striate.exporting.exporter import card_of
    from striate.exporting.web import page
    from striate.exporting.web.page import examples_of

    made = page(trained, card_of(trained), examples_of(trained))
    policy = f"{made.policy}; frame-ancestors 'none'"
    return Response(made.content, headers={"Content-Security-Policy": policy}, media_type="text/html")


def plain_page(network: Network) -> Response:
    """The plain page: the network that is served, and commands that ask it."""
    title, name = escape(network.title), escape(network.name)
    classes = escape(", ".join(network.classes[:20])) + (" …" if len(network.classes) > 20 else "")
    return html_response(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name} · Striate</title>
<style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui;max-width:40rem;margin:2rem auto;padding:0 1rem}}
pre{{overflow:auto;padding:.75rem;border:1px solid;border-radius:.4rem}}</style></head>
<body><main><h1>{title}</h1>
<p>{len(network.classes)} classes: {classes}.</p>
<pre>curl --data-binary @photo.jpg http://HOST:PORT/predict</pre>
<p><a href="/openapi.json">All that can be asked</a></p></main></body></html>"""
    )
