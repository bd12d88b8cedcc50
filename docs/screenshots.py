"""The pictures of the live page for README and docs, anew: `python -m docs.screenshots`, while port 8080 is free."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlencode

from tests.chromium import Page, chromium
from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub

PICTURES = Path(__file__).parent / "pages" / "images"
ORDERS, STOCK, CHAT = "http://example.com/orders", "http://example.com/stock", "http://example.com/chat"
EVENTS: list[tuple[str, object]] = [
    (CHAT, {"from": "ada", "text": "<b>Markup</b> stays text"}),
    (ORDERS, {"id": 16, "state": "new", "lines": [{"sku": "tea-500g", "count": 2}]}),
    (STOCK, {"sku": "tea-500g", "left": 39}),
    (ORDERS, {"id": 15, "state": "cancelled"}),
    (STOCK, {"sku": "cup-blue", "left": 7}),
    (ORDERS, {"id": 16, "state": "paid"}),
    (ORDERS, {"id": 17, "state": "new", "lines": [{"sku": "pot-iron", "count": 1}]}),
    (CHAT, {"from": "ada", "text": "Thank you!"}),
    (ORDERS, {"id": 17, "state": "paid"}),
]
PAUSE = 0.25
"""Seconds between events, so that their times differ."""


async def main() -> None:
    """Take both pictures."""
    async with Hub() as hub, AsyncClient(hub.url) as client, chromium() as page:
        await show(page, hub, client, topics=(ORDERS, STOCK, CHAT), size=(1200, 560), dark=False)
        await page.screenshot(PICTURES / "live-page.png")
        await show(page, hub, client, topics=(ORDERS, STOCK), size=(360, 740), dark=True)
        await page.screenshot(PICTURES / "live-page-phone.png")


async def show(
    page: Page, hub: Hub, client: AsyncClient, *, topics: tuple[str, ...], size: tuple[int, int], dark: bool
) -> None:
    """Open the page and push what it is to show."""
    await page.appear(*size, dark=dark, phone=size[0] < 600)
    await page.open("about:blank")  # another fragment alone would be no other page
    await page.open(f"{hub.url}/#{urlencode([('topic', topic) for topic in topics])}")
    await page.until("document.getElementById('state').dataset.state === 'open'")
    for topic, event in EVENTS:
        await client.push(topic, event)
        await asyncio.sleep(PAUSE)
    count = sum(topic in topics for topic, _ in EVENTS)
    await page.until(f"document.getElementById('events').children.length === {count}")


if __name__ == "__main__":
    asyncio.run(main())
