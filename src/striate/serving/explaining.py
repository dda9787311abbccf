"""`POST /explain`: the page of `striate explain` for an image, or one attribution as a PNG.

Explanations take seconds. One thread makes them, one after the other, beside the engine; few may wait.
"""

import asyncio
import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from striate.errors import StriateError
from striate.files import read_regular
from striate.serving.bodies import Receiver, files_of
from striate.serving.network import Network
from striate.serving.predicting import known_parameters
from striate.serving.refusals import RefusedError, busy
from striate.serving.responses import html_response

if TYPE_CHECKING:
    from striate.runs import Trained

MOST = 4  # explanations that are being made or wait
SECONDS = 10.0  # that one takes, for those who are told to come back
LEAST = 224  # pixels of a PNG's shorter side
SHOWN = ("page", "grad-cam", "gradients")


class Explaining:
    """The endpoint.

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
