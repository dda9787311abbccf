"""Addresses of the service, and what all share: the token, errors as JSON, headers, one line of log a request."""

import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from striate.serving import protocol
from striate.serving.bodies import Receiver
from striate.serving.endpoints import Explaining, Front, Predicting
from striate.serving.monitoring import CONTENT_TYPE, Log, write
from striate.serving.openapi import document
from striate.serving.responses import HEADERS, RefusedError, json_response, refusal
from striate.serving.service import Service
from striate.version import __version__

OPEN = ("/v2/health/live", "/v2/health/ready")  # without the token: those who ask are not told it


class Endpoints:
    """The answers at all addresses of a service.

    Args:
        service: the service.
        log: writes a line.
    """

    def __init__(self, service: Service, log: Log):
        self.service, self.network = service, service.network
        self.receiver = Receiver(service.settings)
        self.explaining = Explaining(self.network, self.receiver)
        self.front = Front(self.network, self.explaining.run, log)

    def routes(self) -> list[Route]:
        """The addresses."""
        model = f"/v2/models/{self.network.name}"
        return [
            Route("/predict", _endpoint(Predicting(self.service, self.receiver)), methods=["POST"]),
            Route(f"{model}/infer", self.infer, methods=["POST"]),
            Route("/explain", _endpoint(self.explaining), methods=["POST"]),
            Route("/", _endpoint(self.front)),
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.is_ready),
            Route(model, self.model),
            Route(f"{model}/ready", self.is_ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]

    async def infer(self, request: Request) -> Response:
        """Answer a request of the Open Inference Protocol."""
        self.service.batcher.check()
        body = await self.receiver.receive(request)
        try:
            asked, binary = protocol.parsed(body, request.headers.get(protocol.LENGTH))
            outputs = protocol.chosen_outputs(asked)
            count, load = protocol.images_of(self.network, asked, binary)
            if count > (most := self.service.settings.max_images):
                raise RefusedError(413, f"{count} images, and a request may have {most}.", "inputs.0.shape")
            if not count:
                raise RefusedError(400, "no image: the first number is how many there are.", "inputs.0.shape")
            request.scope["images"] = count
            answer = await self.service.answer(count, load)
        finally:
            self.receiver.release(len(body))
        content, length = protocol.encoded(self.network, asked, answer, outputs)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={protocol.LENGTH: str(length)}, media_type="application/octet-stream")

    async def server(self, request: Request) -> Response:
        """What the protocol tells of the server."""
        return json_response({"name": "striate", "version": __version__, "extensions": [protocol.EXTENSION]})

    async def live(self, request: Request) -> Response:
        """Tell that the process lives."""
        return json_response({"live": True})

    async def is_ready(self, request: Request) -> Response:
        """Tell whether requests are welcome: until the service is told to end."""
        ready = self.service.ready
        return json_response({"name": self.network.name, "ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """What the protocol tells of the network."""
        return json_response(protocol.metadata(self.network))

    async def metrics(self, request: Request) -> Response:
        """Metrics for Prometheus."""
        return Response(self.service.measures.text(), headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """A description of all this for programs."""
        return json_response(document(self.network, self.service.settings))


def _endpoint(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A function that starlette takes for an endpoint: it takes other objects for applications."""

    async def endpoint(request: Request) -> Response:
        return await answer(request)

    return endpoint


def application(service: Service, log: Log = write) -> ASGIApp:
    """The service as an ASGI application.

    Args:
        service: not yet started.
        log: writes a line.
    """
    endpoints = Endpoints(service, log)

    @asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()
        endpoints.explaining.stop()

    router = Router(endpoints.routes(), redirect_slashes=False, lifespan=lifespan)
    return Around(router, service, log)


class Around:
    """Wraps an application: checks the token, adds headers, logs and counts.

    Args:
        router: the application.
        service: whose requests they are.
        log: writes a line.
    """

    def __init__(self, router: Router, service: Service, log: Log):
        self._router, self._service, self._log = router, service, log
        self._paths = {route.path for route in router.routes if isinstance(route, Route)}
        token = service.settings.token
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._router(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message["headers"])
            await send(message)

        try:
            if self._token is not None and scope["path"] not in OPEN:
                self._check(scope)
            scope["app"] = self  # or starlette answers unknown addresses by itself
            await self._router(scope, receive, sending)
        except HTTPException as error:
            await _without_address(error)(scope, receive, sending)
        except RefusedError as error:
            await refusal(error)(scope, receive, sending)
        except Exception as error:
            self._log("error", path=scope["path"], exception=f"{type(error).__name__}: {error}")
            if not status:
                await refusal(RefusedError(500, "a fault of the service; its log tells more."))(scope, receive, sending)
        finally:
            self._tell(scope, status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        """Check the token.

        Raises:
            RefusedError: if the request does not carry it.
        """
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token or b""):
            raise RefusedError(401, "expected the service's token, as in Authorization: Bearer TOKEN.", "Authorization")

    def _add_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        there = {name.lower() for name, _ in headers}
        headers += [(name, value) for name, value in HEADERS.items() if name not in there]
        if not self._service.ready:
            headers.append((b"connection", b"close"))

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._service.measures.request(path, status, seconds)
        client = scope["client"]
        self._log(
            "request", method=scope["method"], path=scope["path"], status=status, milliseconds=round(1000 * seconds, 2),
            images=scope.get("images", 0), client=client[0] if client else None,
        )  # fmt: skip


def _without_address(error: HTTPException) -> Response:
    """The response to a request for an address that does not exist, or not for this method."""
    reason = (
        "there is nothing at this address; /openapi.json lists what there is." if error.status_code == 404
        else "this address takes other methods, see the header Allow."
    )  # fmt: skip
    response = refusal(RefusedError(error.status_code, reason, "path" if error.status_code == 404 else "method"))
    response.headers.update(error.headers or {})
    return response
