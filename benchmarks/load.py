"""Clients that load an HTTP service, as light as Python has them: sockets that send bytes made beforehand."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

Draw = Callable[[], bytes]  # the next request


@dataclass
class Load:
    """What clients saw.

    Args:
        seconds: how long they sent.
        statuses: how often each status came.
        times: seconds from request to answer, for each status.
        without_retry: answers of status 503 without Retry-After.
        lost: requests that were sent to the last byte and never answered.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times: dict[int, list[float]] = field(default_factory=dict)
    without_retry: int = 0
    lost: int = 0

    def per_second(self, status: int = 200) -> float:
        """Answers of a status in a second."""
        return self.statuses[status] / self.seconds


def request(address: str, path: str, kind: str, body: bytes, more: Sequence[tuple[str, object]] = ()) -> bytes:
    """A POST request as bytes; `more` are further headers."""
    headers = [("Host", address.removeprefix("http://")), ("Content-Type", kind), ("Content-Length", len(body)), *more]
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """One connection: sends a request at a time, and reports each answer.

    Args:
        load: where answers are counted.
        free: called after an answer, and when the connection is made; with False, it has ended.
    """

    def __init__(self, load: Load, free: Callable[["_Connection", bool], None]):
        self._load, self._free = load, free
        self._received = bytearray()
        self._began = 0.0  # 0 while no answer is awaited
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._free(self, True)

    def send(self, content: bytes) -> None:
        assert self.transport is not None
        self._began = time.monotonic()
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._received) < end + 4 + length or not self._began:
            return
        status = int(head[9:12])
        self._load.statuses[status] += 1
        self._load.times.setdefault(status, []).append(time.monotonic() - self._began)
        self._load.without_retry += status == 503 and b"\r\nretry-after:" not in head
        self._began = 0.0
        self._received.clear()
        if b"\r\nconnection: close" in head:
            assert self.transport is not None
            self.transport.close()
        else:
            self._free(self, True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost += bool(self._began)
        self._free(self, False)


async def steady(address: str, draw: Draw, clients: int, seconds: float) -> Load:
    """Load a service by clients that each send a request as soon as the last one is answered."""
    loop, load = asyncio.get_running_loop(), Load()
    host, _, port = address.removeprefix("http://").rpartition(":")
    end = time.monotonic() + seconds
    open_now: set[_Connection] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def connect() -> None:
        with suppress(OSError):  # the service has ended
            await loop.create_connection(lambda: _Connection(load, free), host, int(port))

    def begin() -> None:
        task = loop.create_task(connect())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def free(connection: _Connection, alive: bool) -> None:
        if alive:
            open_now.add(connection)
            if time.monotonic() < end:
                connection.send(draw())
            else:
                connection.transport.close()  # type: ignore[union-attr]
        else:
            open_now.discard(connection)
            if time.monotonic() < end:
                begin()

    began = time.monotonic()
    for _ in range(clients):
        begin()
    while tasks or open_now:
        await asyncio.sleep(0.02)
    load.seconds = min(seconds, time.monotonic() - began)
    return load


async def hasty(address: str, draw: Draw, rate: float, seconds: float, most: int = 2000) -> Load:
    """Load a service by so many requests a second, whatever becomes of them.

    Args:
        address, draw: as for `steady`.
        rate: requests a second.
        seconds: how long.
        most: connections; where all wait for an answer, a request is not sent.
    """
    loop, load = asyncio.get_running_loop(), Load()
    host, _, port = address.removeprefix("http://").rpartition(":")
    idle: list[_Connection] = []
    count = 0

    def free(connection: _Connection, alive: bool) -> None:
        nonlocal count
        if alive:
            idle.append(connection)
        else:
            count -= 1
            if connection in idle:
                idle.remove(connection)

    began, sent = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while sent < rate * now:
            if not idle:
                if count >= most:
                    break
                count += 1
                await loop.create_connection(lambda: _Connection(load, free), host, int(port))
            idle.pop().send(draw())
            sent += 1
        await asyncio.sleep(0.002)
    load.seconds = time.monotonic() - began
    while len(idle) < count:
        await asyncio.sleep(0.02)
    for each in list(idle):
        each.transport.close()  # type: ignore[union-attr]
    return load
