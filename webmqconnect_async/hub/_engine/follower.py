"""Follows the stream: delivers the entries in order, and detects when events were lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import cast

from .._config import HubConfig
from .._history import History
from .appender import Appender
from .connection import Connection, Reply, Unreachable
from .entries import NOWHERE, Entry, InvalidEntry, Position
from .scripts import BEGIN, Keys
from .server import Server, server_of
from .tail import Portions, Tail, entries_of, read_tail

_BLOCK = 1.0
"""Seconds to wait for an entry before the hub checks whether the stream is still the same."""

_HOLD = 0.002
"""The hub reads the events of other hubs when it has had no event of its own for this many seconds."""

_LONGEST_HOLD = 0.1
"""Maximum seconds for which a read is delayed, even if this hub always has events of its own."""

_ATTEMPTS = 5
"""Maximum number of times that a hub reads the stream, if it is replaced during each read."""

_ATTEMPTS_TO_VOUCH = 20
_PAUSE = 0.1
"""A starting hub checks this often, at this interval in seconds, whether another hub confirms the history."""

_TRIMMED = "this hub was away for so long that the stream has lost what came meanwhile"

_LOST = "the stream does not have what was in it before"


class Follower:
    """Reads the stream for one hub, from the position that it has reached.

    `new_history` returns a history whose events begin after an ID. `adopt` is called with a history that replaces the
    former one, its ID, and the reason, which is empty for the first history; `deliver` with each entry in order.
    """

    def __init__(
        self,
        keys: Keys,
        config: HubConfig,
        appender: Appender,
        new_history: Callable[[int], History],
        adopt: Callable[[Tail, str, str], None],
        deliver: Callable[[Entry], None],
    ) -> None:
        self._keys = keys
        self._config = config
        self._appender = appender
        self._new_history = new_history
        self._adopted = adopt
        self._deliver = deliver
        self._portions = Portions(config.max_body)
        self._server: Server | None = None
        self._position = NOWHERE
        self._reading = False
        self._ahead: set[Position] = set()
        """The positions that `added` has delivered since the last read began."""
        self._held: asyncio.Future[None] | None = None

    async def connect(self, connection: Connection, adding: Connection) -> None:
        """Check the server. Then continue from the position of this hub, or read the stream again if events were lost.

        `run` will use the first connection, and the appender the other one.
        """
        self._server, other = [server_of(cast(bytes, await each.ask("INFO"))) for each in (connection, adding)]
        if self._server.run != other.run:  # during a failover
            raise Unreachable("two servers respond at this address")
        # These commands change nothing. They fail here if a permission is missing, instead of later within a script.
        nothing = self._keys.nothing
        await connection.ask("XADD", nothing, "NOMKSTREAM", "*", "o", "")
        await connection.ask("SET", nothing, "", "XX")
        await connection.ask("DEL", nothing)
        await connection.ask("XREAD", "STREAMS", nothing, "0")
        await self._appender.connect(adding)
        await self._resume(connection)

    async def run(self, connection: Connection) -> None:
        """Deliver each entry when it arrives."""
        stream, portions = self._keys.stream, self._portions
        while True:
            self._reading = True
            await self._hold()
            self._ahead.clear()
            block = "BLOCK", int(_BLOCK * 1000)
            reading = "XREAD", "COUNT", portions.count, *block, "STREAMS", stream, self._position.id
            reply = await portions.ask(connection, *reading, wait=_BLOCK)
            streams = cast(Sequence[tuple[bytes, Reply]] | None, reply)
            self._reading = False
            if streams is None:
                await self._resume(connection)
                continue
            entries = [*entries_of(streams[0][1])]
            portions.arrived(entries)
            for entry in entries:
                if entry.position not in self._ahead:
                    try:
                        if not entry.follows(self._position):
                            raise InvalidEntry
                        self._advance(entry)
                    except InvalidEntry:
                        await self._resume(connection, gap=True)
                        break

    def added(self, entries: Sequence[Entry]) -> None:
        """Deliver the events that this hub has added, if it has delivered all earlier ones. Otherwise let `run` read.

        This saves a hub with many pushes from receiving and parsing its own events.
        """
        if self._reading and entries[0].follows(self._position):
            for entry in entries:
                self._advance(entry)
                self._ahead.add(entry.position)
        elif self._held is not None and self._behind:
            _release(self._held)

    async def _hold(self) -> None:
        """Delay the next read while this hub keeps adding events, and no events of other hubs are among them."""
        loop = asyncio.get_running_loop()
        held = self._held = loop.create_future()
        end = loop.time() + _LONGEST_HOLD
        timer: asyncio.TimerHandle | None = None

        def check() -> None:  # a callback, because waking up this task each time would cost more
            nonlocal timer
            until = min(self._appender.latest + _HOLD, end)
            if self._behind or loop.time() >= until:
                _release(held)
            else:
                timer = loop.call_at(until, check)

        check()
        try:
            await held
        finally:
            if timer is not None:
                timer.cancel()

    @property
    def _behind(self) -> bool:
        """Whether this hub has added an event that it has not delivered yet."""
        return self._appender.newest.publication_id > self._position.publication_id

    def _advance(self, entry: Entry) -> None:
        """Deliver an entry that follows the position; raise `InvalidEntry` if no hub has written it."""
        self._deliver(entry)
        self._position = entry.position

    async def _resume(self, connection: Connection, *, gap: bool = False) -> None:
        """Continue from the position. If entries after it are missing, adopt the history that the stream has now.

        If the server itself has lost entries, that is a new history, whose stream is empty. `gap`: the next entry does
        not follow the position.
        """
        keys, server = self._keys, cast(Server, self._server)
        history, run = await self._vouched(connection)
        begin = False
        if history is None:
            begin, why = True, "the stream is gone"
        elif run is None or not server.kept_all(run.decode()):
            begin, why = True, "the server has been started again without all that was in it"
        elif history != self._appender.history:
            why = "another hub has found that events are lost"
        else:
            why = await self._missing(connection)
            if not why and not gap:
                if run.decode() != str(server):
                    await connection.ask("SET", keys.server, str(server))
                return
            begin = why == _LOST
        if begin:
            history = await self._begin(connection, history)
        for _ in range(_ATTEMPTS):
            tail = await read_tail(connection, keys.stream, self._config, self._portions, self._new_history)
            now = cast(bytes | None, await connection.ask("GET", keys.history))
            if tail is not None and now is not None and now == history:
                self._adopt(tail, now, why or "the stream has a gap")
                return
            # Another hub may have begun a history meanwhile, whose entries are those that have just been read.
            history = await self._begin(connection, now) if tail is None or now is None else now
        raise Unreachable("something removes the stream again and again")

    async def _vouched(self, connection: Connection) -> tuple[bytes | None, bytes | None]:
        """Return the ID of the history, and the run of the server in which a hub last confirmed that it is complete.

        After a restart of the server, a hub checks whether the stream still has the last entries that it has read. A
        hub that has just started has not read any, so it waits a while for another hub to check.
        """
        keys, mine = self._keys, str(self._server).encode()
        attempts = 0
        while True:
            history, run = cast(Sequence[bytes | None], await connection.ask("MGET", keys.history, keys.server))
            if self._position is not NOWHERE or history is None or run in (None, mine):
                return history, run
            attempts += 1
            if attempts == _ATTEMPTS_TO_VOUCH:
                return history, None
            await asyncio.sleep(_PAUSE)

    async def _missing(self, connection: Connection) -> str:
        """Return why the stream lacks the last entry that this hub has read or added; empty if it has both."""
        stream, newest = self._keys.stream, self._appender.newest
        # An entry of its own below the position may have been trimmed: the hub has read what follows it.
        for position in (self._position, newest if self._behind else NOWHERE):
            if position is not NOWHERE:
                found = entries_of(await connection.ask("XRANGE", stream, position.id, position.id))
                if [entry.position for entry in found] != [position]:
                    first = [*entries_of(await connection.ask("XRANGE", stream, "-", "+", "COUNT", 1))]
                    trimmed = first and first[0].position.publication_id > position.publication_id
                    return _TRIMMED if trimmed else _LOST
        return ""

    async def _begin(self, connection: Connection, history: bytes | None) -> bytes:
        """Begin a new history, unless another hub has already done so. Return the ID of the current history."""
        keys = self._keys
        newest = (self._position.publication_id >> 11) + 1
        reply = await connection.ask(
            *("EVAL", BEGIN, 3, keys.stream, keys.history, keys.server, history or b""),
            *(secrets.token_urlsafe(9), max(newest, int(self._config.clock() * 1000)), secrets.token_hex(6)),
            str(self._server),
        )
        return cast(bytes, reply)

    def _adopt(self, tail: Tail, history: bytes, why: str) -> None:
        before, self._appender.history = self._appender.history, history
        self._appender.newest, self._position = NOWHERE, tail.position
        self._adopted(tail, history.decode(), why if before else "")


def _release(held: asyncio.Future[None]) -> None:
    if not held.done():
        held.set_result(None)
