"""Crossbar.io sends no missed events: a subscriber is notified of a loss when it has resubscribed after an outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random

import pytest
from yarl import URL

from benchmarks.recovering.proxy import Proxy
from webmqconnect_async import AsyncClient
from webmqconnect_async.subscriber import Subscriber

from ..chromium import Page
from .brokers import Broker

pytestmark = pytest.mark.usefixtures("crossbar")

PATIENCE = 20.0


@pytest.fixture
async def proxy(real: Broker) -> AsyncIterator[Proxy]:
    port = URL(real.open.ws_url).port
    assert port is not None
    async with Proxy(port, Random(0)) as proxy:  # noqa: S311  # it decides nothing here
        yield proxy


@pytest.mark.usefixtures("chromium")
async def test_a_page_is_notified_of_a_loss(real: Broker, proxy: Proxy, page: Page, topic: str) -> None:
    topics = [f"{topic}.a", f"{topic}.b"]
    await page.evaluate(f"""
        Math.random = () => 0;  // it reconnects without a wait
        globalThis.mq = new WebMQ({json.dumps(proxy.url)});
        globalThis.told = [];
        globalThis.onlost = (topic) => told.push(`lost ${{topic}}`);
        Promise.all({json.dumps(topics)}.map((topic) =>
            mq.subscribe(topic, (event) => told.push(`${{event}} ${{topic}}`), {{ onlost }}).ready)).then(() => null)
    """)
    async with AsyncClient(real.open.endpoint, dialect="crossbar") as client:
        for cut in (1, 2):
            proxy.cut()
            await page.until("told.length === 2")
            for each in topics:
                await client.push(each, cut)  # it arrives, because the topic was confirmed before the loss was reported
            await page.until("told.length === 4")
            told = await page.evaluate("told.splice(0).sort()")
            assert told == [f"{cut} {topics[0]}", f"{cut} {topics[1]}", f"lost {topics[0]}", f"lost {topics[1]}"]


async def test_a_program_is_notified_of_a_loss(real: Broker, proxy: Proxy, topic: str) -> None:
    topics = [f"{topic}.a", f"{topic}.b"]
    told: asyncio.Queue[str] = asyncio.Queue()

    def on_lost(topic: str, _why: str) -> None:
        told.put_nowait(f"lost {topic}")

    async def read() -> None:
        async for event in subscription:
            told.put_nowait(f"{event.value} {event.topic}")

    async with (
        asyncio.timeout(PATIENCE),
        AsyncClient(real.open.endpoint, dialect="crossbar") as client,
        Subscriber(proxy.url, on_lost=on_lost) as subscriber,
        subscriber.subscribe(*topics) as subscription,
        asyncio.TaskGroup() as tasks,
    ):
        reading = tasks.create_task(read())
        for cut in (1, 2):
            proxy.cut()
            assert {await told.get(), await told.get()} == {f"lost {each}" for each in topics}
            for each in topics:
                await client.push(each, cut)
            assert {await told.get(), await told.get()} == {f"{cut} {each}" for each in topics}
        reading.cancel()
