"""`examples/crossbar/tickets/`: Crossbar.io accepts the same tickets as the hub."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from brokers import crossbar
from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub
from webmqconnect_async.subscriber import Subscriber, TopicRefused
from webmqconnect_async.tickets import ticket

from ..chromium import Page
from ..running import in_thread
from .brokers import KEY, SECRET

pytestmark = pytest.mark.usefixtures("crossbar")

FOLDER = crossbar.EXAMPLE.parent / "tickets"
TICKET_SECRET = "of tickets, " + "x" * 64
ORDERS = "http://example.com/users/17/orders"
PATIENCE = 20.0

TOPICS = ("http://example.com/users/17/*", "com.example.news", "com.example.orders.*")
SUBSCRIPTIONS: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
    (
        "exact",
        (ORDERS, "http://example.com/users/17/", "com.example.news", "com.example.orders.1"),
        (
            "http://example.com/users/18/orders",
            "http://example.com/users/17",
            "http://example.com/users/170/orders",
            "com.example.news.of.others",
            "com.example.new",
            "wamp.session.on_join",
        ),
    ),
    (
        "prefix",
        ("http://example.com/users/17/", ORDERS, "com.example.orders.2"),
        ("http://example.com/users/17", "http://example.com/users/", "http", "com.example.news", "com."),
    ),
    (
        "wildcard",
        ("http://example.com/users/17/.", "com.example.orders.", "com.example.orders..x"),
        ("http://example.", ".example.orders.x", "com..orders.x", "com.example.", "com.example.news.", "..", "."),
    ),
)
"""A match policy, topics and patterns that `TOPICS` cover, and those that they do not cover completely."""
OTHER_REQUESTS: Sequence[Sequence[object]] = (
    (16, 2, {"acknowledge": True}, ORDERS, [1]),
    (64, 2, {}, "com.example.orders.procedure"),
    (48, 2, {}, "com.example.authenticate", ["realm1", "17", {}]),
    (48, 2, {}, "wamp.session.list"),
)
"""PUBLISH, REGISTER, CALL."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Crossbar.io with the example's files, except for the port."""
    config: dict[str, Any] = json.loads((FOLDER / "config.json").read_text())
    (worker,) = config["workers"]
    (component,) = worker["components"]
    (name,) = component["extra"]["keys"].values()
    secret = Path(tmp_path_factory.mktemp("node"), name)
    secret.write_text(TICKET_SECRET + "\n")
    component["extra"]["keys"] = {"tickets": str(secret)}
    worker["options"]["pythonpath"] = [str(FOLDER / each) for each in worker["options"]["pythonpath"]]
    with crossbar.node(config) as node:
        yield f"127.0.0.1:{node.port}"


class Session:
    """A WAMP v2 session that is controlled message by message."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def ask(self, *message: object) -> list[Any]:
        """Send a message and return the next one."""
        await self._socket.send_json(message)
        return await self.receive()

    async def receive(self) -> list[Any]:
        message: list[Any] = await self._socket.receive_json(timeout=PATIENCE)
        return message

    async def subscribe(self, topic: str, match: str = "exact") -> object:
        """Return the URI of the error, or an empty string."""
        answer = await self.ask(32, 1, {"match": match}, topic)
        return "" if answer[0] == 33 else answer[4]


@asynccontextmanager
async def joined(authority: str, token: str) -> AsyncIterator[tuple[Session, list[Any]]]:
    """Connect, and yield the session and the reply to its ticket: WELCOME or ABORT."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{authority}/ws", protocols=["wamp.2.json"]) as socket,
    ):
        session = Session(socket)
        roles = {"roles": {"subscriber": {}}, "authmethods": ["ticket"]}
        assert await session.ask(1, "realm1", roles) == [4, "ticket", {}]
        yield session, await session.ask(5, token, {})


def issued(sub: str, *topics: str) -> str:
    return ticket(key="tickets", secret=TICKET_SECRET, sub=sub, topics=topics)


def made(
    claims: Mapping[str, object] | None = None, *, secret: str = TICKET_SECRET, kid: str = "tickets", alg: str = "HS256"
) -> str:
    """Return a token in which some claims are changed, or left out if they are None."""
    now = time.time()
    all_claims = {"sub": "17", "topics": [ORDERS], "iat": now, "exp": now + 60, **(claims or {})}
    kept = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(kept, secret if alg != "none" else "", algorithm=alg, headers={"kid": kid})


async def test_a_ticket_allows_only_subscriptions_to_its_topics(authority: str) -> None:
    async with joined(authority, issued("17", *TOPICS)) as (session, welcome):
        assert welcome[0] == 2
        assert {name: welcome[2][name] for name in ("authid", "authrole", "authmethod")} == {
            "authid": "17",
            "authrole": "subscriber",
            "authmethod": "ticket",
        }
        for match, covered, foreign in SUBSCRIPTIONS:
            assert [topic for topic in covered if await session.subscribe(topic, match)] == []
            refused = {topic: await session.subscribe(topic, match) for topic in foreign}
            assert refused == dict.fromkeys(foreign, "wamp.error.not_authorized")
        for request in OTHER_REQUESTS:
            assert (await session.ask(*request))[4] == "wamp.error.not_authorized", request


async def test_tickets_that_are_not_valid_are_refused(authority: str) -> None:
    now = time.time()
    refused = {
        "another secret": made(secret="another " * 8),
        "another key": made(kid="others"),
        "another algorithm": made(alg="HS384"),
        "no algorithm": made(alg="none"),
        "no signature": made().rpartition(".")[0] + ".",
        "not a token": "not a token",
        "no exp": made({"exp": None}),
        "exp is text": made({"exp": "2222222222"}),
        "too long": made({"exp": now + 90_000}),
        "not yet, nbf": made({"nbf": now + 60}),
        "not yet, iat": made({"iat": now + 60}),
        "empty sub": made({"sub": ""}),
        "no topics": made({"topics": []}),
        "topics are text": made({"topics": ORDERS}),
        "a topic is a number": made({"topics": [17]}),
        "a * alone": made({"topics": ["*"]}),
        "a * without a separator": made({"topics": ["http://example.com*"]}),
        "a * in the middle": made({"topics": ["http://*/orders"]}),
        "too many topics": made({"topics": [ORDERS + "x" * 8192]}),
        "lone surrogate": made() + "\ud800",
    }
    expired = {"by a second": made({"exp": now - 1}), "by an hour": made({"iat": now - 7200, "exp": now - 3600})}
    assert await aborts(authority, refused) == dict.fromkeys(refused, "wamp.error.authentication_failed")
    assert await aborts(authority, expired) == dict.fromkeys(expired, "webmq.error.ticket_expired")


async def test_other_claims_are_ignored(authority: str) -> None:
    """Other claims are ignored, as hubs ignore them."""
    async with joined(authority, made({"aud": "shop", "jti": 17})) as (_, welcome):
        assert welcome[0] == 2


async def aborts(authority: str, tokens: Mapping[str, str]) -> dict[str, object]:
    """Return the reason of the ABORT that each token gets."""
    reasons = {}
    for name, token in tokens.items():
        async with joined(authority, token) as (_, answer):
            reasons[name] = answer[2] if answer[0] == 3 else answer
    return reasons


async def test_events_for_one_user_reach_only_this_user(authority: str) -> None:
    """An event for one authid reaches only the sessions of that user."""
    topic = "http://example.com/news"
    client = AsyncClient(f"http://{authority}/publish", KEY, SECRET, dialect="crossbar")
    async with (
        client,
        joined(authority, issued("17", topic)) as (ada, _),
        joined(authority, issued("18", topic)) as (bob, _),
    ):
        assert [await ada.subscribe(topic), await bob.subscribe(topic)] == ["", ""]
        await client.push(topic, "to 17", options={"eligible_authid": ["17"]})
        await client.push(topic, "to all")
        assert [(await ada.receive())[4] for _ in range(2)] == [["to 17"], ["to all"]]
        assert (await bob.receive())[4] == ["to all"]


async def test_a_session_ends_with_its_ticket(authority: str) -> None:
    """When its ticket expires, a session that ignores GOODBYE receives no more events and cannot subscribe."""
    token = made({"exp": time.time() + 1})
    client = AsyncClient(f"http://{authority}/publish", KEY, SECRET, dialect="crossbar")
    async with client, joined(authority, token) as (session, _):
        assert await session.subscribe(ORDERS) == ""
        assert (await session.receive())[::2] == [6, "webmq.close.ticket_expired"]
        await client.push(ORDERS, "too late")
        assert await session.subscribe(ORDERS) == "wamp.error.not_authorized"


@pytest.mark.usefixtures("chromium")
async def test_the_same_page_works_with_both_brokers(authority: str, page: Page) -> None:
    """With both brokers, a page gets an error for topics outside its ticket, and a new ticket when one expires."""
    hub = in_thread(lambda: Hub(port=0, keys={KEY: SECRET}, ticket_keys={"tickets": TICKET_SECRET}))
    with hub as embedded:
        for endpoint, ws_url in (
            (f"{embedded.url}/publish", embedded.ws_url),
            (f"http://{authority}/publish", f"ws://{authority}/ws"),
        ):
            tickets = [made({"exp": time.time() + 1.5}), issued("17", ORDERS)]
            await page.evaluate(f"""
                Math.random = () => 0;  // no wait before a reconnect
                globalThis.asked = 0;
                globalThis.tickets = {json.dumps(tickets)};
                globalThis.mq = new WebMQ({json.dumps(ws_url)}, {{ ticket: async () => tickets[asked++] }});
                globalThis.events = [];
                globalThis.orders = mq.subscribe({json.dumps(ORDERS)}, (event) => events.push(event));
                orders.ready
            """)
            foreign = (
                "mq.subscribe('http://example.com/users/18/orders', () => {}).ready.catch(({ message }) => message)"
            )
            assert str(await page.evaluate(foreign)).startswith("not_authorized: ")
            await page.until("asked === 2 && mq.state === 'open' && orders.state === 'open'")
            async with AsyncClient(endpoint, KEY, SECRET, dialect="crossbar") as client:
                await client.push(ORDERS, "paid", options={"eligible_authid": ["17"]})
            await page.until("events.length === 1")
            await page.evaluate("mq.close()")
            async with Subscriber(ws_url, ticket=lambda: issued("17", ORDERS)) as subscriber:
                await subscriber.subscribe(ORDERS).ready()
                with pytest.raises(TopicRefused):
                    await subscriber.subscribe("http://example.com/users/18/orders").ready()
    assert page.problems == []
