"""A subscriber moves to a hub that has not read the stream as far as the subscriber has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.redis_server import RedisServer
from tests.supervisor import HubProcess
from tests.tcp_proxy import TcpProxy
from webmqconnect_async import AsyncClient
from webmqconnect_async.subscriber import Subscriber, _subscriber

pytestmark = pytest.mark.usefixtures("redis")

TOPIC = "http://example.com/orders"


class Seen(list[object]):
    """The events and losses that a subscriber was notified of."""

    async def until(self, last: object) -> None:
        async with asyncio.timeout(10):
            while last not in self:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def moving(tmp_path: Path) -> AsyncIterator[Seen]:
    """Move a subscriber with 5 events to a hub that receives nothing from Redis until the end of the block."""
    with RedisServer(tmp_path) as redis, patch.object(_subscriber, "_LONGEST_WAIT", 0.05):
        async with (
            TcpProxy(redis.port) as way,
            HubProcess("first", tmp_path, redis.url) as first,
            HubProcess("second", tmp_path, f"redis://127.0.0.1:{way.port}/0") as second,
            TcpProxy(first.port) as front,
            AsyncClient(first.url) as client,
        ):
            seen = Seen()
            moved = asyncio.Event()
            opened = 0

            def on_state(state: str, _detail: str) -> None:
                nonlocal opened
                opened += state == "open"
                if opened == 2:
                    moved.set()

            async with (
                Subscriber(
                    f"ws://127.0.0.1:{front.port}/ws",
                    on_lost=lambda _topic, why: seen.append(f"lost: {why}"),
                    on_state=on_state,
                ) as subscriber,
                subscriber.subscribe(TOPIC) as events,
            ):

                async def read() -> None:
                    async for event in events:
                        seen.append(event.value)

                reading = asyncio.create_task(read())
                await client.push(TOPIC, 0)
                await seen.until(0)
                way.stall()
                for number in range(1, 5):
                    await client.push(TOPIC, number)
                await seen.until(4)
                front.target = second.port
                front.cut()
                front.mend()
                await moved.wait()
                yield seen
                way.mend()
                await client.push(TOPIC, 5)
                await seen.until(5)
                reading.cancel()


async def test_a_hub_that_catches_up_soon(tmp_path: Path) -> None:
    """The hub waits for the events that the subscriber has, and nothing is lost or doubled."""
    async with moving(tmp_path) as seen:
        await asyncio.sleep(0.3)
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_a_hub_that_catches_up_late(tmp_path: Path) -> None:
    """The hub reports a loss, because it does not have the events in between. There are no duplicates."""
    async with moving(tmp_path) as seen:
        await asyncio.sleep(2.5)
    assert [value for value in seen if isinstance(value, int)] == [0, 1, 2, 3, 4, 5]
