"""The asynchronous client. It opens and closes, counts and bounds; how a push goes is the flow's business."""

from __future__ import annotations

import asyncio
import random
import ssl as ssl_module
from collections.abc import AsyncIterable, Iterable, Mapping
from types import EllipsisType, TracebackType
from typing import Self, Unpack
from weakref import WeakSet

import aiohttp

from .._core.bulk import Bulk, bulk_workers, in_order
from .._core.checks import checked_seconds
from .._core.dialects import DialectName, Signer
from .._core.dialects.events import Dumps
from .._core.environment import Environment
from .._core.flow import Retry, push_flow
from .._core.settings import Settings
from .._core.values import Outcome, Push, Receipt, SessionIDs, Stats
from ..errors import ClientClosed, InvalidPush, WebMQError, WrongLoop
from .bulk_workers import PushStream, run_workers, stream
from .deadlines import Deadline
from .loop_state import LoopState, running_loop
from .session import AsyncOptions
from .source import Pushes, Source

__all__ = ["AsyncClient"]


class AsyncClient:
    """Pushes events to a broker, sharing one aiohttp session among all pushes.

        async with AsyncClient("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret") as client:
            await client.push("http://example.com/orders", {"id": 17, "state": "paid"})

    It may be made anywhere, before any event loop too, and opens its session at the first push. It works in one event
    loop at a time, and in the next one after that loop was closed.

    Args:
        endpoint: the broker's http or https URL, without user information, query and fragment.
        auth_key: the application key; None pushes unsigned.
        auth_secret: the secret of that key.
        timeout: seconds for a whole push: the wait for a slot, connecting, sending, the answer, retries and pauses;
            None for no limit.
        dialect: the broker's wire: "webmq" for a WebMQ hub, "crossbar" for Crossbar.io's HTTP bridge, whose endpoint is
            the path of a publisher.
        concurrency: pushes in flight at the most, of this client in all.
        retry: when a push is tried again.
        connect_timeout: seconds to connect to one address; None leaves it to `timeout`.
        keepalive: seconds an idle connection is kept; None for as long as the broker keeps it, 0 for one connection a
            push. Keep it below the broker's own limit (nginx 75, Twisted 60, Node 5): a push that meets a connection
            just being closed ends as ConnectionLost.
        ssl: how to verify https; None verifies against the system's certificates.
        session: a session to borrow, of the loop in which the client is made. It is neither closed nor changed, its
            cookies and proxies apply, and `keepalive` does not.
        headers: sent with each push.
        dumps: a JSON encoder in place of the standard library's, returning text or bytes. TypeError, ValueError,
            ArithmeticError, LookupError, AttributeError and RuntimeError mean that it cannot encode the event.

    Raises:
        TypeError, ValueError: an argument cannot be used; the message names it.
    """

    def __init__(
        self,
        endpoint: str,
        auth_key: str | None = None,
        auth_secret: str | bytes | None = None,
        timeout: float | None = 5.0,
        *,
        dialect: DialectName = "webmq",
        concurrency: int = 50,
        retry: Retry = Retry(),  # noqa: B008  # frozen
        connect_timeout: float | None = None,
        keepalive: float | None = 4.0,
        ssl: ssl_module.SSLContext | None = None,
        session: aiohttp.ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        dumps: Dumps | None = None,
    ) -> None:
        self._settings = Settings.check(
            endpoint=endpoint,
            auth_key=auth_key,
            auth_secret=auth_secret,
            timeout=timeout,
            dialect=dialect,
            concurrency=concurrency,
            retry=retry,
            connect_timeout=connect_timeout,
            keepalive=keepalive,
            ssl=ssl,
            headers=headers,
            dumps=dumps,
        )
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise TypeError(f"session: an aiohttp.ClientSession is needed, not {type(session).__name__}")
        self._borrowed = session
        self._home = running_loop() if session is not None else None
        self._wire: LoopState | None = None
        self._closed = False
        self._sources: WeakSet[Source] = WeakSet()
        self._pushed = self._failed = self._retried = 0

    @classmethod
    def from_env(cls, **options: Unpack[AsyncOptions]) -> Self:
        """Return a client of what `WEBMQ_ENDPOINT`, `WEBMQ_AUTH_KEY`, `WEBMQ_AUTH_SECRET` and `WEBMQ_DIALECT` say.

        The secret may be in a file instead, named by `WEBMQ_AUTH_SECRET_FILE`, and read here and now. All but the
        endpoint may be unset, which an empty variable is, too: without key and secret pushes are unsigned, and the
        dialect is "webmq".

        Args:
            options: the other arguments of the class, by name.

        Raises:
            TypeError, ValueError: a variable is missing, or one of them or an argument cannot be used; the message
                names it.
        """
        env = Environment.read()
        return cls(env.endpoint, env.auth_key, env.auth_secret, dialect=env.dialect, **options)

    def __repr__(self) -> str:
        return f"<AsyncClient {self._settings.endpoint} auth_key={self._settings.auth_key!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def stats(self) -> Stats:
        """A snapshot of what this client has done so far; cancelled pushes count as failed."""
        return Stats(self._pushed, self._failed, self._retried, self._wire.in_flight if self._wire else 0)

    async def push(
        self,
        topic: str,
        event: object,
        eligible: SessionIDs | None = None,
        exclude: SessionIDs | None = None,
        *,
        options: Mapping[str, object] | None = None,
        timeout: float | EllipsisType | None = ...,
    ) -> Receipt:
        """Push one event to everybody who is subscribed to a topic.

        Args:
            topic: the URI that browsers subscribe to; compared byte for byte.
            event: whatever JSON can say.
            eligible: the only sessions to get it; None for every subscriber, an empty list for nobody.
            exclude: sessions that do not get it; None or empty for no exception.
            options: what else Crossbar.io's bridge understands, as `Push` says; a WebMQ hub understands nothing else.
            timeout: seconds in place of the client's; None for no limit.

        Raises:
            InvalidPush, ClientClosed, WrongLoop: refused here; nothing was sent.
            NotAccepted: the broker has not taken it: it is safe to push again.
            Unconfirmed: the broker may have taken it.
        """
        wire = self._here()
        sign = self._settings.dialect.encode(Push(topic, event, eligible, exclude, options))
        seconds = self._settings.timeout if isinstance(timeout, EllipsisType) else checked_seconds("timeout", timeout)
        deadline = wire.deadlines.start(seconds)
        try:
            try:
                await wire.take_slot(deadline)
            except BaseException:
                self._failed += 1
                raise
            try:
                return await self._run(wire, sign, deadline)
            finally:
                wire.slots.release()
        finally:
            deadline.stop()

    async def push_many(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> list[Outcome]:
        """Push everything that a source gives and return what became of each, in input order.

        Args:
            pushes: an iterable or async iterable of `Push` or `(topic, event)`, read no further ahead than needed.
                What is neither becomes an InvalidPush outcome.
            concurrency: pushes of this bulk in flight at the most; None for as many as the client may have.
            order_by_topic: pushes on one topic go one after another, in input order, each after the one before it has
                an outcome; different topics go side by side.

        Raises:
            TypeError, ValueError, ClientClosed, WrongLoop: the source was not read.
            SourceFailed: the source failed or was cancelled, or the client was closed. `.outcomes` has the outcome of
                each item that was read. The source is read in a task of its own: an `asyncio.timeout` around a `yield`
                cancels that task, never a push.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        outcomes: list[Outcome] = []
        await run_workers(workers, source, self._push_one, outcomes.append)
        return in_order(outcomes, source.failure)

    def push_stream(
        self, pushes: Pushes, *, concurrency: int | None = None, order_by_topic: bool = False
    ) -> PushStream:
        """Push everything that a source gives and yield what becomes of each, as it comes.

        A consumer that is slow slows the source down. One that leaves early stops the source and the pushes in flight;
        `async with` makes that happen at once.

        Args:
            pushes: as for `push_many`.
            concurrency: as for `push_many`.
            order_by_topic: as for `push_many`.

        Raises:
            TypeError, ValueError, ClientClosed, WrongLoop: the source was not read.
            BaseException: the error of the source, after the outcomes of all items that were read; ClientClosed
                likewise.
        """
        workers, source = self._bulk(pushes, concurrency, order_by_topic)
        return PushStream(stream(workers, source, self._push_one))

    async def close(self, grace: float | None = 5.0) -> None:
        """Close the client. Again is fine.

        Pushes that wait for a slot end as ClientClosed. Those in flight have until their deadline, or `grace` seconds
        if that is sooner, None for no limit; what has no answer then ends as it would at its deadline, and so does all
        when the close is cancelled. A borrowed session stays open.
        """
        seconds = checked_seconds("grace", grace, zero=True)
        wire = self._wire
        if wire is not None and not wire.is_here():
            self._leave(wire)
            wire = None
        self._closed = True
        if wire is None:
            return
        wire.closing = True
        for deadline in wire.queue:
            deadline.strike()
        for source in self._sources:
            source.stop(ClientClosed("the client was closed"))
        if seconds is not None:
            wire.deadlines.limit(wire.loop.time() + seconds)
        try:
            while wire.in_flight:
                wire.drained.clear()
                await wire.drained.wait()
        finally:
            await wire.close()

    def _here(self) -> LoopState:
        """Return the running loop's wire."""
        if self._closed:
            raise ClientClosed("the client is closed")
        wire = self._wire
        if wire is not None and not wire.is_here():
            self._leave(wire)
            wire = None
        if wire is None:
            if self._home is not None and self._home is not asyncio.get_running_loop():
                raise WrongLoop("the borrowed session belongs to another event loop")
            wire = self._wire = LoopState(self._settings, self._borrowed)
        if self._borrowed is not None and self._borrowed.closed:
            raise ClientClosed("the borrowed session is closed")
        return wire

    def _leave(self, wire: LoopState) -> None:
        """Part with the wire of another loop or process."""
        wire.leave()
        self._wire = None

    def _bulk(self, pushes: Pushes, concurrency: int | None, order_by_topic: bool) -> tuple[int, Source]:
        """Return how many workers a bulk gets and what they draw from."""
        self._here()
        workers = bulk_workers(pushes, concurrency, self._settings.concurrency)
        if not isinstance(pushes, Iterable | AsyncIterable):
            raise TypeError(f"pushes: an iterable of pushes is needed, not {type(pushes).__name__}")
        source = Source(pushes, Bulk(order_by_topic))
        self._sources.add(source)
        return workers, source

    async def _push_one(self, push: Push | InvalidPush) -> Receipt | WebMQError:
        """Push one of many: its clock starts once it has a slot, for the wait is backpressure, not lateness."""
        if isinstance(push, InvalidPush):
            return push
        try:
            wire = self._here()
            sign = self._settings.dialect.encode(push)
            async with wire.slots:
                deadline = wire.deadlines.start(self._settings.timeout)
                try:
                    return await self._run(wire, sign, deadline)
                finally:
                    deadline.stop()
        except WebMQError as error:
            return error

    async def _run(self, wire: LoopState, sign: Signer, deadline: Deadline) -> Receipt:
        """Drive an encoded push that has a slot, and count it."""
        settings = self._settings
        wire.in_flight += 1
        receipt = None
        try:
            if self._closed:
                raise ClientClosed("the client is closed")
            flow = push_flow(sign, settings.dialect, settings.retry, wire.clock, random.random, deadline.when)
            receipt = await wire.drive(flow, deadline)
        except WebMQError as error:
            self._retried += max(0, error.attempts - 1)
            raise
        else:
            self._retried += receipt.attempts - 1
            return receipt
        finally:
            if receipt is None:
                self._failed += 1
            else:
                self._pushed += 1
            wire.in_flight -= 1
            if self._closed:
                wire.drained.set()
