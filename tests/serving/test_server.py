"""The server accepts all connections that wait in the system's queue at once."""

import asyncio
import socket

import uvicorn
from small_service import network

from striate.serving.application import application
from striate.serving.server import Protocol, Server, bound
from striate.serving.service import Service
from striate.serving.settings import Settings


def test_connections_in_the_systems_queue_are_accepted_and_answered() -> None:
    def log(event: str, **values: object) -> None:
        pass

    service = Service(network(), Settings())
    config = uvicorn.Config(application(service, log), log_config=None, http=Protocol, lifespan="on", loop="asyncio")
    config.load()
    listener = bound("127.0.0.1", 0)
    server = Server(config, service, listener, log)
    server.lifespan = config.lifespan_class(config)

    async def answers() -> list[bytes]:
        await server.lifespan.startup()
        clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
        for client in clients:
            client.settimeout(10)
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n")
        await server._accept_waiting()  # nothing else accepts: the loop does not know the listener
        found = [await asyncio.to_thread(client.recv, 1000) for client in clients]
        for client in clients:
            client.close()
        await server._accept_waiting()  # an empty queue is none to wait for
        await server.lifespan.shutdown()
        return found

    found = asyncio.run(answers())
    server._listener.close()
    listener.close()
    assert [each.split(b"\r\n")[0] for each in found] == [b"HTTP/1.1 200 OK"] * 5
