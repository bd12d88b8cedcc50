"""Reads the newest entries of the stream into a history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple, cast

from .._config import HubConfig
from .._history import History
from .connection import Connection, Reply
from .entries import Entry, InvalidEntry, Position, entry_of, position_of

_MOST_BYTES = 16 << 20
"""Maximum size of the entries that one command reads, if all of them have the maximum size."""


class Tail(NamedTuple):
    """A history, and the position of the last entry in it."""

    history: History
    position: Position


def entries_at_once(config: HubConfig) -> int:
    """Return how many entries to read with one command."""
    return max(1, min(100, _MOST_BYTES // config.max_body))


async def read_tail(
    connection: Connection, stream: str, config: HubConfig, new_history: Callable[[int], History]
) -> Tail | None:
    """Read the events of the last `history_seconds`.

    Args:
        connection: must not be used for anything else meanwhile.
        stream: the key of the stream.
        config: the hub's configuration.
        new_history: returns a history whose events begin after an ID.

    Returns:
        `None` if the stream is gone.
    """
    history = position = None
    async for entry in _entries(connection, stream, config):
        if position is None or history is None or not entry.follows(position):
            before = position_of(entry.before) if entry.before else entry.position
            history = new_history(before.publication_id)
        position = entry.position
        if entry.before:
            try:
                history.add(entry.publication(), position.publication_id, _since(position, config))
            except InvalidEntry:
                history = new_history(position.publication_id)
    return None if history is None or position is None else Tail(history, position)


def _since(position: Position, config: HubConfig) -> float:
    """Return the monotonic time at which an event was published; the current time if that is in the future."""
    return monotonic() - max(0.0, config.clock() - (position.publication_id >> 11) / 1000)


async def _entries(connection: Connection, stream: str, config: HubConfig) -> AsyncIterator[Entry]:
    """Read the entries of the last `history_seconds`, preceded by the one before them if there is one."""
    oldest = max(1, int((config.clock() - config.history_seconds) * 1000))
    for entry in entries_of(await connection.ask("XREVRANGE", stream, oldest - 1, "-", "COUNT", 1)):
        yield entry
    start, count = str(oldest), entries_at_once(config)
    while True:
        replied = await connection.ask("XRANGE", stream, start, "+", "COUNT", count)
        for entry in entries_of(replied):
            yield entry
            start = f"({entry.position.id.decode()}"
        if not isinstance(replied, Sequence) or len(replied) < count:
            return


def entries_of(reply: Reply) -> Iterator[Entry]:
    """Return the entries of a reply with a range of the stream."""
    for entry_id, fields in cast(Sequence[tuple[bytes, Sequence[bytes]]], reply or ()):
        yield entry_of(entry_id, fields)
