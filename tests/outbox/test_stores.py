"""The behaviour of a store on which the relay relies, with each database."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from webmqconnect_async.relay._store import MAX_LENGTH, Row, Store
from webmqconnect_async.relay._stores import connect_store

from .databases import Database

NOW = 1_000.0


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Store]:
    store = connect_store(database.url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with opened(database) as store:
        yield store


def events(rows: list[Row]) -> list[object]:
    return [json.loads(row.event) for row in rows]


async def test_due_returns_rows_as_they_were_inserted(database: Database, store: Store) -> None:
    """The event has the same bytes as the encoded one; IDs and keys identify the rows."""
    database.insert(("a", {"tea": "Grüße ☕", "at": 1.10}))
    database.insert(("b", 2), eligible=["1", 2], exclude=())
    first, second = await store.due(NOW, 500)
    assert (first.topic, first.event) == ("a", '{"tea":"Grüße ☕","at":1.1}')
    assert (first.eligible, first.exclude, first.attempts) == (None, None, 0)
    assert (second.push().eligible, second.push().exclude) == (("1", "2"), ())
    assert first.id < second.id
    assert first.key != second.key


async def test_deleted_rows_are_not_returned(database: Database, store: Store) -> None:
    database.insert(("a", 1), ("a", 2), ("b", 3))
    rows = await store.due(NOW, 500)
    await store.write([rows[0], rows[2]])
    assert events(await store.due(NOW, 500)) == [2]


async def test_uncommitted_rows_are_not_returned(database: Database, store: Store) -> None:
    with database.transaction() as transaction:
        transaction.insert(("a", 1))
        assert await store.due(NOW, 500) == []
    assert await store.due(NOW, 500) == []


async def test_topic_waits_for_its_first_row(database: Database, store: Store) -> None:
    """Later rows of a topic do not overtake a postponed one; other topics continue."""
    database.insert(("a", 1), ("b", 2), ("a", 3))
    first, *_ = await store.due(NOW, 500)
    await store.write(failed=[(first, NOW + 5, "no hub")])
    assert events(await store.due(NOW + 4.9, 500)) == [2]
    again = await store.due(NOW + 5, 500)
    assert events(again) == [1, 2, 3]
    assert again[0].attempts == 1


async def test_a_postponed_row_delays_only_the_rows_after_it(database: Database, store: Store) -> None:
    """An earlier row may appear later: from an overlapping transaction, or when an operator retries it."""
    database.insert(("a", 1), ("a", 2), ("a", 3))
    first, second, _ = await store.due(NOW, 500)
    await store.write(failed=[(first, None, "too large")])
    await store.write(failed=[(second, NOW + 5, "no hub")])
    assert await store.due(NOW, 500) == []
    assert await store.retry([first.id]) == 1
    assert events(await store.due(NOW, 500)) == [1]


async def test_parked_rows_are_skipped(database: Database, store: Store) -> None:
    database.insert(("a", 1), ("a", 2))
    first, _ = await store.due(NOW, 500)
    await store.write(failed=[(first, None, "too large")])
    assert events(await store.due(NOW, 500)) == [2]


async def test_without_topics_in_flight(database: Database, store: Store) -> None:
    database.insert(("a", 1), ("b", 2), ("it's, {}", 3))
    assert events(await store.due(NOW, 500, {"it's, {}", "a"})) == [2]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_topics_take_turns(limit: int, database: Database, store: Store) -> None:
    """A backlog of some topics does not delay others, and each topic keeps its order."""
    database.insert(*((topic, (topic, place)) for place in range(6) for topic in "dbac"))
    pushed: list[object] = []
    for _ in range(24):
        rows = await store.due(NOW, limit)
        assert 0 < len(rows) <= limit
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        await store.write(rows)
        pushed += events(rows)
        if len(pushed) == 24:
            break
    for topic in "abcd":
        assert [event for event in pushed if event[0] == topic] == [[topic, place] for place in range(6)]  # type: ignore[index]
    assert {event[0] for event in pushed[: 4 + limit]} == set("abcd")  # type: ignore[index]
    assert await store.due(NOW, limit) == []


async def test_fewer_rows_are_returned_if_events_are_long(database: Database, store: Store) -> None:
    """The memory depends neither on the number of rows nor on the length of their events."""
    database.insert(*(("a", "x" * (MAX_LENGTH // 2)) for _ in range(5)))
    assert 0 < len(await store.due(NOW, 500)) < 5


async def test_one_relay_at_a_time(database: Database, store: Store) -> None:
    assert not await store.locked()
    assert await store.lock()
    assert await store.lock(), "the first relay has the lock"
    async with opened(database) as second:
        assert not await second.lock()
        assert not await second.locked()
        assert await store.locked()
        await store.close()
        async with asyncio.timeout(30):
            while not await second.lock():  # noqa: ASYNC110  # PostgreSQL notices it after a moment
                await asyncio.sleep(0.001)
        assert not await store.locked()


async def test_a_closed_store_can_be_opened_again(database: Database, store: Store) -> None:
    await store.lock()
    await store.close()
    await store.close()
    await store.open()
    assert not await store.locked()
    assert await store.lock()
    database.insert(("a", 1))
    assert events(await store.due(NOW, 500)) == [1]


async def test_wait_ends_with_a_commit(database: Database, store: Store) -> None:
    """A commit after the beginning of `due` ends `wait`; at once if it was before `wait` began."""
    for commits_before in (False, True):
        await store.due(NOW, 500)
        if commits_before:
            database.insert(("a", 1))
        waiting = asyncio.create_task(store.wait(60))
        if not commits_before:
            await asyncio.sleep(0)
            database.insert(("a", 1))
        await waiting
    assert len(await store.due(NOW, 500)) == 2


async def test_calls_are_possible_during_wait(database: Database, store: Store) -> None:
    database.insert(("a", 1))
    rows = await store.due(NOW, 500)
    waiting = asyncio.create_task(store.wait(60))
    await asyncio.sleep(0)
    await store.write([rows[0]])
    assert await store.due(NOW, 500) == []
    waiting.cancel()
    with suppress(asyncio.CancelledError):  # or it has ended early, which is allowed
        await waiting
    assert await store.due(NOW, 500) == []


async def test_wait_ends_at_its_timeout(store: Store) -> None:
    await store.due(NOW, 500)
    await store.wait(0.01)


async def test_operations_of_the_command_line(database: Database, store: Store) -> None:
    """Rows can be counted, listed, retried and dropped."""
    assert await store.counts() == (0, 0, 0)
    database.insert(("a", 1), ("b", 2), ("c", 3), ("d", 4))
    one, two, three, _ = await store.due(NOW, 500)
    await store.write(failed=[(one, None, "too large")])
    await store.write(failed=[(two, None, "not JSON")])
    await store.write(failed=[(three, NOW + 5, "no hub")])
    counts = await store.counts()
    assert (counts.waiting, counts.parked) == (2, 2)
    assert -1 < counts.oldest < 60
    parked = await store.listed(True, 10)
    assert [(row.id, row.topic, row.event, row.attempts, row.parked, row.error) for row in parked] == [
        (one.id, "a", "1", 1, True, "too large"),
        (two.id, "b", "2", 1, True, "not JSON"),
    ]
    assert all(-1 < row.age < 60 for row in parked)
    listed = await store.listed(False, 3)
    assert [(row.topic, row.parked, row.error) for row in listed[1:]] == [
        ("b", True, "not JSON"),
        ("c", False, "no hub"),
    ]
    assert await store.retry([one.id, three.id, 999]) == 2
    assert events(await store.due(NOW, 500)) == [1, 3, 4]
    assert await store.drop([one.id]) == 1
    waiting = asyncio.create_task(store.wait(60))
    async with opened(database) as operator:
        assert await operator.retry(None) == 1
    await waiting  # which ends the relay's `wait`
    await store.write(failed=[(three, None, "gone")])
    assert await store.drop(None) == 1
    assert events(await store.due(NOW, 500)) == [2, 4]


async def test_created_is_a_unix_time(database: Database, store: Store) -> None:
    before = time.time()
    database.insert(("a", 1))
    assert before - 0.01 <= database.scalar("SELECT created FROM webmq_outbox") <= time.time() + 0.01


async def test_schema_may_be_executed_again(database: Database, store: Store) -> None:
    database.insert(("a", 1))
    database.create()
    assert events(await store.due(NOW, 500)) == [1]
