"""`webmq.js` in Chromium with a hub: events that a page receives after outages, and after the back/forward cache."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.chromium import Page
from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub

from .conftest import Run
from .pages import heard, watched
from .test_webmq_js import START, site

pytestmark = pytest.mark.usefixtures("chromium")

TOPICS = ("t", "u", "not a URI")

SUBSCRIBED = f"""
{START};
globalThis.lost = [];
globalThis.opened = [];
mq.onlost = (topic) => lost.push(topic);
mq.onstate = (state, detail, reconnected) => {{ states.push(state); if (state === "open") opened.push(reconnected); }};
for (const topic of {json.dumps(TOPICS[1:])}) mq.subscribe(topic, keep);
Math.random = () => 0;
undefined
"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with watched(whole=True) as page:  # the headless shell has no back/forward cache
        yield page


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(hub.url) as client:
        yield client


async def opened(page: Page, url: str) -> None:
    """Open a page, and return when it has subscribed to all topics."""
    await page.open(url)
    await page.evaluate(SUBSCRIBED)
    await page.until("mq.state === 'open'")
    await heard(page)


async def got(page: Page, *values: int) -> None:
    """Check that exactly these events of each topic have arrived in order, without a loss."""
    await page.until(f"events.length >= {len(TOPICS) * len(values)}")
    events = await page.evaluate("[...events]")
    assert isinstance(events, list)
    for topic in TOPICS:
        assert [value for name, value in events if name == topic] == list(values)
    assert await page.evaluate("lost") == []


async def disconnect(page: Page) -> None:
    """Disconnect the network, and return when the page has noticed."""
    await page.offline(True)
    await page.evaluate("sockets.at(-1).close()")  # Chromium disconnects only new connections
    await page.until("sockets.length > 2")


async def push(client: AsyncClient, *values: int) -> None:
    for value in values:
        for topic in TOPICS:
            await client.push(topic, value)


async def test_offline_and_online_again(hub: Hub, client: AsyncClient, page: Page) -> None:
    async with site(hub.url) as other:
        await opened(page, other)
        await push(client, 1)
        await got(page, 1)
        await disconnect(page)
        await push(client, 2, 3)
        await page.offline(False)
        await page.until("mq.state === 'open'")
        await push(client, 4)
        await got(page, 1, 2, 3, 4)
        assert await page.evaluate("opened") == [False, True]


async def test_repeated_outages(hub: Hub, client: AsyncClient, page: Page) -> None:
    """No event is received before the first outage, and one is pushed in each outage and one in between."""
    async with site(hub.url) as other:
        await opened(page, other)
        for number in range(0, 20, 2):
            await page.evaluate("sockets.at(-1).close(); globalThis.before = opened.length; undefined")
            await push(client, number)
            await page.until("opened.length > before")
            await push(client, number + 1)
        await got(page, *range(20))


async def test_a_hub_whose_history_is_too_short(run: Run, page: Page) -> None:
    """The history of the hub has room for two events of a topic, so the page is notified of a loss."""
    hub = await run(Hub(port=0, history=2))
    async with site(hub.url) as other, AsyncClient(hub.url) as client:
        await opened(page, other)
        await disconnect(page)
        for value in range(3):
            await client.push("t", value)
        await client.push("u", "kept")
        await page.offline(False)
        await page.until("opened.length === 2 && lost.length > 0")
        await heard(page)
        await client.push("t", "new")
        await page.until("events.length === 2")
        assert await page.evaluate("[lost, events]") == [["t"], [["u", "kept"], ["t", "new"]]]


async def test_restored_from_the_back_forward_cache(hub: Hub, client: AsyncClient, page: Page) -> None:
    """Chromium closes the connection of a page that it caches, and notifies the page when it restores it."""
    async with site(hub.url) as other:
        await opened(page, other)
        await page.evaluate("globalThis.same = true; undefined")
        await push(client, 1)
        await got(page, 1)
        await page.open(f"{hub.url}/hub.json")
        await push(client, 2, 3)
        await page.back()
        await page.until("globalThis.same && events.length > 0")
        await push(client, 4)
        await got(page, 1, 2, 3, 4)
        assert await page.evaluate("opened") == [False, True]


async def test_back_without_the_back_forward_cache(hub: Hub, client: AsyncClient, page: Page) -> None:
    """A page with a listener for `unload` is not cached: it is loaded again, and gets the events from then on."""
    await page.before_scripts(f"""
        addEventListener("unload", () => {{}});
        addEventListener("DOMContentLoaded", () => {{ if (globalThis.WebMQ) {{ {SUBSCRIBED} }} }});
    """)
    async with site(hub.url) as other:
        await page.open(other)
        await page.until("mq.state === 'open'")
        await heard(page)
        await page.evaluate("globalThis.same = true; undefined")
        await push(client, 1)
        await got(page, 1)
        await page.open(f"{hub.url}/hub.json")
        await push(client, 2)
        await page.back()
        await page.until("globalThis.mq && !globalThis.same && mq.state === 'open'")
        await heard(page)
        await push(client, 3)
        await got(page, 3)
        assert await page.evaluate("opened") == [False]
