"""Connections of both clients: which one a push uses, and that it never gets the response to another push."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from webmqconnect_async import ConnectFailed, ConnectionLost, ReplyTimeout, Retry

from .clients import DRIVERS, Both
from .hostile import (
    ACCEPTED,
    Hostile,
    Peer,
    Step,
    answer,
    bodies,
    drop_at_once,
    held,
    hostile,
    reply,
    reset_at_once,
    resolve,
    trusting,
)

BLOCKED = 0.01
"""Seconds for which the loop is blocked. AsyncClient checks a connection that has been idle for 0.001 s."""

pytestmark = pytest.mark.parametrize("driver", DRIVERS)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("parts", [(ACCEPTED + reply(401),), (ACCEPTED, reply(401))], ids=["with it", "later"])
def test_second_response(driver: str, parts: tuple[bytes, ...], tls: bool) -> None:
    """Data after a response, in the same segment or later, is never taken for the response to the next push."""
    said: list[Peer] = []

    async def twice(peer: Peer) -> None:
        await answer(*parts)(peer)
        said.append(peer)
        peer.server.changed()

    with hostile(twice, tls=tls) as server, Both(driver, server.url, ssl=trusting() if tls else None) as client:
        client.push("t", 1)
        server.until(lambda: bool(said))
        time.sleep(BLOCKED)
        client.push("t", 2)
        assert [each.body for each in server.requests] == [b"1", b"2"]
        assert server.connections == 2


def test_late_response(driver: str) -> None:
    """The response to a push that has timed out is never taken for that to the next push."""
    with hostile(held(reply(401))) as server, Both(driver, server.url) as client:
        assert type(client.failure(timeout=0.2)) is ReplyTimeout
        server.release()
        client.push("t", 2)
        assert server.connections == 2


@pytest.mark.parametrize("drop", [drop_at_once, reset_at_once], ids=["FIN", "RST"])
def test_accept_and_drop(driver: str, drop: Step) -> None:
    """A push over a connection that is closed as soon as it is accepted fails, whether or not the request was sent."""
    with hostile(*[drop] * 3) as server, Both(driver, server.url, retry=Retry(wait=0.0)) as client:
        error = client.failure()
        assert (type(error), error.attempts) in ((ConnectFailed, 3), (ConnectionLost, server.connections))
        assert server.requests == []


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_idle_connection_closed(driver: str, tls: bool, reset: bool) -> None:
    """If the broker closes an idle connection while the loop is blocked, the next push opens another one."""
    with hostile(tls=tls) as server, Both(driver, server.url, ssl=trusting() if tls else None) as client:
        for number in range(4):
            client.push("t", number)
            server.drop_all(reset=reset)
            time.sleep(BLOCKED)
        assert len(server.requests) == 4
        assert server.connections == 4
        assert client.stats.retried == 0


@pytest.mark.parametrize("alive", [True, False], ids=["old one alive", "old one gone"])
def test_a_host_name_that_changes_its_address(driver: str, alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new address is used once the old connection is closed, whether the old server still responds or not."""
    with hostile() as new:
        with hostile() as old, Both(driver, "http://broker.example:8080/push") as client:
            resolve(monkeypatch, old.url)
            client.push("t", 1)
            resolve(monkeypatch, new.url)
            client.push("t", 2)
            old.drop_all(stop=not alive)
            time.sleep(BLOCKED)
            assert client.push("t", 3).attempts == 1
        assert bodies(old) == [b"1", b"2"]
        assert bodies(new) == [b"3"]


def test_all_idle_connections_closed(driver: str) -> None:
    """If the broker closes all idle connections, the next push opens another one."""
    with hostile(*[held()] * 5) as server, Both(driver, server.url) as client:
        client.push_many(_releasing_at_last(server, 5))
        assert server.connections == 5
        server.drop_all()
        time.sleep(BLOCKED)
        client.push("t", 5)
        assert len(server.requests) == 6


def _releasing_at_last(server: Hostile, number: int) -> Iterator[tuple[str, object]]:
    """Yield `number` pushes, which stay in flight until the last one is in flight, too."""
    for each in range(number):
        if each == number - 1:
            server.release_at(number)
        yield "t", each


def test_connection_is_kept(driver: str) -> None:
    """Consecutive pushes share a connection, regardless of the responses."""
    with hostile(*[answer(reply(400, b"no"))] * 3) as server, Both(driver, server.url) as client:
        for _ in range(3):
            client.failure()
        client.push("t", 1)
        assert server.connections == 1


def test_keepalive(driver: str) -> None:
    """With a keepalive of 0, each push has a connection of its own."""
    with hostile() as server, Both(driver, server.url, keepalive=0) as client:
        client.push("t", 1)
        client.push("t", 1)
        assert server.connections == 2


def test_tls(driver: str) -> None:
    """The context given as `ssl` is used, and pushes share a connection with it."""
    with hostile(tls=True) as server, Both(driver, server.url, ssl=trusting()) as client:
        client.push("t", 1)
        client.push("t", 2)
        assert [each.body for each in server.requests] == [b"1", b"2"]
        assert server.connections == 1


def test_tls_slow_reader(driver: str) -> None:
    """A broker that reads a large event slowly cannot delay the push beyond its deadline."""
    sips: list[int] = []

    async def sip(peer: Peer) -> None:
        while taken := await peer.reader.read(2000):
            sips.append(len(taken))
            await asyncio.sleep(0.05)

    with hostile(sip, tls=True) as server, Both(driver, server.url, ssl=trusting()) as client:
        error = client.failure("x" * 20_000_000, timeout=0.6)
        assert type(error) is ReplyTimeout
        # At 0.05 s per read, a deadline that is renewed by each read would allow all of them.
        assert len(sips) < 40
