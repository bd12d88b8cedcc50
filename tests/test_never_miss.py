"""The page of "Never miss an event", in a browser."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub

from .chromium import Page, chromium
from .snippets import HUB, PAGES, fences

pytestmark = pytest.mark.usefixtures("chromium")

TOPIC = "http://example.com/orders"


async def shown(page: Page, *lines: str) -> None:
    text = "[...document.querySelectorAll('#orders li')].map((line) => line.textContent).join()"
    await page.until(f"{text} === '{','.join(lines)}'")


async def test_the_page_shows_the_current_state_of_each_order() -> None:
    """The page is correct after an event before the list, after an older event, and after a restart of the hub."""
    (html,) = [fence.text for fence in fences(PAGES / "how-to/never-miss.md") if fence.language == "html"]
    orders: list[dict[str, object]] = [{"id": 17, "version": 1, "state": "new"}]
    hub = Hub(port=0)
    await hub.start()
    url, port = hub.url, int(hub.url.rpartition(":")[2])

    async def index(_request: web.Request) -> web.Response:
        return web.Response(text=html.replace(HUB, url), content_type="text/html")

    async def listing(_request: web.Request) -> web.Response:
        if len(orders) == 1:  # an event arrives before the list
            await client.push(TOPIC, {"id": 17, "version": 2, "state": "paid"})
        return web.json_response(orders)

    site = web.Application()
    site.add_routes([web.get("/", index), web.get("/orders", listing)])
    try:
        async with AsyncClient(url) as client, TestServer(site, host="127.0.0.1") as server, chromium() as page:
            await page.before_scripts("Math.random = () => 0;")  # it reconnects without a delay
            await page.open(str(server.make_url("/")))
            await shown(page, "17: paid")
            await client.push(TOPIC, {"id": 17, "version": 1, "state": "new"})
            await client.push(TOPIC, {"id": 18, "version": 1, "state": "new"})
            await shown(page, "17: paid", "18: new")
            await hub.close()
            orders[:] = [{"id": number, "version": 3, "state": "sent"} for number in (17, 18, 19)]
            hub = Hub(port=port)
            await hub.start()
            await shown(page, "17: sent", "18: sent", "19: sent")
    finally:
        await hub.close()
