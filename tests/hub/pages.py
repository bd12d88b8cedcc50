"""What tests in a browser do to a page with webmq.js in it, and wait for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chromium import Page, chromium

_WATCHED = """
globalThis.sockets = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) { super(...args); sockets.push(this); }
};
"""


@asynccontextmanager
async def watched() -> AsyncIterator[Page]:
    """Open a page; `sockets` in each page are the WebSockets it has opened, the latest last."""
    async with chromium() as page:
        await page.before_scripts(_WATCHED)
        yield page


async def heard(page: Page) -> None:
    """Return when the hub has done what the page has sent: it answers in order."""
    ping = json.dumps([2, "ping", "http://api.wamp.ws/procedure#ping"])
    answer = await page.evaluate(f"""new Promise(done => {{
        const socket = sockets.at(-1);
        socket.addEventListener("message", ({{data}}) => {{ if (data.startsWith('[3,"ping"')) done(data); }});
        socket.send({json.dumps(ping)});
    }})""")
    assert answer == '[3,"ping",null]'


async def asked(page: Page) -> object:
    """Look at the page, so that webmq.js asks whether the broker is there; return the answer, by RESULT or ERROR."""
    return await page.evaluate("""new Promise(done => {
        sockets.at(-1).addEventListener("message", ({data}) => {
            const message = JSON.parse(data);
            if ([3, 8].includes(message[0])) done(message);
        });
        document.dispatchEvent(new Event("visibilitychange"));
    })""")


async def press(page: Page, label: str) -> None:
    """Press the first button of this text or label."""
    await page.evaluate(
        "[...document.querySelectorAll('button')]"
        f".find(each => [each.textContent, each.ariaLabel].includes({json.dumps(label)})).click()"
    )


async def text(page: Page, name: str) -> object:
    return await page.evaluate(f"document.getElementById({json.dumps(name)}).textContent")


async def listed(page: Page, count: int) -> list[list[str]]:
    """Return topic and text of each event shown, the latest first, once there are so many."""
    visible = "[...document.querySelectorAll('#events > li:not([hidden])')]"
    await page.until(f"{visible}.length === {count}")
    rows = await page.evaluate(f"{visible}.map(({{children}}) => [children[1].textContent, children[2].textContent])")
    assert isinstance(rows, list)
    return rows


async def drawn(page: Page) -> None:
    """Return when the page has drawn what it had got."""
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
