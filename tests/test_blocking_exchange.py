"""How `Client` sends a request and reads its response: early responses, the end of a connection, idle connections."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from webmqconnect_async import (
    AuthRejected,
    Client,
    ConnectionLost,
    Overloaded,
    Receipt,
    Retry,
    TooLarge,
    WebMQError,
)
from webmqconnect_async._sync import connection, process_state

from .hostile import ACCEPTED, PATIENCE, Hostile, Peer, Step, answer, bodies, held, hostile, reply, trusting
from .test_interrupted import descriptors

MEGABYTES = "x" * 8_000_000
"""An event that is too large for the kernel's send buffer."""


@contextmanager
def serving_client(*script: Step, tls: bool = False, **options: Any) -> Iterator[tuple[Hostile, Client]]:
    """Run a server with this script, and return it with a client without retries."""
    defaults: dict[str, Any] = {"timeout": PATIENCE, "retry": Retry(attempts=1), "ssl": trusting() if tls else None}
    with hostile(*script, tls=tls) as server, Client(server.url, **defaults | options) as client:
        yield server, client


def outcome(client: Client, event: object) -> type[Receipt | WebMQError]:
    """Push and return the class of the receipt or the error."""
    try:
        return type(client.push("t", event))
    except WebMQError as error:
        return type(error)


def early(response: bytes, ending: str) -> Step:
    """Respond when the head of a request has been read, and read no more."""

    async def step(peer: Peer) -> None:
        await peer.head()
        peer.pause()
        await peer.send(response)
        if ending == "half-closes":
            peer.writer.write_eof()
        if ending == "closes":
            peer.vanish()
        else:
            await peer.server.released.wait()
            peer.vanish()

    return step


@pytest.mark.parametrize(
    ("ending", "tls"),
    [("waits", False), ("half-closes", False), ("closes", False), ("waits", True), ("closes", True)],
    ids=lambda value: ("http", "https")[value] if isinstance(value, bool) else value,
)
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (reply(401, b"no"), AuthRejected),
        (reply(413), TooLarge),
        (reply(413, b"", "Connection: close"), TooLarge),
        (reply(429), Overloaded),
        (ACCEPTED, Receipt),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(413), TooLarge),
    ],
    ids=["401", "413", "413 and close", "429", "202", "100 and 413"],
)
def test_early_response(response: bytes, expected: type, ending: str, tls: bool) -> None:
    """A response before the end of the request is the outcome of the push, and its connection is closed."""
    with serving_client(early(response, ending), tls=tls) as (server, client):
        assert outcome(client, MEGABYTES) is expected
        assert client.push("t", 2).status == 202
        assert server.connections == 2
        server.release()


def test_early_response_that_ends_with_the_connection() -> None:
    with serving_client(early(b"HTTP/1.1 413 No\r\n\r\ntoo large", "half-closes")) as (server, client):
        with pytest.raises(TooLarge, match="too large"):
            client.push("t", MEGABYTES)
        server.release()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("beginning", [b"HTTP/1.1 100 Continue\r\n\r\n", ACCEPTED[:20]], ids=["100", "incomplete head"])
def test_response_that_begins_early(beginning: bytes, tls: bool) -> None:
    """The client continues sending until the response is complete."""

    async def step(peer: Peer) -> None:
        request = await peer.head()
        await peer.send(beginning)
        left = int(request.header("Content-Length") or 0)
        left -= len(peer._arrived)
        while left:
            left -= len(await peer.reader.read(65536))
        peer._arrived = b""
        await peer.send(ACCEPTED.removeprefix(beginning))

    with serving_client(step, tls=tls) as (server, client):
        assert client.push("t", MEGABYTES).status == 202
        assert client.push("t", 2).status == 202
        assert server.connections == 1


def test_end_of_the_connection_while_sending() -> None:
    """A broker that has closed its side cannot respond, whether or not it still reads."""

    async def step(peer: Peer) -> None:
        await peer.head()
        peer.pause()
        peer.writer.write_eof()
        await peer.server.released.wait()

    with serving_client(step) as (server, client):
        with pytest.raises(ConnectionLost, match="closed the connection"):
            client.push("t", MEGABYTES)
        server.release()


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_rejected_unread(size: int) -> None:
    """A broker rejects a large event because of its head, and closes without reading the body: the response arrives."""

    async def reject(peer: Peer) -> None:
        await peer.head()
        await peer.send(reply(413))
        await peer.speaks()
        peer.close()

    with serving_client(*[reject] * 20) as (_, client):
        assert [outcome(client, "x" * size) for _ in range(20)] == [TooLarge] * 20


@pytest.mark.parametrize(
    ("response", "size", "connections"),
    [(ACCEPTED, 100_000, 1), (reply(400), 1000, 1), (reply(400), 100_000, 2)],
    ids=["accepted", "small", "rejected"],
)
def test_connection_after_a_large_request(response: bytes, size: int, connections: int) -> None:
    """The connection is closed if the request is rejected, because the broker may never read the rest of it."""
    with serving_client(answer(response)) as (server, client):
        outcome(client, "x" * size)
        client.push("t", 2)
        assert server.connections == connections


def test_no_part_of_a_large_event_is_kept() -> None:
    """Neither the request nor an exception that refers to it remains in memory."""

    def push(number: int) -> None:
        for _ in range(number):
            outcome(client, MEGABYTES)

    async def end(peer: Peer) -> None:
        await peer.head()
        peer.vanish()

    with serving_client(early(reply(413), "closes"), end, early(reply(413), "closes"), end) as (_, client):
        push(2)
        tracemalloc.start()
        try:
            push(2)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()


# The end of a response


def respond_and_reset(data: bytes) -> Step:
    """Respond, and reset the connection."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        peer.reset()

    return step


def test_reset_after_a_head() -> None:
    """A reset ends a response that the end of the connection delimits (RFC 9112, section 8), and breaks any other."""
    with serving_client(respond_and_reset(b"HTTP/1.1 202 Accepted\r\n\r\n")) as (_, client):
        assert client.push("t", 1).status == 202
    with serving_client(respond_and_reset(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\n")) as (_, client):
        assert outcome(client, 1) is ConnectionLost


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("behind", [b"\n", reply(401)], ids=["a byte", "a response"])
def test_bytes_after_a_response(behind: bytes, tls: bool) -> None:
    """A connection with bytes after the response is closed."""
    with serving_client(answer(ACCEPTED + behind), tls=tls) as (server, client):
        for number in range(2):
            assert client.push("t", number).status == 202
        assert server.connections == 2


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_response_of_several_tls_records(tls: bool) -> None:
    """A response of several TLS records is read completely. If data follows it, the connection is closed."""
    long = reply(400, b"x" * 60_000)
    with serving_client(answer(long), answer(long + b"x"), tls=tls) as (server, client):
        for number in range(3):
            outcome(client, number)
        assert server.connections == 2


# Idle connections


def test_idle_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a burst, connections that are idle for longer than `keepalive` are closed while the client pushes."""
    passed = 0.0
    before = descriptors()
    with serving_client(*[held()] * 5, keepalive=30.0) as (server, client):
        for module in (connection, process_state):
            monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + passed)
        server.release_at(5)
        client.push_many([("t", number) for number in range(5)])
        passed = 20.0
        client.push("t", 5)
        assert server.open_connections == 5
        passed = 31.0
        client.push("t", 6)
        server.until(lambda: server.open_connections == 1)
        assert server.connections == 5
    assert descriptors() <= before


@pytest.mark.parametrize("keepalive", [None, 30.0])
def test_idle_and_closed_by_the_broker(keepalive: float | None) -> None:
    """The client closes such connections, too, at its next push."""

    async def all_but_one(peer: Peer) -> None:
        number = (await peer.request()).body
        await peer.server.released.wait()
        await peer.send(ACCEPTED)
        if number != b"4":
            peer.close()

    before = descriptors()
    with serving_client(keepalive=keepalive) as (server, client):
        server.release_at(1 + 5)
        client.push("t", 5)
        opened = descriptors()
        server.script(*[all_but_one] * 5)
        client.push_many([("t", number) for number in range(5)])
        server.until(lambda: server.open_connections == 1)
        client.push("t", 6)
        assert server.connections == 5
        assert descriptors() == opened
    assert descriptors() <= before
    assert sorted(bodies(server)) == [b"%d" % number for number in range(7)]
