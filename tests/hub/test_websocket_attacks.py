"""Subscribers that violate the WebSocket protocol, exceed limits, or never read."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from webmqconnect_async.hub import Hub, HubConfig, _websocket
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._session import NotSubscribed, Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._websocket import PROTOCOLS

from .conftest import PATIENCE, HubClient, Run
from .raw import Raw, closed_with, connected, frame, handshake, head
from .test_server import deaf_subscriber

FORM = "application/x-www-form-urlencoded"
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
FIN, RSV1, RSV2 = 0x80, 0x40, 0x20


@pytest.fixture
async def hub(run: Run) -> Hub:
    return await run(Hub(port=0, max_connections=1, max_body=1000, max_topic=100))


async def makes_room(hub: Hub, wire: HubClient) -> None:
    """Return when the hub has removed its only subscriber, and accepts another one, which works."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.WSServerHandshakeError):
                peer = await wire.subscriber(hub, "t")
                break
    await wire.push(hub)
    assert await peer.receive() == [8, "t", 1]


_BOMB = zlib.compress(b"x" * 10_000_000, wbits=-15)

_TOO_MUCH = 1000 + 12 * 100 + 8704
"""The length of a message that is too long for the hub above."""


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param([frame(b"", size=2**63 - 1)], 1009, id="2^63 - 1 bytes"),
        pytest.param([frame(b"", size=2**64 - 1)], 1009, id="2^64 - 1 bytes"),
        pytest.param([frame(b"x" * _TOO_MUCH)], 1009, id="too long"),
        pytest.param([frame(b"x" * _TOO_MUCH, BINARY)], 1009, id="binary too long"),
        pytest.param(
            [frame(b"x" * 1000, first=0), *[frame(b"x" * 1000, 0, first=0)] * 99], 1009, id="endless fragments"
        ),
        pytest.param([frame(b"x", first=0), frame(b"x" * _TOO_MUCH, 0)], 1009, id="too long in total"),
        pytest.param([frame(b"x", first=0), frame(b"x")], 1002, id="message within a message"),
        pytest.param([frame(b"x", 0)], 1002, id="continuation without a beginning"),
        pytest.param([frame(_BOMB[: _TOO_MUCH - 1], first=FIN | RSV1)], 1002, id="compressed, not negotiated"),
        pytest.param([frame(b"x", first=FIN | RSV2)], 1002, id="reserved bit"),
        pytest.param([frame(b"x", 3)], 1002, id="reserved opcode"),
        pytest.param([frame(b"x" * 126, PING)], 1002, id="long ping"),
        pytest.param([frame(b"x", PING, first=0)], 1002, id="fragmented ping"),
        pytest.param([frame(b"\xff\xfe")], 1007, id="not UTF-8"),
        pytest.param([frame(b"\xed\xa0\x80")], 1007, id="a surrogate in UTF-8"),
        pytest.param([frame(b"\x00\x01", CLOSE)], 1002, id="invalid close code"),
        pytest.param([frame(b"x", CLOSE)], 1002, id="incomplete close code"),
    ],
)
async def test_an_invalid_frame_ends_only_its_connection(
    hub: Hub, wire: HubClient, caplog: pytest.LogCaptureFixture, sent: list[bytes], code: int
) -> None:
    async with connected(hub) as raw:
        await handshake(raw)
        with suppress(ConnectionError):
            await raw.send(b"".join(sent))
        assert await closed_with(raw) == code
    await makes_room(hub, wire)
    assert caplog.text == ""


async def test_compression_is_not_negotiated(hub: Hub) -> None:
    async with connected(hub) as raw:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        assert "extensions" not in (await handshake(raw, offer)).lower()


async def test_empty_fragments_take_no_memory(hub: Hub) -> None:
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(frame(b"", first=0) + frame(b"", 0, first=0) * 50_000)
        await raw.send(frame(b'[2,"c","http://api.wamp.ws/procedure#ping"]', 0))
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[3,"c",null]')


async def test_an_unmasked_frame_is_accepted_like_a_masked_one(hub: Hub, wire: HubClient) -> None:
    """RFC 6455 requires the server to close; aiohttp does not check.

    Masks protect proxies from pages; browsers mask.
    """
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(frame(b'[2,"c","http://api.wamp.ws/procedure#ping"]', masked=False))
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[3,"c",null]')
    await makes_room(hub, wire)


@pytest.mark.parametrize("key", ["", "x", "AAAA", "\u00e9" * 16, "A" * 5000])
async def test_an_invalid_handshake_is_a_400(hub: Hub, wire: HubClient, key: str) -> None:
    async with connected(hub) as raw:
        headers = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Protocol: wamp",
            "Sec-WebSocket-Version: 13",
        )
        await raw.send(head("GET /ws HTTP/1.1", *headers, f"Sec-WebSocket-Key: {key}"))
        assert (await raw.answer())[0] == 400
    await makes_room(hub, wire)


# Floods


@asynccontextmanager
async def deaf(hub: Hub) -> AsyncIterator[socket.socket]:
    """Subscribe over a socket with a minimal buffer from which nothing is read."""
    with await deaf_subscriber(hub, "t") as connection:
        yield connection


async def test_pongs_are_sent_as_fast_as_they_are_read(hub: Hub) -> None:
    async with connected(hub) as raw:
        await handshake(raw)
        reading = asyncio.create_task(_pongs(raw, 5000))
        await raw.send(frame(b"are you there?", PING) * 5000)
        assert await reading == 5000


async def _pongs(raw: Raw, number: int) -> int:
    pongs = 0
    async with asyncio.timeout(4 * PATIENCE):
        while pongs < number:
            first, size = await raw.reader.readexactly(2)
            payload = await raw.reader.readexactly(size)
            pongs += first == 0x8A and payload == b"are you there?"
    return pongs


async def test_a_connection_whose_pongs_are_not_read_is_not_read_and_ends(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "_STALL_TIMEOUT", 0.5)
    hub = await run(Hub(port=0, max_connections=1))
    async with deaf(hub) as connection:
        sent = await _flood(connection, frame(b"x" * 125, PING) * 100)
    assert sent < 50_000_000
    await makes_room(hub, wire)


async def test_requests_of_a_subscriber_that_reads_no_replies_are_not_read(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub stops reading, because it would store a full queue of replies for this subscriber otherwise."""
    monkeypatch.setattr(_websocket, "_STALL_TIMEOUT", 0.5)
    held: list[int] = []
    send = Session.send

    def watched(self: Session, queued: bytes) -> None:
        send(self, queued)
        held.append(self.queued)

    monkeypatch.setattr(Session, "send", watched)
    hub = await run(Hub(port=0, max_connections=1, max_queue=1 << 24))
    echo = json.dumps([2, "c", "http://api.wamp.ws/procedure#echo", "x" * 10_000]).encode()
    async with deaf(hub) as connection:
        await _flood(connection, frame(echo))
    assert 1 << 16 < max(held) < (1 << 16) + 20_000
    await makes_room(hub, wire)


async def _flood(connection: socket.socket, data: bytes) -> int:
    """Send repeatedly until the hub closes the connection, which it must; return how many bytes it accepted."""
    loop, sent = asyncio.get_running_loop(), 0
    async with asyncio.timeout(4 * PATIENCE):
        with suppress(ConnectionError):
            while True:
                await loop.sock_sendall(connection, data)
                sent += len(data)
                await asyncio.sleep(0)
    return sent


async def test_a_subscriber_that_was_behind_is_read_again_when_it_has_read(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_body=1 << 20, max_queue=1 << 25))
    peer = await wire.subscriber(hub, "t")
    event = b'"%s"' % (b"x" * 1_000_000)
    for _ in range(8):
        await wire.push(hub, body=event)
    await peer.send(2, "c", "http://api.wamp.ws/procedure#ping")
    for _ in range(8):
        assert await peer.receive() == [8, "t", "x" * 1_000_000]
    assert await peer.receive() == [3, "c", None]
    await peer.heard()


async def test_a_subscriber_that_never_reads_is_dropped_during_10_000_events(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The other subscribers get every event, in order."""
    events, size = 10_000, 1_000
    hub = await run(Hub(port=0, max_queue=100_000))
    peer = await wire.subscriber(hub, "t")
    async with deaf(hub), connected(hub) as raw:
        pushing = asyncio.create_task(_push_all(raw, events, size))
        for number in range(events):
            message = await peer.receive()
            assert message[2] == f"{number}".ljust(size)
        await pushing
        await peer.heard()
    dropped = [record for record in caplog.records if "dropped: it reads too slowly" in record.getMessage()]
    assert len(dropped) == 1


async def _push_all(raw: Raw, events: int, size: int) -> None:
    """Push numbered events, a few at a time: fewer than a queue holds, because even fast readers would be dropped."""
    request = head("POST /?topicuri=t HTTP/1.1", f"Content-Type: {FORM}", f"Content-Length: {size + 2}")
    for begin in range(0, events, 20):
        bodies = (b'"%s"' % f"{number}".ljust(size).encode() for number in range(begin, begin + 20))
        await raw.send(b"".join(request + body for body in bodies))
        for _ in range(20):
            assert await raw.answer() == (202, b"")


# The memory of a subscriber

_WIDEST = "\U0001f600"
"""A character that takes four bytes in a Python string."""


@pytest.mark.parametrize("subprotocol", ["wamp", "wamp.2.json"])
@pytest.mark.parametrize("filling", ["", "x", _WIDEST])
def test_the_memory_that_a_subscriber_can_occupy_is_limited(subprotocol: str, filling: str) -> None:
    """With the default limits, 800 subscribers that do their worst take 200 MB."""
    config = HubConfig()
    broker = Broker(config)
    peers = [broker.open(PROTOCOLS[subprotocol], drop=lambda: pytest.fail("dropped")) for _ in range(5)]
    tracemalloc.start()
    try:
        for peer in peers:
            if subprotocol == "wamp.2.json":
                peer.receive('[1,"realm",{}]')
            for number in range(2 * config.max_subscriptions):
                name = f"{peer.id}-{number}"
                topic = name + filling * (config.max_topic - len(name))
                prefix = f"p{number}"
                peer.receive(json.dumps([5, topic] if subprotocol == "wamp" else [32, number, {}, topic]))
                if subprotocol == "wamp":
                    peer.receive(json.dumps([1, prefix, topic[len(prefix) :]]))
                peer.take_nowait()
        kept = tracemalloc.get_traced_memory()[0] / len(peers)
    finally:
        tracemalloc.stop()
    assert kept < 250_000
    assert all(0 < len(peer.subscribed) <= config.max_subscriptions for peer in peers)


@pytest.mark.parametrize("subprotocol", ["wamp", "wamp.2.json"])
def test_the_total_length_of_topics_is_limited(subprotocol: str) -> None:
    """Unsubscribing makes room for other topics."""
    broker = Broker(HubConfig(max_subscriptions=4, max_topic=1000))
    peer = broker.open(PROTOCOLS[subprotocol], drop=lambda: pytest.fail("dropped"))
    peer.receive('[1,"realm",{}]')
    one, two, three, four = (each * 1000 for each in (_WIDEST, "b", "c", "d"))
    assert broker.subscribe(peer, one) == 1
    with pytest.raises(NotSubscribed):
        broker.subscribe(peer, two)
    assert broker.subscribe(peer, one) == 1
    broker.unsubscribe(peer, one)
    for each in (two, three, four):
        broker.subscribe(peer, each)
    with pytest.raises(NotSubscribed):
        broker.subscribe(peer, one)
    assert peer.subscribed == {two, three, four}


def test_a_prefix_that_is_replaced_makes_room() -> None:
    broker = Broker(HubConfig(max_subscriptions=1, max_topic=1000))
    peer = broker.open(Wamp1Session, drop=lambda: pytest.fail("dropped"))
    for number in range(100):
        peer.receive(json.dumps([1, "p", f"{number}".ljust(900, "x")]))
        peer.receive('[5,"p:"]')
        [topic] = peer.subscribed
        assert topic == f"{number}".ljust(900, "x")
        broker.unsubscribe(peer, topic)
