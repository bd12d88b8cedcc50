"""The asynchronous client. `flow` decides what happens to a push; this module runs it in a slot and counts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from math import inf
from types import EllipsisType
from typing import Self, Unpack, cast
from weakref import WeakSet

import aiohttp

from .._core.bulk import in_order
from .._core.checks import checked_seconds, wrong_type
from .._core.client import BaseClient
from .._core.dialects import DialectName
from .._core.flow import Retry
from .._core.settings import ClientOptions
from .._core.values import Outcome, Push, Receipt, SessionIDs, Stats
from ..errors import ClientClosed, InvalidPush, WebMQError, WrongLoop
from .background import AsyncQueue
from .bulk_workers import AsyncPushStream, run_workers, stream
from .loop_state import Counts, LoopState, running_loop
from .source import AsyncPushes, Source


class AsyncClientOptions(ClientOptions, total=False):
    """The keyword arguments of an AsyncClient."""

    session: aiohttp.ClientSession | None


class AsyncClient(BaseClient):
    """Pushes events to a broker. All pushes share one aiohttp session.

        async with AsyncClient("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret") as client:
            await client.push("http://example.com/orders", {"id": 17, "state": "paid"})

    A client can be created before there is an event loop. It opens its session at the first push, or when its `async
    with` is entered. It works in one event loop at a time; after that loop has been closed, it works in the next one.

    Args:
        endpoint: The broker's http or https URL, without user information, query and fragment.
        auth_key: The application key. `None`: push unsigned.
        auth_secret: The secret of that key.
        timeout: Seconds for a whole push: the wait for a slot, connecting, sending, the response, retries and the
            delays between them. `None`: no limit.
        dialect: The broker's protocol: "webmq" for a WebMQ hub, "crossbar" for the HTTP bridge of Crossbar.io, whose
            endpoint is the path of a publisher.
        session: An aiohttp session to use, of the event loop in which the client is created. It is neither closed nor
            changed. Its cookies and proxies apply; `keepalive` does not. Requests are sent by its `post`, which takes
            about three times the CPU time. `None`: the client opens its own.
        concurrency: Maximum number of pushes in flight. 50 by default.
        retry: When to retry a push; see `Retry`.
        connect_timeout: Seconds to connect to one address. `None`, the default: only `timeout` applies.
        keepalive: Seconds to keep an idle connection open, 4 by default. `None`: until the broker closes it. `0`: a new
            connection per push. Choose less than the broker's own limit (nginx 75, Twisted 60, Node 5): a push on a
            connection that the broker is closing raises ConnectionLost.
        ssl: How to verify https. `None`, the default: against the system's certificates.
        headers: Sent with each push. `None`, the default: none.
        dumps: A JSON encoder to use instead of the default one, such as `webmqconnect_async.to_json`; returns str or
            bytes. TypeError, ValueError, ArithmeticError, LookupError, AttributeError and RuntimeError mean that it
            cannot encode the event. An event that it encodes with NaN or Infinity raises InvalidPush.
        max_request_head: Maximum length of a request line and its headers, in bytes without line ends. A push that
            needs more, because of its topic, `eligible` and `exclude`, raises `TooLarge` before it is sent. 16384 by
            default, the limit of Twisted. It applies to the WebMQ dialect only. `None`: no limit.
        background: How the events of `push_soon` are pushed; see `Background`.

    Raises:
        TypeError, ValueError: An argument is invalid; the message names it.
    """

    def __init__(
        self,
        endpoint: str,
        auth_key: str | None = None,
        auth_secret: str | bytes | None = None,
        timeout: float | None = 5.0,
        *,
        dialect: DialectName = "webmq",
        session: aiohttp.ClientSession | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(endpoint, auth_key, auth_secret, timeout, dialect=dialect, **options)
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise TypeError(wrong_type("session", "an aiohttp.ClientSession", session))
        self._borrowed = session
        self._home = running_loop() if session is not None else None
        self._state: LoopState | None = None
        self._closed = False
        self._sources: WeakSet[Source] = WeakSet()
        self._counts = Counts()
        self._background = AsyncQueue(self._settings)

    @classmethod
    def from_env(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, *, timeout: float | None = 5.0, **options: Unpack[AsyncClientOptions]
    ) -> Self:
        """Return a client configured by the environment, as `Client.from_env`. Also accepts a `session`."""
        # The base class passes on all options, `session` as well.
        return super().from_env(timeout=timeout, **cast("ClientOptions", options))

    async def __aenter__(self) -> Self:
        self._here()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        path = f" {self._state.path}" if self._state is not None else ""
        return f"{super().__repr__().removesuffix('>')}{path}>"

    @property
    def stats(self) -> Stats:
        """A snapshot of the client's counts. Cancelled pushes count as failed."""
        counts, in_flight = self._counts, self._state.in_flight if self._state else 0
        return Stats(counts.pushed, counts.failed, counts.retried, in_flight, *self._background.counts)

    async def push(
        self,
        topic: str,
        event: object,
        eligible: SessionIDs | None = None,
        exclude: SessionIDs | None = None,
        *,
        options: Mapping[str, object] | None = None,
        idempotency_key: str | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Receipt:
        """Push one event to all subscribers of a topic.

        Args:
            topic: The URI that browsers subscribe to; compared byte for byte.
            event: Any JSON-serializable value, as for `Push`.
            eligible: The only sessions to receive it. `None`: all subscribers. Empty: none.
            exclude: Sessions that do not receive it. `None` or empty: no exceptions.
            options: Further options of Crossbar.io's bridge, see `Push`. A WebMQ hub has none.
            idempotency_key: Makes the hub of this package deliver a repeated push once, see `Push`.
            timeout: Seconds, instead of the client's `timeout`. `None`: no limit.

        Raises:
            ClientClosed, WrongLoop, InvalidPush: Nothing was sent.
            TypeError, ValueError: `timeout` is invalid. Nothing was sent.
            NotAccepted: The broker has not accepted it; it is safe to push again.
            Unconfirmed: The broker may have accepted it.
        """
        state = self._here()
        sign, seconds = self._encode(Push(topic, event, eligible, exclude, options, idempotency_key), timeout)
        deadline = state.deadlines.start(seconds)
        try:
            if not state.slots.take():
                await state.take_slot(deadline)
            try:
                return await state.run(sign, deadline)
            finally:
                state.slots.release()
        finally:
            deadline.stop()

    async def push_many(
        self, pushes: AsyncPushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> list[Outcome]:
        """Push all items of a source and return their outcomes, in input order.

        Args:
            pushes: An iterable or async iterable of `Push` or `(topic, event)`, read no further ahead than needed. Any
                other item becomes an InvalidPush outcome.
            concurrency: Maximum number of pushes of this bulk in flight. `None`: the client's.
            order_by_topic: Push the events of one topic one after another, in input order, each after the outcome of
                the one before. Different topics are pushed concurrently.

        Raises:
            ClientClosed, WrongLoop: The source was not read.
            TypeError, ValueError: An argument is invalid; the source was not read.
            SourceFailed: The source raised or was cancelled, or the client was closed. `.outcomes` has the outcomes of
                all items that were read. One task of its own reads the source: an `asyncio.timeout` around a `yield`
                cancels that task, never a push.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        outcomes: list[Outcome] = []
        await run_workers(workers, source, self._push_one, outcomes.append)
        return in_order(outcomes, source.failure)

    def push_stream(
        self, pushes: AsyncPushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> AsyncPushStream:
        """Push all items of a source and yield their outcomes in order of completion.

        The source is read only as fast as you take the outcomes. Leaving the loop early stops the source and cancels
        the pushes in flight; use `async with` to make that happen at once.
        The arguments are those of `push_many`.

        Raises:
            ClientClosed, WrongLoop: The source was not read.
            TypeError, ValueError: An argument is invalid; the source was not read.
            BaseException: What the source raised, or ClientClosed, after the outcomes of all items read before.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        return AsyncPushStream(stream(workers, source, self._push_one))

    async def close(self, grace: float | None = 5.0) -> None:
        """Close the client, after pushing the events of `push_soon`.

        It is safe to call again. A borrowed session stays open. Pushes that wait for a slot raise ClientClosed. This
        waits until the events of `push_soon` were pushed, then for the pushes in flight, for at most `grace` seconds in
        total (`None`: no limit). After that, pushes in flight end as at their deadline, and events that wait fail. If
        this call is cancelled, all of them end at once.

        Raises:
            TypeError, ValueError, WrongLoop: Nothing was closed.
        """
        seconds = checked_seconds("grace", grace, zero=True)
        state = self._current()
        self._closed = True
        self._background.refuse()
        if state is None:
            self._background.abandon()
            self._background.report(ended=True)
            return
        state.closing = True
        for deadline in state.queue:
            deadline.expire()
        for source in self._sources:
            source.stop(ClientClosed("the client was closed"))
        end = inf if seconds is None else state.loop.time() + seconds
        try:
            try:
                await self._background.flush(seconds)
            finally:
                self._background.abandon()
            state.deadlines.limit(end)
            while state.in_flight:
                state.drained.clear()
                await state.drained.wait()
        finally:
            await state.close()
            self._background.report(ended=True)

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all events of `push_soon` have an outcome; return False after `timeout`.

        Args:
            timeout: Seconds. `None`: no limit.

        Raises:
            ClientClosed, WrongLoop: Events wait, but the client is closed or in use in another event loop.
        """
        seconds = checked_seconds("timeout", timeout, zero=True)
        if self._background.counts[0]:
            self._here()
        return await self._background.flush(seconds)

    def _queue(self) -> AsyncQueue:
        """Return the queue of `push_soon`. While the client's loop is running, any thread may call this."""
        running, state = running_loop(), self._state
        if running is not None and (state is None or state.loop is running or not state.loop.is_running()):
            self._here()
        elif self._closed:
            raise ClientClosed("the client is closed")
        elif state is None or state.inherited or state.loop.is_closed():
            raise WrongLoop("the client has no event loop yet: enter its `async with`, or push in a coroutine first")
        return self._background

    def _here(self) -> LoopState:
        """Return the client's state in the running loop; raise ClientClosed or WrongLoop."""
        if self._closed:
            raise ClientClosed("the client is closed")
        state = self._current()
        if state is None:
            if self._home is not None and self._home is not asyncio.get_running_loop():
                raise WrongLoop("the borrowed session belongs to another event loop")
            state = self._state = LoopState(self._settings, self._counts, self._borrowed)
            self._background.bind(state)
        if self._borrowed is not None and self._borrowed.closed:
            raise ClientClosed("the borrowed session is closed")
        return state

    def _current(self) -> LoopState | None:
        """Return the client's state in the running loop, if there is one. Abandon that of another loop or process."""
        state = self._state
        if state is not None and not state.is_here():
            state.leave()
            self._state = None
            if state.inherited:
                self._background = AsyncQueue(self._settings)  # the parent pushes the events in the former queue
        return self._state

    def _bulk(self, pushes: AsyncPushes, concurrency: int | None, order_by_topic: bool) -> tuple[int, Source]:
        self._here()
        workers, bulk = self._plan(pushes, (Iterable, AsyncIterable), concurrency, order_by_topic)
        source = Source(pushes, bulk)
        self._sources.add(source)
        return workers, source

    async def _push_one(self, push: Push | InvalidPush, retry: Retry | None = None) -> Receipt | WebMQError:
        """Push one item of a bulk, or a row of an outbox, and return its result. `retry`: instead of the client's."""
        if isinstance(push, InvalidPush):
            return push
        try:
            state = self._here()
            sign, seconds = self._encode(push)
            # The timeout starts once the push has a slot: waiting for one is the backpressure on the source.
            if not state.slots.take():
                await state.slots.wait()
            try:
                deadline = state.deadlines.start(seconds)
                try:
                    return await state.run(sign, deadline, retry)
                finally:
                    deadline.stop()
            finally:
                state.slots.release()
        except WebMQError as error:
            return error
