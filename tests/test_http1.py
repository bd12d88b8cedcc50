"""The reader of responses: its result does not depend on how a response is split, and is that of standard parsers."""

from __future__ import annotations

import asyncio
import io
import itertools
import socket
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple, cast

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpResponseParser
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from webmqconnect_async._core.dialects import Request, Response
from webmqconnect_async._core.endpoint import Endpoint
from webmqconnect_async._core.http1 import LONGEST_BODY, NotHTTP, RequestHead, ResponseReader

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Verdict(NamedTuple):
    """The result of a reader for the bytes of a connection."""

    end: str
    """The status; "cut off", or "not HTTP"."""
    body: bytes = b""
    reusable: bool = False


def read(*pieces: bytes) -> Verdict:
    """Feed pieces, then the end of the connection."""
    reader = ResponseReader()
    try:
        for number, piece in enumerate(pieces):
            response = reader.feed(piece)
            if response is not None:
                behind = any(pieces[number + 1 :])
                return Verdict(str(response.status), response.body, reader.reusable and not behind)
        response = reader.end()
    except NotHTTP:
        return Verdict("not HTTP")
    return Verdict("cut off") if response is None else Verdict(str(response.status), response.body, reader.reusable)


def header(name: str, *pieces: bytes) -> str | None:
    """Return a header of a complete response."""
    reader = ResponseReader()
    responses = [reader.feed(piece) for piece in pieces]
    assert isinstance(responses[-1], Response)
    return responses[-1].headers.get(name.lower())


@pytest.mark.parametrize(
    ("received", "verdict"),
    [
        (ACCEPTED, Verdict("202", b"", True)),
        (ACCEPTED + b"x", Verdict("202")),
        (ACCEPTED.replace(b": 0", b": 2") + b"ok", Verdict("202", b"ok", True)),
        (ACCEPTED.replace(b": 0", b": 2") + b"o", Verdict("cut off")),
        (ACCEPTED[:-1], Verdict("cut off")),
        (ACCEPTED.replace(b"\r\n", b"\n"), Verdict("202", b"", True)),
        (ACCEPTED.replace(b"1.1", b"1.0"), Verdict("202")),
        (ACCEPTED.replace(b"1.1", b"1.2"), Verdict("not HTTP")),
        (ACCEPTED.replace(b"1.1", b"2.0"), Verdict("not HTTP")),
        (ACCEPTED.replace(b"Date", b"Connection: close\r\nDate"), Verdict("202")),
        (ACCEPTED.replace(b"Date", b"Connection: Keep-Alive\r\nDate"), Verdict("202", b"", True)),
        (ACCEPTED.replace(b": 0", b": 0\r\nContent-Length: 0"), Verdict("202", b"", True)),
        (ACCEPTED.replace(b": 0", b": 0\r\nContent-Length: 1"), Verdict("not HTTP")),
        (ACCEPTED.replace(b": 0", b": 0\r\nTransfer-Encoding: chunked"), Verdict("not HTTP")),
        (ACCEPTED.replace(b": 0", b": 0\r\nX: \x00"), Verdict("not HTTP")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Verdict("204", b"", True)),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Verdict("304", b"", True)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + ACCEPTED, Verdict("202", b"", True)),
        (b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Verdict("101")),
        (CHUNKED + b"2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", Verdict("200", b"ok", True)),
        (CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n", Verdict("cut off")),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + ACCEPTED, Verdict("200", b"ok")),
        (CHUNKED + b"z\r\n", Verdict("not HTTP")),
        (CHUNKED + b"1\r\nx\r\n" * 200_000, Verdict("200", b"x" * LONGEST_BODY)),
        (CHUNKED + b"1;" + b"x" * 2_000_000, Verdict("not HTTP")),
        (b"HTTP/1.1 400 No\r\n\r\nno", Verdict("400", b"no")),
        (b"HTTP/1.1 400 No\r\nContent-Length: 90000000\r\n\r\n" + b"x" * 90_000, Verdict("400", b"x" * LONGEST_BODY)),
        (ACCEPTED.replace(b": 0", b": 0" + b"\r\nX: y" * 98), Verdict("202", b"", True)),
        (ACCEPTED.replace(b": 0", b": 0" + b"\r\nX: y" * 99), Verdict("not HTTP")),
        (ACCEPTED.replace(b": 0", b": 0\r\nX: " + b"y" * 65533), Verdict("202", b"", True)),
        (ACCEPTED.replace(b": 0", b": 0\r\nX: " + b"y" * 65534), Verdict("not HTTP")),
        (b"HTTP/1.1 202 " + b"y" * 70_000, Verdict("not HTTP")),
        (b"", Verdict("cut off")),
        (b"220 mail", Verdict("not HTTP")),
        (b"\r\n" + ACCEPTED, Verdict("not HTTP")),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, bytes) else "",
)
def test_the_result_of_each_response(received: bytes, verdict: Verdict) -> None:
    """Each response has the same result as a whole and in pieces."""
    assert read(received) == verdict
    middle = len(received) // 2
    assert read(*(piece for piece in (received[:middle], received[middle:]) if piece)) == verdict
    if len(received) < 1000:
        assert read(*(bytes([byte]) for byte in received)) == verdict


@pytest.mark.parametrize("received", [b"HTTP/1.1 2 s3cret\r\n\r\n", CHUNKED + b"s3cret\r\n", b"s3cret"])
def test_errors_do_not_quote_the_response(received: bytes) -> None:
    """The errors of h11 quote header lines, so NotHTTP has neither a message nor a context."""
    with pytest.raises(NotHTTP) as caught:
        ResponseReader().feed(received)
    assert (caught.value.args, caught.value.__context__) == ((), None)


def test_first_of_repeated_headers_counts() -> None:
    """The result is the same for a simple head and for one that h11 parses."""
    lines = b"HTTP/1.1 429 \r\nContent-Length:0\r\nRetry-After: 1\r\nretry-after: 60\r\n"
    assert header("RETRY-AFTER", lines + b"\r\n") == "1"
    assert header("RETRY-AFTER", lines + b"X: \xe4\r\n\r\n") == "1"
    assert header("x", lines + b"X: \xe4\r\n\r\n") == "\udce4"
    assert header("Date", lines + b"\r\n") is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"WebMQ-Publication: {}", "{}"),
        (b"webmq-publication: {}", "{}"),
        (b"WebMQ-Publication: 5\r\nWebMQ-Publication: {}", "5"),
        (b"WebMQ-Publication: {}\r\nX: y", "{}"),
        (b"WebMQ-Publication: {}x", "{}x"),
    ],
)
def test_heads_that_differ_only_in_the_publication_id(line: bytes, expected: str) -> None:
    """The publication ID is the only header that differs between the responses of one second."""
    for number in ("17", "18", "17", "19"):
        response = ACCEPTED[:-2] + line.replace(b"{}", number.encode()) + b"\r\n\r\n"
        assert header("WebMQ-Publication", response) == expected.replace("{}", number)
        assert header("Content-Length", response) == "0"
        assert header("WebMQ-Publication", ACCEPTED) is None
        assert header("WebMQ-Publication", response[:-9], response[-9:]) == expected.replace("{}", number)


def test_request_head() -> None:
    """`Host` comes from the endpoint unless a header replaces it."""
    request = Request("topicuri=x", b"12345")
    endpoint = Endpoint.parse("http://example.com:8080/a%2Fb")
    assert RequestHead(endpoint, {"X": "\xe4"}).encode(request) == (
        b"POST /a%2Fb?topicuri=x HTTP/1.1\r\nHost: example.com:8080\r\nX: \xc3\xa4\r\nContent-Length: 5\r\n\r\n"
    )
    assert RequestHead(endpoint, {"host": "other"}).encode(request) == (
        b"POST /a%2Fb?topicuri=x HTTP/1.1\r\nhost: other\r\nContent-Length: 5\r\n\r\n"
    )


# Mostly ordinary responses, so that results can be compared.
_ODD = st.sampled_from(
    ["x", "0", " ", ":", ",", "x", "0", " ", "\t", "\r", "\n", "\r\n", "\r\n ", "\x00", "\x0b", "\x85", "\xe9"]
)
_TEXT = st.lists(_ODD, max_size=3).map("".join)
_LINES = st.lists(
    st.one_of(
        st.builds("{}:{}".format, st.sampled_from(["X", "Date", "x-y", "Retry-After", "X_Y", "a b"]), _TEXT),
        st.sampled_from(["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After:  3  ", "Content-Language: de"]),
        st.sampled_from(["Content-Length: 5", "Connection: keep-alive", "Connection: close"]),
    ),
    max_size=3,
)
_FRAMINGS = st.sampled_from(
    ["Content-Length: 5", "content-length:5 ", "Content-Length: 05", "X: 5", "Transfer-Encoding: chunked"]
)
_BODIES = st.sampled_from(
    [b"hello", b"hello, more", b"hell", b"", b"5\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n0\r\nX: y\r\n\r\n"]
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Responses, many of them unusual."""
    version = draw(st.sampled_from(["HTTP/1.1"] * 4 + ["HTTP/1.0", "HTTP/1.10", "http/1.1"]))
    status = draw(st.sampled_from(["202", "200", "400", "401", "429", "503", "100", "204", "304", " 202", "0202"]))
    lines = [f"{version} {status} {draw(_TEXT)}", draw(_FRAMINGS), *draw(_LINES)]
    end = draw(st.sampled_from(["\r\n\r\n"] * 4 + ["\n\n", "\r\n", "\r\n\r\r\n"]))
    return "\r\n".join(lines).encode("latin-1") + end.encode() + draw(_BODIES)


@settings(max_examples=500)
@given(st.lists(responses(), min_size=1, max_size=2).map(b"".join), st.lists(st.integers(0, 300), max_size=5))
def test_split_does_not_matter(received: bytes, places: list[int]) -> None:
    """Any response has the same result for any split."""
    whole = read(received)
    event(whole.end)
    bounds = [0, *sorted(min(place, len(received)) for place in places), len(received)]
    pieces = [received[start:stop] for start, stop in itertools.pairwise(bounds)]
    assert read(*(piece for piece in pieces if piece)) == whole


class _Source:
    """The part of a socket that HTTPResponse uses."""

    def __init__(self, received: bytes) -> None:
        self._file = io.BytesIO(received)

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


def _by_http_client(received: bytes) -> HTTPResponse:
    reply = HTTPResponse(cast(socket.socket, _Source(received)), method="POST")
    reply.begin()
    return reply


@settings(max_examples=1000)
@given(responses())
@example(b"HTTP/1.1 202 \r\nContent-Length: 5\r\nRetry-After:  3  \r\n\r\nhello")
def test_simple_heads_mean_the_same_to_http_client(received: bytes) -> None:
    """For a head that is read without h11, http.client agrees on status, headers, body and reuse."""
    reader = ResponseReader()
    try:
        response = reader.feed(received)
    except NotHTTP:
        response = None
    plain = response is not None and reader._parser is None
    event("plain" if plain else "unusual")
    if response is None or not plain:
        return
    try:
        reply = _by_http_client(received)
    except HTTPException as error:
        raise AssertionError(f"http.client refuses {received!r}") from error
    assert (reply.status, reply.will_close, reply.read()) == (response.status, False, response.body)
    for name in reply.headers:
        assert (reply.headers.get(name) or "").strip(" ") == response.headers.get(name.lower()), name


@pytest.mark.parametrize("status", [200, 202, 400, 401, 413, 429, 500, 503])
@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("extra", ["", "Retry-After: 3", "Server: TwistedWeb/24.7.0", "Content-Type: text/plain"])
async def test_standard_parsers_agree(status: int, framing: str, extra: str) -> None:
    """For ordinary responses, aiohttp's parser and http.client have the same result."""
    body = b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    lines = [f"HTTP/1.1 {status} Said", framing, *filter(None, [extra])]
    received = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    loop = asyncio.get_running_loop()
    parser = HttpResponseParser(BaseProtocol(loop), loop, 65536, read_until_eof=True)
    [(head, payload)], _, _ = parser.feed_data(received)
    response = ResponseReader().feed(received)
    assert response is not None
    assert (head.code, await payload.read()) == (response.status, response.body)
    assert {name: response.headers.get(name.lower()) for name in head.headers} == dict(head.headers)
    reply = _by_http_client(received)
    assert (reply.status, reply.read()) == (response.status, response.body)
