"""What can go wrong between a client and a broker, and how a push must end then, in either client.

`test_parity` runs every case through both clients; `test_secrets` looks for secrets in what they leave behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from webmqconnect_async import (
    AuthRejected,
    BadReply,
    ConnectionLost,
    Overloaded,
    Rejected,
    ReplyTimeout,
    TooLarge,
    WebMQError,
)

from .hostile import (
    ACCEPTED,
    Step,
    answer,
    answer_and_close,
    answer_and_stall,
    answer_unread,
    drop_after_body,
    drop_after_head,
    drop_at_once,
    refusing,
    reply,
    reset_after_body,
    reset_after_head,
    stall,
    stall_unread,
    trickle,
    unreachable,
)

SHORT = 0.3
"""A timeout where the deadline is the subject."""


MEGABYTES = "x" * 8_000_000
"""An event that no kernel buffers whole."""


@dataclass(frozen=True, slots=True)
class Case:
    """One script and the end of a push under it; `error` None where the push must succeed.

    Where `status`, `reason` or `timeout` is None it does not matter.
    """

    name: str
    script: tuple[Step, ...]
    error: type[WebMQError] | None
    attempts: int = 1
    requests: int = 1
    status: int | None = None
    reason: str | None = None
    timeout: float | None = None
    event: object = field(default_factory=lambda: {"id": 1})


def _said(status: int, error: type[WebMQError], *headers: str, body: bytes = b"no", attempts: int = 1) -> Case:
    reason = body.decode() if len(body) < 50 else None
    name = " ".join([str(status), *headers, *([body.decode()] if len(body) in range(3, 50) else [])])
    return Case(name, (answer(reply(status, body, *headers)),) * attempts, error, attempts, attempts, status, reason)


def _odd(name: str, data: bytes, error: type[WebMQError] | None = BadReply, status: int | None = None) -> Case:
    return Case(name, (answer_and_close(data),), error, status=status)


OVERSIZED = b"HTTP/1.1 400 No\r\nContent-Length: 90000000\r\n\r\n" + b"x" * 200_000

ANSWERS = [
    Case("202", (answer(ACCEPTED),), None),
    Case("202 with a body", (answer(reply(202, b"accepted")),), None),
    Case("202 chunked", (answer(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),), None),
    Case("202 that ends with the connection", (answer_and_close(b"HTTP/1.1 202 OK\r\n\r\nok"),), None),
    Case("202 of HTTP/1.0", (answer_and_close(b"HTTP/1.0 202 OK\r\n\r\n"),), None),
    Case(
        "100, 103, 202", (answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n", ACCEPTED),), None
    ),
    Case("202 trickled", (trickle(ACCEPTED, 0.001),), None),
    Case("202 with 90 headers", (answer(reply(202, b"", *(f"X-{n}: y" for n in range(90)))),), None),
    Case("202 with a header of 60 kB", (answer(reply(202, b"", "X: " + "y" * 60_000)),), None),
    Case("202 without a reason", (answer(b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n"),), None),
    Case("202 with bare line feeds", (answer(b"HTTP/1.1 202 OK\nX: y\nContent-Length: 0\n\n"),), None),
    Case("202 with a folded header", (answer(reply(202, b"", "X: y\r\n z")),), None),
    Case("202 with a header in Latin-1", (answer(b"HTTP/1.1 202 OK\r\nX: \xe4\r\nContent-Length: 0\r\n\r\n"),), None),
    _said(200, BadReply),
    Case("204", (answer(b"HTTP/1.1 204 No Content\r\n\r\n"),), BadReply, status=204),
    Case("101", (answer(b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),), BadReply, status=101),
    _said(301, BadReply, "Location: /elsewhere"),
    _said(304, BadReply, body=b""),
    _said(400, Rejected),
    _said(400, AuthRejected, body=b"unknown application key 'x'"),
    _said(401, AuthRejected),
    _said(403, AuthRejected),
    _said(404, Rejected),
    _said(405, Rejected),
    _said(413, TooLarge),
    Case(
        "400 in pieces",
        (answer(b"HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\n", b"no", b"no"),),
        Rejected,
        1,
        1,
        400,
        "nono",
    ),
    _said(429, Overloaded, attempts=3),
    _said(429, Overloaded, "Retry-After: 0", attempts=3),
    _said(429, Overloaded, "Retry-After: 60"),
    _said(500, BadReply),
    _said(500, BadReply, "Retry-After: 0"),
    _said(502, BadReply, body=b"<html>" + b"<p>proxy</p>" * 1000),
    _said(503, BadReply),
    _said(503, BadReply, "Retry-After: soon"),
    _said(503, Overloaded, "Retry-After: 0", attempts=3),
    _said(503, Overloaded, "Retry-After: 1000000000"),
    Case(
        "503 Retry-After, then 202", (answer(reply(503, b"", "Retry-After: 0")), answer(ACCEPTED)), None, 2, requests=2
    ),
    Case(
        "400 that ends with the connection",
        (answer_and_close(b"HTTP/1.1 400 No\r\n\r\nno"),),
        Rejected,
        1,
        1,
        400,
        "no",
    ),
    Case("413 before the body is read", (answer_unread(reply(413)),), TooLarge, status=413, event=MEGABYTES),
    Case("400 with 90 MB", (answer_and_close(OVERSIZED),), Rejected, status=400),
]

NOT_ANSWERS = [
    _odd("garbage", b"\x00\xff\x16garbage\r\n\r\n"),
    _odd("garbage without a line end", b"\x15\x03\x03\x00\x02\x02\x46"),
    _odd("HTTP/0.9", b"<html>accepted</html>\n"),
    _odd("a greeting of SMTP", b"220 mail.example.com ESMTP\r\n"),
    _odd("HTTP/2 in text", b"HTTP/2 202 Accepted\r\n\r\n"),
    _odd("a status of letters", b"HTTP/1.1 abc Accepted\r\n\r\n"),
    _odd("a header without a colon", b"HTTP/1.1 202 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n"),
    _odd("a Content-Length of letters", b"HTTP/1.1 202 OK\r\nContent-Length: abc\r\n\r\n"),
    _odd("a negative Content-Length", b"HTTP/1.1 202 OK\r\nContent-Length: -1\r\n\r\n"),
    _odd("two Content-Lengths", b"HTTP/1.1 202 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"),
    _odd("a header of 70 kB", b"HTTP/1.1 202 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    _odd("200 headers", reply(202, b"", *(f"X-{n}: y" for n in range(200)))),
    _odd("a status line of 70 kB", b"HTTP/1.1 202 " + b"y" * 70_000 + b"\r\n\r\n"),
    _odd("a chunk size of letters", b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"),
    _odd(
        "chunked and a Content-Length",
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    _odd("a header of no name", b"HTTP/1.1 202 OK\r\n: a\r\nContent-Length: 0\r\n\r\n"),
    _odd("a status of four digits", b"HTTP/1.1 2020 OK\r\nContent-Length: 0\r\n\r\n"),
    _odd("a Content-Length with a plus", b"HTTP/1.1 202 OK\r\nContent-Length: +0\r\n\r\n"),
]

BROKEN = [
    Case("drop before the request is read", (drop_at_once,), ConnectionLost, requests=0),
    Case("drop after the head", (drop_after_head,), ConnectionLost),
    Case("drop after the body", (drop_after_body,), ConnectionLost),
    Case("reset after the head", (reset_after_head,), ConnectionLost),
    Case("reset after the body", (reset_after_body,), ConnectionLost),
    Case("reset in the middle of a large body", (reset_after_head,), ConnectionLost, event=MEGABYTES),
    Case("drop in the status line", (answer_and_close(b"HTTP/1.1 20"),), ConnectionLost),
    Case("drop in the protocol's name", (answer_and_close(b"HTT"),), ConnectionLost),
    Case("drop in the headers", (answer_and_close(b"HTTP/1.1 202 OK\r\nContent-Le"),), ConnectionLost),
    Case("drop between two headers", (answer_and_close(b"HTTP/1.1 202 OK\r\nX: y\r\n"),), ConnectionLost),
    Case("drop after 100", (answer_and_close(b"HTTP/1.1 100 Continue\r\n\r\n"),), ConnectionLost),
    Case("drop in the body", (answer_and_close(b"HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\nok"),), ConnectionLost),
    Case(
        "drop in a chunk",
        (answer_and_close(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok"),),
        ConnectionLost,
    ),
    Case(
        "drop before the last chunk",
        (answer_and_close(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),),
        ConnectionLost,
    ),
]

LATE = [
    Case("stall", (stall,), ReplyTimeout, timeout=SHORT),
    Case("stall before a large body is read", (stall_unread,), ReplyTimeout, timeout=SHORT, event=MEGABYTES),
    Case("stall in the headers", (answer_and_stall(b"HTTP/1.1 202 OK\r\n"),), ReplyTimeout, timeout=SHORT),
    Case("stall in the body", (answer_and_stall(reply(202, b"ok")[:-1]),), ReplyTimeout, timeout=SHORT),
    Case("trickled head", (trickle(reply(202, b"", "X: " + "y" * 500), 0.01),), ReplyTimeout, timeout=SHORT),
    Case("trickled body", (trickle(reply(202, b"x" * 500), 0.01),), ReplyTimeout, timeout=SHORT),
    Case("100 for ever", (trickle(b"HTTP/1.1 100 C\r\n\r\n" * 500, 0.001),), ReplyTimeout, timeout=SHORT),
]

CASES = ANSWERS + NOT_ANSWERS + BROKEN + LATE


@contextmanager
def unnamed() -> Iterator[str]:
    """Give a URL of a name that nobody has."""
    yield "http://webmq.invalid:8080/"


@dataclass(frozen=True, slots=True)
class Unreached:
    """A place where no connection comes about."""

    name: str
    place: Callable[[], AbstractContextManager[str]]
    """Gives the URL."""
    attempts: int
    timeout: float | None = None


UNREACHED = [
    Unreached("refused", refusing, 3),
    Unreached("no such name", unnamed, 3),
    Unreached("full backlog", unreachable, 1, SHORT),
]
