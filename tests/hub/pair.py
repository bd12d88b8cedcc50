"""Two hubs that share all events, or one hub in both roles: tests that use a pair run with both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import NamedTuple, cast

from webmqconnect_async.hub import Hub, HubOptions

from .conftest import HubClient, Wamp2Peer

HISTORY_UNAVAILABLE = "webmq.error.history_unavailable"

_numbers = count()


class Pair(NamedTuple):
    """Two hubs over a stream, or the same hub twice."""

    first: Hub
    second: Hub


Start = Callable[..., Awaitable[Pair]]
"""A function that starts hubs with options of `Hub`."""


def new_prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"test{next(_numbers)}"


@asynccontextmanager
async def pairs(backplane: HubOptions) -> AsyncIterator[Start]:
    """Yield a function that starts pairs of hubs. They are closed at the end.

    Args:
        backplane: the options of a backplane; empty for hubs in memory.
    """
    async with AsyncExitStack() as stack:

        async def start(**options: object) -> Pair:
            both = cast(HubOptions, {**backplane, **options})
            first = await stack.enter_async_context(Hub(port=0, **both))
            return Pair(first, await stack.enter_async_context(Hub(port=0, **both)) if backplane else first)

        yield start


class Page(Wamp2Peer):
    """A WAMP v2 subscriber that can reconnect."""

    newest = 0
    history = ""

    async def join(self) -> None:
        await self.send(1, "realm1", {"roles": {"subscriber": {}}})
        code, session_id, details = await self.receive()
        assert code == 2
        assert isinstance(details, dict)
        self.session_id = str(session_id)
        self.newest, self.history = details["_newest"], details["_history"]

    async def recover(self, topic: str, after: int, *former: str, **options: object) -> list[tuple[int, object]]:
        """Resubscribe to a topic. Return the IDs and arguments of the missed events.

        Raises:
            LookupError: the history is unavailable. The argument is the reason.
        """
        await self.send(32, 7, {"_after": after, "_former": [int(each) for each in former], **options}, topic)
        kind, *fields = await self.receive()
        if kind == 8:
            assert fields[0] == 32
            assert fields[3] == HISTORY_UNAVAILABLE
            raise LookupError(*cast(list[str], fields[4]))
        assert (kind, fields[0]) == (33, 7)
        missed = cast(dict[str, int], fields[2])["_missed"]
        return [await self.event() for _ in range(missed)]


async def page(wire: HubClient, hub: Hub, *topics: str) -> Page:
    """Return a page that has a session and has subscribed."""
    socket = await wire.session.ws_connect(hub.ws_url, protocols=("wamp.2.json",))
    peer = wire._peer(Page(socket))
    await peer.join()
    await peer.subscribe(*topics)
    return peer
