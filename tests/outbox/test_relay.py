"""The relay, with real databases and a hub of the tests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient, ClientClosed, Retry
from webmqconnect_async.relay import Relay, RelayStats, StoreError, StoreLost, _policy, _relay
from webmqconnect_async.relay._store import Row
from webmqconnect_async.relay._stores import connect_store
from webmqconnect_async.testing import Hub

from ..hostile import ACCEPTED, Hostile, answer, held
from ..running import stopped
from .databases import Database

Failed = Sequence[tuple[Row, float | None, str]]
A, B, C = (f"http://example.com/{letter}" for letter in "abc")
WAITING = "SELECT count(*) FROM webmq_outbox WHERE NOT parked"
PARKED = "SELECT count(*) FROM webmq_outbox WHERE parked"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_policy, "_FIRST_DELAY", 0.05)
    monkeypatch.setattr(_policy, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(_relay, "_PATIENCE", 0.2)
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
        while not true():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)


def take_lock(database: Database) -> None:
    """Take the lock away from the relay that has it."""
    if database.url.startswith("sqlite"):
        Path(f"{database.url.removeprefix('sqlite:///')}-relay").unlink()
    else:
        database.scalar("SELECT pg_terminate_backend(pid)::int FROM pg_locks WHERE locktype = 'advisory'")


def pushed(hub: Hub) -> list[tuple[str, object]]:
    return [(push.topic, push.event) for push in hub.pushes]


# Pushing rows


async def test_rows_are_pushed_once_and_deleted(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, {"id": 1}), (B, [1.10]), (A, "ü"))
    async with Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=3)
        assert await relay.counts() == (0, 0, 0)
        assert await relay.run(once=True) == RelayStats(pushed=3)
    assert sorted(pushed(hub), key=str) == [(A, "ü"), (A, {"id": 1}), (B, [1.1])]


async def test_receivers_of_a_row_are_those_of_its_push(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, 1), eligible=["17", 18], exclude=[])
    database.insert((B, 1))
    async with Relay(database.url, client) as relay:
        await relay.run(once=True)
    received = {push.topic: (push.eligible, push.exclude) for push in hub.pushes}
    assert received[A][0] == frozenset({"17", "18"})
    assert received[B][0] is None


async def test_a_row_that_is_committed_later_is_pushed_at_once(
    database: Database, hub: Hub, client: AsyncClient
) -> None:
    async with running(Relay(database.url, client)):
        for number in range(3):
            database.insert((A, number))
            assert (await hub.arrived(A)).event == number


async def test_a_row_that_is_rolled_back_is_not_pushed(database: Database, hub: Hub, client: AsyncClient) -> None:
    with database.transaction() as transaction:
        transaction.insert((A, "phantom"))
    database.insert((A, "real"))
    async with Relay(database.url, client) as relay:
        await relay.run(once=True)
    assert pushed(hub) == [(A, "real")]


async def test_rows_of_a_topic_keep_their_order(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many topics, in batches, and with failures that may pass."""
    monkeypatch.setattr(_relay, "_BATCH", 20)
    topics = [f"http://example.com/{number}" for number in range(7)]
    database.insert(*((topics[number % 7], number) for number in range(200)))
    hub.refuse_next(503, retry_after=0, count=2)
    hub.refuse_next(500, count=3)
    async with running(Relay(database.url, client, concurrency=5)):
        await until(lambda: len(hub.pushes) == 200)
    for topic in topics:
        events = [event for name, event in pushed(hub) if name == topic]
        assert events == list(range(topics.index(topic), 200, 7))


# Failures


async def test_a_row_with_a_final_error_is_parked(
    database: Database, hub: Hub, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert((A, "x" * 5000), (A, 2))
    async with Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=1, failed=1, parked=1)
        assert await relay.counts() == (0, 1, 0)
    assert pushed(hub) == [(A, 2)]
    assert "parked: TooLarge: the broker answered 400" in caplog.text
    assert "xxx" not in caplog.text


async def test_a_row_with_a_retryable_error_is_postponed(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later rows of its topic wait for it, and those of other topics do not."""
    monkeypatch.setattr(_policy, "_FIRST_DELAY", 60)
    database.insert((A, 1), (A, 2))
    hub.refuse_next(500, count=3)  # as often as a push is attempted
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


async def test_an_outage_of_the_broker_is_not_counted_as_an_attempt(
    database: Database, hub: Hub, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webmqconnect_async.relay")
    async with running(Relay(database.url, client)) as task:
        async with stopped(hub):
            database.insert((A, 1), (B, 2), (C, 3))
            await until(lambda: "the broker does not accept pushes" in caplog.text)
            assert database.scalar("SELECT max(attempts) FROM webmq_outbox") == 0
        await until(lambda: len(hub.pushes) == 3 and "the broker accepts pushes again" in caplog.text)
    assert caplog.text.count("the broker does not accept pushes") == 1
    assert (await task).pushed == 3


async def test_once_ends_if_the_broker_is_down(database: Database, hub: Hub, client: AsyncClient) -> None:
    database.insert((A, 1))
    async with stopped(hub), Relay(database.url, client) as relay:
        stats = await relay.run(once=True)
    assert stats == RelayStats(failed=stats.failed)
    assert stats.failed > 0
    assert database.scalar(WAITING) == 1


async def test_a_row_that_could_not_be_deleted_is_deleted_later(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(database.url, client)
    write, lost = relay._store.write, [StoreLost("gone")]

    async def lose_the_connection(deleted: Sequence[Row] = (), failed: Failed = ()) -> None:
        if deleted and lost:
            raise lost.pop()
        await write(deleted, failed)

    monkeypatch.setattr(relay._store, "write", lose_the_connection)
    database.insert((A, 1))
    async with running(relay):
        await until(lambda: not database.scalar(WAITING))
    assert relay.stats == RelayStats(pushed=1)
    assert pushed(hub) == [(A, 1)]


async def test_once_continues_if_rows_are_refused(database: Database, hub: Hub, client: AsyncClient) -> None:
    """Refused rows do not delay those of other topics, and are not tried twice."""
    hub.refuse_next(401, count=2)
    database.insert((A, 1), (B, 2), (C, 3))
    async with Relay(database.url, client, concurrency=1) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=1, failed=2)
    assert pushed(hub) == [(C, 3)]


async def test_rows_that_are_dropped_while_the_broker_is_down(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such rows are not pushed when the broker is back, because the relay keeps no rows while it waits."""
    relay = Relay(database.url, client)
    due, found = relay._store.due, -1

    async def counted(now: float, limit: int, without: Collection[str] = ()) -> list[Row]:
        nonlocal found
        rows = await due(now, limit, without)
        found = found if without else len(rows)
        return rows

    monkeypatch.setattr(relay._store, "due", counted)
    async with running(relay):
        async with stopped(hub):
            database.insert((A, 1), (A, 2), (B, 3))
            await until(lambda: relay.stats.failed > 1)
            with database.connection() as connection:
                connection.execute("DELETE FROM webmq_outbox")
            await until(lambda: not found)
        database.insert((C, 4))
        await hub.arrived(C)
    assert pushed(hub) == [(C, 4)]


async def test_rows_that_cannot_be_deleted_are_pushed_once(
    tmp_path: Path, hub: Hub, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows that cannot be deleted are not pushed again. One line of the log per minute says so."""
    caplog.set_level(logging.INFO, "webmqconnect_async.relay")
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    database.insert((A, 1), (B, 2))
    with database.connection() as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON webmq_outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    relay = Relay(database.url, client)
    async with running(relay):
        await until(lambda: relay._database._failures >= 2)
        assert relay.stats == RelayStats(pushed=2)
        assert caplog.text.count("cannot use the outbox") == 1
        with database.connection() as connection:
            connection.execute("DROP TRIGGER refuse")
        await until(lambda: not database.scalar(WAITING) and "the outbox can be used again" in caplog.text)
    assert relay.stats == RelayStats(pushed=2)


@pytest.mark.parametrize("change", ["eligible = '17'", "exclude = 'x'", "event = x'31'"])
async def test_an_invalid_row_that_was_written_by_hand_is_parked(
    change: str, tmp_path: Path, hub: Hub, client: AsyncClient
) -> None:
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    database.insert((A, 1), (B, 2))
    with database.connection() as connection:
        connection.execute(f"UPDATE webmq_outbox SET {change} WHERE id = 1")  # noqa: S608  # a constant
    async with Relay(database.url, client) as relay:
        assert await relay.run(once=True) == RelayStats(pushed=1, failed=1, parked=1)


async def test_a_small_batch_does_not_limit_concurrency(
    database: Database, server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_relay, "_POLL", 0.01)
    monkeypatch.setattr(_relay, "_BATCH", 2)
    server.script(*(held() for _ in range(12)))
    database.insert(*((f"{A}{number}", number) for number in range(12)))
    async with AsyncClient(server.url) as client, running(Relay(database.url, client, concurrency=12)):
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 12)
        server.release()


async def test_retries_do_not_depend_on_the_client(database: Database, hub: Hub) -> None:
    hub.refuse_next(500)
    database.insert((A, 1))
    async with (
        AsyncClient(hub.url, retry=Retry(attempts=1)) as client,
        Relay(database.url, client) as relay,
    ):
        assert await relay.run(once=True) == RelayStats(pushed=1)


# The end of a relay


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


async def test_a_cancelled_relay_writes_the_outcomes_that_it_has(database: Database, server: Hostile) -> None:
    server.script(held(), answer(ACCEPTED))
    database.insert((A, 1), (B, 2))
    async with AsyncClient(server.url) as client, Relay(database.url, client) as relay:
        task = asyncio.create_task(relay.run())
        await until(lambda: relay.stats.pushed == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert database.scalar(WAITING) == 1


async def test_a_relay_that_is_cancelled_during_a_write_completes_it(
    database: Database, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.insert((A, 1))
    async with Relay(database.url, client) as relay:
        write, writing = relay._store.write, asyncio.Event()

        async def slow(deleted: Sequence[Row] = (), failed: Failed = ()) -> None:
            if deleted and not writing.is_set():
                writing.set()
                await asyncio.Event().wait()
            await write(deleted, failed)

        monkeypatch.setattr(relay._store, "write", slow)
        task = asyncio.create_task(relay.run())
        async with asyncio.timeout(30):
            await writing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert database.scalar(WAITING) == 0


@pytest.mark.parametrize("end", ["stop", "cancel"])
async def test_a_relay_ends_while_an_application_keeps_sqlite_locked(end: str, tmp_path: Path, server: Hostile) -> None:
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    database.insert((A, 1))
    server.script(held())
    async with AsyncClient(server.url) as client, Relay(database.url, client) as relay:
        task = asyncio.create_task(relay.run())
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
        with database.connection() as application:
            application.execute("BEGIN EXCLUSIVE")
            server.release()
            await until(lambda: relay.stats.pushed == 1)
            relay.stop() if end == "stop" else task.cancel()
            done, _ = await asyncio.wait([task], timeout=30)
        assert done
        assert task.cancelled() == (end == "cancel")
        await relay.run(once=True)  # in which the row is marked as accepted
    assert len(server.requests) == 1
    assert database.scalar(WAITING) == 0


async def test_a_closed_client_ends_the_relay(database: Database, client: AsyncClient) -> None:
    database.insert((A, 1))
    async with Relay(database.url, client) as relay:
        await client.close()
        with pytest.raises(ClientClosed):
            await relay.run()
    assert database.scalar(WAITING) == 1


async def test_a_relay_must_be_opened_before_it_runs(database: Database, client: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await Relay(database.url, client).run()


async def test_a_relay_cannot_run_twice_at_a_time(database: Database, client: AsyncClient) -> None:
    relay = Relay(database.url, client)
    async with running(relay):
        await until(lambda: relay.active)
        with pytest.raises(RuntimeError, match="already running"):
            await relay.run()


async def test_a_database_that_is_down_at_the_start(
    database: Database, hub: Hub, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay waits for its database, because a service may be started before it."""
    relay = Relay(database.url, client)
    opened, failures = relay._store.open, [StoreLost("refused")] * 3

    async def refused() -> None:
        if failures:
            raise failures.pop()
        await opened()

    monkeypatch.setattr(relay._store, "open", refused)
    async with relay:
        with pytest.raises(StoreLost, match="refused"):
            await relay.run(once=True)
    database.insert((A, 1))
    async with running(relay):
        await hub.arrived(A)


# One of several relays


async def test_a_relay_that_loses_its_lock_stops_at_once(
    database: Database, server: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay abandons its push, and pushes nothing while another relay has the lock."""
    caplog.set_level(logging.INFO, "webmqconnect_async.relay")
    server.script(held())
    database.insert((A, 1), (A, 2), (A, 3))
    other = connect_store(database.url)
    await other.open()
    async with AsyncClient(server.url) as client, running(Relay(database.url, client)):
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
        take_lock(database)
        async with asyncio.timeout(30):
            while not await other.lock():  # noqa: ASYNC110  # PostgreSQL notices it after a moment
                await asyncio.sleep(0.001)
        await until(lambda: "waiting: another relay is active" in caplog.text)
        server.release()
        assert len(server.requests) == 1
        await other.close()
        await until(lambda: not database.scalar(WAITING))
    first, second, *_ = [request.header("Idempotency-Key") for request in server.requests]
    assert first == second
    assert len(server.requests) == 4


async def test_a_process_that_was_suspended_checks_its_lock_first(
    database: Database, server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the process was suspended, another relay may have pushed the rows that it holds."""
    server.script(held())
    database.insert((A, 1), (A, 2))
    async with AsyncClient(server.url) as client, running(relay := Relay(database.url, client)):
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
        pushes, push = 0, client._push_one

        async def counted(*arguments: object) -> object:
            nonlocal pushes
            pushes += 1
            return await push(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(client, "_push_one", counted)
        looked, locked = asyncio.Event(), relay._store.locked

        async def late() -> bool:
            await looked.wait()
            return await locked()

        monkeypatch.setattr(relay._store, "locked", late)
        monkeypatch.setattr(_relay, "_LOCK_AGE", -1)
        server.release()
        await until(lambda: relay.stats.pushed == 1)
        assert pushes == 0
        monkeypatch.setattr(_relay, "_LOCK_AGE", 2)
        looked.set()
        await until(lambda: not database.scalar(WAITING))
    assert pushes == 1


async def test_a_relay_without_its_lock_writes_nothing(
    database: Database, client: AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert((A, 1))
    relay = Relay(database.url, client)

    async def locked() -> bool:
        return not relay.stats.pushed

    monkeypatch.setattr(relay._store, "locked", locked)
    async with running(relay):
        await until(lambda: "the lock of the outbox is lost" in caplog.text)
        assert database.scalar(WAITING) == 1


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
