"""The engine of several hubs: each of them adds its events to a stream in Redis or Valkey, and reads those of all.

After an outage, a hub continues to read a stream where it stopped. PUB/SUB would lose the events of the outage. Hubs do
not connect to each other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from contextlib import aclosing
from itertools import count
from math import inf
from typing import TYPE_CHECKING, ClassVar

from .._backplane import Backplane
from .._config import HubConfig
from .._idempotency import Fingerprint
from .._publication import Publication
from .appender import NOT_ADDED, Addition, Appender, OtherHistory
from .connection import Connection, Unreachable
from .engine import Engine, Published
from .entries import Entry, fields_of
from .follower import Follower
from .scripts import keys_of
from .tail import Tail

if TYPE_CHECKING:
    from .._broker import Broker

_PAUSE, _LONGEST_PAUSE = 0.25, 1.0
"""Seconds between two attempts to reach the server."""

_REACH = 2.0
"""Maximum seconds that a subscriber waits for events that another hub has already delivered."""

_LEAST_ENTRIES = 10_000
_BYTES_PER_ENTRY = 512

logger = logging.getLogger("webmqconnect_async.hub")


class StreamEngine(Engine):
    """Adds events to the stream, and delivers the events that are in it."""

    shared: ClassVar[bool] = True

    def __init__(self, backplane: Backplane, config: HubConfig, broker: Broker) -> None:
        self._backplane = backplane
        self._broker = broker
        keys = keys_of(backplane.prefix)
        # Enough entries to fill a history, because each event takes more than _BYTES_PER_ENTRY in it.
        most = max(_LEAST_ENTRIES, config.history_bytes // _BYTES_PER_ENTRY)
        self._appender = Appender(keys, most, config.clock, lambda entries: self._follower.added(entries))
        self._follower = Follower(keys, config, self._appender, broker.new_history, self._adopt, self._deliver)
        self._task: asyncio.Task[None] | None = None
        self.unready = "it has not started"
        self._closing = False
        self._hub, self._numbers = secrets.token_hex(6).encode(), count()
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._unreached: float = inf  # the lowest ID for which a wait has timed out since the last event

    async def start(self) -> None:
        """Connect, read the newest entries of the stream, and start to follow it."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(started))
        await started

    async def close(self) -> None:
        self._closing = True  # a TaskGroup swallows the cancellation if its tasks fail at the same moment
        self.unready = "it has been closed"
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def publish(
        self, publication: Publication, push: Fingerprint | None = None, began: float | None = None
    ) -> Published | asyncio.Future[Published]:
        """Queue an event to be added to the stream. It is delivered once it is there."""
        if self.unready:
            return NOT_ADDED
        token = b"%s-%d" % (self._hub, next(self._numbers))
        published: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._appender.add(Addition(token, publication, fields_of(publication), push, began, published))
        return published

    def reach(self, publication_id: int) -> Coroutine[object, object, object] | None:
        return self._reach(publication_id) if self._broker.ids.newest < publication_id < self._unreached else None

    async def _run(self, started: asyncio.Future[None]) -> None:
        """Use the server; whenever it is away, try to reach it again."""
        pause = _PAUSE
        while True:
            try:
                # One connection for reads that block until there are entries, the other for adding events.
                following, adding = Connection(self._backplane), Connection(self._backplane)
                async with aclosing(following), aclosing(adding):
                    await following.open()
                    await adding.open()
                    await self._follower.connect(following, adding)
                    self._available(started)
                    pause = _PAUSE
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._follower.run(following))
                        tasks.create_task(self._appender.run(adding))
            except* Unreachable as errors:
                self._away(errors.exceptions[0], started)
            except* Exception:
                logger.exception("backplane %s: an error that should not happen", self._backplane)
                self._away(Unreachable("an error that should not happen, see the log"), started)
            if self._closing or started.cancelled() or started.exception() is not None:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _available(self, started: asyncio.Future[None]) -> None:
        if started.done():
            logger.info("backplane %s: it can be used again", self._backplane, extra={"event": "backplane"})
        else:
            started.set_result(None)
        self.unready = ""

    def _away(self, error: Exception, started: asyncio.Future[None]) -> None:
        if not started.done():
            started.set_exception(ConnectionError(f"the backplane {self._backplane} cannot be used: {error}"))
        elif not self.unready and not isinstance(error, OtherHistory):
            logger.warning(
                "backplane %s: %s; until it can be used again, pushes are refused with 503",
                *(self._backplane, error),
                extra={"event": "backplane", "reason": str(error)},
            )
        self.unready = str(error)
        self._appender.refuse()

    async def _reach(self, publication_id: int) -> None:
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reached] = publication_id
        try:
            await asyncio.wait([reached], timeout=_REACH)
        finally:
            del self._waiting[reached]
        if not reached.done():
            self._unreached = min(self._unreached, publication_id)

    def _adopt(self, tail: Tail, history_id: str, why: str) -> None:
        if why:
            logger.warning(
                "backplane %s: %s; disconnecting subscribers (%d), which recover what they can and report the rest",
                *(self._backplane, why, len(self._broker)),
                extra={"event": "lost", "reason": why},
            )
        self._appender.own.clear()
        self._broker.renew(tail.history, history_id, tail.position.publication_id)

    def _deliver(self, entry: Entry) -> None:
        own = self._appender.own.pop(entry.position.token, None)
        if own is None:
            self._broker.deliver(entry.publication(), entry.position.publication_id, forwarded=True)
        else:
            self._broker.deliver(own.publication, entry.position.publication_id, began=own.began)
        self._unreached = inf
        for reached, publication_id in self._waiting.items():
            if publication_id <= self._broker.ids.newest and not reached.done():
                reached.set_result(None)
