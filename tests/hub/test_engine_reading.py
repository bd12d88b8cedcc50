"""When a hub reads the stream. It does not have to read entries that it has added itself."""

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
    """Count the reads of hubs, by connection."""
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
    """Make a hub that has added an event wait longer than the test takes before it reads."""
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
    assert own <= 2  # the read that began before the first event, and perhaps one more before the next event


@pytest.mark.usefixtures("patient")
async def test_an_event_of_another_hub_is_read_when_the_hub_adds_its_next_one(pair: Pair, wire: HubClient) -> None:
    """After an event of its own, a hub reads the next event, of another hub, only when it adds a further one."""
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


async def test_many_simultaneous_events_of_both_hubs_are_delivered(pair: Pair, wire: HubClient) -> None:
    near, far = [await page(wire, hub, TOPIC) for hub in pair]
    ids = sorted(chain(*await asyncio.gather(ids_of(pair.first, 300), ids_of(pair.second, 300, 300))))
    assert len(set(ids)) == 600
    got = [[(await each.event())[0] for _ in range(600)] for each in (near, far)]
    assert got == [ids, ids]
