"""The connections of the recovery soak break in the ways that their methods name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.recovering.link import Fault, Link, Streams


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Streams, Streams]]:
    """Yield both ends of a connection."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: accepted.set_result(streams), "127.0.0.1", 0)
    near = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield near, await accepted
    finally:
        server.close()
        for _, writer in (near, await accepted):
            writer.transport.abort()


class Linked:
    """A subscriber and a hub with a link between them."""

    def __init__(self, subscriber: Streams, hub: Streams, link: Link, sessions: list[str]) -> None:
        self.subscriber_reader, self.subscriber = subscriber
        self.hub_reader, self.hub = hub
        self.link = link
        self.sessions = sessions


@pytest.fixture
async def linked() -> AsyncIterator[Linked]:
    sessions: list[str] = []
    async with connected() as (subscriber, outer), connected() as (inner, hub), asyncio.timeout(10):
        link = Link(outer, inner, sessions.append)
        forwarding = asyncio.create_task(link.forward())
        yield Linked(subscriber, hub, link, sessions)
        link.close()
        await forwarding


async def test_everything_is_forwarded(linked: Linked) -> None:
    linked.hub.write(b"event")
    assert await linked.subscriber_reader.readexactly(5) == b"event"
    linked.subscriber.write(b"request")
    assert await linked.hub_reader.readexactly(7) == b"request"
    assert linked.link.fault is None


async def test_the_session_id_is_reported_before_the_subscriber_receives_it(linked: Linked) -> None:
    for data, sessions in ((b"x\x81[2,17", []), (b"01,{}]", ["1701"]), (b"[2,18,{}]", ["1701"])):
        linked.hub.write(data)
        await linked.subscriber_reader.readexactly(len(data))
        assert linked.sessions == sessions


@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_ends_both_connections(linked: Linked, reset: bool) -> None:
    linked.link.cut(Fault.TIME, reset=reset)
    for reader in (linked.subscriber_reader, linked.hub_reader):
        if reset:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
    assert linked.link.fault is Fault.TIME


async def test_cut_after_bytes_to_the_subscriber(linked: Linked) -> None:
    linked.link.limit(Fault.EVENTS, 3, reset=False)
    linked.hub.write(b"event")
    assert await linked.subscriber_reader.read() == b"eve"
    assert await linked.hub_reader.read() == b""
    assert linked.link.fault is Fault.EVENTS


async def test_cut_after_bytes_to_the_hub(linked: Linked) -> None:
    linked.link.limit(Fault.REQUESTS, 3, reset=False)
    linked.subscriber.write(b"request")
    assert await linked.hub_reader.read() == b"req"
    assert await linked.subscriber_reader.read() == b""
    assert linked.link.fault is Fault.REQUESTS


async def test_the_direction_to_the_subscriber_can_be_closed(linked: Linked) -> None:
    linked.link.half_close(Fault.SUBSCRIBER)
    assert await linked.subscriber_reader.read() == b""
    linked.subscriber.write(b"request")
    assert await linked.hub_reader.readexactly(7) == b"request"
    assert linked.link.fault is Fault.SUBSCRIBER


async def test_the_direction_to_the_hub_can_be_closed(linked: Linked) -> None:
    linked.link.half_close(Fault.HUB)
    assert await linked.hub_reader.read() == b""
    linked.hub.write(b"event")
    assert await linked.subscriber_reader.readexactly(5) == b"event"


async def test_a_stalled_link_forwards_nothing_until_it_continues(linked: Linked) -> None:
    linked.link.stall(True)
    linked.hub.write(b"event")
    reading = asyncio.ensure_future(linked.subscriber_reader.readexactly(5))
    await asyncio.sleep(0.05)  # wait in vain: that nothing arrives is not an event
    assert not reading.done()
    linked.link.stall(False)
    assert await reading == b"event"
