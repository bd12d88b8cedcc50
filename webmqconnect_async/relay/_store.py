"""The interface of a database with an outbox, for the relay and the command line.

`_sqlite` and `_postgresql` implement it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from .._core.values import JSONText, Push
from ..errors import InvalidPush


class StoreError(Exception):
    """The database cannot be used as it is. The message says why and what to do, and does not contain a password."""


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
    """How many times it was postponed or parked."""

    def push(self) -> Push:
        """Return the push of the row.

        Raises:
            InvalidPush: The row is invalid, because something other than `outbox.insert` has written it.
        """
        try:
            eligible = None if self.eligible is None else tuple(json.loads(self.eligible))
            exclude = None if self.exclude is None else tuple(json.loads(self.exclude))
            event = JSONText(self.event.encode())
        except (AttributeError, TypeError, ValueError):  # a column of SQLite may have a value of any type
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
    """Why it was last postponed or parked; `None` if it was not."""
    age: float
    """Seconds since it was inserted."""


Record: TypeAlias = tuple[int, str, str, str, str | None, str | None, int, float]
COLUMNS = "id, key, topic, event, eligible, exclude, attempts, due"
"""The columns of a Record."""

MAX_LENGTH = 4 << 20
"""Characters of the events above which `due` returns no more rows."""


def rows(records: Iterable[Record], now: float) -> list[Row]:
    """Return the rows of a query, in the order of their IDs. Of each topic, stop at the first row that is not due."""
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
    """Chooses the topics whose rows `due` returns. If they are too many for one call, they take turns."""

    def __init__(self) -> None:
        self._last = ""

    def starts(self) -> tuple[str, ...]:
        """Return the topics after which to search. The second one is for when the first yields too few topics."""
        return (self._last, "") if self._last else ("",)

    def take(self, topics: Iterable[str], limit: int) -> list[str]:
        """Return the topics whose rows to read now, and remember where the next search starts."""
        taken = list(dict.fromkeys(topics))[:limit]
        self._last = taken[-1] if len(taken) == limit else ""
        return taken


class Counts(NamedTuple):
    """Numbers of rows in the outbox, and the age of the oldest."""

    waiting: int
    """Rows that are not parked, due or not."""
    parked: int
    oldest: float
    """Seconds since the oldest row that is not parked was inserted; 0 if there is none."""


class Store(Protocol):
    """A connection to one database. It is used by one event loop, and may be opened again after `close`.

    Calls may overlap: each waits for the previous one, except for `wait`, for which none waits. If a call is cancelled,
    its changes may or may not have been written. Each call raises `StoreLost` when the connection is lost. While an
    application keeps an SQLite database locked, calls wait; cancel a call to give up.
    """

    async def open(self) -> None:
        """Connect, and check that the table exists.

        Raises:
            StoreLost: The database cannot be reached at the moment.
            StoreError: The database has no outbox, or a relay cannot use it.
        """
        ...

    async def close(self) -> None:
        """Disconnect. The lock is released soon after that. It raises no exception, and may be called twice."""
        ...

    async def lock(self) -> bool:
        """Try to become the only relay of the database, without waiting. Return whether this store has the lock.

        It also checks that rows may be changed: a row that cannot be deleted would be pushed again and again.
        """
        ...

    async def locked(self) -> bool:
        """Return whether this store still has the lock; `False` if the connection is lost. It raises no exception."""
        ...

    async def due(self, now: float, limit: int, without: Collection[str] = ()) -> list[Row]:
        """Return rows that may be pushed now, lowest ID first. The list is empty only if there are none.

        Parked rows are left out. So is each row that is not due yet, with all later rows of its topic. If there are
        more than `limit` rows, each topic gets its share, and the topics take turns from call to call. A long backlog
        of one topic does not delay other topics. If the events are long, fewer rows are returned.

        Args:
            now: The Unix time in seconds.
            limit: The maximum number of rows.
            without: Topics to leave out, because rows of them are in flight.
        """
        ...

    async def write(self, deleted: Sequence[Row] = (), failed: Sequence[tuple[Row, float | None, str]] = ()) -> None:
        """Delete rows, and count an attempt of others, in one transaction. Rows that no longer exist are ignored.

        Args:
            deleted: The rows that were accepted.
            failed: Rows that were not, each with the Unix time in seconds until which it and the later rows of its
                topic wait, and the error. `None`: the row is parked until an operator retries it.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Wait until rows may have been committed since the last `due` began, or the connection is lost.

        It returns after `seconds` at the latest, and may return early. If the connection is lost, the next call raises
        StoreLost.
        """
        ...

    async def counts(self) -> Counts:
        """Count the rows. This reads the index entries of all waiting rows."""
        ...

    async def listed(self, parked_only: bool, limit: int) -> list[Listed]:
        """Return the rows with the lowest IDs, at most `limit` of them. `parked_only`: only those that are parked."""
        ...

    async def retry(self, ids: Collection[int] | None) -> int:
        """Make parked and postponed rows due now. `None`: all parked rows. Return how many of them exist."""
        ...

    async def drop(self, ids: Collection[int] | None) -> int:
        """Delete rows without pushing them. `None`: all parked rows. Return how many of them existed."""
        ...
