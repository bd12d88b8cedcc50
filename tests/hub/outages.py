"""Helpers for tests of hubs whose Redis server becomes unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypedDict, cast

import pytest
import redis
from aiohttp import WSMsgType

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._engine import connection, follower, stream
from webmqconnect_async.hub._engine.stream import StreamEngine

from .conftest import PATIENCE, HubClient
from .pair import Page


class Server(Protocol):
    """The port of Redis: of the server itself, or of a proxy in front of it."""

    @property
    def port(self) -> int: ...


class Shared(TypedDict):
    """The options that hubs of a backplane have in common."""

    backplane: str
    backplane_prefix: str


def backplane(server: Server, prefix: str = "webmq") -> Shared:
    """Return the options of a hub that uses a server."""
    return {"backplane": f"redis://127.0.0.1:{server.port}/0", "backplane_prefix": prefix}


def last_entries(client: redis.Redis, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the last entries of the stream, newest first."""
    return cast(list[tuple[bytes, dict[bytes, bytes]]], client.xrevrange("webmq:events", count=count))


def engine_of(hub: Hub) -> StreamEngine:
    assert hub._handlers is not None
    engine = hub._handlers._broker.engine
    assert isinstance(engine, StreamEngine)
    return engine


def quicken(monkeypatch: pytest.MonkeyPatch, timeout: float = 1.0) -> None:
    """Make hubs read the stream and retry a server that is down more often, with a shorter timeout of replies."""
    monkeypatch.setattr(connection, "_TIMEOUT", timeout)
    monkeypatch.setattr(follower, "_BLOCK", 0.05)
    monkeypatch.setattr(stream, "_PAUSE", 0.02)


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Return when a condition is true."""
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.005)


async def until_ready(wire: HubClient, *hubs: Hub, status: int = 200) -> None:
    """Return when /readyz responds with this status."""
    for hub in hubs:

        async def ready(hub: Hub = hub) -> bool:
            return (await wire.request("GET", hub, "/readyz")).status == status

        await until(ready)


async def accepted(wire: HubClient, hub: Hub, event: int, topic: str) -> int:
    """Push until the hub accepts it. Return the ID of the event."""
    while (answer := await wire.request("POST", hub, f"/?topicuri={topic}", str(event).encode())).status == 503:
        await until_ready(wire, hub)
    assert answer.status == 202, answer.text
    return int(answer.headers["WebMQ-Publication"])


class Gone(NamedTuple):
    """How a connection ended."""

    reason: str
    code: int


async def gone(peer: Page) -> Gone:
    """Return how the hub ends a connection, ignoring events before that."""
    while (message := await peer.receive())[0] == 36:
        pass
    assert message[0] == 6, message
    close = await peer.socket.receive(timeout=PATIENCE)
    assert close.type is WSMsgType.CLOSE, close
    return Gone(str(message[2]), close.data)


LOST = Gone("webmq.close.history_lost", 1012)
