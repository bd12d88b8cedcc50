"""The relay, with real databases and a hub of the tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient, ClientClosed, Retry
from webmqconnect_async.relay import Relay, RelayStats, StoreError, StoreLost, _policy, _relay
from webmqconnect_async.testing import Hub

from ..hostile import ACCEPTED, Hostile, answer, held
from ..running import away
from .databases import Database

A, B, C = (f"http://example.com/{letter}" for letter in "abc")
WAITING = "SELECT count(*) FROM webmq_outbox WHERE NOT parked"
PARKED = "SELECT count(*) FROM webmq_outbox WHERE parked"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_policy, "_FIRST_DELAY", 0.05)
    monkeypatch.setattr(_relay, "_IDLE", 0.05)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(hub.url) as client:
        yield client


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[asyncio.Task[RelayStats]]:
    """Run a relay, and stop it at the end."""
    async with relay:
        task = asyncio.create_task(relay.run())
        yield task
        relay.stop()
        await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  # nothing sets an event
            await asyncio.sleep(0.005)


def take_lock(database: Database) -> None:
    """Take the lock from the relay that has it."""
    if database.url.startswith("sqlite"):
        Path(f"{database.url.removeprefix('sqlite:///')}-relay").unlink()
    else:
        database.scalar("SELECT pg_terminate_backend(pid)::int FROM pg_locks WHERE locktype = 'advisory'")


def pushed(hub: Hub) -> list[tuple[str, object]]:
    return [(push.topic, push.event) for push in hub.pushes]


# What is pushed


async def test_rows_are_pushed_once_and_deleted(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, {"id": 1}), (B, [1.10]), (A, "ü"))
    async with Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=3)
        assert await relay.counts() == (0, 0, 0)
        assert await relay.run(once=True) == RelayStats(pushed=3)
    assert sorted(pushed(hub), key=str) == [(A, "ü"), (A, {"id": 1}), (B, [1.1])]


async def test_receivers_are_passed_on(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, 1), eligible=["17", 18], exclude=[])
    database.insert((B, 1))
    async with Relay(database.url, client) as relay:
        await relay.run(once=True)
    received = {push.topic: (push.eligible, push.exclude) for push in hub.pushes}
    assert received[A][0] == frozenset({"17", "18"})
    assert received[B][0] is None


async def test_what_is_committed_later_is_pushed_at_once(database: Database, hub: Hub, client: AsyncClient) -> None:
    async with running(Relay(database.url, client)):
        for number in range(3):
            database.insert((A, number))
            assert (await hub.arrived(A)).event == number


async def test_what_is_rolled_back_is_not_pushed(database: Database, hub: Hub, client: AsyncClient) -> None:
    with database.transaction() as transaction:
        transaction.insert((A, "phantom"))
    database.insert((A, "real"))
    async with Relay(database.url, client) as relay:
        await relay.run(once=True)
    assert pushed(hub) == [(A, "real")]


async def test_rows_of_a_topic_keep_their_order(database: Database, hub: Hub, client: AsyncClient) -> None:
    """Among many topics, in batches, and with failures that may pass."""
    topics = [f"http://example.com/{number}" for number in range(7)]
    database.insert(*((topics[number % 7], number) for number in range(200)))
    hub.refuse_next(503, retry_after=0, count=2)
    hub.refuse_next(500, count=3)
    async with running(Relay(database.url, client, batch=20, concurrency=5)):
        await until(lambda: len(hub.pushes) == 200)
    for topic in topics:
        events = [event for name, event in pushed(hub) if name == topic]
        assert events == list(range(topics.index(topic), 200, 7))


# What fails


async def test_a_row_that_is_refused_for_good_is_parked(
    database: Database, hub: Hub, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert((A, "x" * 5000), (A, 2))
    async with Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=1, failed=1, parked=1)
        assert await relay.counts() == (0, 1, 0)
    assert pushed(hub) == [(A, 2)]
    assert "parked: TooLarge: the broker answered 400" in caplog.text
    assert "xxx" not in caplog.text


async def test_a_row_that_may_be_accepted_later_is_postponed(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later rows of its topic wait for it, and other topics do not."""
    monkeypatch.setattr(_policy, "_FIRST_DELAY", 60)
    database.insert((A, 1), (A, 2))
    hub.refuse_next(500, count=3)  # as many as a push has attempts
    async with Relay(database.url, client) as relay:
        await relay.run(once=True)
        database.insert((B, 3))
        assert await relay.run(once=True) == RelayStats(pushed=1, failed=1)
        assert pushed(hub) == [(B, 3)]
        assert (await relay.counts())[:2] == (2, 0)
        with database.connection() as connection:
            assert connection.execute("SELECT attempts, error FROM webmq_outbox ORDER BY id").fetchone() == (
                *(1, "BadReply: the broker answered 500: refused by the test"),
            )
            connection.execute("UPDATE webmq_outbox SET due = 0")
        await relay.run(once=True)
    assert pushed(hub) == [(B, 3), (A, 1), (A, 2)]


async def test_a_broker_that_is_away_costs_no_row_an_attempt(
    database: Database, hub: Hub, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webmqconnect_async.relay")
    async with running(Relay(database.url, client)) as task:
        async with away(hub):
            database.insert((A, 1), (B, 2), (C, 3))
            await until(lambda: "the broker is away" in caplog.text)
            assert database.scalar("SELECT max(attempts) FROM webmq_outbox") == 0
        await until(lambda: len(hub.pushes) == 3 and "the broker is back" in caplog.text)
    assert caplog.text.count("the broker is away") == 1
    assert (await task).pushed == 3


async def test_once_ends_when_the_broker_is_away(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, 1))
    async with away(hub), Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(failed=1)
    assert database.scalar(WAITING) == 1


async def test_a_row_that_could_not_be_deleted_is_delivered_once(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(database.url, client)
    delete, lost = relay._store.delete, [StoreLost("gone")]

    async def lose_the_connection(ids: Sequence[int]) -> None:
        if lost:
            raise lost.pop()
        await delete(ids)

    monkeypatch.setattr(relay._store, "delete", lose_the_connection)
    database.insert((A, 1))
    async with running(relay):
        await until(lambda: relay.stats.pushed == 2)
    assert relay.stats == RelayStats(pushed=2, repeated=1)
    assert pushed(hub) == [(A, 1)]
    assert database.scalar(WAITING) == 0


async def test_retries_do_not_depend_on_the_client(database: Database, hub: Hub) -> None:
    hub.refuse_next(500)
    database.insert((A, 1))
    async with (
        AsyncClient(hub.url, retry=Retry(attempts=1)) as client,
        Relay(database.url, client) as relay,
    ):
        assert await relay.run(once=True) == RelayStats(pushed=1)


# Ends


async def test_stop_waits_for_the_pushes_in_flight(database: Database, server: Hostile) -> None:
    server.script(held(), held())
    database.insert((A, 1), (B, 2), (A, 3))
    async with AsyncClient(server.url) as client, Relay(database.url, client) as relay:
        task = asyncio.create_task(relay.run())
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 2)
        relay.stop()
        await asyncio.sleep(0)
        assert not task.done()
        server.release()
        assert await task == RelayStats(pushed=2)
    assert database.scalar(WAITING) == 1


async def test_a_cancelled_relay_writes_what_it_has(database: Database, server: Hostile) -> None:
    server.script(held(), answer(ACCEPTED))
    database.insert((A, 1), (B, 2))
    async with AsyncClient(server.url) as client, Relay(database.url, client) as relay:
        task = asyncio.create_task(relay.run())
        await until(lambda: relay.stats.pushed == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert database.scalar(WAITING) == 1


async def test_a_closed_client_ends_it(database: Database, client: AsyncClient) -> None:
    database.insert((A, 1))
    async with Relay(database.url, client) as relay:
        await client.close()
        with pytest.raises(ClientClosed):
            await relay.run()
    assert database.scalar(WAITING) == 1


async def test_it_must_be_open(database: Database, client: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await Relay(database.url, client).run()


# One of several


async def test_a_relay_that_loses_its_lock_stops_at_once(database: Database, server: Hostile) -> None:
    """It abandons its push, and pushes the row again with its key when it has the lock again."""
    server.script(held())
    database.insert((A, 1))
    async with AsyncClient(server.url) as client, running(Relay(database.url, client)):
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
        take_lock(database)
        await until(lambda: not database.scalar(WAITING))
    first, second = [request.header("Idempotency-Key") for request in server.requests]
    assert first == second


async def test_a_second_relay_waits_and_takes_over(database: Database, hub: Hub, client: AsyncClient) -> None:
    first, second = Relay(database.url, client), Relay(database.url, client)
    async with running(second) as ended:
        await until(lambda: second.active)
        async with first:
            with pytest.raises(StoreError, match="another relay is active"):
                await first.run(once=True)
            waiting = asyncio.create_task(first.run())
            database.insert((A, 1))
            await hub.arrived(A)
            assert not first.active
            second.stop()
            await ended
            await second.__aexit__(None, None, None)
            database.insert((A, 2))
            await hub.arrived(A)
            assert first.active
            first.stop()
            await waiting
