"""Reads the newest entries of the stream into a history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple, cast

from .._config import HubConfig
from .._history import History
from .connection import Argument, Connection, Reply, Unreachable
from .entries import Entry, InvalidEntry, Position, entry_of, position_of

_MOST_BYTES = 1 << 20

_MOST_ENTRIES = 100


class Tail(NamedTuple):
    """A history, and the position of the last entry in it."""

    history: History
    position: Position


class Portions:
    """How many entries to read with one command, so that they take about a megabyte.

    Hubs may allow larger events than this one does, and a link may be slow: a reply that takes too long would never
    arrive, however often it is asked for.
    """

    def __init__(self, max_body: int) -> None:
        self.count = max(1, min(_MOST_ENTRIES, _MOST_BYTES // max_body))

    async def ask(self, connection: Connection, *command: Argument, wait: float = 0.0) -> Reply:
        """Send a command that reads entries, as `Connection.ask` does. If there is no reply, halve the number."""
        try:
            return await connection.ask(*command, wait=wait)
        except Unreachable:
            self._halve()
            raise

    def arrived(self, entries: Sequence[Entry]) -> None:
        """Adapt the number to the size of entries that have arrived."""
        if sum(len(field) for entry in entries for field in entry.fields) > _MOST_BYTES:
            self._halve()
        elif len(entries) == self.count:
            self.count = min(_MOST_ENTRIES, 2 * self.count)

    def _halve(self) -> None:
        self.count = max(1, self.count // 2)


async def read_tail(
    connection: Connection, stream: str, config: HubConfig, portions: Portions, new_history: Callable[[int], History]
) -> Tail | None:
    """Read the events of the last `history_seconds`. `None`: the stream is gone.

    `new_history` returns a history whose events begin after an ID.
    """
    tail: Tail | None = None
    async for entry in _entries(connection, stream, config, portions):
        position = entry.position
        if tail is not None and entry.follows(tail.position):
            history = tail.history
        else:
            history = new_history((position_of(entry.before) or position).publication_id)
        if entry.before:
            # The monotonic time at which the event was published; the current time if that is in the future.
            age = max(0.0, config.clock() - (position.publication_id >> 11) / 1000)
            try:
                history.add(entry.publication(), position.publication_id, monotonic() - age)
            except InvalidEntry:
                history = new_history(position.publication_id)
        tail = Tail(history, position)
    return tail


async def _entries(connection: Connection, stream: str, config: HubConfig, portions: Portions) -> AsyncIterator[Entry]:
    """Read entries, from one that is older than what is asked for, if there is one, to the last."""
    oldest = max(1, int((config.clock() - config.history_seconds) * 1000))
    for entry in entries_of(await connection.ask("XREVRANGE", stream, oldest - 1, "-", "COUNT", 1)):
        yield entry
    start = str(oldest)
    while True:
        count = portions.count
        entries = [*entries_of(await portions.ask(connection, "XRANGE", stream, start, "+", "COUNT", count))]
        portions.arrived(entries)
        for entry in entries:
            yield entry
        if len(entries) < count:
            return
        start = f"({entries[-1].position.id.decode()}"  # the parenthesis excludes it


def entries_of(reply: Reply) -> Iterator[Entry]:
    """Return the entries of a reply with a range of the stream."""
    for entry_id, fields in cast(Sequence[tuple[bytes, Sequence[bytes]]], reply or ()):
        yield entry_of(entry_id, fields)
