"""Uses of the public names that type-checkers accept. Nothing here runs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import assert_type

import aiohttp
import psycopg

from webmqconnect_async import (
    AsyncClient,
    Client,
    Failed,
    InvalidPush,
    Outcome,
    Payload,
    Push,
    Receipt,
    Retry,
    Sent,
    WebMQError,
    session_id,
    to_json,
)
from webmqconnect_async.explain import Explanation, explain
from webmqconnect_async.hub import Accepted, Hub, HubOptions, Identity, Refused
from webmqconnect_async.outbox import insert, schema
from webmqconnect_async.signing import Credentials, sign, sign_challenge, verify
from webmqconnect_async.subscriber import Event, Subscriber, Subscription, TopicRefused
from webmqconnect_async.testing import Hub as TestHub
from webmqconnect_async.typing import (
    AsyncClientOptions,
    AsyncPushes,
    AsyncPushStream,
    ClientOptions,
    DialectName,
    Dumps,
    Pushes,
    PushStream,
    SessionIDs,
)


def constructors(session: aiohttp.ClientSession) -> None:
    AsyncClient("http://127.0.0.1")
    AsyncClient("http://127.0.0.1", "app", "s3cret", 3, session=session, concurrency=5, retry=Retry(attempts=1))
    AsyncClient.from_env(timeout=None, session=session)
    Client("http://127.0.0.1", auth_key="app", auth_secret=b"s3cret", keepalive=None, dialect="crossbar")
    Client(pushEndpoint="http://127.0.0.1", authKey="app", authSecret="s3cret")
    Client("http://127.0.0.1", authKey="app", authSecret="s3cret", timeout=5)
    Client.from_env(headers={"X-Origin": "shop"})


class Shop(AsyncClient):
    """A subclass of an application."""


assert_type(Shop.from_env(), Shop)


def options() -> tuple[ClientOptions, AsyncClientOptions, HubOptions]:
    client: ClientOptions = {"concurrency": 3, "dumps": dumps, "max_request_head": None}
    return client, {"session": None, "ssl": None}, {"keys": {"app": "s3cret"}}


def dumps(event: object) -> bytes:
    return repr(event).encode()


encoders: list[Dumps] = [dumps, to_json]
assert_type(to_json([1]), bytes)
assert_type(session_id(None, "crossbar"), str | None)
dialect: DialectName = "webmq"
receivers: list[SessionIDs] = [["1"], (1, 2), {"1", 2}, frozenset({1})]


async def single(client: AsyncClient) -> None:
    receipt = await client.push("t", {"id": 17}, eligible=["1"], exclude=(2,), options={"retain": True}, timeout=None)
    assert_type(receipt, Receipt)
    assert_type(receipt.id, int | None)
    await client.push("t", Payload(1, 2, state="paid"))
    assert_type(Client("http://127.0.0.1").push("t", None), Receipt)


async def bulk(client: AsyncClient) -> None:
    outcomes = await client.push_many([Push("t", 1), ("t", 2)])
    assert_type(outcomes, list[Outcome])
    await client.push_many([("t", {"id": 17})])
    await client.push_many((f"t/{number}", number) for number in range(3))
    await client.push_many({("t", 1), ("t", 2)})
    await client.push_many(arriving())
    stream: AsyncPushStream = client.push_stream(arriving())
    async with stream as outcomes_as_they_come:
        async for outcome in outcomes_as_they_come:
            assert_type(outcome, Outcome)


async def arriving() -> AsyncIterator[Push]:
    yield Push("t", 1)


def blocking_bulk(client: Client, some: list[Push], pairs: list[tuple[str, dict[str, int]]]) -> None:
    mixed: list[Push | tuple[str, int]] = [Push("t", 1), ("t", 2)]
    assert_type(client.push_many(mixed), list[Outcome])
    client.push_many([Push("t", 1), ("t", "a text"), ("t", [1, None])])
    client.push_many(some, concurrency=3, order_by_topic=True)
    client.push_many(pairs)
    stream: PushStream = client.push_stream(iter(some))
    with stream:
        for outcome in stream:
            assert_type(outcome, Outcome)


def read() -> Iterator[tuple[str, object]]:
    yield "t", 1


sources: list[Pushes] = [read(), [("t", 1)], [Push("t", 1)]]
async_sources: list[AsyncPushes] = [read(), arriving()]


def narrowed_by_error(outcome: Outcome) -> None:
    if outcome.error is None:
        assert_type(outcome, Sent)
        assert_type(outcome.receipt, Receipt)
        assert_type(outcome.push, Push)
    else:
        assert_type(outcome, Failed)
        assert_type(outcome.error, WebMQError)
        assert_type(outcome.push, Push | None)


def narrowed_by_ok(outcome: Outcome) -> None:
    if outcome.ok is True:
        assert_type(outcome, Sent)
    if outcome.ok is False:
        assert_type(outcome, Failed)


def narrowed_by_match(outcome: Outcome) -> int:
    match outcome:
        case Sent(receipt=receipt):
            assert_type(receipt, Receipt)
            return receipt.status
        case Failed(index, push, error):
            assert_type(index, int)
            assert_type(push, Push | None)
            assert_type(error, WebMQError)
            return error.attempts


def errors(error: WebMQError) -> None:
    assert_type(error.retryable, bool)
    if isinstance(error, InvalidPush):
        print(error.attempts)


def admit(push: Accepted) -> Refused | None:
    return Refused(429, "later", retry_after=1) if push.topic == "t" else None


async def may_subscribe(identity: Identity, topic: str) -> bool:
    assert_type(identity.claims, Mapping[str, object] | None)
    return topic == identity.authid


async def hubs() -> None:
    async with Hub(port=0, keys={"app": "s3cret"}, admit=admit, may_subscribe=may_subscribe) as hub:
        assert_type(hub.url, str)
    with TestHub(keys={"app": b"s3cret"}, may_subscribe=lambda identity, topic: identity.role == "x") as served:
        assert_type(served.wait_for("t").event, object)


async def subscribers(credentials: Credentials) -> None:
    def lost(topic: str, why: str) -> None: ...

    async with Subscriber("ws://127.0.0.1:8080/ws", credentials, on_lost=lost, on_state=print, buffer=5) as subscriber:
        assert_type(subscriber.session_id, str | None)
        async for event in subscriber.subscribe("t", "u"):
            assert_type(event, Event)
            assert_type(event.value, object)
            assert_type(event.id, int | None)
        try:
            assert_type(await subscriber.subscribe("t").ready(), Subscription)
        except TopicRefused as refused:
            print(refused)
        async with subscriber.subscribe("t") as events:
            assert_type(await anext(events), Event)


def signatures() -> None:
    credentials = Credentials("app", "s3cret")
    assert_type(sign(credentials, b"a", b"b"), str)
    assert_type(verify(credentials, "x", b"a"), bool)
    assert_type(sign_challenge(credentials, "x"), str)
    explanation: Explanation = explain(credentials, {"body": b"{}"})
    assert_type(explanation.mistake("x"), str | None)


def rows(cursor: sqlite3.Cursor, connection: psycopg.Connection) -> None:
    cursor.execute(*insert("t", 1))
    cursor.execute(*insert("t", 1, style="named"))
    cursor.executescript(schema("sqlite"))
    connection.execute(*insert("t", 1, style="format"))
    connection.execute(schema("postgresql"))
