"""Takes the pictures of the live page for README and docs: `python -m docs.screenshots`, while port 8080 is free."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from urllib.parse import urlencode

from tests.chromium import Page, chromium
from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub
from webmqconnect_async.subscriber import Subscriber

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
TYPO = ("http://example.com/order", {"id": 18, "state": "new"})
TOKEN = secrets.token_urlsafe()
PAUSE = 0.25
"""Seconds between events, so that their times differ."""


async def main() -> None:
    """Take all pictures."""
    async with Hub(console_token=TOKEN) as hub, AsyncClient(hub.url) as client, chromium() as page:
        await show(page, hub, client, topics=(ORDERS, STOCK, CHAT), size=(1200, 560), dark=False)
        await page.screenshot(PICTURES / "live-page.png")
        await show(page, hub, client, topics=(ORDERS, STOCK), size=(360, 740), dark=True)
        await page.screenshot(PICTURES / "live-page-phone.png")
        async with (
            Subscriber(hub.ws_url) as first,
            Subscriber(hub.ws_url) as second,
            first.subscribe(ORDERS, STOCK),
            second.subscribe(ORDERS),
        ):
            await show(page, hub, client, topics=(CHAT,), size=(1200, 560), dark=False, token=TOKEN)
            await page.screenshot(PICTURES / "console.png")


async def show(
    page: Page,
    hub: Hub,
    client: AsyncClient,
    *,
    topics: tuple[str, ...],
    size: tuple[int, int],
    dark: bool,
    token: str | None = None,
) -> None:
    """Open the page, or the console if there is a token, and push what it is to show."""
    await page.appear(*size, dark=dark, phone=size[0] < 600)
    await page.evaluate("document.getElementById('clear')?.click()")  # or else they survive
    await page.open("about:blank")  # a change of the fragment alone does not load the page again
    fragment = [("topic", topic) for topic in topics] + ([("console", token)] if token else [])
    await page.open(f"{hub.url}/#{urlencode(fragment)}")
    await page.until("document.getElementById('state').dataset.state === 'open'")
    events = EVENTS
    if token:
        await page.until("document.getElementById('live-rows').children.length === 3")
        events = [*EVENTS, TYPO]
    for topic, event in events:
        await client.push(topic, event)
        await asyncio.sleep(PAUSE)
    count = len(events) if token else sum(topic in topics for topic, _ in events)
    await page.until(f"document.getElementById('events').children.length === {count}")


if __name__ == "__main__":
    asyncio.run(main())
