"""The relay: reads rows from a store, pushes them, and writes back what became of them. `_policy` decides about each.

The log shows a row by its ID and topic, and errors as their own text. None of these has an event or a secret.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .._aio import AsyncClient
from .._core.checks import checked_count, wrong_type
from .._core.clock import monotonic, unix_time
from .._core.flow import Retry
from .._core.values import JSONText, Push
from ..errors import ClientClosed, WebMQError, WrongLoop
from ._policy import Schedule
from ._store import Counts, Row, Store, StoreError, StoreLost
from ._stores import connect_store

__all__ = ["Relay", "RelayStats"]

_RETRY = Retry(at_least_once=True)

_GATHERING = 0.01
"""Seconds to wait for further outcomes before they are written in one transaction."""
_POLL = 0.1
"""Seconds between two looks for new rows while some are in flight."""
_IDLE = 0.5
"""Seconds between two looks at the lock, and until it is tried again."""
_SILENCE = 60.0
"""Seconds between two warnings of one outage."""

logger = logging.getLogger("webmqconnect_async.relay")


@dataclass(frozen=True, slots=True)
class RelayStats:
    """A snapshot of a relay's counts since it was created."""

    pushed: int = 0
    """Rows that the broker accepted."""
    repeated: int = 0
    """Those among them that the broker had accepted before, and has not delivered again."""
    failed: int = 0
    """Pushes that failed. Their rows are pushed again later, except for those that were parked."""
    parked: int = 0
    """Rows that were parked, because the broker never accepts them."""


class Relay:
    """Pushes the rows of an outbox, those of one topic in order, until the broker has accepted them.

        async with Relay("sqlite:///shop.db", client) as relay:
            await relay.run()

    A database has one active relay. Further ones wait, and take over when it ends or loses its connection.

    Each row is pushed with `Retry(at_least_once=True)`, whatever the client's own retry is, and with its idempotency
    key: the hub of this package delivers it once. Other brokers may deliver it again after a failure.

    A row that failed and may be accepted later is pushed again, and later rows of its topic wait for it. A row that the
    broker never accepts is parked; `webmqconnect outbox` lists, retries and drops those.

    Args:
        url: The database: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.
        client: Pushes the rows. It is not closed. Its `timeout` applies to each push.
        concurrency: Maximum number of pushes in flight, within that of the client. They are of different topics.
        batch: Maximum number of rows to read at once.

    Raises:
        TypeError, ValueError: An argument is invalid; the message names it.
        ModuleNotFoundError: The driver of the database is not installed.
    """

    def __init__(self, url: str, client: AsyncClient, *, concurrency: int = 50, batch: int = 500) -> None:
        if not isinstance(client, AsyncClient):
            raise TypeError(wrong_type("client", "an AsyncClient", client))
        self._concurrency = checked_count("concurrency", concurrency)
        self._batch = checked_count("batch", batch)
        self._client = client
        self._store: Store = connect_store(url)
        self.active: bool = False
        """Whether this is the relay that pushes the rows of the database, and not one that waits to take over."""
        self._open = False
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()
        self._broker, self._database = _Outage("broker"), _Outage("database")
        self._pushed = self._repeated = self._failed = self._parked = 0

    async def __aenter__(self) -> Self:
        await self._store.open()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        await self._store.close()

    @property
    def stats(self) -> RelayStats:
        """A snapshot of the counts."""
        return RelayStats(self._pushed, self._repeated, self._failed, self._parked)

    async def counts(self) -> Counts:
        """Count the rows of the outbox. It reads the whole table: a tenth of a second for a million rows."""
        return await self._store.counts()

    def stop(self) -> None:
        """Make `run` end after the pushes in flight. Call it in the event loop of the relay."""
        self._stopped.set()
        self._wake.set()

    async def run(self, *, once: bool = False) -> RelayStats:
        """Push rows until `stop` is called, and return the counts. If it is cancelled, so are the pushes in flight.

        A connection to the database that is lost is made again.

        Args:
            once: End when no row is due, or when the broker is away.

        Raises:
            ClientClosed, WrongLoop: The client cannot be used.
            StoreError: The database cannot be used; or, with `once`, it is away, or another relay is active.
            RuntimeError: The relay is not open.
        """
        if not self._open:
            raise RuntimeError("the relay is not open: use `async with Relay(…) as relay`")
        try:
            await self._run(once)
        finally:
            self._stopped.clear()
        return self.stats

    async def _run(self, once: bool) -> None:
        """Wait for the lock, and push rows while this relay has it."""
        waiting = False
        while not self._stopped.is_set():
            try:
                if await self._store.lock():
                    self._database.ended()
                    waiting = False
                    logger.info("active: pushing the rows of the outbox to %s", self._client._settings.endpoint)
                    await self._relay(once)
                    break
                if once:
                    raise StoreError("another relay is active")
                if not waiting:
                    waiting = True
                    logger.info("waiting: another relay is active")
            except StoreLost as error:
                if once:
                    raise
                if self._stopped.is_set():
                    break
                self._database.lasts(error)
                await self._store.close()
                with suppress(StoreLost):
                    await self._store.open()
            await self._pause(_IDLE)

    async def _relay(self, once: bool) -> None:
        """Push rows while this relay has the lock, until it is to end; raise StoreLost if it loses the lock."""
        schedule = Schedule(self._concurrency, 4 * self._batch, random.random)
        workers: set[asyncio.Task[None]] = set()
        failures: list[BaseException] = []
        now = asyncio.get_running_loop().time

        def ended(worker: asyncio.Task[None]) -> None:
            workers.discard(worker)
            if not worker.cancelled() and (error := worker.exception()):
                failures.append(error)
                self._wake.set()

        self.active = True
        try:
            while await self._store.locked():
                await self._write(schedule)
                read: list[Row] | None = None
                if not self._stopped.is_set():
                    if schedule.wants_rows(now()):
                        read = await self._store.due(unix_time(), self._batch, list(schedule.topics))
                        schedule.add(read)
                    while row := schedule.next(now()):
                        worker = asyncio.create_task(self._work(schedule, row))
                        workers.add(worker)
                        worker.add_done_callback(ended)
                if failures:
                    raise failures[0]
                if schedule.in_flight:
                    await self._outcomes(schedule)
                elif self._stopped.is_set() or (once and (schedule.error or (schedule.idle and read == []))):
                    return
                elif schedule.idle:
                    await self._news()
                else:
                    await self._pause(min(_POLL, schedule.pause(now()) or 0.0))
            raise StoreLost("the lock of the outbox is lost")
        finally:
            self.active = False
            for worker in workers:
                worker.cancel()
            if workers:
                await asyncio.wait(workers)
            with suppress(StoreError):  # rows whose outcome is not written are pushed again
                if schedule.changes and await self._store.locked():
                    await self._write(schedule)

    async def _work(self, schedule: Schedule, row: Row | None) -> None:
        """Push a row, and then others while there are any."""
        now = asyncio.get_running_loop().time
        while row is not None:
            event = JSONText(row.event.encode())
            push = Push(row.topic, event, row.eligible, row.exclude, idempotency_key=row.key)
            result = await self._client._push_one(push, _RETRY)
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
            row = None if self._stopped.is_set() else schedule.next(now())

    async def _write(self, schedule: Schedule) -> None:
        """Write the outcomes to the outbox."""
        if schedule.error is None:
            self._broker.ended()
        else:
            self._broker.lasts(schedule.error)
        changes, topics = schedule.take_changes()
        if changes.deleted:
            await self._store.delete(changes.deleted)
        for row, due, error in changes.postponed:
            await self._store.postpone(row.id, due, error)
            logger.info("row %d of %s: postponed: %s", row.id, row.topic, error)
        for row, error in changes.parked:
            await self._store.park(row.id, error)
            self._parked += 1
            logger.warning("row %d of %s: parked: %s", row.id, row.topic, error)
        schedule.written(topics)

    async def _outcomes(self, schedule: Schedule) -> None:
        """Wait for outcomes, until they are worth a transaction. Do not wait long: there may be new rows."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL):
                await self._wake.wait()
        if schedule.in_flight and len(schedule.changes) < self._concurrency:
            await asyncio.sleep(_GATHERING)

    async def _news(self) -> None:
        """Wait for new rows, or until the relay is to end."""
        waits = [asyncio.create_task(self._store.wait(_IDLE)), asyncio.create_task(self._pause(_IDLE))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def _pause(self, seconds: float) -> None:
        """Sleep, or until the relay is to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()


class _Outage:
    """Logs an outage once a minute, and its end.

    Args:
        what: What is away.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._logged: float | None = None

    def lasts(self, error: Exception) -> None:
        """Record that it is away."""
        now = monotonic()
        if self._logged is None or now - self._logged >= _SILENCE:
            self._logged = now
            logger.warning("the %s is away: %s", self._what, error)

    def ended(self) -> None:
        """Record that it is not away."""
        if self._logged is not None:
            self._logged = None
            logger.info("the %s is back", self._what)
