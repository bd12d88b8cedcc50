"""The relay: reads rows from a store, pushes them, and writes back the outcomes. `_policy` has the decisions.

The log contains the ID and the topic of a row, and the text of errors. None of these has an event or a secret.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from .._aio import AsyncClient
from .._core.backoff import ceiling
from .._core.checks import checked_count, wrong_type
from .._core.clock import unix_time, uptime
from .._core.flow import Retry
from ..errors import ClientClosed, InvalidPush, WebMQError, WrongLoop
from ._outage import Outage
from ._policy import Changes, Schedule
from ._store import Counts, Row, Store, StoreError, StoreLost
from ._stores import connect_store

_RETRY = Retry(at_least_once=True)

_BATCH = 500
"""Maximum number of rows to read at once."""
_GATHER = 0.01
"""Seconds to wait for further outcomes before they are written in one transaction."""
_POLL = 0.1
"""Seconds between two reads of new rows while some are in flight."""
_IDLE = 0.5
"""Seconds between two checks of the lock, and between two attempts to get it."""
_LONGEST_RETRY = 8.0
"""Maximum seconds between two attempts to use a database that cannot be used."""
_LOCK_AGE = 0.5
"""Seconds after a check of the lock during which rows are pushed.

If this process was suspended for longer, another relay may have the lock now.
"""
_PATIENCE = 1.0
"""Seconds that a call of the database may take after `stop`."""

_T = TypeVar("_T")

logger = logging.getLogger("webmqconnect_async.relay")


@dataclass(frozen=True, slots=True)
class RelayStats:
    """A snapshot of a relay's counts since it was created."""

    pushed: int = 0
    """Rows that the broker accepted."""
    repeated: int = 0
    """The pushed rows that the broker had already accepted before, and did not deliver again."""
    failed: int = 0
    """Pushes that failed. Their rows are pushed again later, except for those that were parked."""
    parked: int = 0
    """Rows that were parked, because the broker never accepts them."""


class Relay:
    """Pushes the rows of an outbox, those of one topic in order, until the broker has accepted them.

        async with Relay("sqlite:///shop.db", client) as relay:
            await relay.run()

    A database has one active relay. Further ones wait, and take over when it ends or loses its connection.

    Each row is pushed with `Retry(at_least_once=True)`, instead of the client's own retry, and with its idempotency
    key: the hub of this package delivers it once. Other brokers may deliver it again after a failure.

    A row that failed and may be accepted later is pushed again, and later rows of its topic wait for it. A row that the
    broker never accepts is parked; `webmqconnect outbox` lists, retries and drops those.

    Args:
        url: The database: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.
        client: Pushes the rows. It is not closed. Its `timeout` applies to each push.
        concurrency: Maximum number of pushes in flight, within that of the client. They are of different topics.

    Raises:
        TypeError, ValueError: An argument is invalid; the message names it.
        ModuleNotFoundError: The driver of the database is not installed.
    """

    def __init__(self, url: str, client: AsyncClient, *, concurrency: int = 50) -> None:
        if not isinstance(client, AsyncClient):
            raise TypeError(wrong_type("client", "an AsyncClient", client))
        self._concurrency = checked_count("concurrency", concurrency)
        self._client = client
        try:
            self._store: Store = connect_store(url)
        finally:
            del url  # error reporters show the local variables of a traceback's frames
        self.active: bool = False
        """Whether this relay pushes the rows of the database. `False`: it waits to take over."""
        self._open = self._connected = self._running = self._stopped = False
        self._timeout: asyncio.Timeout | None = None
        self._wake = asyncio.Event()
        self._broker = Outage("the broker does not accept pushes", "the broker accepts pushes again")
        self._database = Outage("cannot use the outbox", "the outbox can be used again")
        self._changes = Changes()
        """What is to be written before rows are read again, also by the next `run` if this one could not."""
        self._lock_seen = 0.0
        self._pushed = self._repeated = self._failed = self._parked = 0

    async def __aenter__(self) -> Self:
        with suppress(StoreLost):  # `run` tries again
            await self._connect()
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = self._connected = False
        await self._store.close()

    async def _connect(self) -> None:
        if not self._connected:
            await self._store.open()
            self._connected = True

    @property
    def stats(self) -> RelayStats:
        """A snapshot of the counts."""
        return RelayStats(self._pushed, self._repeated, self._failed, self._parked)

    async def counts(self) -> Counts:
        """Count the rows of the outbox. Meanwhile the relay waits, and the more rows there are, the longer it takes."""
        return await self._store.counts()

    def stop(self) -> None:
        """Make `run` return after the pushes in flight. Call this in the event loop of the relay."""
        self._stopped = True
        self._wake.set()
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time() + _PATIENCE)

    async def run(self, *, once: bool = False) -> RelayStats:
        """Push rows until `stop` is called, and return the counts. Cancelling it cancels the pushes in flight.

        If the connection to the database is lost, the relay reconnects. It keeps the lock until it is closed.

        Args:
            once: Return when each row that is due has been tried, or when the broker is away.

        Raises:
            ClientClosed, WrongLoop: The client cannot be used.
            StoreError: The database cannot be used. With `once`: also if it is away, or another relay is active.
            RuntimeError: The relay is not open, or `run` is running already.
        """
        if not self._open:
            raise RuntimeError("the relay is not open: use `async with Relay(…) as relay`")
        if self._running:
            raise RuntimeError("run is already running")
        self._running = True
        try:
            await self._run(once)
        finally:
            self._running = self._stopped = False
        return self.stats

    async def _run(self, once: bool) -> None:
        waiting = False
        while not self._stopped:
            self._wake.clear()
            delay = _IDLE
            try:
                await self._call(self._connect())
                if await self._call(self._store.lock()):
                    waiting = False
                    await self._relay(once)
                    break
                if once:
                    raise StoreError("another relay is active")
                if not waiting:
                    waiting = True
                    logger.info("waiting: another relay is active")
            except StoreLost as error:
                self._connected = False
                if self._stopped:
                    break
                if once:
                    raise
                delay = ceiling(_IDLE, self._database.failed(error), _LONGEST_RETRY)
            await self._pause(delay)

    async def _relay(self, once: bool) -> None:
        """Push rows until the relay is to end; raise StoreLost if it loses the lock."""
        max_held = 4 * max(_BATCH, self._concurrency)
        schedule = Schedule(self._concurrency, max_held, random.random, self._changes)
        workers: set[asyncio.Task[None]] = set()
        now = asyncio.get_running_loop().time
        began = unix_time()
        try:
            while await self._call(self._has_lock()):
                self._wake.clear()
                await self._call(self._write(schedule))
                if not self.active:
                    self.active = True
                    logger.info("active: pushing the rows of the outbox to %s", self._client._settings.endpoint)
                read: list[Row] | None = None
                if not self._stopped:
                    if schedule.wants_rows(now()):
                        # With `once`, rows that are postponed during the run are not due again: it would not end.
                        due = self._store.due(began if once else unix_time(), _BATCH, list(schedule.topics))
                        read = await self._call(due)
                        if not schedule.pause(now()):
                            schedule.add(read)
                    self._database.recovered()
                    if uptime() - self._lock_seen > _LOCK_AGE / 2 and not await self._call(self._has_lock()):
                        break  # reading took so long that `_next` might return nothing, time and again
                    while row := self._next(schedule):
                        workers.add(asyncio.create_task(self._work(schedule, row)))
                for worker in [each for each in workers if each.done()]:
                    workers.remove(worker)
                    worker.result()
                pause = schedule.pause(now())
                if schedule.in_flight:
                    await self._pause(_POLL)
                    if schedule.in_flight and len(schedule.changes) < self._concurrency:
                        await asyncio.sleep(_GATHER)
                elif self._stopped or (once and (schedule.away or (schedule.idle and read == []))):
                    return
                elif pause:
                    await self._pause(min(_IDLE, pause))
                elif schedule.idle:
                    await self._wait_for_rows()
            raise StoreLost("the lock of the outbox is lost")
        finally:
            self.active = False
            for worker in workers:
                worker.cancel()
            if workers:
                await asyncio.wait(workers)
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    if schedule.changes and await self._has_lock():
                        await self._write(schedule)

    async def _call(self, call: Awaitable[_T]) -> _T:
        """Await a call of the store. After `stop`, limit it to `_PATIENCE`: an application may keep SQLite locked."""
        try:
            deadline = asyncio.get_running_loop().time() + _PATIENCE if self._stopped else None
            async with asyncio.timeout_at(deadline) as self._timeout:
                return await call
        except TimeoutError:
            raise StoreLost("the database is locked") from None
        finally:
            self._timeout = None

    async def _has_lock(self) -> bool:
        seen = uptime()
        locked = await self._store.locked()
        if locked:
            self._lock_seen = seen
        return locked

    def _next(self, schedule: Schedule) -> Row | None:
        """Return a row to push now; `None` if there is none, or if another relay may have the lock."""
        fresh = uptime() - self._lock_seen <= _LOCK_AGE
        return schedule.next(asyncio.get_running_loop().time()) if fresh else None

    async def _work(self, schedule: Schedule, row: Row | None) -> None:
        now = asyncio.get_running_loop().time
        while row is not None:
            try:
                result = await self._client._push_one(row.push(), _RETRY)
            except InvalidPush as invalid:
                result = invalid
            self._wake.set()
            if isinstance(result, ClientClosed | WrongLoop):
                raise result
            if isinstance(result, WebMQError):
                self._failed += 1
                schedule.done(row, result, now(), unix_time())
            else:
                self._pushed += 1
                self._repeated += result.repeated
                schedule.done(row, None, now(), unix_time())
            row = None if self._stopped else self._next(schedule)

    async def _write(self, schedule: Schedule) -> None:
        if schedule.error is None:
            self._broker.recovered()
        else:
            self._broker.failed(schedule.error)
        changes, topics = schedule.pending()
        if changes:
            await self._store.write(changes.deleted, changes.failed)
        schedule.written(changes, topics)
        for row, due, error in changes.failed:
            level = logging.WARNING if due is None else logging.INFO
            logger.log(level, "row %d of %s: %s: %s", row.id, row.topic, "postponed" if due else "parked", error)
            self._parked += due is None

    async def _wait_for_rows(self) -> None:
        waiting = asyncio.create_task(self._store.wait(_IDLE))
        waiting.add_done_callback(lambda _: self._wake.set())
        try:
            await self._pause(_IDLE)
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    async def _pause(self, seconds: float) -> None:
        """Sleep until a push ends or the relay is to end, but at most this many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
