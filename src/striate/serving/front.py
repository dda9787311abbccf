"""The page at `/`, for people: the one of `striate export --to web`, or a plain one where that can't be made."""

import asyncio
from collections.abc import Awaitable, Callable
from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from striate.errors import StriateError
from striate.serving.log import Log
from striate.serving.network import Network
from striate.serving.responses import html_response

if TYPE_CHECKING:
    from striate.runs import Trained

Run = Callable[[Callable[[], Response]], Awaitable[Response]]


class Front:
    """The page, made when it is first asked for.

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
