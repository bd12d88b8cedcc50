"""Brokers over real WebSockets whose messages each test chooses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiohttp import WSMsgType, web

from ..processes import PATIENCE

Serve: TypeAlias = Callable[["Peer"], Awaitable[None]]


class Left(Exception):
    """The subscriber has closed the connection, or it was lost."""


class Peer:
    """The broker's side of a connection."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket

    async def next(self) -> list[object]:
        """Return the next message of the subscriber."""
        while (frame := await self._socket.receive(PATIENCE)).type is WSMsgType.PONG:
            pass
        if frame.type is not WSMsgType.TEXT:
            raise Left
        message: list[object] = json.loads(frame.data)
        return message

    async def send(self, *fields: object) -> None:
        await self.send_text(json.dumps(fields))

    async def send_text(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except ConnectionError:
            raise Left from None

    async def welcome(self, session: int, **details: object) -> None:
        """Reply to a WAMP v2 HELLO with WELCOME. Each detail `x` is sent as `_x`."""
        message = await self.next()
        assert message[0] == 1
        await self.send(2, session, {f"_{name}": value for name, value in details.items()})

    async def subscribe(self) -> tuple[object, object, object]:
        """Return the request ID, the options and the topic of the next SUBSCRIBE. Reply to pings before it."""
        while (message := await self.next())[::2] == [34, 2**53]:
            await self.send(8, 34, message[1], {}, "wamp.error.no_such_subscription")
        kind, request, options, topic = message
        assert kind == 32
        return request, options, topic

    async def subscribed(self, subscription: int, details: dict[str, object] | None = None) -> tuple[object, object]:
        """Confirm the next SUBSCRIBE. Return its options and its topic."""
        request, options, topic = await self.subscribe()
        await self.send(33, request, subscription, *([] if details is None else [details]))
        return options, topic

    async def refuse(self, error: str, *args: object) -> tuple[object, object]:
        """Refuse the next SUBSCRIBE. Return its options and its topic."""
        request, options, topic = await self.subscribe()
        await self.send(8, 32, request, {}, error, [*args])
        return options, topic

    async def event(self, subscription: int, id_: int, value: object) -> None:
        await self.send(36, subscription, id_, {}, [value])

    async def pong(self) -> None:
        """Wait for an unsolicited pong."""
        frame = await self._socket.receive(PATIENCE)
        assert frame.type is WSMsgType.PONG

    async def gone(self) -> None:
        """Wait until the subscriber has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self._socket:
                pass

    def cut(self) -> None:
        """Close the connection after everything was sent."""
        if self._request.transport is not None:
            self._request.transport.close()


@asynccontextmanager
async def broker(serve: Serve, subprotocol: str = "wamp.2.json") -> AsyncIterator[str]:
    """Serve each connection; yield the URL. An exception of `serve` fails the test at the end."""
    failures: list[Exception] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(subprotocol,), autoping=False)
        await socket.prepare(request)
        peer = Peer(request, socket)
        try:
            await serve(peer)
        except Left:
            pass
        except Exception as failure:  # noqa: BLE001  # it fails the test later
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
    """Serve the first connection with the first script, and so on."""
    waiting = [*serve]

    async def next_one(peer: Peer) -> None:
        await waiting.pop(0)(peer)

    return next_one
