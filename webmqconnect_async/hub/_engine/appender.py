"""Adds events to the stream: events that arrive during one command are added together by the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import NamedTuple, cast

from .._idempotency import Fingerprint, used_before
from .._pushes.verdicts import Refused
from .connection import Connection, NotDone, Unreachable
from .engine import Published, Repeated
from .entries import Entry, Position
from .scripts import ADD, Keys

_MOST_EVENTS = 100  # maximum number of events per command

_MOST_BYTES = 1 << 20
"""Maximum size of their fields in bytes. An event that is larger gets a command of its own."""

_PROBE = 1.0  # seconds

NOT_ADDED = Refused(503, "the backplane cannot be used at present", retry_after=1)
"""The result of an event that has certainly not been added."""

NOT_KNOWN = Refused(502, "the backplane has not responded: the event may have been published")
"""The result of an event that may have been added."""


class Addition(NamedTuple):
    """An event to add."""

    token: bytes
    fields: Sequence[bytes]
    push: Fingerprint | None
    published: asyncio.Future[Published]


class OtherHistory(Unreachable):
    """Another hub has begun a new history."""


class Appender:
    """The queue of events that one hub adds to the stream, in order of arrival.

    The stream keeps approximately the newest `most` entries. `added` is called with the entries that one command has
    added. They are consecutive.
    """

    def __init__(
        self, keys: Keys, most: int, clock: Callable[[], float], added: Callable[[Sequence[Entry]], None]
    ) -> None:
        self._keys = keys
        self._most = most
        self._clock = clock
        self._added = added
        self._waiting: deque[Addition] = deque()
        self._filled = asyncio.Event()
        self._script = b""
        self.history = b""
        """The ID of the history that this hub follows; empty before the first one."""
        self.newest: Position | None = None
        """The position of the last event that was added; `None` if there is none in the current history."""
        self.latest = -inf
        """When the last event arrived that was not repeated, in the event loop's time."""

    def add(self, addition: Addition) -> None:
        self._waiting.append(addition)
        self._filled.set()
        if addition.push is None:  # otherwise it may be repeated
            self.latest = addition.published.get_loop().time()

    async def connect(self, connection: Connection) -> None:
        """Prepare the connection that `run` uses."""
        await connection.synchronize()
        self._script = cast(bytes, await connection.ask("SCRIPT", "LOAD", ADD))
        await self._ask(connection, b"", ())

    async def run(self, connection: Connection) -> None:
        """Add events until a command fails. Then refuse all events that are still queued."""
        try:
            while True:
                await self._filled.wait()
                batch = self._take()
                if not batch:
                    await connection.synchronize()
                    continue
                try:
                    history = self.history
                    results = await self._ask(connection, history, batch)
                    if results is None:
                        raise OtherHistory("another hub has begun a new history")
                    # If this hub has adopted another history meanwhile, the events may be lost: NOT_KNOWN.
                    if history == self.history:
                        self._settle(batch, results)
                except (NotDone, OtherHistory):
                    _finish(batch, NOT_ADDED)
                    raise
                finally:
                    _finish(batch, NOT_KNOWN)  # does not change events that have a result
        finally:
            self.refuse()

    async def probe(self) -> None:
        """Let `run` use its connection every second, so that it notices if the server closes it between two events."""
        while True:
            await asyncio.sleep(_PROBE)
            self._filled.set()

    def refuse(self) -> None:
        _finish(self._waiting, NOT_ADDED)
        self._waiting.clear()
        self._filled.clear()

    def _take(self) -> list[Addition]:
        batch: list[Addition] = []
        size = 0
        while self._waiting and len(batch) < _MOST_EVENTS:
            size += sum(map(len, self._waiting[0].fields))
            if batch and size > _MOST_BYTES:
                break
            batch.append(self._waiting.popleft())
        if not self._waiting:
            self._filled.clear()
        return batch

    async def _ask(self, connection: Connection, history: bytes, batch: Sequence[Addition]) -> Sequence[bytes] | None:
        arguments: list[bytes | str | int] = [history, int(self._clock() * 1000), self._most, connection.deadline]
        for addition in batch:
            push = (addition.push.name.hex(), addition.push.content.hex()) if addition.push else ("", "")
            arguments += (*push, 1 + len(addition.fields), addition.token, *addition.fields)
        keys = self._keys.stream, self._keys.history, self._keys.idempotency
        results = await connection.ask("EVALSHA", self._script, len(keys), *keys, *arguments)
        if results == b"late":
            raise NotDone("it has received a command too late")
        return cast(Sequence[bytes] | None, results)

    def _settle(self, batch: Sequence[Addition], results: Sequence[bytes]) -> None:
        added: list[Entry] = []
        before, *others = results
        for addition, result in zip(batch, others, strict=True):
            published: Published
            if result == b"!":
                published = used_before()
            elif result.startswith(b"="):
                published = Repeated(Position(result[1:], b"").publication_id)
            else:
                self.newest = Position(result, addition.token)
                published = self.newest.publication_id
                added.append(Entry(self.newest, before, addition.fields))
                before = b"%s %s" % self.newest
            _finish((addition,), published)
        if added:
            self.latest = asyncio.get_running_loop().time()
            self._added(added)


def _finish(additions: Iterable[Addition], published: Published) -> None:
    for addition in additions:
        if not addition.published.done():  # a future is cancelled when nobody waits for the response any more
            addition.published.set_result(published)
