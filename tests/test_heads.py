"""Heads read at a glance: what is plain is read as http.client reads it, and nothing else is taken for plain."""

from __future__ import annotations

import io
import socket
from http.client import HTTPException, HTTPResponse
from typing import cast

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from webmqconnect_async._sync.response_head import plain_head

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"


class _Source:
    """All that HTTPResponse asks of a socket."""

    def __init__(self, received: bytes) -> None:
        self._file = io.BytesIO(received)

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


def _by_http_client(received: bytes) -> HTTPResponse:
    reply = HTTPResponse(cast(socket.socket, _Source(received)), method="POST")
    reply.begin()
    return reply


def test_a_broker_s_answer_is_plain() -> None:
    head = plain_head(ACCEPTED + b"next")
    assert head is not None
    assert (head.status, head.length, head.size) == (202, 0, len(ACCEPTED))
    assert head.headers.get("DATE") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert head.headers.get("Retry-After") is None


def test_the_first_of_two_values_counts() -> None:
    head = plain_head(b"HTTP/1.1 429 \r\nContent-Length:7\r\nRetry-After: 1\r\nretry-after: 60\r\n\r\n")
    assert head is not None
    assert (head.length, head.headers.get("Retry-After")) == (7, "1")


@pytest.mark.parametrize(
    "received",
    [
        b"",
        ACCEPTED[:-1],
        ACCEPTED[:-2],
        ACCEPTED.replace(b"\r\n", b"\n"),
        ACCEPTED.replace(b"1.1", b"1.0"),
        ACCEPTED.replace(b"202", b"100"),
        ACCEPTED.replace(b"202", b"204"),
        ACCEPTED.replace(b"202", b"302"),
        ACCEPTED.replace(b"202", b"2020"),
        ACCEPTED.replace(b"Accepted", b"Accept\xe9"),
        ACCEPTED.replace(b"Content-Length: 0\r\n", b""),
        ACCEPTED.replace(b": 0", b": -1"),
        ACCEPTED.replace(b": 0", b": 0x0"),
        ACCEPTED.replace(b": 0", b": 0, 0"),
        ACCEPTED.replace(b": 0", b": 100000"),
        ACCEPTED.replace(b": 0", b": 0\r\nContent-Length: 0"),
        ACCEPTED.replace(b": 0", b": 0\r\nTransfer-Encoding: chunked"),
        ACCEPTED.replace(b": 0", b": 0\r\nConnection: close"),
        ACCEPTED.replace(b": 0", b": 0\r\n folded"),
        ACCEPTED.replace(b": 0", b": 0\r\nNo colon"),
        ACCEPTED.replace(b": 0", b": 0\r\nBlank : before"),
        ACCEPTED.replace(b": 0", b": 0\r\nX: \xe9"),
        ACCEPTED.replace(b": 0", b": 0\r\nX: \x00"),
        ACCEPTED.replace(b": 0", b": 0" + b"\r\nX: 1" * 90),
        b" " + ACCEPTED,
        b"\r\n" + ACCEPTED,
    ],
)
def test_what_is_unusual_is_left_to_http_client(received: bytes) -> None:
    assert plain_head(received) is None


# Mostly what is plain, so that there is something to compare.
_ODD = st.sampled_from(
    ["x", "0", " ", ":", ",", "x", "0", " ", "\t", "\r", "\n", "\r\n", "\r\n ", "\x00", "\x0b", "\x85", "\xe9"]
)
_TEXT = st.lists(_ODD, max_size=3).map("".join)
_LINES = st.lists(
    st.one_of(
        st.builds("{}:{}".format, st.sampled_from(["X", "Date", "x-y", "Retry-After", "X_Y", "a b"]), _TEXT),
        st.sampled_from(["Date: Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After:  3  ", "Content-Language: de"]),
        st.sampled_from(["Content-Length: 5", "Connection: keep-alive", "Transfer-Encoding: chunked"]),
    ),
    max_size=3,
)


@settings(max_examples=1000)
@given(
    version=st.sampled_from(["HTTP/1.1"] * 4 + ["HTTP/1.0", "HTTP/1.10", "http/1.1"]),
    status=st.sampled_from(["202", "200", "400", "401", "429", "503", "100", "99", "204", "302", " 202", "0202"]),
    reason=_TEXT,
    lines=st.builds(
        lambda length, others: [length, *others],
        st.sampled_from(["Content-Length: 5", "content-length:5 ", "Content-Length: 05", "X: 5"]),
        _LINES,
    ),
    end=st.sampled_from(["\r\n\r\n"] * 4 + ["\n\n", "\r\n", "\r\n\r\r\n"]),
)
@example(version="HTTP/1.1", status="202", reason="", lines=["Content-Length: 5", "Retry-After:  3  "], end="\r\n\r\n")
def test_plain_is_what_http_client_reads(version: str, status: str, reason: str, lines: list[str], end: str) -> None:
    """A plain head means the same to both: status, headers, where the body is, whether the connection goes on."""
    received = "\r\n".join([f"{version} {status} {reason}", *lines]).encode("latin-1") + end.encode() + b"hello, more"
    head = plain_head(received)
    event("unusual" if head is None else "plain")
    if head is None:
        return
    try:
        reply = _by_http_client(received)
    except HTTPException as error:
        raise AssertionError(f"http.client refuses {received!r}") from error
    assert (reply.status, reply.length, reply.will_close) == (head.status, head.length, False)
    for name in reply.headers:
        assert (reply.headers.get(name) or "").strip(" ") == head.headers.get(name), name
    assert reply.read() == received[head.size :][: head.length]
