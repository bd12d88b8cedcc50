"""`examples/django_orders.py` through its server: orders are pushed after they are committed, and not otherwise."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES, Site, serving
from tests.hostile import ACCEPTED, Hostile, Peer
from tests.running import stopped
from webmqconnect_async.testing import Hub, Pushed

TOPIC = "http://example.com/orders"


def saved(database: Path) -> list[int]:
    """Return the numbers of the committed orders, as another connection sees them."""
    with closing(sqlite3.connect(database)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM shop_order ORDER BY id")]


@dataclass(frozen=True, slots=True)
class Shop:
    """The running shop, with a database of its own."""

    site: Site
    http: aiohttp.ClientSession
    database: Path

    async def order(self, amount: object, item: str = "tea") -> int:
        """Place an order, and return the status of the response."""
        async with self.http.post(f"{self.site.url}/orders", json={"item": item, "amount": amount}) as answer:
            assert answer.content_type == "application/json"
            return answer.status


@asynccontextmanager
async def shop(env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Shop]:
    database = tmp_path / "shop.sqlite3"
    path = str(EXAMPLES / "django_orders.py")
    environment = {**env, "SHOP_DB": str(database)}
    async with (
        serving(path, says="development server at", env=environment) as site,
        aiohttp.ClientSession() as http,
    ):
        yield Shop(site, http, database)


async def test_an_order_is_pushed_once_it_is_committed(server: Hostile, tmp_path: Path) -> None:
    """When the broker receives the push, other connections already see the order."""
    seen: list[list[int]] = []

    async def look(peer: Peer) -> None:
        await peer.request()
        seen.append(saved(tmp_path / "shop.sqlite3"))
        await peer.send(ACCEPTED)

    server.script(look, look)
    async with shop({"WEBMQ_ENDPOINT": server.url}, tmp_path) as running:
        assert await running.order(2) == 201
        await asyncio.to_thread(server.until, lambda: len(seen) == 1 and server.open_connections == 1)
        assert await running.order(3) == 201
        await asyncio.to_thread(server.until, lambda: len(seen) == 2)
    assert [json.loads(request.body) for request in server.requests] == [
        {"id": 1, "item": "tea", "amount": 2},
        {"id": 2, "item": "tea", "amount": 3},
    ]
    assert seen == [[1], [1, 2]]


async def test_an_order_that_is_rolled_back_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    """An order of more than the stock is saved and due to be pushed, but rolled back with the invalid stock."""
    async with shop(named(hub), tmp_path) as running:
        assert await running.order(11) == 409
        assert saved(running.database) == []
        assert await running.order(10) == 201
        assert await running.order(1) == 409
        assert saved(running.database) == [1]
        await running.site.process.stopped(signal.SIGINT)
    assert hub.pushes == [Pushed(TOPIC, {"id": 1, "item": "tea", "amount": 10}, key="app")]


async def test_an_order_is_kept_if_its_push_fails(hub: Hub, tmp_path: Path) -> None:
    """An order made while the broker is down is pushed later. One that may have been accepted is not pushed again."""
    async with shop(named(hub), tmp_path) as running:
        async with stopped(hub):
            assert await running.order(1) == 201
        assert (await hub.arrived(TOPIC)).event == {"id": 1, "item": "tea", "amount": 1}
        hub.refuse_next(500)
        assert await running.order(1) == 201
        assert await running.order(1) == 201
        ended = await running.site.process.stopped(signal.SIGINT)
    assert [pushed.event for pushed in hub.pushes][1:] == [{"id": 3, "item": "tea", "amount": 1}]
    assert "signature" not in ended.stderr
    told, _, _ = ended.stderr.partition("Exception ignored")  # Django does not close its server's socket
    assert "Traceback" not in told
    assert ended.status == 0


async def test_threads_share_the_client(hub: Hub, tmp_path: Path) -> None:
    """Of thirteen orders at once, the ten that are in stock are pushed once each."""
    async with shop(named(hub), tmp_path) as running:
        statuses = await asyncio.gather(*(running.order(1) for _ in range(13)))
        await running.site.process.stopped(signal.SIGINT)
    assert sorted(statuses) == [201] * 10 + [409] * 3
    assert len(hub.pushes) == 10
    numbers = {pushed.event["id"] for pushed in hub.pushes if isinstance(pushed.event, dict)}
    assert numbers == set(saved(running.database))


async def test_a_request_that_is_not_an_order_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A form, which a page of another site may send, is refused without being parsed."""
    async with shop(named(hub), tmp_path) as running:
        for amount, item in (("many", "tea"), (0, "tea"), (-1, "tea"), (10**30, "tea"), (1, "gold")):
            assert await running.order(amount, item) == 400
        url = f"{running.site.url}/orders"
        async with running.http.post(url, data={"item": "tea", "amount": "1"}) as answer:
            assert answer.status == 415
        for body in (b"[1]", b"null", b"{", b"\xff"):
            async with running.http.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 400
        async with running.http.get(url) as answer:
            assert answer.status == 405
        assert saved(running.database) == []
        await running.site.process.stopped(signal.SIGINT)
    assert hub.pushes == []
