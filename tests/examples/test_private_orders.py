"""`examples/private_orders/` in browsers: users see and hear of their own orders, and the admin of all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import jwt
import pytest

from tests.chromium import Page, chromium
from tests.examples.serving import EXAMPLES, Site, serving

ORDERS = "http://example.com/users/{}/orders"
SEEN = "[...document.querySelectorAll('#orders tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    async with serving(str(EXAMPLES / "private_orders" / "app.py"), says="Uvicorn running on") as site:
        yield site


async def log_in(page: Page, site: Site, user: str) -> None:
    await page.open(f"{site.url}/")
    await page.evaluate(f"document.getElementById('user').value = '{user}'")
    await page.evaluate("document.querySelector('#login button').click()")
    await page.until("globalThis.mq?.state === 'open'")


async def sees(page: Page, *orders: list[str]) -> None:
    """Return once these are the orders, the newest first."""
    expected = json.dumps(orders, separators=(",", ":"))
    await page.until(f"JSON.stringify({SEEN}) === {json.dumps(expected)}")


async def order(page: Page, item: str) -> None:
    await page.evaluate(
        f"document.getElementById('item').value = {json.dumps(item)}; document.querySelector('#new button').click()"
    )


@pytest.mark.usefixtures("chromium")
async def test_users_see_their_own_orders_and_the_admin_all(tmp_path: object) -> None:
    async with running() as site, AsyncExitStack() as stack:
        ada, bob, admin = [await stack.enter_async_context(chromium()) for _ in range(3)]
        for page, user in ((ada, "17"), (bob, "18"), (admin, "1")):
            await log_in(page, site, user)
        await order(ada, "tea")
        await sees(admin, ["17", "tea", "ordered Send"])
        await order(bob, "milk")
        await sees(admin, ["18", "milk", "ordered Send"], ["17", "tea", "ordered Send"])
        await admin.evaluate("document.querySelectorAll('#orders button')[1].click()")
        await sees(ada, ["17", "tea", "sent"])
        await sees(admin, ["18", "milk", "ordered Send"], ["17", "tea", "sent"])
        await sees(bob, ["18", "milk", "ordered"])
        for topic in (ORDERS.format("17"), ORDERS.format("1"), "http://example.com/users/*"):
            subscribed = f"mq.subscribe({json.dumps(topic)}, () => {{}}).ready.then(() => '', ({{ message }}) => message)"
            assert str(await bob.evaluate(subscribed)).startswith("not_authorized: ")
        assert [page.problems for page in (ada, bob, admin)] == [["Failed to load resource"]] * 3


async def test_the_server_asks_who_it_is() -> None:
    async with running() as site, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

        async def ask(method: str, path: str, body: object = None, **options: object) -> tuple[int, object]:
            async with http.request(method, f"{site.url}/{path}", json=body) as response:
                return response.status, await response.json()

        anonymous = {401}
        for method, path, body in (
            ("GET", "orders", None),
            ("POST", "orders", {"item": "tea"}),
            ("PATCH", "orders/0", None),
            ("POST", "ticket", None),
        ):
            assert {(await ask(method, path, body))[0]} == anonymous
        for user, topic in (("17", ORDERS.format("17")), ("1", "http://example.com/users/*")):
            assert (await ask("POST", "login", {"user": user}))[0] == 200
            status, ticket = await ask("POST", "ticket")
            claims = jwt.decode(str(ticket), options={"verify_signature": False})
            assert (status, claims["sub"], claims["topics"]) == (200, user, [topic])
