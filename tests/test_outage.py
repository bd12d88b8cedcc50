"""The broker is down for a while: each push has an outcome, nothing accumulates, and the client works afterwards.

The soak kills a hub under load; here the hub is down for as long as some pushes take.
"""

from __future__ import annotations

import asyncio
import gc
import operator
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from webmqconnect_async import AsyncClient, Client, ConnectFailed, Outcome, Retry, Unconfirmed
from webmqconnect_async.testing import Hub

from .hostile import PATIENCE, refusing, unreachable
from .running import stopped

TOPIC = "http://example.com/t"
ONCE = Retry(attempts=1)
WORKERS = 10

pytest_plugins = ["webmqconnect_async.testing"]


def interrupted(hub: Hub) -> Iterator[tuple[str, object]]:
    """Yield 300 pushes; while the second hundred of them is read, the hub is down."""
    yield from ((TOPIC, number) for number in range(100))
    with hub.down():
        yield from ((TOPIC, number) for number in range(100, 200))
    yield from ((TOPIC, number) for number in range(200, 300))


async def interrupted_asynchronously(hub: Hub) -> AsyncIterator[tuple[str, object]]:
    """Yield the same pushes as `interrupted`."""
    for number in range(100):
        yield TOPIC, number
    async with stopped(hub):
        for number in range(100, 200):
            yield TOPIC, number
    for number in range(200, 300):
        yield TOPIC, number


def check(hub: Hub, outcomes: Iterable[Outcome]) -> None:
    """Check that pushes fail while the hub is down, that all work afterwards, and that none is lost or doubled."""
    ended = {outcome.index: outcome for outcome in outcomes}
    assert sorted(ended) == list(range(300))
    # Pushes in flight may succeed when the hub is back.
    assert sum(ended[number].ok for number in range(100, 200)) <= WORKERS
    assert [(number, ended[number].error) for number in range(200, 300) if not ended[number].ok] == []
    assert all(isinstance(each.error, ConnectFailed | Unconfirmed) for each in ended.values() if not each.ok)
    taken = [pushed.event for pushed in hub.pushes]
    assert len(set(taken)) == len(taken)
    assert {number for number, each in ended.items() if each.ok} <= set(taken)
    assert not {number for number, each in ended.items() if isinstance(each.error, ConnectFailed)} & set(taken)


async def test_a_bulk_continues_after_an_outage(webmq_hub: Hub) -> None:
    async with AsyncClient(webmq_hub.url, concurrency=10, retry=ONCE) as client:
        check(webmq_hub, await client.push_many(interrupted_asynchronously(webmq_hub)))
        assert client.stats.in_flight == 0


def test_a_blocking_bulk_continues_after_an_outage(webmq_hub: Hub) -> None:
    with Client(webmq_hub.url, concurrency=10, retry=ONCE) as client:
        check(webmq_hub, client.push_many(interrupted(webmq_hub)))
        assert client.stats.in_flight == 0


PATIENT = Retry(attempts=1_000_000, wait=0.001, max_wait=0.01)


def calling(note: Callable[[], None]) -> Callable[[], float]:
    """Return a random source that calls `note` each time it is used, which is after each failed attempt."""

    def rolled() -> float:
        note()
        return 0.5

    return rolled


async def test_a_push_with_enough_retries_succeeds_after_an_outage(
    webmq_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push is retried until the broker is back, and the caller gets no error."""
    failed = asyncio.Event()
    monkeypatch.setattr("random.random", calling(failed.set))
    async with AsyncClient(webmq_hub.url, timeout=PATIENCE, retry=PATIENT) as client:
        async with stopped(webmq_hub):
            pushing = asyncio.create_task(client.push(TOPIC, 1))
            await asyncio.wait_for(failed.wait(), PATIENCE)
        receipt = await pushing
    assert client.stats.retried == receipt.attempts - 1 > 0
    assert [pushed.event for pushed in webmq_hub.pushes] == [1]


def test_a_blocking_push_with_enough_retries_succeeds_after_an_outage(
    webmq_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    monkeypatch.setattr("random.random", calling(failed.set))
    with Client(webmq_hub.url, timeout=PATIENCE, retry=PATIENT) as client, ThreadPoolExecutor(1) as threads:
        with webmq_hub.down():
            pushing = threads.submit(client.push, TOPIC, 1)
            assert failed.wait(PATIENCE)
        receipt = pushing.result(PATIENCE)
    assert client.stats.retried == receipt.attempts - 1 > 0
    assert [pushed.event for pushed in webmq_hub.pushes] == [1]


class Growth:
    """The resources that 1,500 failing pushes leave behind, after the first 500."""

    def __init__(self) -> None:
        self._failed = 0
        self._before = (0, 0, 0)
        self.bytes = self.files = self.threads = 0

    def __enter__(self) -> Self:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()

    def count(self, outcome: Outcome) -> None:
        """Count one more push."""
        assert isinstance(outcome.error, ConnectFailed)
        self._failed += 1
        if self._failed == 500:
            self._before = _held()
        elif self._failed == 1500:
            self.bytes, self.files, self.threads = map(operator.sub, _held(), self._before)

    def check(self) -> None:
        """Check that nothing has accumulated: less than 20 bytes per push, no file, no thread."""
        assert self._failed == 1500
        assert self.bytes < 20_000
        # Pushes in flight have one each.
        assert self.files <= WORKERS
        assert self.threads <= 0


def _held() -> tuple[int, int, int]:
    """Return the resources of this process: bytes that Python has allocated, open files, threads."""
    gc.collect()
    files = Path("/proc/self/fd")
    return (
        tracemalloc.get_traced_memory()[0],
        len(list(files.iterdir())) if files.exists() else 0,
        threading.active_count(),
    )


def pushes() -> Iterator[tuple[str, object]]:
    """Yield 1,500 pushes."""
    return ((f"{TOPIC}/{number % 10}", number) for number in range(1500))


async def test_nothing_accumulates_during_an_outage() -> None:
    retry = Retry(attempts=2, wait=0)
    with refusing() as url, Growth() as growth:
        async with AsyncClient(url, concurrency=WORKERS, retry=retry) as client:
            async with client.push_stream(pushes(), order_by_topic=True) as outcomes:
                async for outcome in outcomes:
                    growth.count(outcome)
            assert len(asyncio.all_tasks()) == 1
    growth.check()


def test_nothing_accumulates_during_an_outage_blocking() -> None:
    retry = Retry(attempts=2, wait=0)
    with refusing() as url, Growth() as growth, Client(url, concurrency=WORKERS, retry=retry) as client:
        for outcome in client.push_stream(pushes(), order_by_topic=True):
            growth.count(outcome)
    growth.check()


async def test_failed_connection_attempts_are_closed() -> None:
    """If the broker's machine does not respond, each connection attempt ends with its push."""
    with unreachable() as url:
        async with AsyncClient(url, timeout=0.05, concurrency=WORKERS, retry=ONCE) as client:
            before = _held()[1]
            outcomes = await client.push_many([(TOPIC, number) for number in range(3 * WORKERS)])
            assert {type(each.error) for each in outcomes} == {ConnectFailed}
            assert _held()[1] == before


def test_failed_connection_attempts_are_closed_blocking() -> None:
    with unreachable() as url, Client(url, timeout=0.05, concurrency=WORKERS, retry=ONCE) as client:
        before = _held()[1]
        outcomes = client.push_many([(TOPIC, number) for number in range(3 * WORKERS)])
        assert {type(each.error) for each in outcomes} == {ConnectFailed}
        assert _held()[1] == before
