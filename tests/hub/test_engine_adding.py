"""Adding events to the stream, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from webmqconnect_async.hub._backplane import Backplane
from webmqconnect_async.hub._engine.appender import NOT_KNOWN, Addition, Appender
from webmqconnect_async.hub._engine.connection import Argument, Connection, NotDone, Reply, Unreachable
from webmqconnect_async.hub._engine.engine import Published
from webmqconnect_async.hub._engine.entries import NOWHERE, Entry
from webmqconnect_async.hub._engine.scripts import keys_of
from webmqconnect_async.hub._publication import Publication

NOBODY = Backplane("127.0.0.1", 1, "p")


class Adopting(Connection):
    """A connection whose hub adopts a history while the server adds an event at the position 1-1."""

    def __init__(self, appender: Appender, history: bytes) -> None:
        super().__init__(NOBODY)
        self._appender = appender
        self._history = history

    def send(
        self, command: Sequence[Argument], replied: Callable[[Reply | Unreachable], object], wait: float = 0.0
    ) -> None:
        self._appender.history = self._history
        replied([b"0-1 token", b"1-1"])


class Delaying(Connection):
    """A connection on which commands take longer than the hub waits."""

    async def ask(self, *command: Argument, wait: float = 0.0) -> Reply:
        return {"TIME": [b"0", b"0"], "EVALSHA": b"late"}.get(str(command[0]), b"")


@pytest.mark.parametrize(
    ("history", "outcome", "count"),
    [
        pytest.param(b"same", 1 << 11 | 1, 1, id="the same history"),
        pytest.param(b"other", NOT_KNOWN, 0, id="another history"),
    ],
)
async def test_an_event_that_is_added_while_its_hub_adopts_a_history(
    history: bytes, outcome: Published, count: int
) -> None:
    """The event may not be in the other history, so it is neither confirmed nor delivered."""
    added: list[Entry] = []
    appender = Appender(keys_of("p"), 10, lambda: 0.0, added.extend)
    appender.history = b"same"
    published: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    appender.add(Addition(b"token", Publication("topic", "1"), [b"t", b"topic"], None, None, published))
    running = asyncio.create_task(appender.run(Adopting(appender, history)))
    assert await asyncio.wait_for(published, 5) == outcome
    running.cancel()
    await asyncio.wait([running])
    assert (len(added), appender.newest is not NOWHERE) == (count, count > 0)


async def test_a_command_that_cannot_be_sent() -> None:
    """The hub responds to the push, and connects again."""
    appender = Appender(keys_of("p"), 10, lambda: 1 / 0, lambda _entries: None)
    published: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(appender.run(Connection(NOBODY)))
    await asyncio.sleep(0)
    appender.add(Addition(b"token", Publication("topic", "1"), [b"t", b"topic"], None, None, published))
    assert await asyncio.wait_for(published, 5) == NOT_KNOWN
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(running, 5)
    assert not appender.own


async def test_a_connection_that_is_too_slow() -> None:
    """The hub does not start to accept events that would be too late."""
    appender = Appender(keys_of("p"), 10, lambda: 0.0, lambda _entries: None)
    with pytest.raises(NotDone, match="too late"):
        await appender.connect(Delaying(NOBODY))
