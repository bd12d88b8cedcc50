"""Both clients against one hostile server: the same case ends alike in either, after as many attempts and requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from webmqconnect_async import (
    BadReply,
    ConnectFailed,
    ConnectionLost,
    Rejected,
    ReplyTimeout,
    Retry,
    Unconfirmed,
    WebMQError,
)

from .cases import CASES, UNREACHED, Case, Unreached
from .colours import COLOURS, Both
from .hostile import (
    ACCEPTED,
    Hostile,
    Peer,
    answer,
    held,
    hostile,
    reply,
    trusting,
    unreachable,
)

QUICK = Retry(wait=0.0)

BLOCKED = 0.06
"""Seconds for which the loop is blocked; AsyncClient looks at its sockets first when it has had no answer for 0.05."""

pytestmark = pytest.mark.parametrize("colour", COLOURS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(colour: str, case: Case) -> None:
    """The push ends as the table says, and nothing of it answers the next."""
    with hostile(*case.script) as server, Both(colour, server.url, "app", "s3cret", 10.0, retry=QUICK) as client:
        ended: object = None
        try:
            receipt = client.push("http://example.com/t", case.event, timeout=case.timeout or 10.0)
        except WebMQError as error:
            ended, attempts = error, error.attempts
        else:
            attempts = receipt.attempts
        assert type(ended) is (case.error or type(None)), repr(ended)
        assert attempts == case.attempts
        assert len(server.requests) == case.requests
        if case.status is not None:
            assert isinstance(ended, Rejected | BadReply)
            assert ended.status == case.status
        if case.reason is not None:
            assert isinstance(ended, Rejected | BadReply)
            assert ended.reason == case.reason
        server.release()
        client.push("http://example.com/t", 2)
        assert server.requests[-1].body == b"2"


@pytest.mark.parametrize("case", UNREACHED, ids=lambda case: case.name)
def test_unreached(colour: str, case: Unreached) -> None:
    """Without a connection nothing was sent, and it is tried again while there is time."""
    with case.place() as url, Both(colour, url, timeout=case.timeout or 10.0, retry=QUICK) as client:
        error = client.failure()
    assert type(error) is ConnectFailed
    assert error.attempts == case.attempts


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(colour: str, status: int) -> None:
    """No redirect is followed: nothing reaches the other server, and its URL is told without the query."""
    with hostile() as other:
        target = f"http://user:pass@127.0.0.1:{other.port}/x?topicuri=t&signature=s"
        with (
            hostile(answer(reply(status, b"", f"Location: {target}"))) as server,
            Both(colour, server.url, "app", "s3cret") as client,
        ):
            error = client.failure()
            assert type(error) is BadReply
            assert f"http://127.0.0.1:{other.port}/x," in str(error)
            assert "signature" not in str(error)
            assert "pass" not in str(error)
            assert len(server.requests) == 1
        assert other.connections == 0


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("parts", [(ACCEPTED + reply(401),), (ACCEPTED, reply(401))], ids=["with it", "later"])
def test_second_answer(colour: str, parts: tuple[bytes, ...], tls: bool) -> None:
    """What comes behind an answer, with it or later, never answers the next push."""
    said: list[Peer] = []

    async def twice(peer: Peer) -> None:
        await answer(*parts)(peer)
        said.append(peer)
        peer.server.changed()

    with hostile(twice, tls=tls) as server, Both(colour, server.url, ssl=trusting() if tls else None) as client:
        client.push("t", 1)
        server.until(lambda: bool(said))
        time.sleep(BLOCKED)
        client.push("t", 2)
        assert [each.body for each in server.requests] == [b"1", b"2"]
        assert server.connections == 2


def test_late_answer(colour: str) -> None:
    """The answer to a push that has timed out never answers the next one."""
    with hostile(held(reply(401))) as server, Both(colour, server.url) as client:
        assert type(client.failure(timeout=0.2)) is ReplyTimeout
        server.release()
        client.push("t", 2)
        assert server.connections == 2


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_idle_connection_closed(colour: str, tls: bool, reset: bool) -> None:
    """A connection that the broker closed while it was idle, and the loop blocked, is noticed, and a new one used."""
    with hostile(tls=tls) as server, Both(colour, server.url, ssl=trusting() if tls else None) as client:
        for number in range(10):
            client.push("t", number)
            server.drop_all(reset=reset)
            time.sleep(BLOCKED)
        assert len(server.requests) == 10
        assert server.connections == 10
        assert client.stats.retried == 0


def test_all_idle_connections_closed(colour: str) -> None:
    """So, too, where a whole pool of them was closed."""
    with hostile(*[held()] * 5) as server, Both(colour, server.url) as client:
        client.push_many(_releasing_at_last(server, 5))
        assert server.connections == 5
        server.drop_all()
        time.sleep(BLOCKED)
        client.push("t", 5)
        assert len(server.requests) == 6


def _releasing_at_last(server: Hostile, number: int) -> Iterator[tuple[str, object]]:
    """Give so many pushes, which stay in flight side by side until the last of them is."""
    for each in range(number):
        if each == number - 1:
            server.release_at(number)
        yield "t", each


def test_connection_is_kept(colour: str) -> None:
    """Pushes one after another share a connection, whatever the answers say."""
    with hostile(*[answer(reply(400, b"no"))] * 3) as server, Both(colour, server.url) as client:
        for _ in range(3):
            client.failure()
        client.push("t", 1)
        assert server.connections == 1


def test_keepalive(colour: str) -> None:
    """A keepalive of 0 gives each push a connection of its own."""
    with hostile() as server, Both(colour, server.url, keepalive=0) as client:
        client.push("t", 1)
        client.push("t", 1)
        assert server.connections == 2


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", False), ("other.example", True)])
def test_certificate(colour: str, host: str, trusted: bool) -> None:
    """A certificate that does not verify, by default too, is ConnectFailed, told plainly and not tried again."""
    with (
        hostile(tls=True, host=host) as server,
        Both(colour, server.url, ssl=trusting() if trusted else None, retry=QUICK) as client,
    ):
        error = client.failure()
        assert type(error) is ConnectFailed
        assert not error.passing
        assert error.attempts == 1
        assert "certificate" in str(error)
        assert server.connections == 1
        assert server.requests == []


def test_tls(colour: str) -> None:
    """A context given as `ssl` is the one that is used, and a connection is shared under it."""
    with hostile(tls=True) as server, Both(colour, server.url, ssl=trusting()) as client:
        client.push("t", 1)
        client.push("t", 2)
        assert [each.body for each in server.requests] == [b"1", b"2"]
        assert server.connections == 1


def test_tls_stall_in_handshake(colour: str) -> None:
    """A handshake that does not end is ConnectFailed at the deadline: nothing was sent."""

    async def never(peer: Peer) -> None:
        await peer.server.released.wait()

    with hostile(tls=True, before=never) as server, Both(colour, server.url, ssl=trusting()) as client:
        error = client.failure(timeout=0.2)
        assert type(error) is ConnectFailed
        assert error.attempts == 1
        assert server.requests == []


def test_tls_connect_timeout(colour: str) -> None:
    """`connect_timeout` covers the handshake, and what it stops is tried again."""

    async def never(peer: Peer) -> None:
        await peer.server.released.wait()

    with (
        hostile(tls=True, before=never) as server,
        Both(colour, server.url, ssl=trusting(), connect_timeout=0.1, retry=QUICK) as client,
    ):
        error = client.failure()
        assert type(error) is ConnectFailed
        assert error.attempts == 3
        assert server.connections == 3


def test_connect_timeout(colour: str) -> None:
    """`connect_timeout` stops an attempt to connect, which is tried again; the push has its whole time."""
    with unreachable() as url, Both(colour, url, connect_timeout=0.1, retry=QUICK) as client:
        error = client.failure()
        assert type(error) is ConnectFailed
        assert error.attempts == 3


def test_tls_drop_in_handshake(colour: str) -> None:
    """A connection closed in the handshake is ConnectFailed and tried again."""

    async def hang_up(peer: Peer) -> None:
        peer.close()
        raise ConnectionAbortedError

    with (
        hostile(tls=True, before=hang_up) as server,
        Both(colour, server.url, ssl=trusting(), retry=QUICK) as client,
    ):
        error = client.failure()
        assert type(error) is ConnectFailed
        assert error.passing
        assert error.attempts == server.connections == 3


def test_https_to_http(colour: str) -> None:
    """A server that speaks no TLS is ConnectFailed."""

    async def puzzled(peer: Peer) -> None:
        await peer.reader.read(65536)
        await peer.send(reply(400))
        peer.close()

    with hostile(*[puzzled] * 3) as server, Both(colour, server.url.replace("http:", "https:"), retry=QUICK) as client:
        error = client.failure()
        assert type(error) is ConnectFailed
        assert error.attempts == server.connections == 3


def test_http_to_https(colour: str) -> None:
    """A server that speaks TLS alone gets the push in clear and answers nothing that is HTTP."""
    with hostile(tls=True) as server, Both(colour, server.url.replace("https:", "http:")) as client:
        assert isinstance(client.failure(timeout=2.0), Unconfirmed)


def test_tls_client_certificate(colour: str) -> None:
    """A broker that wants a certificate of the client ends the connection after the handshake."""
    with hostile(tls=True, ask=True) as server, Both(colour, server.url, ssl=trusting()) as client:
        error = client.failure()
        assert type(error) is ConnectionLost
        assert server.requests == []


def test_tls_slow_reader(colour: str) -> None:
    """A broker that takes a large event in sips cannot outlive the deadline."""
    sips: list[int] = []

    async def sip(peer: Peer) -> None:
        while taken := await peer.reader.read(2000):
            sips.append(len(taken))
            await asyncio.sleep(0.05)

    with hostile(sip, tls=True) as server, Both(colour, server.url, ssl=trusting()) as client:
        error = client.failure("x" * 20_000_000, timeout=0.3)
        assert type(error) is ReplyTimeout
        # At 0.05 s a sip: a deadline that begins anew with each would take all of them.
        assert len(sips) < 40
