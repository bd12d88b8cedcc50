"""The table of faults: connections that fail before, during or instead of a response, and the outcome of the push."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from webmqconnect_async import BadReply, ConnectFailed, ConnectionLost, Overloaded, ReplyTimeout, Retry

from .cases import MEGABYTES, PUBLISHED, SHORT, Case, Place, Staging
from .hostile import (
    ACCEPTED,
    STRANGER,
    Peer,
    Step,
    accept_and_drop_unread,
    answer,
    answer_and_close,
    answer_and_stall,
    answer_and_vanish,
    drop_after_body,
    drop_after_head,
    drop_unread,
    hostile,
    refusing,
    reply,
    reset_after_body,
    reset_after_head,
    reset_at_once,
    serving,
    stall,
    stall_at_once,
    stall_unread,
    trickle,
    unreachable,
)

TWICE = Retry(attempts=2, wait=0.0, at_least_once=True)


# No connection


def _nowhere(go: Callable[[], AbstractContextManager[str]]) -> Staging:
    """Push to an address where no server listens."""

    @contextmanager
    def staging(case: Case) -> Iterator[Place]:
        with go() as url:
            yield Place(url, None)

    return staging


@contextmanager
def _unnamed() -> Iterator[str]:
    yield "http://webmq.invalid:8080/"


def _over_tls(
    context: Callable[[], ssl.SSLContext] = serving, *, before: Step | None = None, scheme: str = "https"
) -> Staging:
    """Run the case's script over TLS. The client uses the given scheme."""

    @contextmanager
    def staging(case: Case) -> Iterator[Place]:
        with hostile(*case.script, tls=context(), before=before, accepted=case.accepted) as server:
            yield Place(server.url.replace("https", scheme), server)

    return staging


@contextmanager
def _tls_to_none(case: Case) -> Iterator[Place]:
    """Use TLS with a server that does not support it."""
    with hostile(*case.script) as server:
        yield Place(server.url.replace("http", "https"), server)


async def _puzzled(peer: Peer) -> None:
    """Respond to a TLS ClientHello in plain text."""
    await peer.reader.read(65536)
    await peer.send(reply(400))
    peer.close()


async def _never(peer: Peer) -> None:
    await peer.server.released.wait()


async def _hang_up(peer: Peer) -> None:
    peer.close()
    raise ConnectionAbortedError


async def _half_a_handshake(peer: Peer) -> None:
    """Send the beginning of a TLS record, and close the connection."""
    await peer.send(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")
    await _hang_up(peer)


def _unverified(name: str, context: Callable[[], ssl.SSLContext]) -> Case:
    return Case(
        f"TLS: {name}",
        (),
        ConnectFailed,
        requests=0,
        says={"transient": False},
        lasting=True,
        staging=_over_tls(context),
    )


def _no_handshake(name: str, before: Step) -> Case:
    return Case(
        f"TLS: {name}",
        (),
        ConnectFailed,
        3,
        requests=0,
        says={"transient": True},
        lasting=True,
        staging=_over_tls(before=before),
    )


UNREACHED = [
    Case("refused", (), ConnectFailed, 3, requests=0, staging=_nowhere(refusing)),
    Case("no such name", (), ConnectFailed, 3, requests=0, staging=_nowhere(_unnamed)),
    Case("full backlog", (), ConnectFailed, requests=0, timeout=SHORT, staging=_nowhere(unreachable)),
    Case(
        "full backlog, three times",
        (),
        ConnectFailed,
        3,
        requests=0,
        connect_timeout=0.1,
        staging=_nowhere(unreachable),
    ),
    _unverified("wrong name", lambda: serving("other.example")),
    _unverified("expired", lambda: serving(until=datetime(2020, 1, 1, tzinfo=UTC))),
    _unverified("unknown authority", lambda: serving(issuer=STRANGER)),
    _no_handshake("drop before the handshake", _hang_up),
    _no_handshake("drop in the handshake", _half_a_handshake),
    _no_handshake("reset in the handshake", reset_at_once),
    Case(
        "TLS: stall in the handshake",
        (),
        ConnectFailed,
        requests=0,
        timeout=SHORT,
        lasting=True,
        staging=_over_tls(before=_never),
    ),
    Case(
        "TLS: stall in the handshake, three times",
        (),
        ConnectFailed,
        3,
        requests=0,
        connect_timeout=0.1,
        lasting=True,
        staging=_over_tls(before=_never),
    ),
    Case("TLS to none", (_puzzled,) * 3, ConnectFailed, 3, requests=0, lasting=True, staging=_tls_to_none),
]


# A connection that breaks


def _cut(name: str, data: bytes) -> Case:
    return Case(f"drop {name}", (answer_and_close(data),), ConnectionLost)


CHUNKED = b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN = [
    Case("drop before the request is read", (drop_unread,), ConnectionLost, requests=0),
    Case("drop after the head", (drop_after_head,), ConnectionLost),
    Case("drop after the body", (drop_after_body,), ConnectionLost),
    Case("reset after the head", (reset_after_head,), ConnectionLost),
    Case("reset after the body", (reset_after_body,), ConnectionLost),
    Case("reset in the middle of a large body", (reset_after_head,), ConnectionLost, event=MEGABYTES),
    _cut("in the status line", b"HTTP/1.1 20"),
    _cut("in the protocol's name", b"HTT"),
    _cut("in the headers", b"HTTP/1.1 202 OK\r\nContent-Le"),
    _cut("between two headers", b"HTTP/1.1 202 OK\r\nX: y\r\n"),
    _cut("after 100", b"HTTP/1.1 100 Continue\r\n\r\n"),
    _cut("in the body", b"HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\nok"),
    _cut("before the body", b"HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\n"),
    _cut("in a chunk", CHUNKED + b"9\r\nok"),
    _cut("before the last chunk", CHUNKED + b"2\r\nok\r\n"),
    Case(
        "bridge: drop in the body",
        (answer_and_close(PUBLISHED[:-1]),),
        ConnectionLost,
        dialect="crossbar",
    ),
    Case("kept: close at the moment of reuse", (accept_and_drop_unread,), ConnectionLost, requests=0, warm=True),
    Case("kept: drop after the next head", (answer(ACCEPTED), drop_after_head), ConnectionLost, warm=True),
    Case("kept: drop after the next body", (answer(ACCEPTED), drop_after_body), ConnectionLost, warm=True),
    Case("kept: reset after the next body", (answer(ACCEPTED), reset_after_body), ConnectionLost, warm=True),
    Case("TLS: drop after the body", (drop_after_body,), ConnectionLost, staging=_over_tls()),
    Case(
        "TLS: vanish in the headers",
        (answer_and_vanish(b"HTTP/1.1 202 OK\r\nContent-Le"),),
        ConnectionLost,
        staging=_over_tls(),
    ),
    Case("TLS: vanish in the body", (answer_and_vanish(reply(202, b"ok")[:-1]),), ConnectionLost, staging=_over_tls()),
    Case(
        "TLS: vanish after a 202 that ends with the connection",
        (answer_and_vanish(b"HTTP/1.1 202 OK\r\n\r\nok"),),
        staging=_over_tls(),
    ),
    Case("TLS: reset after the body", (reset_after_body,), ConnectionLost, staging=_over_tls()),
    Case("TLS: none to TLS", (), ConnectionLost, requests=0, lasting=True, staging=_over_tls(scheme="http")),
    Case(
        "TLS: a certificate of the client is needed",
        (),
        ConnectionLost,
        requests=0,
        lasting=True,
        staging=_over_tls(lambda: serving(ask=True)),
    ),
]


# No response in time

LATE = [
    Case("stall before the request is read", (stall_at_once,), ReplyTimeout, requests=0, timeout=SHORT),
    Case("stall after the body", (stall,), ReplyTimeout, timeout=SHORT),
    # It is encoded several times at once, so such a large event takes a good part of a short deadline.
    Case("stall after the head of a large body", (stall_unread,), ReplyTimeout, timeout=4 * SHORT, event=MEGABYTES),
    Case("stall in the status line", (answer_and_stall(b"HTTP/1.1 20"),), ReplyTimeout, timeout=SHORT),
    Case("stall in the headers", (answer_and_stall(b"HTTP/1.1 202 OK\r\n"),), ReplyTimeout, timeout=SHORT),
    Case("stall in the body", (answer_and_stall(reply(202, b"ok")[:-1]),), ReplyTimeout, timeout=SHORT),
    Case("stall in a chunk", (answer_and_stall(CHUNKED + b"9\r\nok"),), ReplyTimeout, timeout=SHORT),
    Case("stall after 100", (answer_and_stall(b"HTTP/1.1 100 C\r\n\r\n"),), ReplyTimeout, timeout=SHORT),
    Case("trickled head", (trickle(reply(202, b"", "X: " + "y" * 500), 0.01),), ReplyTimeout, timeout=SHORT),
    Case("trickled body", (trickle(reply(202, b"x" * 500), 0.01),), ReplyTimeout, timeout=SHORT),
    Case("100 for ever", (trickle(b"HTTP/1.1 100 C\r\n\r\n" * 500, 0.001),), ReplyTimeout, timeout=SHORT),
    Case("kept: stall", (answer(ACCEPTED), stall), ReplyTimeout, timeout=SHORT, warm=True),
    Case("TLS: stall", (stall,), ReplyTimeout, timeout=SHORT, staging=_over_tls()),
]


# More than one attempt

LOST, BUSY = drop_after_body, answer(reply(503, b"", "Retry-After: 0"))

RETRIED = [
    Case("at least once: drop, then 202", (LOST, answer(ACCEPTED)), None, 2, retry=TWICE),
    Case("at least once: 502, then 202", (answer(reply(502)), answer(ACCEPTED)), None, 2, retry=TWICE),
    Case("at least once: drop twice", (LOST, LOST), ConnectionLost, 2, retry=TWICE),
    Case("at least once: drop, then 401", (LOST, answer(reply(401))), ConnectionLost, 2, retry=TWICE),
    Case("at least once: drop, then 503 Retry-After", (LOST, BUSY), ConnectionLost, 2, retry=TWICE),
    Case("at least once: 502, then stall", (answer(reply(502)), stall), ReplyTimeout, 2, timeout=SHORT, retry=TWICE),
    Case("at least once: stall", (stall,), ReplyTimeout, timeout=SHORT, retry=TWICE),
    Case("at least once: garbage", (answer_and_close(b"\x00\r\n\r\n"),), BadReply, retry=TWICE),
    Case("at least once: 302", (answer(reply(302)),), BadReply, retry=TWICE),
    Case("503 Retry-After, then drop", (BUSY, LOST), ConnectionLost, 2),
    Case("503 Retry-After, then stall", (BUSY, stall), ReplyTimeout, 2, timeout=SHORT),
    Case(
        "503 Retry-After beyond the deadline",
        (answer(reply(503, b"", "Retry-After: 4")),),
        Overloaded,
        timeout=SHORT,
        says={"retry_after": 4.0},
    ),
    Case(
        "503 Retry-After, one attempt allowed", (BUSY,), Overloaded, retry=Retry(attempts=1), says={"retry_after": 0.0}
    ),
]

FAULTS = UNREACHED + BROKEN + LATE + RETRIED
