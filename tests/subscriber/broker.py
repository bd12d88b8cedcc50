"""Brokers over real WebSockets that do what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiohttp import web

from ..processes import PATIENCE

Serve: TypeAlias = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The broker's side of a connection."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket

    async def next(self) -> list[object]:
        """Return the next message of the subscriber."""
        message: list[object] = await self._socket.receive_json(timeout=PATIENCE)
        return message

    async def send(self, *fields: object) -> None:
        await self._socket.send_str(json.dumps(fields))

    async def welcome(self, session: int, **details: object) -> None:
        """Let the subscriber in by WAMP v2. The names of the details have underscores in front."""
        message = await self.next()
        assert message[0] == 1
        await self.send(2, session, {f"_{name}": value for name, value in details.items()})

    async def subscribed(self, subscription: int, details: dict[str, object] | None = None) -> tuple[object, object]:
        """Confirm the next SUBSCRIBE. Return its options and its topic."""
        kind, request, options, topic = await self.next()
        assert kind == 32
        await self.send(33, request, subscription, *([] if details is None else [details]))
        return options, topic

    async def refuse(self, error: str, *args: object) -> tuple[object, object]:
        """Refuse the next SUBSCRIBE. Return its options and its topic."""
        kind, request, options, topic = await self.next()
        assert kind == 32
        await self.send(8, 32, request, {}, error, [*args])
        return options, topic

    async def event(self, subscription: int, id_: int, value: object) -> None:
        await self.send(36, subscription, id_, {}, [value])

    async def gone(self) -> None:
        """Wait until the subscriber has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self._socket:
                pass

    def cut(self) -> None:
        """End the connection after what was sent."""
        if self._request.transport is not None:
            self._request.transport.close()


@asynccontextmanager
async def broker(serve: Serve, subprotocol: str = "wamp.2.json") -> AsyncIterator[str]:
    """Serve each connection; yield the URL. What `serve` raises fails the test at the end."""
    failures: list[BaseException] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(subprotocol,))
        await socket.prepare(request)
        peer = Peer(request, socket)
        try:
            await serve(peer)
        except (AssertionError, ValueError) as failure:
            failures.append(failure)
        peer.cut()
        return socket

    app = web.Application()
    app.router.add_get("/ws", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
    for failure in failures:
        raise failure


def scripts(*serve: Serve) -> Serve:
    """Serve the first connection by the first script, and so on."""
    waiting = [*serve]

    async def next_one(peer: Peer) -> None:
        await waiting.pop(0)(peer)

    return next_one
