"""Adds events to the stream: events that arrive during one command are added together by the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import NamedTuple, cast

from .._idempotency import Fingerprint, used_before
from .._publication import Publication
from .._pushes.verdicts import Refused
from .connection import Argument, Connection, NotDone, Reply, Unreachable
from .engine import Published, Repeated
from .entries import NOWHERE, Entry, position_at, publication_id_of
from .scripts import ADD, Keys

_MOST_EVENTS = 100  # maximum number of events per command

_MOST_BYTES = 1 << 20
"""Maximum size of their fields in bytes. An event that is larger gets a command of its own."""

_PROBE = 1.0  # seconds

_LATE = "it has received a command too late"

NOT_ADDED = Refused(503, "the backplane cannot be used at present", retry_after=1)
"""The result of an event that has certainly not been added."""

NOT_KNOWN = Refused(502, "the backplane has not responded: the event may have been published")
"""The result of an event that may have been added."""


class Addition(NamedTuple):
    """An event to add."""

    token: bytes
    publication: Publication
    fields: Sequence[bytes]
    push: Fingerprint | None
    began: float | None  # as for `Engine.publish`
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
        self._script = b""
        self._waiting: deque[Addition] = deque()
        self._connection: Connection | None = None  # that `run` uses
        self._idle = False  # whether the next event can be sent as soon as it arrives
        self.own: dict[bytes, Addition] = {}
        """The events of this hub that it has not delivered yet, by token."""
        self.history = b""
        """The ID of the history that this hub follows; empty before the first one."""
        self.newest = NOWHERE
        """The position of the last event that was added in the current history."""
        self.latest = -inf
        """When that event was added, in the event loop's time."""

    def add(self, addition: Addition) -> None:
        self.own[addition.token] = addition
        self._waiting.append(addition)
        if self._idle:
            self._send()

    async def connect(self, connection: Connection) -> None:
        """Prepare the connection that `run` uses."""
        await connection.synchronize()
        self._script = cast(bytes, await connection.ask("SCRIPT", "LOAD", ADD))
        if await connection.ask(*self._command(b"", (), connection.deadline)) == b"late":
            raise NotDone(_LATE)

    async def run(self, connection: Connection) -> None:
        """Add events until a command fails. Then refuse all events that are still queued.

        Events are sent as they arrive, without a task that would have to wake up for each.
        """
        self._connection = connection
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        try:
            self._continue()
            while not self._failed.done():
                await asyncio.wait([self._failed], timeout=_PROBE)
                if self._idle:  # the server may have disappeared
                    self._idle = False
                    await connection.synchronize()
                    self._continue()
            raise self._failed.result()
        finally:
            self._connection, self._idle = None, False
            self.refuse()

    def refuse(self) -> None:
        self._settle(self._waiting, NOT_ADDED)
        self._waiting.clear()

    def _continue(self) -> None:
        self._idle = self._connection is not None
        if self._idle and self._waiting:
            self._send()

    def _send(self) -> None:
        """Add the next events."""
        self._idle = False
        connection, batch = cast(Connection, self._connection), self._take()
        try:
            command = self._command(self.history, batch, connection.deadline)
            connection.send(command, partial(self._replied, self.history, batch))
        except Exception as error:  # noqa: BLE001  # `run` raises it
            self._fail(batch, error)

    def _take(self) -> list[Addition]:
        batch: list[Addition] = []
        size = 0
        while self._waiting and len(batch) < _MOST_EVENTS:
            size += sum(map(len, self._waiting[0].fields))
            if batch and size > _MOST_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _command(self, history: bytes, batch: Sequence[Addition], deadline: int) -> list[Argument]:
        keys = self._keys
        command: list[Argument] = ["EVALSHA", self._script, 3, keys.stream, keys.history, keys.idempotency]
        command += history, int(self._clock() * 1000), self._most, deadline
        for addition in batch:
            push = addition.push
            command += (push.name.hex(), push.content.hex()) if push else ("", "")
            command += 1 + len(addition.fields), addition.token, *addition.fields
        return command

    def _replied(self, history: bytes, batch: Sequence[Addition], reply: Reply | Unreachable) -> None:
        """Settle the events of a command. `history` is the one that this hub followed when it sent the command."""
        failure: Exception | None = None
        if isinstance(reply, Unreachable):
            failure = reply
        elif reply == b"late":
            failure = NotDone(_LATE)
        elif reply is None:
            failure = OtherHistory("another hub has begun a new history")
        elif history != self.history:  # this hub has adopted another one meanwhile, which may lack the events
            self._settle(batch, NOT_KNOWN)
        else:
            try:
                self._deliver(batch, cast(Sequence[bytes], reply))
            except Exception as error:  # noqa: BLE001  # `run` raises it
                failure = error
        if failure is None:
            self._continue()
        else:
            self._fail(batch, failure)

    def _fail(self, batch: Sequence[Addition], failure: Exception) -> None:
        """Settle the events of a command, and end `run`."""
        self._settle(batch, NOT_ADDED if isinstance(failure, NotDone | OtherHistory) else NOT_KNOWN)
        if not self._failed.done():
            self._failed.set_result(failure)

    def _deliver(self, batch: Sequence[Addition], results: Sequence[bytes]) -> None:
        added: list[Entry] = []
        before, *others = results
        for addition, result in zip(batch, others, strict=True):
            if result.startswith(b"!"):
                self._settle((addition,), used_before())
            elif result.startswith(b"="):
                self._settle((addition,), Repeated(publication_id_of(result[1:])))
            else:
                self.newest = position_at(result, addition.token)
                added.append(Entry(self.newest, before, addition.fields))
                before = self.newest.text
                if not addition.published.done():  # it is cancelled when nobody waits for the response any more
                    addition.published.set_result(self.newest.publication_id)
        if added:
            self.latest = asyncio.get_running_loop().time()
            self._added(added)

    def _settle(self, additions: Iterable[Addition], outcome: Published) -> None:
        """Set the result of events that are not delivered as those of this hub, except of those that have one."""
        for addition in additions:
            # If the event is in the stream nevertheless, it is delivered like an event of another hub.
            self.own.pop(addition.token, None)
            if not addition.published.done():
                addition.published.set_result(outcome)
