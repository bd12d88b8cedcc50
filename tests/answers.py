"""The table of responses of brokers and proxies, and the outcome that a push must have."""

from __future__ import annotations

from webmqconnect_async import AuthRejected, BadReply, ClockRejected, Overloaded, Rejected, TooLarge, WebMQError

from .cases import MEGABYTES, Case
from .hostile import ACCEPTED, Step, answer, answer_and_close, answer_unread, reply, trickle


def _case(status: int, error: type[WebMQError], *headers: str, body: bytes = b"no", attempts: int = 1) -> Case:
    shown = [body.decode()] if len(body) in range(3, 50) else []
    says = {"status": status, "reason": body.decode()} if len(body) < 50 else {"status": status}
    return Case(
        " ".join([str(status), *headers, *shown]),
        (answer(reply(status, body, *headers)),) * attempts,
        error,
        attempts,
        says=says,
    )


def _retry_after(status: int, *headers: str, wait: float | None, attempts: int = 1) -> Case:
    """Return the case of a 429 or 503 whose error has this `retry_after`."""
    return Case(
        " ".join([str(status), *headers]),
        (answer(reply(status, b"", *headers)),) * attempts,
        Overloaded,
        attempts,
        says={"status": status, "retry_after": wait},
    )


def _accepted(name: str, *script: Step) -> Case:
    return Case(f"202 {name}".strip(), script)


def _odd(name: str, data: bytes) -> Case:
    return Case(name, (answer_and_close(data),), BadReply)


DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
"""The `Date` header, with which a `Retry-After` that is a date is compared."""

ACCEPTANCES = [
    _accepted("", answer(ACCEPTED)),
    _accepted("with a body", answer(reply(202, b"accepted"))),
    _accepted("chunked", answer(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")),
    _accepted(
        "chunked, with extension and trailer",
        answer(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX: y\r\n\r\n"),
    ),
    _accepted(
        "chunked, in pieces",
        answer(b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\n", b"ok", b"\r\n0\r\n", b"\r\n"),
    ),
    _accepted("that ends with the connection", answer_and_close(b"HTTP/1.1 202 OK\r\n\r\nok")),
    _accepted("of HTTP/1.0", answer_and_close(b"HTTP/1.0 202 OK\r\n\r\n")),
    _accepted("of a broker that then closes", answer_and_close(reply(202, b"", "Connection: close"))),
    _accepted("after 100", answer(b"HTTP/1.1 100 Continue\r\n\r\n", ACCEPTED)),
    _accepted(
        "after 100 and 103", answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n", ACCEPTED)
    ),
    _accepted("byte by byte", trickle(ACCEPTED, 0.001)),
    _accepted("and 401 at once", answer(ACCEPTED + reply(401))),
    _accepted("twice at once", answer(ACCEPTED * 2)),
    _accepted("with 90 headers", answer(reply(202, b"", *(f"X-{n}: y" for n in range(90))))),
    *(
        _accepted(f"with a header of {size} KB", answer(reply(202, b"", "X: " + "y" * size * 1024)))
        for size in (9, 20, 40, 60)
    ),
    _accepted("with headers of 70 KB in all", answer(reply(202, b"", *(f"X-{n}: {'y' * 1024}" for n in range(70))))),
    _accepted("with a reason of 9 KB", answer(b"HTTP/1.1 202 " + b"y" * 9 * 1024 + b"\r\nContent-Length: 0\r\n\r\n")),
    _accepted("without a reason", answer(b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n")),
    _accepted("with bare line feeds", answer(b"HTTP/1.1 202 OK\nX: y\nContent-Length: 0\n\n")),
    _accepted("with a folded header", answer(reply(202, b"", "X: y\r\n z"))),
    _accepted("with a header in Latin-1", answer(b"HTTP/1.1 202 OK\r\nX: \xe4\r\nContent-Length: 0\r\n\r\n")),
]

REFUSALS = [
    _case(200, BadReply),
    Case("204", (answer(b"HTTP/1.1 204 No Content\r\n\r\n"),), BadReply, says={"status": 204}),
    Case(
        "101",
        (answer(b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),),
        BadReply,
        says={"status": 101},
    ),
    _case(301, BadReply, "Location: /elsewhere"),
    _case(302, BadReply),
    _case(304, BadReply, body=b""),
    _case(400, Rejected),
    _case(400, AuthRejected, body=b"unknown application key 'x'"),
    _case(400, TooLarge, body=b"content length (4097) exceeds maximum (4096)"),
    _case(401, AuthRejected),
    _case(403, AuthRejected),
    _case(404, Rejected),
    _case(405, Rejected),
    _case(413, TooLarge),
    _case(417, Rejected),
    Case(
        "400 in pieces",
        (answer(b"HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\n", b"no", b"no"),),
        Rejected,
        says={"status": 400, "reason": "nono"},
    ),
    Case(
        "400 byte by byte, chunked",
        (trickle(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 0.001),),
        Rejected,
        says={"status": 400, "reason": "no"},
    ),
    Case(
        "400 that ends with the connection",
        (answer_and_close(b"HTTP/1.1 400 No\r\n\r\nno"),),
        Rejected,
        says={"status": 400, "reason": "no"},
    ),
    Case("413 before the body is read", (answer_unread(reply(413)),), TooLarge, event=MEGABYTES),
    Case(
        "400 with 90 MB",
        (answer_and_close(b"HTTP/1.1 400 No\r\nContent-Length: 90000000\r\n\r\n" + b"x" * 200_000),),
        Rejected,
        says={"status": 400},
    ),
    _case(500, BadReply),
    _case(500, BadReply, "Retry-After: 0"),
    _case(502, BadReply, body=b"<html>" + b"<p>proxy</p>" * 1000),
    _case(504, BadReply),
]

CLOCKS = [
    *(
        Case(
            f"400 expired, {date or 'no Date'}",
            (answer(reply(400, b"timestamp expired (delta 302 seconds)", *filter(None, [date]))),),
            ClockRejected,
            says={"status": 400, "skew": None},
        )
        for date in ("", "Date:", "Date: soon", "Date: -1", "Date: 784111777", "Date: Sun, 99 Nov 1994 08:49:37 GMT")
    ),
    *(
        Case(
            f"400 expired, {date}",
            (answer(reply(400, b"timestamp expired (delta 302 seconds)", date)),),
            ClockRejected,
            says={"status": 400},
        )
        for date in (DATE, "Date: Fri, 31 Dec 9999 23:59:59 GMT", "Date: Sun Nov  6 08:49:37 1994")
    ),
    _case(400, ClockRejected, body=b"invalid timestamp 'x'"),
]

OVERLOADS = [
    _retry_after(429, wait=None, attempts=3),
    _retry_after(429, "Retry-After: soon", wait=None, attempts=3),
    *(
        case
        for status in (429, 503)
        for case in (
            _retry_after(status, "Retry-After: 0", wait=0.0, attempts=3),
            _retry_after(status, "Retry-After:  0 ", wait=0.0, attempts=3),
            _retry_after(status, "Retry-After: 60", wait=60.0),
            _retry_after(status, "Retry-After: 59.5", wait=60.0),
            _retry_after(status, "Retry-After: 1000000000", wait=1e9),
            _retry_after(status, DATE, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", wait=0.0, attempts=3),
            _retry_after(status, DATE, "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT", wait=60.0),
            _retry_after(status, DATE, "Retry-After: Sunday, 06-Nov-94 08:50:37 GMT", wait=60.0),
            _retry_after(status, DATE, "Retry-After: Sun Nov  6 08:50:37 1994", wait=60.0),
            _retry_after(status, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", wait=0.0, attempts=3),
            _retry_after(status, "Retry-After: 0", "Retry-After: 60", wait=0.0, attempts=3),
        )
    ),
    _case(503, BadReply),
    *(
        _case(503, BadReply, f"Retry-After: {garbage}")
        for garbage in ("soon", "-1", ".", "0x10", "1e9", "\xb2", "Sun, 99 Nov 1994 08:49:37 GMT")
    ),
    _case(503, BadReply, "Retry-After:"),
    Case("503 Retry-After, then 202", (answer(reply(503, b"", "Retry-After: 0")), answer(ACCEPTED)), attempts=2),
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
    _odd("a header of 70 KB", b"HTTP/1.1 202 OK\r\nX: " + b"y" * 70 * 1024 + b"\r\nContent-Length: 0\r\n\r\n"),
    _odd("200 headers", reply(202, b"", *(f"X-{n}: y" for n in range(200)))),
    _odd("a status line of 70 KB", b"HTTP/1.1 202 " + b"y" * 70 * 1024 + b"\r\n\r\n"),
    _odd("a chunk size of letters", b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"),
    _odd("a negative chunk size", b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n"),
    _odd(
        "chunked and a Content-Length",
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    _odd("a header of no name", b"HTTP/1.1 202 OK\r\n: a\r\nContent-Length: 0\r\n\r\n"),
    _odd("a status of four digits", b"HTTP/1.1 2020 OK\r\nContent-Length: 0\r\n\r\n"),
    _odd("a Content-Length with a plus", b"HTTP/1.1 202 OK\r\nContent-Length: +0\r\n\r\n"),
]


def _bridge(name: str, data: bytes, error: type[WebMQError] | None, attempts: int = 1, **says: object) -> Case:
    return Case(f"bridge: {name}", (answer(data),) * attempts, error, attempts, says=says, dialect="crossbar")


def _error(status: int, said: str, *headers: str) -> bytes:
    return reply(status, b'{"error":"%b","args":[],"kwargs":{}}' % said.encode(), *headers)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BRIDGE = [
    _bridge("200 with an id", reply(200, b'{"id":5}'), None, status=200, id=5),
    _bridge("200 with an id, chunked", CHUNKED + b'8\r\n{"id":5}\r\n0\r\n\r\n', None, id=5),
    _bridge("200 with an id, in two chunks", CHUNKED + b'3\r\n{"i\r\n5\r\nd":5}\r\n0\r\n\r\n', None, id=5),
    _bridge("202 with an id", reply(202, b'{"id":5}'), None, status=202, id=5),
    _bridge("200 with an id, and another answer", reply(200, b'{"id":5}') + reply(401), None, id=5),
    _bridge("200 not authorized", _error(200, "wamp.error.not_authorized"), AuthRejected, status=200),
    _bridge("200 invalid URI", _error(200, "wamp.error.invalid_uri"), Rejected, status=200),
    _bridge("200 with neither", reply(200, b"{}"), BadReply, status=200),
    _bridge("200 empty", reply(200), BadReply, status=200),
    _bridge("200 of a page", reply(200, b"<html>hello</html>"), BadReply, status=200),
    _bridge("200 with an id that is none", reply(200, b'{"id":"5"}'), BadReply, status=200),
    _bridge("200 with half an id", reply(200, b'{"id":5'), BadReply, status=200),
    _bridge("202 empty, as a WebMQ hub says it", ACCEPTED, BadReply, status=202),
    _bridge("302 with an id", reply(302, b'{"id":5}', "Location: /x"), BadReply, status=302),
    _bridge("400 expired", _error(400, "Request expired, too old timestamp.", DATE), ClockRejected, status=400),
    _bridge("400 expired, no Date", _error(400, "Request expired, too old timestamp."), ClockRejected, skew=None),
    _bridge(
        "400 unsigned",
        _error(400, "REST bridge signature was invalid (missing mandatory field - 'key' field missing)."),
        AuthRejected,
        status=400,
    ),
    _bridge(
        "400 timestamp",
        _error(400, "REST bridge signature was invalid (invalid timestamp 'x' (must be UTC/ISO-8601))."),
        ClockRejected,
        status=400,
    ),
    _bridge("400 JSON", _error(400, "Request body was invalid JSON."), Rejected, status=400),
    _bridge("400 with an id", reply(400, b'{"id":5}'), Rejected, status=400),
    _bridge("401", _error(401, "REST bridge signature secret not valid."), AuthRejected, status=401),
    _bridge("405", _error(405, "Method not accepted by the REST bridge."), Rejected, status=405),
    _bridge("413", _error(413, "Request too long. (229 is longer than accepted 100)"), TooLarge, status=413),
    _bridge("429", _error(429, "slowly"), Overloaded, attempts=3, status=429),
    _bridge("500", _error(500, "Unhandled exception in Crossbar."), BadReply, status=500),
    _bridge("503", _error(503, "away"), BadReply, status=503),
    _bridge("503 Retry-After", _error(503, "away", "Retry-After: 0"), Overloaded, attempts=3, retry_after=0.0),
]

ANSWERS = ACCEPTANCES + REFUSALS + CLOCKS + OVERLOADS + NOT_ANSWERS + BRIDGE
