"""`examples/private_orders/` in browsers: users see only their own orders, the admin sees all."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import aiohttp
import jwt
import pytest

from tests.chromium import Page, chromium
from tests.examples.serving import EXAMPLES, Site, serving

ORDERS = "http://example.com/users/{}/orders"
ALL = "http://example.com/users/*"
SEEN = """JSON.stringify(
    [...document.querySelectorAll("#orders tr")].map((row) => [...row.cells].map(({ innerText }) => innerText))
)"""


async def log_in(page: Page, site: Site, user: str) -> None:
    await page.open(f"{site.url}/")
    await page.evaluate(f"document.getElementById('user').value = '{user}'")
    await page.loaded_by("document.querySelector('#login button').click()")
    await page.until("globalThis.mq?.state === 'open'")
    (problem,) = page.problems
    assert "401" in problem  # the page shown before the login
    page.problems.clear()


async def order(page: Page, item: str) -> None:
    await page.evaluate(f"document.getElementById('item').value = '{item}'")
    await page.evaluate("document.querySelector('#new button').click()")


async def sees(page: Page, *orders: tuple[str, str, str]) -> None:
    """Return once the page shows exactly these orders, the newest first."""
    await page.until(f"{SEEN} === {json.dumps(json.dumps(orders, separators=(',', ':')))}")


@pytest.mark.usefixtures("chromium")
async def test_users_see_their_own_orders_and_the_admin_all() -> None:
    async with (
        serving(str(EXAMPLES / "private_orders" / "app.py"), says="Uvicorn running on") as site,
        AsyncExitStack() as stack,
    ):
        await check_tickets(site)
        ada, bob, admin = [await stack.enter_async_context(chromium()) for _ in range(3)]
        for page, user in ((ada, "17"), (bob, "18"), (admin, "1")):
            await log_in(page, site, user)
        await order(ada, "tea")
        await sees(admin, ("17", "tea", "ordered Send"))
        await order(bob, "milk")
        await sees(admin, ("18", "milk", "ordered Send"), ("17", "tea", "ordered Send"))
        await admin.evaluate("document.querySelectorAll('#orders button')[1].click()")
        await sees(ada, ("17", "tea", "sent"))
        await sees(admin, ("18", "milk", "ordered Send"), ("17", "tea", "sent"))
        await sees(bob, ("18", "milk", "ordered"))
        for topic in (ORDERS.format("17"), ORDERS.format("1"), ALL):
            refused = f"mq.subscribe('{topic}', () => {{}}).ready.catch(({{ message }}) => message)"
            assert str(await bob.evaluate(refused)).startswith("not_authorized: ")
        assert [page.problems for page in (ada, bob, admin)] == [[], [], []]
        assert await bob.evaluate("fetch('orders/1', { method: 'PATCH' }).then(({ status }) => status)") == 404


async def check_tickets(site: Site) -> None:
    """Check that only users who are logged in get a ticket, each for their own topics."""
    requests = (("POST", "ticket"), ("GET", "orders"), ("POST", "orders"), ("PATCH", "orders/0"))
    async with aiohttp.ClientSession(f"{site.url}/", cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        for method, path in requests:
            async with http.request(method, path, json={"item": "tea"}) as response:
                assert response.status == 401
        for user, topic in (("17", ORDERS.format("17")), ("1", ALL)):
            async with http.post("login", data=json.dumps({"user": user})) as response:
                assert response.status == 422  # the content type is not JSON, so any page could post it
            async with http.post("login", json={"user": user}) as response:
                assert response.status == 200
            async with http.post("ticket") as response:
                claims = jwt.decode(await response.json(), options={"verify_signature": False})
            assert (claims["sub"], claims["topics"]) == (user, [topic])
