"""When a hub over a stream reads it. What this hub has added itself, it need not read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import chain

import pytest

from webmqconnect_async.hub import HubOptions
from webmqconnect_async.hub._engine import follower
from webmqconnect_async.hub._engine.connection import Connection, Reply

from ..redis_server import RedisServer
from .conftest import HubClient
from .pair import Pair, new_prefix, page, pairs
from .test_engines import events, ids_of, published
from .test_idempotency import TOPIC

LONG = 600.0


@pytest.fixture
async def pair(redis_server: RedisServer) -> AsyncIterator[Pair]:
    options: HubOptions = {"backplane": redis_server.url, "backplane_prefix": new_prefix()}
    async with pairs(options) as start:
        yield await start()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Connection]:
    """Count how often hubs read, by connection."""
    begun = Counter[Connection]()
    ask = Connection.ask

    async def asked(connection: Connection, *command: bytes | str | int, wait: float = 0.0) -> Reply:
        if command[0] == "XREAD":
            begun[connection] += 1
        return await ask(connection, *command, wait=wait)

    monkeypatch.setattr(Connection, "ask", asked)
    return begun


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a hub wait for longer than a test takes before it reads after an event of its own."""
    monkeypatch.setattr(follower, "_HOLD", LONG)
    monkeypatch.setattr(follower, "_LONGEST_HOLD", LONG)


@pytest.mark.usefixtures("patient")
async def test_own_events_are_delivered_without_reading_them(
    reads: Counter[Connection], pair: Pair, wire: HubClient
) -> None:
    subscriber = await page(wire, pair.first, TOPIC)
    for number in range(20):
        await published(wire, pair.first, number)
    assert await events(subscriber, count=20) == [*range(20)]
    own, _ = sorted(reads.values())
    assert own <= 2  # it has begun before the first event, and may once more before the next one


@pytest.mark.usefixtures("patient")
async def test_events_of_others_are_read_once_they_are_before_an_own_one(pair: Pair, wire: HubClient) -> None:
    """The hub has an event of its own, and does not read the next one, of the other hub, until it adds a third."""
    near, far = [await page(wire, hub, TOPIC) for hub in pair]
    for number in range(0, 20, 2):
        await published(wire, pair.first, number)
        await published(wire, pair.second, number + 1)
    await published(wire, pair.first, 20)
    await published(wire, pair.second, 21)
    await published(wire, pair.first, 22)
    assert await events(near, count=23) == [*range(23)]
    await published(wire, pair.second, 23)
    assert await events(far, count=24) == [*range(24)]


async def test_many_at_once_at_both_hubs(pair: Pair, wire: HubClient) -> None:
    near, far = [await page(wire, hub, TOPIC) for hub in pair]
    ids = sorted(chain(*await asyncio.gather(ids_of(pair.first, 300), ids_of(pair.second, 300, 300))))
    assert len(set(ids)) == 600
    got = [[(await each.event())[0] for _ in range(600)] for each in (near, far)]
    assert got == [ids, ids]
