"""Clients that are slow: in sending the head or the body of a request, or in reading responses."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest

from webmqconnect_async.hub import Hub, _aiohttp, _connection_limits, _server

from .conftest import PATIENCE, HubClient, Run
from .raw import Raw, connected, frame, handshake, head, port_of, ws_head

FORM = "application/x-www-form-urlencoded"
GET = head("GET /webmq.js HTTP/1.1")
PUSH = head("POST /?topicuri=t HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 1") + b"1"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection_limits, "_TIMEOUT", 0.1)


async def out_of_patience(hub: Hub) -> None:
    """Return when a new connection that sends nothing has been closed."""
    async with connected(hub) as raw:
        assert await raw.ends() == b""


async def trickled(raw: Raw, data: bytes) -> bytes:
    """Send a byte at a time, slowly, until the hub closes the connection; return what it sent."""
    ending = asyncio.create_task(raw.ends())
    with suppress(ConnectionError):
        for byte in data:
            await raw.send(bytes([byte]))
            done, _ = await asyncio.wait([ending], timeout=0.02)
            if done:
                break
    return await ending


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "sent", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n", GET[:-1], ws_head()[:-2]]
)
async def test_a_connection_without_a_complete_request_is_closed(hub: Hub, wire: HubClient, sent: bytes) -> None:
    async with connected(hub) as raw:
        await raw.send(sent)
        assert await raw.ends() == b""
    await wire.push(hub)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("data", [head("GET / HTTP/1.1", "X: " + "x" * 500), ws_head("X: " + "x" * 500)])
async def test_a_slowly_sent_head_does_not_extend_the_timeout(hub: Hub, data: bytes) -> None:
    async with connected(hub) as raw:
        assert await trickled(raw, data) == b""


@pytest.mark.usefixtures("impatient")
async def test_many_connections_without_a_request_are_closed_and_make_room(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_server, "_SPARE", 20)
    hub = await run(Hub(port=0, max_connections=1))
    peer = await wire.subscriber(hub, "t")
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(hub)) for _ in range(60)]
        await asyncio.gather(*(raw.ends() for raw in idle))
        await wire.push(hub)
        assert await peer.receive() == [8, "t", 1]


@pytest.mark.usefixtures("impatient")
async def test_a_connection_may_be_idle_after_a_request(hub: Hub) -> None:
    """Clients keep idle connections, and browsers also open some in advance."""
    async with connected(hub) as raw:
        for part in (PUSH[:7], PUSH[7:-4], PUSH[-4:-2], PUSH[-2:]):
            await raw.send(part)
            await asyncio.sleep(0)
        assert (await raw.answer())[0] == 202
        await out_of_patience(hub)
        await raw.send(PUSH)
        assert (await raw.answer())[0] == 202


@pytest.mark.usefixtures("impatient")
async def test_a_subscriber_may_be_silent(hub: Hub, wire: HubClient) -> None:
    async with connected(hub) as raw:
        await handshake(raw)
        await raw.send(frame(b'[5,"t"]') + frame(b'[2,"c","http://api.wamp.ws/procedure#ping"]'))
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[3,"c",null]')
        await out_of_patience(hub)
        await wire.push(hub)
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[8,"t",1]')


# Bodies


@pytest.mark.parametrize(
    ("framing", "endless"),
    [
        ("Content-Length: 4000", b" " * 4000),
        ("Transfer-Encoding: chunked", b"1\r\n \r\n" * 600),
        ("Transfer-Encoding: chunked", b"1;" + b"x" * 4000),
        ("Transfer-Encoding: chunked", b"0" * 4000),
    ],
    ids=["length", "chunks", "chunk extension", "chunk size"],
)
@pytest.mark.parametrize("target", ["/?topicuri=t", "/publish"])
async def test_a_slowly_sent_body_does_not_extend_the_timeout(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, target: str, framing: str, endless: bytes
) -> None:
    monkeypatch.setattr(_aiohttp, "_BODY_TIMEOUT", 0.1)
    monkeypatch.setattr(_aiohttp, "_LINGERING", 0.1)
    hub = await run(Hub(port=0))
    kind = FORM if target != "/publish" else "application/json"
    async with connected(hub) as raw:
        await raw.send(head(f"POST {target} HTTP/1.1", f"Content-Type: {kind}", framing))
        assert (await trickled(raw, endless)).partition(b"\r\n")[0] in (
            b"HTTP/1.1 408 Request Timeout",
            b"HTTP/1.1 400 Bad Request",
        )
    await wire.push(hub)


async def test_an_unexpected_body_does_not_keep_the_connection_open(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aiohttp, "_LINGERING", 0.1)
    hub = await run(Hub(port=0))
    async with connected(hub) as raw:
        await raw.send(head("GET / HTTP/1.1", "Content-Length: 4000"))
        assert (await trickled(raw, b" " * 4000)).startswith(b"HTTP/1.1 200 ")


# Responses


async def flooded(connection: socket.socket, data: bytes) -> int:
    """Send repeatedly until the hub closes the connection, which it must; return how often."""
    loop, sent = asyncio.get_running_loop(), 0
    async with asyncio.timeout(4 * PATIENCE):
        with suppress(ConnectionError):
            while True:
                await loop.sock_sendall(connection, data)
                sent += 1
                await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize("padding", [0, 60], ids=["small heads", "large heads"])
async def test_a_connection_that_reads_no_responses_is_not_read_and_closed(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, padding: int
) -> None:
    """Without the hub's limit, aiohttp waits forever and reads up to 32 more requests: 15 MB with the largest heads."""
    monkeypatch.setattr(_connection_limits, "_TIMEOUT", 0.5)
    taken: list[int] = []
    within = _connection_limits.RequestGuard.data_received

    def watched(self: _connection_limits.RequestGuard, data: bytes) -> None:
        if self._transport.get_write_buffer_size() > 1 << 16:
            taken.append(len(data))
        within(self, data)

    monkeypatch.setattr(_connection_limits.RequestGuard, "data_received", watched)
    hub = await run(Hub(port=0))
    request = head("GET /webmq.js HTTP/1.1", *(f"X-{number}: {'x' * 8000}" for number in range(padding)))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port_of(hub)))
        await flooded(connection, request)
    assert sum(taken) == 0, "data was read while nothing could be written"
    await wire.push(hub)


class _Pipe(asyncio.Transport):
    """A fake transport."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.calls: list[str] = []

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.calls.append("abort")


class _Within(asyncio.Protocol):
    """The protocol to which a connection forwards everything."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = b""

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def eof_received(self) -> bool | None:
        self.calls.append("eof")
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self.calls.append("lost")


def _connection() -> tuple[_connection_limits.RequestGuard, _Within, _Pipe]:
    within, pipe = _Within(), _Pipe()
    connection = _connection_limits.RequestGuard(within, memoryview(bytearray(1024)), _connection_limits.Connections())
    connection.connection_made(pipe)
    return connection, within, pipe


async def test_all_events_of_the_transport_are_forwarded() -> None:
    connection, within, _ = _connection()
    for byte in GET + PUSH:
        connection.data_received(bytes([byte]))
    assert within.received == GET + PUSH
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is True
    connection.connection_lost(None)
    assert within.calls == ["made", "pause", "resume", "eof", "lost"]


@pytest.mark.parametrize("split", range(len(GET) + 1))
async def test_the_end_of_a_head_is_found_however_it_is_split(split: int) -> None:
    connection, _, _ = _connection()
    connection.data_received(GET[:split])
    assert (connection._timer is None) == (split == len(GET))
    connection.data_received(GET[split:])
    assert connection._timer is None


async def test_reading_resumes_with_writing_unless_another_caller_has_paused_it() -> None:
    connection, _, pipe = _connection()
    connection.data_received(GET)
    connection.pause_writing()
    assert (pipe.reading, connection._timer is None) == (False, False)
    connection.resume_writing()
    assert (pipe.reading, connection._timer is None) == (True, True)
    pipe.pause_reading()
    connection.pause_writing()
    connection.resume_writing()
    assert not pipe.reading


async def test_a_lost_connection_leaves_no_timer() -> None:
    connection, _, pipe = _connection()
    connection.connection_lost(None)
    assert connection._timer is None
    assert pipe.calls == []


# Another event loop


def test_uvloop_has_the_same_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits also apply with uvloop, whose transports are not instances of `asyncio.Transport`."""
    uvloop = pytest.importorskip("uvloop")
    monkeypatch.setattr(_connection_limits, "_TIMEOUT", 0.1)
    monkeypatch.setattr(_server, "_SPARE", 1)

    async def limits() -> None:
        async with Hub(port=0, max_connections=1) as hub, connected(hub) as first, connected(hub) as second:
            await handshake(first)
            await second.send(PUSH)
            assert (await second.answer())[0] == 202
            async with connected(hub) as third:
                assert await third.ends() == b""
            assert _connection_limits._TIMEOUT == 0.1
            await first.send(frame(json.dumps([5, "t"]).encode()))
            await second.send(PUSH)
            assert (await second.answer())[0] == 202

    run: Callable[[Awaitable[None]], None] = uvloop.run
    run(limits())
