"""Follows the stream: every entry in order, or a new history."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import cast

from .._config import HubConfig
from .._history import History
from .appender import Appender
from .connection import Connection, Reply, Unreachable
from .entries import Entry, InvalidEntry, Position
from .names import Names
from .scripts import BEGIN
from .server import Server, server_of
from .tail import Portions, Tail, entries_of, read_tail

_BLOCK = 1.0
"""Seconds to wait for an entry before the hub looks whether the stream is still the same."""

_HOLD = 0.002
"""Seconds without an event of this hub until it reads what others have added."""

_LONGEST_HOLD = 0.1
"""Seconds until it reads in any case."""

_ATTEMPTS = 5
"""How often the stream is read anew, if it is replaced meanwhile."""

_ATTEMPTS_TO_VOUCH = 20
_PAUSE = 0.1
"""How often, and after how many seconds, a hub that starts looks whether another hub vouches for the history."""

_TRIMMED = "this hub was away for so long that the stream has lost what came meanwhile"

_LOST = "the stream does not have what was in it before"


class Follower:
    """How far one hub has read.

    Args:
        names: the names of the keys.
        config: the hub's configuration.
        appender: knows what this hub has added.
        new_history: returns a history whose events begin after an ID.
        adopt: called with a history in place of the former one, its ID, and why; empty if there was none.
        deliver: called with each entry in order.
    """

    def __init__(
        self,
        names: Names,
        config: HubConfig,
        appender: Appender,
        new_history: Callable[[int], History],
        adopt: Callable[[Tail, str, str], None],
        deliver: Callable[[Entry], None],
    ) -> None:
        self._names = names
        self._config = config
        self._appender = appender
        self._new_history = new_history
        self._tell = adopt
        self._deliver = deliver
        self._portions = Portions(config.max_body)
        self._server: Server | None = None
        self._position: Position | None = None
        self._reading = False
        self._ahead: set[Position] = set()
        """What `added` has delivered since the hub last began to read."""
        self._held: asyncio.Future[None] | None = None
        self.history = b""
        """The ID of the history; empty before the first one."""

    async def connect(self, connection: Connection, adding: Connection) -> None:
        """Look at the server, and go on from where this hub was, or read what is there.

        Args:
            connection: for `run`.
            adding: for the appender.

        Raises:
            Unreachable: The server cannot be used.
        """
        self._server, other = [server_of(cast(bytes, await each.ask("INFO"))) for each in (connection, adding)]
        if self._server.run != other.run:  # during a failover
            raise Unreachable("two servers respond at this address")
        # These change nothing. A right that is missing shows now, and not when a script has done a part of its work.
        nothing = self._names.nothing
        await connection.ask("XADD", nothing, "NOMKSTREAM", "*", "o", "")
        await connection.ask("SET", nothing, "", "XX")
        await connection.ask("DEL", nothing)
        await connection.ask("XREAD", "STREAMS", nothing, "0")
        await self._appender.connect(adding)
        await self._resume(connection)

    async def run(self, connection: Connection) -> None:
        """Deliver each entry as it comes.

        Raises:
            Unreachable: The server cannot be used.
        """
        stream, portions = self._names.stream, self._portions
        while True:
            self._reading = True
            await self._hold()
            self._ahead.clear()
            after = cast(Position, self._position).id
            reading = "XREAD", "COUNT", portions.count, "BLOCK", int(_BLOCK * 1000), "STREAMS", stream, after
            try:
                streams = cast(Sequence[tuple[bytes, Reply]] | None, await connection.ask(*reading, wait=_BLOCK))
            except Unreachable:
                portions.reduce()
                raise
            self._reading = False
            if streams is None:
                await self._resume(connection)
                continue
            entries = [*entries_of(streams[0][1])]
            portions.arrived(entries)
            for entry in entries:
                if entry.position not in self._ahead:
                    try:
                        self._advance(entry)
                    except InvalidEntry:
                        await self._resume(connection, gap=True)
                        break

    def added(self, entries: Sequence[Entry]) -> None:
        """Deliver what this hub has added, if it has read all that is before. Otherwise it reads that now.

        A hub that has many pushes would have every event of its own sent back to it, and read it.

        Args:
            entries: of one command.
        """
        if self._reading and entries[0].follows(cast(Position, self._position)):
            for entry in entries:
                self._advance(entry)
                self._ahead.add(entry.position)
        elif self._held is not None and self._behind:
            _release(self._held)

    async def _hold(self) -> None:
        """Leave reading to `added`, while events come to this hub, and none of another one is between them."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _LONGEST_HOLD
        while not self._behind and loop.time() < (until := min(self._appender.latest + _HOLD, end)):
            self._held = loop.create_future()
            timer = loop.call_at(until, _release, self._held)
            try:
                await self._held
            finally:
                timer.cancel()

    @property
    def _behind(self) -> bool:
        """Whether this hub has added an event that it has not delivered yet."""
        newest, position = self._appender.newest, cast(Position, self._position)
        return newest is not None and newest.publication_id > position.publication_id

    def _advance(self, entry: Entry) -> None:
        """Deliver an entry.

        Raises:
            InvalidEntry: It does not follow the position, or no hub has written it.
        """
        if not entry.follows(cast(Position, self._position)):
            raise InvalidEntry
        self._deliver(entry)
        self._position = entry.position

    async def _resume(self, connection: Connection, *, gap: bool = False) -> None:
        """Go on from the position, or read what is in the stream if that would leave something out.

        Args:
            connection: to the server.
            gap: whether the next entry does not follow the position.
        """
        names, server = self._names, cast(Server, self._server)
        history, run = await self._vouched(connection)
        begin = False
        if history is None:
            begin, why = True, "the stream is gone"
        elif run is None or not server.kept_all(run.decode()):
            begin, why = True, "the server has been started again without all that was in it"
        elif history != self.history:
            why = "another hub has found that events are lost"
        else:
            why = await self._missing(connection)
            if not why and not gap:
                if run.decode() != str(server):
                    await connection.ask("SET", names.server, str(server))
                return
            begin = why == _LOST
        if begin:
            history = await self._begin(connection, history)
        for _ in range(_ATTEMPTS):
            tail = await read_tail(connection, names.stream, self._config, self._portions, self._new_history)
            now = cast(bytes | None, await connection.ask("GET", names.history))
            if tail is not None and now is not None and now == history:
                self._adopt(tail, now, why or "the stream has a gap")
                return
            # Another hub may have begun a history meanwhile, whose entries are those that have just been read.
            history = await self._begin(connection, now) if tail is None or now is None else now
        raise Unreachable("something removes the stream again and again")

    async def _vouched(self, connection: Connection) -> tuple[bytes | None, bytes | None]:
        """Return the ID of the history, and the run of the server in which a hub last found it to be whole.

        A hub that has just started has read nothing, and cannot tell whether a server that has been started again still
        has everything. It leaves that to another hub for a while.
        """
        names, mine = self._names, str(self._server).encode()
        attempts = 0
        while True:
            history, run = cast(Sequence[bytes | None], await connection.ask("MGET", names.history, names.server))
            if self._position is not None or history is None or run in (None, mine):
                return history, run
            attempts += 1
            if attempts == _ATTEMPTS_TO_VOUCH:
                return history, None
            await asyncio.sleep(_PAUSE)

    async def _missing(self, connection: Connection) -> str:
        """Return why the stream does not have the last entries that this hub knows of; empty if it has them."""
        stream, newest = self._names.stream, self._appender.newest
        # What is below the position has been followed by it, and may have been trimmed.
        for position in (self._position, newest if self._behind else None):
            if position is not None:
                found = entries_of(await connection.ask("XRANGE", stream, position.id, position.id))
                if [entry.position for entry in found] != [position]:
                    first = [*entries_of(await connection.ask("XRANGE", stream, "-", "+", "COUNT", 1))]
                    trimmed = first and first[0].position.publication_id > position.publication_id
                    return _TRIMMED if trimmed else _LOST
        return ""

    async def _begin(self, connection: Connection, history: bytes | None) -> bytes:
        """Begin a new history, unless another hub has done it. Return the ID of the one that there is now."""
        names = self._names
        newest = 0 if self._position is None else (self._position.publication_id >> 11) + 1
        reply = await connection.ask(
            *("EVAL", BEGIN, 3, names.stream, names.history, names.server, history or b""),
            *(secrets.token_urlsafe(9), max(newest, int(self._config.clock() * 1000)), secrets.token_hex(6)),
            str(self._server),
        )
        return cast(bytes, reply)

    def _adopt(self, tail: Tail, history: bytes, why: str) -> None:
        before, self.history, self._position = self.history, history, tail.position
        self._appender.newest = None
        self._tell(tail, history.decode(), why if before else "")


def _release(held: asyncio.Future[None]) -> None:
    if not held.done():
        held.set_result(None)
