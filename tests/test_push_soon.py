"""`push_soon` of both clients on real sockets. For its bookkeeping, see `test_backlog`."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    Background,
    Client,
    ClientClosed,
    ConnectionLost,
    Failed,
    InvalidPush,
    Push,
    QueueTimeout,
    Retry,
    Stats,
    TooLarge,
    Unconfirmed,
    WrongLoop,
)
from webmqconnect_async._sync import background
from webmqconnect_async._sync.background import ThreadQueue
from webmqconnect_async.testing import Hub

from .clients import DRIVERS, Both
from .handlers import at_every_point
from .hostile import PATIENCE, Hostile, Peer, answer, bodies, drop_after_body, held, hostile, refusing, reply, stall
from .scripts import run_script

if sys.platform != "win32":
    import uvloop

TOPIC = "http://example.com/t"
LOGGER = "webmqconnect_async.client"

pytest_plugins = ["webmqconnect_async.testing"]
both_clients = pytest.mark.parametrize("kind", [*DRIVERS, "uvloop"])


class Failures(list[Failed]):
    """An `on_failure` that stores its arguments."""

    def __call__(self, failed: Failed) -> None:
        self.append(failed)

    @property
    def ends(self) -> list[tuple[int, type[Exception]]]:
        return [(each.index, type(each.error)) for each in self]


def until(client: Both, server: Hostile, condition: Callable[[], bool]) -> None:
    """Let the client work until a condition is true."""
    if isinstance(client.client, Client):
        server.until(condition)
    else:
        client._run(asyncio.to_thread(server.until, condition))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == LOGGER]


@both_clients
def test_events_of_a_topic_are_pushed_in_order(kind: str, server: Hostile) -> None:
    with Both(kind, server.url) as client:
        for number in range(60):
            assert client.push_soon(f"{TOPIC}/{number % 3}", number) is True
        assert client.flush()
        assert client.stats == Stats(pushed=60)
    for topic in range(3):
        events = [int(each.body) for each in server.requests if each.query["topicuri"] == f"{TOPIC}/{topic}"]
        assert events == list(range(topic, 60, 3))


@both_clients
def test_push_soon_has_the_arguments_of_push(kind: str, server: Hostile) -> None:
    with Both(kind, server.url) as client:
        client.push_soon(TOPIC, {"id": 17}, ["a", 1], exclude=["b"])
    [request] = server.requests
    assert request.query == {"topicuri": TOPIC, "eligible": "a,1", "exclude": "b"}
    assert request.body == b'{"id":17}'


@both_clients
def test_push_soon_does_not_wait(kind: str) -> None:
    """`push_soon` waits neither for the broker nor for a slot, and awaited pushes do not wait for its events."""
    with hostile(*[stall] * 10) as server, Both(kind, server.url, concurrency=1, timeout=None) as client:
        for number in range(20):
            assert client.push_soon(f"{TOPIC}/{number}", number)
        until(client, server, lambda: len(server.requests) == (1 if kind == "sync" else 10))
        server.forget()
        assert client.push(TOPIC, "awaited").status == 202
        stats = client.stats
        assert (stats.pushed, stats.waiting, stats.in_flight) == ((1, 20, 1) if kind == "sync" else (1, 20, 10))
        assert not client.flush(timeout=0.0)
        client.close(grace=0.0)
        assert client.stats == Stats(pushed=1, background_failed=20)


@both_clients
def test_a_failure_is_reported_and_the_next_event_is_pushed(
    kind: str, server: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures()
    server.script(answer(reply(401)), drop_after_body)
    with Both(kind, server.url, background=Background(on_failure=failures)) as client:
        for number in range(3):
            client.push_soon(TOPIC, number)
        assert client.flush()
        assert client.stats == Stats(pushed=1, background_failed=2)
    assert failures.ends == [(0, AuthRejected), (1, ConnectionLost)]
    assert failures[1].push == Push(TOPIC, 1)
    assert all(each.error.__traceback__ is None for each in failures)
    assert logged(caplog) == []


@both_clients
def test_failures_without_on_failure_are_logged(kind: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    """The first failure is logged at once, the others within a minute or when the client is closed."""
    server.script(*[answer(reply(401))] * 3)
    with Both(kind, server.url) as client:
        for number in range(3):
            client.push_soon(TOPIC, number)
    first, last = logged(caplog)
    assert "events that wait to be pushed in the background: 2, failed: 1; the last error: AuthRejected: " in first
    assert "events that were not pushed before the client ended: 2; the last error: AuthRejected: " in last


@both_clients
def test_events_that_are_too_old_are_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    options = Background(max_age=0.05)
    with refusing() as url, Both(kind, url, retry=Retry(attempts=1), background=options) as client:
        for number in range(3):
            client.push_soon(TOPIC, number)
        assert client.flush()
    away, failed = logged(caplog)
    assert "events that wait to be pushed in the background: " in away
    assert "events that were not pushed before the client ended: 3; the last error: ConnectFailed" in failed


@both_clients
def test_an_exception_of_on_failure(kind: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    server.script(answer(reply(401)), answer(reply(401)))

    def on_failure(failed: Failed) -> None:
        raise LookupError(failed.index)

    with Both(kind, server.url, background=Background(on_failure=on_failure)) as client:
        for number in range(3):
            client.push_soon(TOPIC, number)
        assert client.flush()
        assert client.stats == Stats(pushed=1, background_failed=2)
    assert [(record.getMessage(), str((record.exc_info or [None, None])[1])) for record in caplog.records] == [
        (f"127.0.0.1:{server.port}: on_failure raised an exception", str(number)) for number in range(2)
    ]


@both_clients
@pytest.mark.parametrize(
    ("arguments", "error"), [((TOPIC, {1, 2}), InvalidPush), ((1, 1), InvalidPush), (("t" * 20_000, 1), TooLarge)]
)
def test_an_event_that_cannot_be_encoded_raises_at_once(
    kind: str, arguments: tuple[Any, Any], error: type[Exception], server: Hostile
) -> None:
    with Both(kind, server.url) as client:
        with pytest.raises(error):
            client.push_soon(*arguments)
        assert client.stats == Stats()


@both_clients
def test_a_full_queue(kind: str) -> None:
    with hostile(stall) as server, Both(kind, server.url, background=Background(limit=3)) as client:
        assert [client.push_soon(TOPIC, number) for number in range(5)] == [True] * 3 + [False] * 2
        until(client, server, lambda: len(server.requests) == 1)
        client.close(grace=0.0)
        assert client.stats == Stats(dropped=2, background_failed=3)


# Closing


@both_clients
def test_close_flushes(kind: str, server: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    with Both(kind, server.url) as client:
        for number in range(30):
            client.push_soon(TOPIC, number)
        client.close()
        assert client.stats == Stats(pushed=30)
        with pytest.raises(ClientClosed):
            client.push_soon(TOPIC, 1)
        assert client.flush()
        client.close()
    assert [int(body) for body in bodies(server)] == list(range(30))
    assert logged(caplog) == []


@both_clients
def test_events_that_are_left_after_the_grace_fail(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    options = Background(on_failure=failures)
    with refusing() as url, Both(kind, url, retry=Retry(attempts=1), background=options) as client:
        for number in range(30):
            client.push_soon(TOPIC, number)
        while not logged(caplog):
            assert not client.flush(timeout=0.01)
        client.close(grace=0.05)
        assert client.stats.background_failed == len(failures) == 30
        client.close()
    assert {error for _, error in failures.ends} >= {ClientClosed}
    away, left = logged(caplog)
    assert "events that wait to be pushed in the background: " in away
    assert "; the last error: ConnectFailed: cannot connect to " in away
    assert "events that were not pushed before the client ended: 30; the last error: ConnectFailed" in left


@both_clients
def test_a_push_in_flight_ends_with_the_grace(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    options = Background(on_failure=failures)
    with hostile(stall) as server, Both(kind, server.url, timeout=None, background=options) as client:
        client.push_soon(TOPIC, 1)
        client.push_soon(TOPIC, 2)
        until(client, server, lambda: len(server.requests) == 1)
        client.close(grace=0.0)
        assert client.stats == Stats(background_failed=2)
    assert sorted(failures.ends)[1] == (1, ClientClosed)
    assert isinstance(min(failures, key=lambda each: each.index).error, Unconfirmed)
    assert len(logged(caplog)) == 1


# Outages of the broker


@both_clients
def test_the_broker_comes_back(kind: str, webmq_hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """Events of the outage are delivered in order afterwards. Its start and its end are logged."""
    caplog.set_level(logging.INFO, LOGGER)
    with Both(kind, webmq_hub.url, retry=Retry(attempts=1)) as client:
        with webmq_hub.down():
            for number in range(20):
                client.push_soon(TOPIC, number)
            while not logged(caplog):
                assert not client.flush(timeout=0.01)
        assert client.flush()
        assert client.stats == Stats(pushed=20)
    assert [each.event for each in webmq_hub.pushes] == list(range(20))
    away, back = logged(caplog)
    assert "events that wait to be pushed in the background: " in away
    assert "the broker is back" in back


@both_clients
def test_events_that_are_too_old_fail(kind: str, webmq_hub: Hub) -> None:
    """Events that are too old fail, and later ones are pushed."""
    failures = Failures()
    options = Background(max_age=0.05, on_failure=failures)
    with Both(kind, webmq_hub.url, retry=Retry(attempts=1), background=options) as client:
        with webmq_hub.down():
            for number in range(5):
                client.push_soon(TOPIC, number)
            assert client.flush()
            assert client.stats == Stats(background_failed=5)
        while not client.stats.pushed:  # on a slow machine, the next one may be too old, too
            assert client.push_soon(TOPIC, "later")
            assert client.flush()
    assert [index for index, _ in failures.ends[:5]] == list(range(5))
    assert isinstance(failures[4].error, QueueTimeout)


@pytest.mark.parametrize("extent", ["every"])
@pytest.mark.parametrize("kind", DRIVERS)
def test_every_event_is_delivered_dropped_or_reported(kind: str, webmq_hub: Hub, extent: str) -> None:
    """100,000 events are put into a queue of 100, during repeated outages of the broker."""
    parts = [range(start, start + 10_000) for start in range(0, 100_000, 10_000)]
    failures, dropped = Failures(), set()
    options = Background(limit=100, on_failure=failures)
    with Both(kind, webmq_hub.url, retry=Retry(attempts=1), background=options) as client:
        for part in parts:
            with webmq_hub.down():
                dropped |= flood(client, part[:5000])
            dropped |= flood(client, part[5000:])
            assert client.flush()
        stats = client.stats
    arrived = [int(str(each.event)) for each in webmq_hub.pushes]
    reported = {each.index for each in failures if isinstance(each.error, Unconfirmed)}
    assert len(set(arrived)) == len(arrived) > 500
    assert {*arrived} | dropped | {each.index for each in failures} == {*range(100_000)}
    assert not {*arrived} & dropped
    assert {*arrived} & {each.index for each in failures} <= reported
    assert (stats.waiting, stats.dropped, stats.background_failed) == (0, len(dropped), len(failures))
    for topic in range(7):
        events = [int(str(each.event)) for each in webmq_hub.pushes if each.topic == f"{TOPIC}/{topic}"]
        assert events == sorted(events)


def flood(client: Both, events: range) -> set[object]:
    """Push events as fast as possible, and return those that had no room."""

    def soon(event: int) -> bool:
        return client.client.push_soon(f"{TOPIC}/{event % 7}", event)

    async def asynchronously() -> set[object]:
        dropped: set[object] = set()
        for event in events:
            if not soon(event):
                dropped.add(event)
            if event % 250 == 0:
                await asyncio.sleep(0.001)
        return dropped

    if isinstance(client.client, Client):
        return {event for event in events if not soon(event)}
    return client._run(asynchronously())


# The event loop of an AsyncClient


async def test_from_any_thread(server: Hostile) -> None:
    async with AsyncClient(server.url) as client:
        with ThreadPoolExecutor(4) as threads:
            accepted = list(threads.map(lambda number: client.push_soon(TOPIC, number), range(100)))
        assert accepted == [True] * 100
        assert await client.flush(PATIENCE)
        assert client.stats == Stats(pushed=100)
    assert sorted(int(body) for body in bodies(server)) == list(range(100))


async def test_from_another_running_loop(server: Hostile) -> None:
    """A worker thread may run a coroutine in its own loop. The event is pushed in the loop of the client."""

    async def other() -> bool:
        return client.push_soon(TOPIC, 1)

    async with AsyncClient(server.url) as client:
        assert await asyncio.to_thread(asyncio.run, other())
        assert await client.flush(PATIENCE)
    assert bodies(server) == [b"1"]


def test_without_a_loop(server: Hostile) -> None:
    client = AsyncClient(server.url)
    with pytest.raises(WrongLoop, match="the client has no event loop yet"):
        client.push_soon(TOPIC, 1)
    asyncio.run(client.close())
    with pytest.raises(ClientClosed):
        client.push_soon(TOPIC, 1)


def test_after_the_loop_of_the_client_has_ended(server: Hostile) -> None:
    client = AsyncClient(server.url)
    asyncio.run(_pushed(client, 0))
    with pytest.raises(WrongLoop):
        client.push_soon(TOPIC, 1)
    asyncio.run(client.close())


async def _pushed(client: AsyncClient, *events: int) -> None:
    """Push events, and return before they are delivered."""
    for event in events:
        assert client.push_soon(TOPIC, event)


async def _closed(client: AsyncClient) -> None:
    async with client:
        assert await client.flush(PATIENCE)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_one_loop_after_another(run: Any, server: Hostile) -> None:
    """Events that wait when a loop ends are pushed in the next one. The push in flight is cancelled with its loop."""
    client = AsyncClient(server.url)
    for number in range(0, 30, 10):
        run(_pushed(client, *range(number, number + 10)))
        assert client.stats.waiting >= 9
    run(_closed(client))
    stats = client.stats
    assert (stats.waiting, stats.pushed + stats.background_failed) == (0, 30)
    assert stats.background_failed <= 3
    events = [int(body) for body in bodies(server)]
    assert events == sorted(events)


def test_a_push_that_is_cancelled_with_its_loop_is_reported() -> None:
    failures = Failures()
    with hostile(stall) as server:

        async def main() -> None:
            client.push_soon(TOPIC, 0)
            client.push_soon(TOPIC, 1)
            await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)

        client = AsyncClient(server.url, background=Background(on_failure=failures))
        asyncio.run(main())
        assert failures.ends == [(0, Unconfirmed)]
        asyncio.run(_closed(client))
        assert bodies(server) == [b"0", b"1"]
        assert client.stats == Stats(pushed=1, background_failed=1)


async def test_awaited_pushes_are_not_starved() -> None:
    """Background pushes have slots of their own."""
    with hostile(*[held()] * 4) as server:
        options = Background(concurrency=3)
        async with AsyncClient(server.url, concurrency=1, timeout=PATIENCE, background=options) as client:
            for number in range(20):
                client.push_soon(f"{TOPIC}/{number}", number)
            await asyncio.to_thread(server.until, lambda: len(server.requests) == 3)
            awaited = asyncio.create_task(client.push(TOPIC, "awaited"))
            await asyncio.to_thread(server.until, lambda: len(server.requests) == 4)
            assert bodies(server)[-1] == b'"awaited"'
            assert client.stats.in_flight == 4
            server.release()
            await awaited


async def test_a_close_that_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    with hostile(stall) as server:
        client = AsyncClient(server.url, timeout=None)
        client.push_soon(TOPIC, 1)
        client.push_soon(TOPIC, 2)
        closing = asyncio.create_task(client.close(None))
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert len(logged(caplog)) == 1
        await asyncio.to_thread(server.until, lambda: server.open_connections == 0)
        assert client.stats == Stats(background_failed=2)


async def test_a_signal_handler_wakes_the_loop(server: Hostile) -> None:
    """A handler that calls `push_soon` runs in the thread of the loop, which otherwise waits only for its sockets."""
    async with AsyncClient(server.url) as client:
        handled = signal.signal(signal.SIGUSR1, lambda *_: client.push_soon(TOPIC, 1))
        main = threading.main_thread().ident
        assert main is not None
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def trip() -> None:
            signal.pthread_kill(main, signal.SIGUSR1)
            with suppress(AssertionError):
                server.until(lambda: len(server.requests) == 1)
            loop.call_soon_threadsafe(woken.set)

        trip_thread = threading.Timer(0.05, trip)
        trip_thread.start()
        try:
            await woken.wait()
        finally:
            trip_thread.join()
            signal.signal(signal.SIGUSR1, handled)
        assert bodies(server) == [b"1"]


async def test_the_context_variables_of_a_caller_are_not_used() -> None:
    """Pushes, timers and `on_failure` neither see the context variables of a request, nor keep them alive."""
    request: ContextVar[Failures | None] = ContextVar("request", default=None)
    seen: list[object] = []

    async def handle() -> weakref.ref[Failures]:
        handled = Failures()
        request.set(handled)
        client.push_soon(TOPIC, 1)
        return weakref.ref(handled)

    options = Background(max_age=0.2, on_failure=lambda failed: seen.append(request.get()))
    with refusing() as url:
        async with AsyncClient(url, retry=Retry(attempts=1), background=options) as client:
            handled = await asyncio.create_task(handle())
            await client.flush(0.05)
            gc.collect()
            assert handled() is None
            assert await client.flush(PATIENCE)
    assert seen == [None]


async def test_cancelled_tasks_do_not_stop_the_others() -> None:
    """An application may cancel all tasks, and continue."""
    with hostile(stall) as server:
        async with AsyncClient(server.url) as client:
            client.push_soon(TOPIC, 0)
            client.push_soon(TOPIC, 1)
            await asyncio.to_thread(server.until, lambda: len(server.requests) == 1)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.to_thread(server.until, lambda: len(server.requests) == 2)
            assert await client.flush(PATIENCE)
            assert client.stats == Stats(pushed=1, background_failed=1)


async def test_no_timer_is_left_by_close() -> None:
    with refusing() as url:
        client = AsyncClient(url, retry=Retry(attempts=1), background=Background(on_failure=Failures()))
        client.push_soon(TOPIC, 1)
        while (timer := client._background._timer) is None:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)
        await client.close(0)
        await asyncio.sleep(0)
        assert timer.cancelled()


# The thread of a Client


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_exits_is_replaced(server: Hostile) -> None:
    """If an `on_failure` ends the thread with `sys.exit`, another thread is started, and no event stays in flight."""
    exited: list[threading.Thread] = []

    def exit_thread(failed: Failed) -> None:
        exited.append(threading.current_thread())
        sys.exit()

    server.script(answer(reply(401)))
    with Client(server.url, background=Background(on_failure=exit_thread)) as client:
        client.push_soon(TOPIC, 1)
        client.push_soon(TOPIC, 2)
        assert client.flush(PATIENCE)
        assert client.stats == Stats(pushed=1, background_failed=1)
    for thread in exited:
        thread.join(PATIENCE)  # so that the warning is issued within this test


def test_a_close_that_is_interrupted(caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a `close` is interrupted, a second one completes it: each event has failed once."""
    caplog.set_level(logging.CRITICAL, LOGGER)  # an exception within logging would not release the lock of a handler

    class Interrupt(Exception):
        pass

    def handler() -> None:
        raise Interrupt

    with refusing() as url:
        for interruption in at_every_point(handler, step=3):
            failures = Failures()
            client = Client(url, retry=Retry(attempts=1), background=Background(on_failure=failures))
            for number in range(4):
                client.push_soon(f"{TOPIC}/{number % 3}", number)
            with suppress(Interrupt):
                interruption.run(partial(client.close, 0.0))
            client.close(0.0)
            assert client.stats == Stats(background_failed=4)
            indexes = [failed.index for failed in failures]
            assert len(indexes) == len({*indexes}) >= 3


def test_close_after_an_interrupted_report() -> None:
    """The second `close` does not wait for events that the first one has abandoned."""
    reported = Failures()

    def on_failure(failed: Failed) -> None:
        reported.append(failed)
        if threading.current_thread() is threading.main_thread() and len(reported) == 1:
            raise KeyboardInterrupt

    with refusing() as url:
        client = Client(url, retry=Retry(attempts=1), background=Background(on_failure=on_failure))
        for number in range(3):
            client.push_soon(f"{TOPIC}/{number}", number)
        with suppress(KeyboardInterrupt):
            client.close(0.0)
        client.close(None)
        assert client.stats == Stats(background_failed=3)
    assert len(reported) == 3


def test_flush_at_exit_while_threads_end(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread removes itself from the set of running threads."""
    clients = [Client(server.url) for _ in range(3)]
    for client in clients:
        client.push_soon(TOPIC, 1)
    running = {client._state.background for client in clients}
    monkeypatch.setattr(background, "_running", running)

    def is_here(queue: ThreadQueue) -> bool:
        running.discard(queue)
        return True

    monkeypatch.setattr(ThreadQueue, "_is_here", is_here)
    background._flush_all()
    assert [client.stats for client in clients] == [Stats(pushed=1)] * 3


def test_callers_of_flush_are_woken_under_the_lock(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flush` does not return while an event waits that was added at the moment in which its callers are woken."""
    held: list[bool] = []
    wake = ThreadQueue._wake_flushes

    def wake_flushes(queue: Any) -> None:
        held.append(queue._lock._is_owned())
        wake(queue)

    monkeypatch.setattr(ThreadQueue, "_wake_flushes", wake_flushes)
    with Client(server.url) as client:
        client.push_soon(TOPIC, 1)
        assert client.flush(PATIENCE)
    assert {*held} == {True}


def test_one_thread_which_ends_with_the_client(server: Hostile) -> None:
    before = {*threading.enumerate()}
    client = Client(server.url)
    assert {*threading.enumerate()} <= before
    for number in range(10):
        client.push_soon(TOPIC, number)
    [thread] = {*threading.enumerate()} - before
    del client
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert [int(body) for body in bodies(server)] == list(range(10))


def test_without_threads(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the event is not queued, and the next call tries again."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Client(server.url) as client:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                client.push_soon(TOPIC, 1)
        assert client.stats == Stats()
        client.push_soon(TOPIC, 2)
    assert bodies(server) == [b"2"]


def test_on_failure_may_use_the_client(server: Hostile) -> None:
    """`on_failure` runs in the background thread, which cannot wait for itself."""
    flushed: list[bool] = []

    def on_failure(failed: Failed) -> None:
        assert client.push_soon(TOPIC, "instead")
        flushed.append(client.flush(None))

    server.script(answer(reply(401)))
    with Client(server.url, background=Background(on_failure=on_failure)) as client:
        client.push_soon(TOPIC, 1)
        assert client.flush(PATIENCE)
    assert (flushed, bodies(server)) == ([False], [b"1", b'"instead"'])


def test_a_signal_handler_that_raises(server: Hostile) -> None:
    """Wherever a handler interrupts `push_soon`, the event is queued or not queued, and the others are delivered."""

    class Interrupt(Exception):
        pass

    def handler() -> None:
        raise Interrupt

    with Client(server.url) as client:
        client.push_soon(TOPIC, "first")
        for number, interruption in enumerate(at_every_point(handler)):
            with suppress(Interrupt):
                interruption.run(partial(client.push_soon, f"{TOPIC}/{number % 2}", number))
        assert client.push_soon(TOPIC, "last")
        assert client.flush(PATIENCE)
        assert client.stats == Stats(pushed=len(server.requests))
    events = bodies(server)
    assert len(set(events)) == len(events)
    assert {b'"first"', b'"last"'} < {*events}


def test_a_signal_handler_that_pushes(server: Hostile) -> None:
    """Wherever a handler interrupts `push_soon`, both events are delivered."""
    pushed = 0
    with Client(server.url) as client:
        for interruption in at_every_point(lambda: client.push_soon(TOPIC, "handler")):
            interruption.run(partial(client.push_soon, TOPIC, pushed))
            pushed += 1
        assert client.flush(PATIENCE)
    events = bodies(server)
    assert [event for event in events if event.isdigit()] == [b"%d" % number for number in range(pushed)]
    assert events.count(b'"handler"') == pushed - 1


FORK = """
for number in range(100):
    client.push_soon("t", number)
child = os.fork()
if not child:
    assert client.stats == Stats(), client.stats
    client.push_soon("t", "child")
    client.close()
    os._exit(0)
print(os.waitpid(child, 0)[1], client.flush(60), client.stats.pushed)
"""
EXIT = """
for number in range(100):
    client.push_soon("t", number)
"""
GEVENT = "from gevent import monkey; monkey.patch_all()\n"
ways = pytest.mark.parametrize("first", ["", GEVENT], ids=["threads", "gevent"])


@ways
def test_fork(first: str, server: Hostile, tmp_path: Path) -> None:
    """100 events that wait in the parent are delivered once; the child starts with an empty queue."""
    if first:
        pytest.importorskip("gevent")
    assert run_script(FORK, server.url, tmp_path, first=first, prelude="client = Client(url)\n") == "0 True 100\n"
    assert sorted(bodies(server)) == sorted([b'"child"', *(b"%d" % number for number in range(100))])


@ways
def test_exit_without_close(first: str, server: Hostile, tmp_path: Path) -> None:
    if first:
        pytest.importorskip("gevent")
    assert run_script(EXIT, server.url, tmp_path, first=first, prelude="client = Client(url)\n") == ""
    assert [int(body) for body in bodies(server)] == list(range(100))


def test_exit_while_the_broker_is_down(tmp_path: Path) -> None:
    """At exit, the client waits for a limited time, then logs how many events were not pushed."""
    script = """
    import webmqconnect_async._sync.background as background
    background._AT_EXIT = 0.1
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    client = Client(url, retry=Retry(attempts=1))
    for number in range(3):
        client.push_soon("t", number)
    """
    with refusing() as url:
        *_, left = run_script(script, url, tmp_path).splitlines()
    assert "events that were not pushed before the client ended: 3; the last error: ConnectFailed" in left


@both_clients
def test_no_secrets(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log, errors and failures contain neither the secret nor a signature."""
    failures = Failures()
    signatures: list[str] = []

    async def quote(peer: Peer) -> None:
        request = await peer.request()
        signatures.append(request.query["signature"])
        await peer.send(reply(401, request.line.encode()))

    for on_failure in (failures, None):
        options = Background(on_failure=on_failure)
        with hostile(quote) as server, Both(kind, server.url, "app", "s3cret", background=options) as client:
            client.push_soon(TOPIC, 1)
    assert (len(failures), len(signatures)) == (1, 2)
    shown = f"{failures!r} {caplog.text} {failures[0].error.__dict__!r}"
    assert not [secret for secret in ["s3cret", *signatures] if secret[:-1] in shown]


def test_fork_with_an_event_loop(server: Hostile, tmp_path: Path) -> None:
    """The child of a fork pushes nothing that waits in its parent."""
    script = """
    async def push(*events):
        async with client:
            for event in events:
                client.push_soon("t", event)
            await client.flush(60)

    async def begin():
        for event in range(10):
            client.push_soon("t", event)

    client = AsyncClient(url)
    asyncio.run(begin())
    print(client.stats.waiting >= 9)
    child = os.fork()
    if not child:
        asyncio.run(push("child"))
        os._exit(client.stats.waiting)
    print(os.waitpid(child, 0)[1])
    logging.disable()
    asyncio.run(push())
    """
    assert run_script(script, server.url, tmp_path).split() == ["True", "0"]
    assert {b'"child"', *(b"%d" % number for number in range(1, 10))} <= {*bodies(server)}
    assert len({*bodies(server)}) == len(bodies(server))
