"""What the relay and the command line need of a database with an outbox. `_sqlite` and `_postgresql` implement it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from .._core.values import JSONText, Push
from ..errors import InvalidPush


class StoreError(Exception):
    """The database cannot be used as it is. The message says why, and what to do. It has no password."""


class StoreLost(StoreError):
    """The connection is lost, or could not be made. `close` the store, and `open` it again later."""


@dataclass(frozen=True, slots=True)
class Row:
    """A committed row of the outbox."""

    id: int
    """The order of the rows of a topic."""
    key: str
    """A random UUID, the idempotency key of its push."""
    topic: str
    event: str
    """JSON, to be pushed as it is."""
    eligible: str | None
    """A JSON array of session IDs."""
    exclude: str | None
    attempts: int
    """How often it was postponed or parked."""

    def push(self) -> Push:
        """Return the push of the row.

        Raises:
            InvalidPush: The row was written by other means than `outbox.insert`.
        """
        try:
            eligible = None if self.eligible is None else tuple(json.loads(self.eligible))
            exclude = None if self.exclude is None else tuple(json.loads(self.exclude))
            event = JSONText(self.event.encode())
        except (AttributeError, TypeError, ValueError):  # SQLite has any type in any column
            raise InvalidPush("event, eligible and exclude must be JSON texts") from None
        return Push(self.topic, event, eligible, exclude, idempotency_key=self.key)


class Listed(NamedTuple):
    """A row as the command line lists it."""

    id: int
    topic: str
    event: str
    attempts: int
    parked: bool
    error: str | None
    """Why it was last postponed or parked. `None`: it was not."""
    age: float
    """Seconds since it was inserted."""


Record: TypeAlias = tuple[int, str, str, str, str | None, str | None, int, float]
COLUMNS = "id, key, topic, event, eligible, exclude, attempts, due"
"""The columns of a Record."""


MAX_LENGTH = 4 << 20
"""Characters of events after which `due` returns no more rows."""


def rows(records: Iterable[Record], now: float) -> list[Row]:
    """Return the rows of a query, in the order of their IDs, without those of a topic from one that is not due on."""
    found: list[Row] = []
    blocked: set[str] = set()
    length = 0
    for row_id, key, topic, event, eligible, exclude, attempts, due in records:
        if due > now:
            blocked.add(topic)
        if topic not in blocked:
            found.append(Row(row_id, key, topic, event, eligible, exclude, attempts))
            length += len(event)
        if length > MAX_LENGTH:
            break
    return found


class Turns:
    """The topics of which `due` returns rows. They take turns, if there are more than it returns at once."""

    def __init__(self) -> None:
        self._last = ""

    def starts(self) -> tuple[str, ...]:
        """Return the topics to read on from. From the second one only if the first leads to too few."""
        return (self._last, "") if self._last else ("",)

    def take(self, topics: Iterable[str], limit: int) -> list[str]:
        """Return the topics to read rows of now, and remember where the next call starts."""
        taken = list(dict.fromkeys(topics))[:limit]
        self._last = taken[-1] if len(taken) == limit else ""
        return taken


class Counts(NamedTuple):
    """How many rows there are."""

    waiting: int
    """Rows that are not parked, due or not."""
    parked: int
    oldest: float
    """Seconds since the oldest row that is not parked was inserted; 0 without one."""


class Store(Protocol):
    """A connection to one database. It is used by one event loop, and may be opened again after `close`.

    Calls may overlap: each waits for the one before, except that none waits for `wait`. Each may be cancelled; what it
    writes has then happened or not. Each raises `StoreLost` when the connection is lost. While an application keeps an
    SQLite database locked, calls wait; cancel one to give up.
    """

    async def open(self) -> None:
        """Connect, and check that the table is there.

        Raises:
            StoreLost: The database cannot be reached at the moment.
            StoreError: It has no outbox, or cannot have a relay.
        """
        ...

    async def close(self) -> None:
        """Disconnect, which releases the lock in a moment. It does not raise, and may be called twice."""
        ...

    async def lock(self) -> bool:
        """Try to become the only relay of the database, without waiting. Return whether this store has the lock.

        It also checks that rows may be changed: what cannot be deleted would be pushed again and again.
        """
        ...

    async def locked(self) -> bool:
        """Return whether this store still has the lock. It does not raise: a lost connection has lost the lock."""
        ...

    async def due(self, now: float, limit: int, without: Collection[str] = ()) -> list[Row]:
        """Return rows that may be pushed now, lowest ID first: an empty list only if there are none.

        They are rows that are not parked, without those from a topic's first row that is not yet due on. If there are
        more than `limit` rows, each topic gets its share, and the topics take turns from call to call. A long backlog
        of one topic does not delay other topics. Long events make it fewer rows.

        Args:
            now: The Unix time in seconds.
            limit: Return at most so many rows.
            without: Topics to leave out, of which rows are in flight.
        """
        ...

    async def write(self, deleted: Sequence[Row] = (), failed: Sequence[tuple[Row, float | None, str]] = ()) -> None:
        """Delete rows, and count an attempt of others, in one transaction. Rows that are gone do not matter.

        Args:
            deleted: The rows that were accepted.
            failed: Rows, each with the Unix time in seconds until which it and later ones of its topic wait, and the
                error. `None`: it is parked, and left out until an operator retries it.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Wait until rows may have been committed since the last `due` began, or the connection is lost.

        It may also return earlier, and does after `seconds`. It does not raise StoreLost: the next call does.
        """
        ...

    async def counts(self) -> Counts:
        """Count the rows. It reads an index of all that wait."""
        ...

    async def listed(self, parked_only: bool, limit: int) -> list[Listed]:
        """Return the rows with the lowest IDs."""
        ...

    async def retry(self, ids: Collection[int] | None) -> int:
        """Let rows be pushed at once, parked or postponed ones. `None`: all parked rows. Return how many there were."""
        ...

    async def drop(self, ids: Collection[int] | None) -> int:
        """Delete rows that are not to be pushed. `None`: all parked rows. Return how many there were."""
        ...
