"""A database with an outbox, for the relay and the command line. `_sqlite` and `_postgresql` complete `Store`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, LiteralString, NamedTuple, TypeAlias

from .._core.values import JSONText, Push
from ..errors import InvalidPush


class StoreError(Exception):
    """The database cannot be used as it is. The message says why and what to do, and does not contain a password."""


class StoreLost(StoreError):
    """The connection is lost, or could not be made. `close` the store, and `open` it again later."""


class Row(NamedTuple):
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
    due: float = 0.0
    """The Unix time before which it is not pushed."""

    def push(self) -> Push:
        """Return the push of the row; raise InvalidPush if something other than `outbox.insert` has written it."""
        try:
            eligible = None if self.eligible is None else tuple(json.loads(self.eligible))
            exclude = None if self.exclude is None else tuple(json.loads(self.exclude))
            event = JSONText(self.event.encode())
        except (AttributeError, TypeError, ValueError):  # a column of SQLite may have a value of any type
            raise InvalidPush("event, eligible and exclude must be JSON texts") from None
        return Push(self.topic, event, eligible, exclude, idempotency_key=self.key)


COLUMNS = "id, key, topic, event, eligible, exclude, attempts, due"
"""The columns of a `Row`."""
CHECK: LiteralString = f"SELECT {COLUMNS}, created FROM webmq_outbox LIMIT 0"  # noqa: S608  # a constant
"""A statement that fails without the table."""
MAX_LENGTH = 4 << 20
"""Characters of the events above which `due` returns no more rows."""

Failed: TypeAlias = tuple[Row, float | None, str]
"""A row that was not accepted, the Unix time until which it and the later rows of its topic wait, and the error.

`None`: the row is parked until an operator retries it.
"""


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


class Counts(NamedTuple):
    """Numbers of rows in the outbox, and the age of the oldest."""

    waiting: int
    """Rows that are not parked, due or not."""
    parked: int
    oldest: float
    """Seconds since the oldest row that is not parked was inserted; 0 if there is none."""


def due_rows(records: Iterable[Iterable[object]], now: float) -> list[Row]:
    """Return the rows of a query, in the order of their IDs. Of each topic, stop at the first row that is not due."""
    found: list[Row] = []
    blocked: set[str] = set()
    length = 0
    for row in map(Row._make, records):
        if row.due > now:
            blocked.add(row.topic)
        if row.topic not in blocked:
            found.append(row)
            length += len(row.event)
        if length > MAX_LENGTH:
            break
    return found


class Store(ABC):
    """A connection to one database. It is used by one event loop, and may be opened again after `close`.

    Calls may overlap: each waits for the previous one, except for `wait`, for which none waits. If a call is cancelled,
    its changes may or may not have been written. Each call raises `StoreLost` when the connection is lost. While an
    application keeps an SQLite database locked, calls wait, and may overtake each other; cancel a call to give up.
    """

    # Parts of statements: the Unix time, a parameter, and whether an ID is in the list that is the parameter.
    _NOW: ClassVar[LiteralString]
    _PARAMETER: ClassVar[LiteralString]
    _THESE: ClassVar[LiteralString]
    _WALK: ClassVar[LiteralString]
    """Topics whose first row is due. Parameters: the topic after which to begin, now, topics to leave out, limit."""

    def __init__(self) -> None:
        self._last_topic = ""
        """The topic after which the next `due` begins. If there are too many topics for one call, they take turns."""

    async def open(self) -> None:
        """Connect, and check that the table exists. A database that a relay cannot use is a StoreError."""
        await self.close()
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    @abstractmethod
    async def close(self) -> None:
        """Disconnect. The lock is released soon after that. It raises no exception, and may be called twice."""

    @abstractmethod
    async def lock(self) -> bool:
        """Try to become the only relay of the database, without waiting. Return whether this store has the lock.

        It also checks that rows may be changed: a row that cannot be deleted would be pushed again and again.
        """

    @abstractmethod
    async def locked(self) -> bool:
        """Return whether this store still has the lock; `False` if the connection is lost. It raises no exception."""

    async def due(self, now: float, limit: int, without: Collection[str] = ()) -> list[Row]:
        """Return at most `limit` rows that may be pushed now, lowest ID first: none only if there are none.

        Parked rows are left out, and rows of the topics `without`. So is each row that is not due yet, with all later
        rows of its topic. If there are more than `limit` rows, each topic gets its share, and the topics take turns
        from call to call: a long backlog of one topic does not delay others. If events are long, there are fewer rows.
        """
        await self._begin_read()
        found: list[object] = []
        for start in (self._last_topic, "") if self._last_topic else ("",):
            if len(found) < limit:
                found += [topic for (topic,) in await self._fetch(self._WALK, start, now, list(without), limit)]
        topics = [str(topic) for topic in dict.fromkeys(found)][:limit]
        self._last_topic = topics[-1] if len(topics) == limit else ""
        return await self._rows(topics, limit // len(topics), now) if topics else []

    @abstractmethod
    async def write(self, deleted: Sequence[Row] = (), failed: Sequence[Failed] = ()) -> None:
        """Delete the rows that were accepted, and count an attempt of those that were not, in one transaction.

        Rows that no longer exist are ignored.
        """

    @abstractmethod
    async def wait(self, seconds: float) -> None:
        """Wait until rows may have been committed since the last `due` began, or the connection is lost.

        It returns after `seconds` at the latest, and may return early. If the connection is lost, the next call raises
        StoreLost.
        """

    async def counts(self) -> Counts:
        """Count the rows. This reads the index entries of all waiting rows."""
        oldest = "SELECT created FROM webmq_outbox WHERE NOT parked ORDER BY id LIMIT 1"
        [record] = await self._fetch(
            "SELECT (SELECT count(*) FROM webmq_outbox WHERE NOT parked), "  # noqa: S608
            f"(SELECT count(*) FROM webmq_outbox WHERE parked), coalesce({self._NOW} - ({oldest}), 0.0)"
        )
        return Counts._make(record)

    async def listed(self, parked_only: bool, limit: int) -> list[Listed]:
        """Return the rows with the lowest IDs, at most `limit` of them. `parked_only`: only those that are parked."""
        which = "parked" if parked_only else "true"
        records = await self._fetch(
            f"SELECT id, topic, event, attempts, parked, error, {self._NOW} - created FROM webmq_outbox "  # noqa: S608
            f"WHERE {which} ORDER BY id LIMIT {self._PARAMETER}",
            limit,
        )
        return [Listed._make(record) for record in records]

    async def retry(self, ids: Collection[int] | None) -> int:
        """Make parked and postponed rows due now. `None`: all parked rows. Return how many of them exist."""
        return await self._change("UPDATE webmq_outbox SET parked = false, due = 0", ids)

    async def drop(self, ids: Collection[int] | None) -> int:
        """Delete rows without pushing them. `None`: all parked rows. Return how many of them existed."""
        return await self._change("DELETE FROM webmq_outbox", ids)

    async def _change(self, statement: LiteralString, ids: Collection[int] | None) -> int:
        if ids is None:
            return await self._rowcount(f"{statement} WHERE parked")
        return await self._rowcount(f"{statement} WHERE {self._THESE}", list(ids))

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _begin_read(self) -> None:
        """Make the next `wait` return after a commit from now on."""

    @abstractmethod
    async def _rows(self, topics: list[str], each: int, now: float) -> list[Row]:
        """Return the first `each` rows of each topic, as `due_rows` does."""

    @abstractmethod
    async def _fetch(self, statement: LiteralString, *parameters: object) -> Sequence[tuple[object, ...]]: ...

    @abstractmethod
    async def _rowcount(self, statement: LiteralString, *parameters: object) -> int: ...
