"""The process: its socket, its signals, and its end."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from striate.errors import ArgumentError
from striate.serving.application import application
from striate.serving.monitoring import Forwarding, Log, write
from striate.serving.network import Network
from striate.serving.responses import RefusedError, refusal
from striate.serving.service import Service
from striate.serving.settings import GRACE, KEPT_ALIVE, LINGER, Settings

MAX_HEAD = 2**16  # bytes of a request's headers
SIGNALS = (signal.SIGTERM, signal.SIGINT)
SWITCHING = 0.0005  # seconds after which a thread that computes in Python lets another one: by default 0.005


def bound(host: str, port: int) -> socket.socket:
    """A socket at a host's port; 0 takes a free one.

    Raises:
        ArgumentError: if the port is taken or not allowed, or there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ArgumentError(f"--host {host}: no such host ({error}).") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would take a port from another program
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ArgumentError(f"port {port} of {host} is taken: choose another one with --port.") from error
        raise ArgumentError(f"can't listen at port {port} of {host}: {error.strerror}.") from error
    return listener


class Protocol(HttpToolsProtocol):
    """HTTP of one connection, with a limit for the size of headers, which uvicorn does not set."""

    _head: int | None = None  # bytes of headers that are not complete; `None` while none are expected

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request's headers are there."""
        self._head = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        response = refusal(RefusedError(400, msg))
        headers = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + headers + b"connection: close\r\n\r\n" + response.body)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Read what has come, and end the connection if headers are too large."""
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.transport.abort()


class Server(uvicorn.Server):
    """A server that ends gracefully, with exit code 0.

    At the first SIGTERM or SIGINT it is not ready any more, and says in each answer that the connection ends. After
    `linger` seconds it takes no more connections, and ends when what it has accepted is answered. A second signal ends
    it at once.

    Args:
        config: of uvicorn.
        service: the service.
        listener: from `bound`.
        log: writes a line.
        linger: for how long connections are still accepted.
    """

    def __init__(
        self, config: uvicorn.Config, service: Service, listener: socket.socket, log: Log, linger: float = LINGER
    ):
        super().__init__(config)
        self._service, self._log, self._linger = service, log, linger
        self._listener = listener.dup()  # stays open when uvicorn closes its own, until all connections are accepted
        self._listener.setblocking(False)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals inside the block, where that is possible: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = {each: signal.signal(each, lambda *_: loop.call_soon_threadsafe(self.leave)) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def leave(self) -> None:
        """Begin to end; called once more, end at once."""
        if not self._service.ready:
            self.force_exit = self.should_exit = True
            return
        self._service.ready = False
        self._log("leaving")
        asyncio.get_running_loop().call_later(self._linger, setattr, self, "should_exit", True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and answer what was accepted."""
        with self._listener:
            for server in self.servers:
                server.close()
            await self._accept_waiting()
        await asyncio.sleep(self._linger / 2)  # what the last connections sent is read before idle ones are closed
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Accept all new connections ten times a second: the loop accepts one a turn, and under load turns are long."""
        await self._accept_waiting()
        return await super().on_tick(counter)

    async def _accept_waiting(self) -> None:
        """Accept the connections in the system's queue, which would be reset if the socket were closed."""
        loop, kind = asyncio.get_running_loop(), self.config.http_protocol_class
        connections = []
        with suppress(OSError):  # there are no more
            while True:
                connections.append(self._listener.accept()[0])

        def protocol() -> asyncio.Protocol:
            return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

        await asyncio.gather(*(loop.connect_accepted_socket(protocol, each) for each in connections))


def run(
    network: Network, settings: Settings, listener: socket.socket, begun: Callable[[str], None], log: Log = write
) -> None:
    """Serve a network until a signal comes.

    Args:
        network, settings: what to serve, and how.
        listener: from `bound`.
        begun: called with the service's address once it answers.
        log: writes a line.
    """
    service = Service(network, settings)
    config = uvicorn.Config(
        application(service, log), http=Protocol, log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws="none", lifespan="on", timeout_keep_alive=KEPT_ALIVE, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).handlers = [Forwarding(log)]
        logging.getLogger(name).propagate = False
    warnings.filterwarnings("ignore", module="PIL")  # what it remarks on damaged files
    sys.setswitchinterval(SWITCHING)
    server = Server(config, service, listener, log)

    async def serve() -> None:
        serving = asyncio.ensure_future(server.serve([listener]))
        while not (server.started or serving.done()):
            await asyncio.sleep(0.01)
        if server.started:
            host, port = listener.getsockname()[:2]
            begun(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await serving

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
    log("ended")
