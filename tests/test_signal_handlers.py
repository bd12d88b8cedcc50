"""Signal handlers that raise while the blocking client pushes: Ctrl-C, an alarm, the time limit of a task queue."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

import pytest

from webmqconnect_async import Client, ClientClosed, ConnectFailed, Receipt, ReplyTimeout, Retry, Stats, WebMQError
from webmqconnect_async._sync import connector
from webmqconnect_async._sync.slots import Latch

from .handlers import at_every_point
from .hostile import (
    ACCEPTED,
    PATIENCE,
    Hostile,
    Peer,
    Step,
    answer,
    bodies,
    drop_after_body,
    held,
    hostile,
    reply,
    resolve,
    stall,
    trusting,
    unreachable,
)
from .scripts import run_script
from .test_interrupted import descriptors


class SoftTimeLimit(Exception):
    """A substitute for Celery's `SoftTimeLimitExceeded`."""


ERRORS = (SoftTimeLimit, KeyboardInterrupt, TimeoutError, OSError)
"""The exceptions of handlers. The clients themselves also raise and catch TimeoutError and OSError."""
every_error = pytest.mark.parametrize("error", ERRORS)


@pytest.fixture
def points(extent: str) -> int:
    """Return the step from one point to the next: 1 for every point, or more for an evenly spread sample."""
    return 1 if extent == "every" else 29


def slowly(data: bytes) -> Step:
    """Respond to a request after a short delay."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.01)
        await peer.send(data)

    return step


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Do not wrap the methods of sockets, because CPython runs handlers at other points in wrappers."""


@pytest.fixture(autouse=True)
def no_gc_callbacks() -> Iterator[None]:
    """Remove the callback of Hypothesis, in which an exception of a handler would be lost."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks


@pytest.fixture(autouse=True)
def warm_logging() -> None:
    """Fill the cache of levels: if a handler raised meanwhile, logging would not release its lock."""
    logging.getLogger("webmqconnect_async.client").isEnabledFor(logging.INFO)


@contextmanager
def unharmed(slots: int, *, tls: bool = False, **options: Any) -> Iterator[tuple[Hostile, Client]]:
    """Yield a server and a client, and check at the end that every slot is free and that no connection is left."""
    before = descriptors()
    with hostile(tls=tls) as server:
        options |= {"concurrency": slots, "timeout": PATIENCE, "ssl": trusting() if tls else None}
        client = Client(server.url, **options)
        yield server, client
        all_slots_are_free(server, client, slots)
        assert len(server.requests) <= client.stats.pushed + client.stats.failed + client.stats.retried
        client.close()
        server.until(lambda: server.open_connections == 0)
    gc.collect()
    assert descriptors() <= before


def all_slots_are_free(server: Hostile, client: Client, slots: int) -> None:
    """Check that `slots` pushes can be in flight at once."""
    server.forget()
    # Some slots of the server may be taken by interrupted connections that it has yet to accept.
    server.script(*[held()] * (slots + 50))
    with ThreadPoolExecutor(slots) as threads:
        pushes = [threads.submit(client.push, "t", "last") for _ in range(slots)]
        server.until(lambda: bodies(server)[-slots:] == [b'"last"'] * slots)
        assert client.stats.in_flight == slots
        server.release()
        assert [push.result(PATIENCE).status for push in pushes] == [202] * slots
    assert client.stats.in_flight == 0


def interrupt_everywhere(
    client: Client,
    call: Callable[[], object],
    points: int,
    *,
    pushes: int = 1,
    prepare: Callable[[], object] = lambda: None,
    finish: Callable[[], object] = lambda: None,
    errors: tuple[type[BaseException], ...] = ERRORS,
) -> None:
    """Interrupt a call at its points, and check the client after each.

    Args:
        client: the client that is called.
        call: makes `pushes` pushes; it may raise a WebMQError.
        points: the step from one point to the next.
        pushes: the number of pushes in a call.
        prepare: runs before each call.
        finish: runs after each call.
        errors: the exceptions that the handler raises, in turn.
    """
    raised: list[BaseException] = []
    kinds = itertools.cycle(errors)

    def handler() -> None:
        raised.append(next(kinds)("the handler's"))
        raise raised[0]

    for number, interruption in zip(itertools.count(step=points), at_every_point(handler, points)):
        prepare()
        raised.clear()
        begun = client.stats.pushed + client.stats.failed
        caught: BaseException | None = None
        try:
            interruption.run(call)
        except BaseException as error:  # noqa: BLE001  # it is checked below
            caught = error
        finish()
        assert client.stats.in_flight == 0, f"point {number}"
        counted = client.stats.pushed + client.stats.failed - begun
        if raised:
            assert caught is raised[0] or changed_by_python(caught, raised[0]), f"point {number}: {caught!r}"
            assert counted <= pushes
        else:
            assert caught is None or isinstance(caught, WebMQError)
            assert counted == pushes
    assert number > 30


def test_points_are_found() -> None:
    """At one of the points, a lock that is acquired before `try` is not released; one in a `with` statement is."""

    def acquired_before() -> None:
        lock.acquire()
        try:
            lock.locked()
        finally:
            lock.release()

    def entered() -> None:
        with lock:
            lock.locked()

    def interrupt() -> None:
        raise SoftTimeLimit

    for use, lost in ((acquired_before, True), (entered, False)):
        left_locked = []
        for interruption in at_every_point(interrupt):
            lock = threading.Lock()
            with suppress(SoftTimeLimit):
                interruption.run(use)
            left_locked.append(lock.locked())
        assert any(left_locked) is lost


def changed_by_python(caught: BaseException | None, raised: BaseException) -> bool:
    """Return whether the standard library changes a handler's exception into another one.

    Before Python 3.12, codecs raise a copy that contains their name, and Thread.start fails because of its own locks.
    """
    if caught is None:
        return False
    if type(caught) is type(raised) and f"({type(raised).__name__}: {raised})" in str(caught):
        return True
    frames = [frame.f_code for frame, _ in walk_tb(caught.__traceback__)]
    return threading.Thread.start.__code__ in frames


@every_error
def test_push(error: type[BaseException], points: int) -> None:
    with unharmed(3) as (_, client):
        interrupt_everywhere(
            client, lambda: client.push("t", 1), points, prepare=lambda: client.push("t", 0), errors=(error,)
        )
        assert client.stats.pushed > 50 / points


@every_error
def test_push_that_connects(error: type[BaseException], points: int) -> None:
    with unharmed(3, keepalive=0) as (_, client):
        interrupt_everywhere(client, lambda: client.push("t", 1), points, errors=(error,))


def test_push_that_connects_to_one_of_two_addresses(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt that is not used is closed, too."""
    monkeypatch.setattr(connector, "_DELAY", 0.001)
    with unreachable() as dead, unharmed(3, keepalive=0) as (server, client):

        def forget_the_last() -> None:
            client._state._connector._last = None

        resolve(monkeypatch, dead, server.url)
        interrupt_everywhere(client, lambda: client.push("t", 1), points, prepare=forget_the_last)


@pytest.mark.parametrize("keepalive", [0, None], ids=["connects", "idle"])
def test_push_over_tls(keepalive: float | None, points: int) -> None:
    with unharmed(3, tls=True, keepalive=keepalive) as (_, client):
        interrupt_everywhere(client, lambda: client.push("t", 1), points, prepare=lambda: client.push("t", 0))


def test_push_that_waits_for_a_slot(points: int) -> None:
    with unharmed(1) as (server, client), ThreadPoolExecutor(1) as threads:

        def occupy() -> None:
            come = len(server.requests)
            server.script(slowly(ACCEPTED))
            threads.submit(client.push, "t", "first")
            server.until(lambda: len(server.requests) > come)

        def vacate() -> None:
            threads.submit(lambda: None).result(PATIENCE)

        interrupt_everywhere(client, lambda: client.push("t", 1), points, pushes=2, prepare=occupy, finish=vacate)


def test_push_that_gives_its_slot_to_another(points: int) -> None:
    """However the push that has the slot ends, the push that waits for it gets it."""
    with unharmed(1) as (server, client), ThreadPoolExecutor(1) as threads:
        waiting: list[Future[Receipt]] = []
        ended = threading.Event()

        def let_another_wait() -> None:
            come = len(server.requests)
            ended.clear()
            server.script(slowly(ACCEPTED))

            def push() -> Receipt:
                server.until(lambda: ended.is_set() or len(server.requests) > come)
                return client.push("t", 2, timeout=None)

            waiting.append(threads.submit(push))

        def see_it_pushed() -> None:
            ended.set()
            server.changed()
            assert waiting.pop().result(PATIENCE).status == 202
            server.forget()

        interrupt_everywhere(
            client, lambda: client.push("t", 1), points, pushes=2, prepare=let_another_wait, finish=see_it_pushed
        )


def test_push_that_sleeps(points: int) -> None:
    with unharmed(3, retry=Retry(wait=0.001)) as (server, client):

        def refuse_once() -> None:
            server.forget()
            server.script(answer(reply(503, b"", "Retry-After: 0")))

        interrupt_everywhere(client, lambda: client.push("t", 1), points, prepare=refuse_once)


@pytest.mark.parametrize("step", [answer(reply(400)), drop_after_body, stall], ids=["refused", "lost", "expired"])
def test_push_that_fails(step: Step, points: int) -> None:
    with unharmed(3) as (server, client):
        timeout = 0.02 if step is stall else PATIENCE

        def fail() -> None:
            server.forget()
            server.script(step)

        interrupt_everywhere(client, lambda: client.push("t", 1, timeout=timeout), points, prepare=fail)


@pytest.mark.filterwarnings("ignore:Exception ignored in thread started by:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("concurrency", [1, 5])
@pytest.mark.parametrize("verb", ["push_many", "push_stream"])
def test_bulk(verb: str, concurrency: int, points: int) -> None:
    """The threads of the bulk end, too, after the pushes in flight."""
    items = [("t", number) for number in range(max(2, concurrency))]
    with unharmed(5) as (_, client):

        def push() -> None:
            if verb == "push_many":
                client.push_many(items, concurrency=concurrency)
            else:
                with client.push_stream(items, concurrency=concurrency) as outcomes:
                    for _ in outcomes:
                        pass

        interrupt_everywhere(client, push, points, pushes=len(items), finish=no_thread_pushes)


def no_thread_pushes() -> None:
    """Wait for the threads that have just been started."""
    for thread in threading.enumerate():
        # A thread that is not alive has never begun to push: the exception was raised within Thread.start.
        if thread.name == "webmqconnect-push" and thread.is_alive():
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_close(points: int) -> None:
    """A client whose `close` was interrupted can be closed again, and is closed then."""
    with hostile() as server:
        clients = [Client(server.url)]

        def use() -> None:
            clients[0] = Client(server.url)
            clients[0].push("t", 1)

        def close_again() -> None:
            clients[0].close()
            with pytest.raises(ClientClosed):
                clients[0].push("t", 2)

        interrupt_everywhere(clients[0], lambda: clients[0].close(), points, pushes=0, prepare=use, finish=close_again)
        server.until(lambda: server.open_connections == 0)


def test_close_that_waits(points: int) -> None:
    """A `close` that waits for pushes of other threads, in flight or queued, can be interrupted, too."""
    with hostile() as server, ThreadPoolExecutor(2) as threads:
        clients = [Client(server.url)]
        pushes: list[Future[Receipt]] = []

        def occupy() -> None:
            come = len(server.requests)
            server.script(stall)
            clients[0] = Client(server.url, concurrency=1, timeout=None)
            pushes[:] = [threads.submit(clients[0].push, "t", 1)]
            server.until(lambda: len(server.requests) > come)
            pushes.append(threads.submit(clients[0].push, "t", 2))

        def close_again() -> None:
            clients[0].close(grace=0)
            assert {type(push.exception(PATIENCE)) for push in pushes} == {ClientClosed, ReplyTimeout}
            assert clients[0].stats.in_flight == 0

        interrupt_everywhere(
            clients[0], lambda: clients[0].close(grace=0.01), points, pushes=0, prepare=occupy, finish=close_again
        )
        server.until(lambda: server.open_connections == 0)


def test_handler_that_pushes(points: int) -> None:
    """A handler may use the client whose push it interrupts, at any point."""
    with unharmed(2) as (_, client):
        for interruption in at_every_point(lambda: (client.stats, client.push("t", "handler")), points):
            interruption.run(lambda: client.push("t", 1))
            assert client.stats.in_flight == 0


def test_handler_that_closes(server: Hostile, points: int) -> None:
    """`close` waits for the push that the handler has interrupted, until the grace period is over."""

    def close() -> None:
        client.close(grace=0)

    for interruption in at_every_point(close, points):
        client = Client(server.url)
        client.push("t", 1)
        try:
            interruption.run(lambda client=client: client.push("t", 2))  # type: ignore[misc]
        except (ClientClosed, ConnectFailed, ReplyTimeout):
            assert client.stats == Stats(pushed=1, failed=client.stats.failed)
        client.close()
        server.until(lambda: server.open_connections == 0)


def test_handler_that_waits_for_a_latch() -> None:
    """It does not wait for the lock that the interrupted call of `wait` has just acquired."""
    latch = Latch()
    acquired = []

    class Interrupted:
        """A lock after whose first `acquire` a handler runs."""

        def __init__(self, lock: threading.Lock) -> None:
            self.lock = lock
            self.release = lock.release

        def acquire(self, timeout: float) -> bool:
            latch.set()  # by another thread
            acquired.append(self.lock.acquire(timeout=0))
            if len(acquired) == 1:
                assert latch.wait(timeout)
            return acquired[-1]

    latch._lock = Interrupted(latch._lock)  # type: ignore[assignment]
    assert latch.wait(PATIENCE)
    assert acquired == [True]


@contextmanager
def interrupting(error: BaseException) -> Iterator[None]:
    """Raise an error in the main thread, by a signal that is repeated until the end of the block."""
    left = threading.Event()
    errors = [error]

    def raise_it(*_: object) -> None:
        if errors:
            raise errors.pop()

    def interrupt() -> None:
        while not left.wait(0.2):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, raise_it)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        left.set()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        thread.join()
        signal.signal(signal.SIGUSR1, previous)


@every_error
def test_while_waiting_for_the_response(error: type[BaseException], server: Hostile) -> None:
    """The exception is not mistaken for a timeout or a broken connection, and the push is not retried."""
    server.script(stall)
    raised = error("the handler's")
    with Client(server.url, timeout=PATIENCE, retry=Retry(at_least_once=True)) as client:
        with pytest.raises(error) as caught, interrupting(raised):
            client.push("t", 1)
        assert caught.value is raised
        assert client.stats == Stats(failed=1)
        server.until(lambda: server.open_connections == 0)
        assert len(server.requests) == 1


@every_error
def test_while_connecting(error: type[BaseException], server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception is not mistaken for a failed attempt to connect: the next address is not tried."""
    raised = error("the handler's")
    with unreachable() as dead, Client("http://broker.example/", timeout=PATIENCE) as client:
        resolve(monkeypatch, dead, server.url)
        with pytest.raises(error) as caught, interrupting(raised):
            client.push("t", 1)
        assert caught.value is raised
        assert client.stats == Stats(failed=1)
        assert server.connections == 0


def test_while_waiting_for_a_slot(server: Hostile) -> None:
    """The push leaves the queue, and the slot does not go to it."""
    server.script(held())
    raised = SoftTimeLimit()
    with Client(server.url, concurrency=1, timeout=None) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.push, "t", 1)
        server.until(lambda: len(server.requests) == 1)
        with pytest.raises(SoftTimeLimit) as caught, interrupting(raised):
            client.push("t", 2)
        assert caught.value is raised
        assert client.stats == Stats(failed=1, in_flight=1)
        server.release()
        assert first.result(PATIENCE).status == 202
        assert client.push("t", 3).status == 202
        assert bodies(server) == [b"1", b"3"]


def test_while_sleeping_between_two_attempts(server: Hostile) -> None:
    server.script(answer(reply(503, b"", "Retry-After: 4")))
    raised = SoftTimeLimit()
    with Client(server.url, concurrency=1, timeout=None) as client:
        with pytest.raises(SoftTimeLimit) as caught, interrupting(raised):
            client.push("t", 1)
        assert caught.value is raised
        assert client.push("t", 2).status == 202
        assert client.stats == Stats(pushed=1, failed=1)
        assert bodies(server) == [b"1", b"2"]


def test_while_closing(server: Hostile) -> None:
    """The push for which `close` waits continues, until the client is closed again."""
    server.script(stall)
    client = Client(server.url, timeout=None)
    with ThreadPoolExecutor(1) as threads:
        push = threads.submit(client.push, "t", 1)
        server.until(lambda: len(server.requests) == 1)
        with pytest.raises(KeyboardInterrupt), interrupting(KeyboardInterrupt()):
            client.close(grace=None)
        assert not push.done()
        client.close(grace=0)
        assert type(push.exception(PATIENCE)) is ReplyTimeout
    assert client.stats == Stats(failed=1)
    server.until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("concurrency", [1, 50])
def test_alarms_at_random(concurrency: int, server: Hostile, tmp_path: Path) -> None:
    """After a thousand alarms, each at a random moment of a push, all slots are free, and no connection is left."""
    printed = run_script(
        f"""
        import random, signal
        dice = random.Random({concurrency})

        def ring(*_):
            raise SoftTimeLimit

        class SoftTimeLimit(Exception):
            pass

        signal.signal(signal.SIGALRM, ring)
        client = Client(url, concurrency={concurrency})
        client.push("t", 0)
        begun = time.perf_counter()
        for _ in range(100):
            client.push("t", 0)
        usual = (time.perf_counter() - begun) / 100
        interrupted = 0
        for number in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, max(1e-6, dice.uniform(0, usual * 1.2)))
                try:
                    client.push("t", number)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except SoftTimeLimit:
                interrupted += 1
            assert client.stats.in_flight == 0
        stats = client.stats
        print(interrupted > 100, stats.pushed >= 101 + 1000 - interrupted, stats.failed <= interrupted)
        print(sum(outcome.ok for outcome in client.push_many([("t", 1)] * 100)))
        client.close()
        """,
        server.url,
        tmp_path,
    )
    assert printed.split() == ["True"] * 3 + ["100"]
    server.until(lambda: server.open_connections == 0)
