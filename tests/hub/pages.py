"""Helpers for tests of pages that use webmq.js."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chromium import Page, chromium

_WATCHED = """
globalThis.sockets = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
    this.due = 0;  // answers to SUBSCRIBE, over WAMP v2
    this.addEventListener("message", ({ data }) => {
      if (this.protocol !== "wamp.2.json") return;
      const [type, ...fields] = JSON.parse(data);
      if (type === 33) this.subscription ??= fields[1];
      if (type === 33 || (type === 8 && fields[0] === 32)) this.due -= 1;
    });
  }
  send(text) {
    if (text.startsWith("[32,")) this.due += 1;
    super.send(text);
  }
};
globalThis.published = 2 ** 52;
/** Delivers an event, a JSON text, of the first subscription of the first connection, as if the hub had sent it. */
globalThis.deliver = (json) => {
  const [socket] = sockets;
  socket.onmessage({ data: `[36,${socket.subscription},${published += 1},{},[${json}]]` });
};
"""


@asynccontextmanager
async def watched(*, whole: bool = False) -> AsyncIterator[Page]:
    """Open a page with `sockets`, the WebSockets that it has opened, newest last, and `deliver`."""
    async with chromium(whole=whole) as page:
        await page.before_scripts(_WATCHED)
        yield page


async def heard(page: Page) -> None:
    """Return when the hub has processed what the page has sent, and will send for the topics it subscribes to.

    The hub replies in order, and webmq.js subscribes to one topic after another.
    """
    await page.evaluate("""new Promise(done => {
        const socket = sockets.at(-1);
        const ping = socket.protocol === "wamp" ? [2, "heard", "http://api.wamp.ws/procedure#ping"]
            : [34, 999999999, 2 ** 53];
        const ask = () => socket.send(JSON.stringify(ping));
        socket.addEventListener("message", ({data}) => {
            const message = JSON.parse(data);
            if (message[1] !== "heard" && message[2] !== 999999999) return;
            if (socket.due === 0) done(); else ask();
        });
        ask();
    })""")


async def ping_reply(page: Page) -> object:
    """Make the page visible, so that webmq.js pings the broker, and return the reply, a RESULT or an ERROR."""
    return await page.evaluate("""new Promise(done => {
        sockets.at(-1).addEventListener("message", ({data}) => {
            const message = JSON.parse(data);
            if ([3, 8].includes(message[0])) done(message);
        });
        document.dispatchEvent(new Event("visibilitychange"));
    })""")


async def press(page: Page, label: str) -> None:
    """Press the first button with this text or label."""
    await page.evaluate(
        "[...document.querySelectorAll('button')]"
        f".find(each => [each.textContent, each.ariaLabel].includes({json.dumps(label)})).click()"
    )


async def text(page: Page, name: str) -> object:
    return await page.evaluate(f"document.getElementById({json.dumps(name)}).textContent")


async def listed(page: Page, count: int) -> list[list[str]]:
    """Wait until the page shows this number of events, and return topic and text of each, newest first."""
    visible = "[...document.querySelectorAll('#events > li:not([hidden])')]"
    await page.until(f"{visible}.length === {count}")
    rows = await page.evaluate(f"{visible}.map(({{children}}) => [children[1].textContent, children[2].textContent])")
    assert isinstance(rows, list)
    return rows


async def drawn(page: Page) -> None:
    """Return when the page has displayed what it has received."""
    await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
