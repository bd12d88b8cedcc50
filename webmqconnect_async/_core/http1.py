"""HTTP/1.1 without I/O: encodes the head of a request, and parses a response. Both clients use it.

Nearly all responses have a plain head, which one regular expression parses. h11 parses all others. Limits, and which
versions and framing are accepted, are decided here and not by h11. The result does not depend on how a response is
split into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import h11

from .dialects import Request, Response
from .endpoint import Endpoint
from .idempotency import IDEMPOTENCY_KEY, value_of

LONGEST_LINE = 65536
"""Maximum length of a line of a response's head, in bytes."""
MOST_HEADERS = 100
"""Maximum number of header lines of a response."""
LONGEST_BODY = 65536
"""Maximum number of bytes that are read of a response's body. After a longer one, the connection is closed."""

_LONGEST_FRAMED = 16 * LONGEST_BODY
"""Maximum length of a body with its chunk sizes, extensions and trailers, in bytes."""
_LONGEST_PLAIN = 8192
"""Maximum length of a plain head, in bytes."""

# Without folded lines (RFC 9112, section 5.2), with printable ASCII only, and without the statuses that never have a
# body (1xx, 204 and 304; RFC 9112, section 6.3).
_PLAIN_HEAD = re.compile(rb"HTTP/1\.1 (20[0-3]|[45][0-9]{2})(?: [ -~]*)?\r\n((?:[A-Za-z-]+:[ -~]*\r\n){1,90})")
_PLAIN_LENGTH = re.compile(r"[0-9]{1,5}")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_BEGINNING = b"HTTP/1."


class NotHTTP(Exception):
    """The bytes are not an HTTP/1.x response, or exceed a limit. It has no message, which could quote a signature."""


class RequestHead:
    """Encodes the heads of a client's requests. `Host` is added unless the headers contain it."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        host = {} if "host" in map(str.lower, headers) else {"Host": endpoint.authority}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (host | dict(headers)).items())
        self._before_query = f"POST {endpoint.path}?"
        self._after_query = f" HTTP/1.1\r\n{lines}Content-Length: "

    @property
    def length(self) -> int:
        """The length of a head in bytes, without its query, the digits of its Content-Length, and line ends."""
        return len((self._before_query + self._after_query).replace("\r\n", "").encode())

    def encode(self, request: Request) -> bytes:
        """Return the head of a request, with the empty line that ends it."""
        key = f"\r\n{IDEMPOTENCY_KEY}: {value_of(request.idempotency_key)}" if request.idempotency_key else ""
        return f"{self._before_query}{request.query}{self._after_query}{len(request.body)}{key}\r\n\r\n".encode()


class ResponseReader:
    """Reads one response, from pieces as they arrive."""

    reusable = True
    """Whether the connection can be used for another request. Valid once the response has been returned."""

    _received = b""
    """The response so far, as long as its head may be plain."""
    _parser: _Parser | None = None

    def feed(self, received: bytes) -> Response | None:
        """Return the response once it is complete, or its body has LONGEST_BODY bytes; `None` before that.

        Raise NotHTTP if it is not a response. `received` is never empty.
        """
        if self._parser is None:
            if self._received:
                received = self._received + received
            elif (response := _recall(received)) is not None:
                return response
            plain = _plain_head(received)
            if plain is not None:
                end = plain.size + plain.length
                if len(received) < end:
                    self._received = received
                    return None
                self.reusable = len(received) == end
                response = Response(plain.status, plain.headers, received[plain.size : end])
                if plain.status == 202 and len(received) == plain.size:
                    _remember(received, plain.headers)
                return response
            if _is_incomplete(received):
                self._received = received
                return None
            self._parser = _Parser()
        response = self._parser.feed(received)
        self.reusable = self._parser.reusable
        return response

    def end(self) -> Response | None:
        """Return the response if the end of the connection completes it; `None` if it is incomplete.

        A reset counts as an end: a response that ends with the connection is complete once its head is (RFC 9112,
        section 8).
        """
        if self._parser is None:
            # Either the head is incomplete, or it is plain and has a Content-Length that was not reached.
            return None
        self.reusable = False
        return self._parser.end()


class _PlainHead(NamedTuple):
    status: int
    headers: dict[str, str]
    size: int
    length: int


def _plain_head(received: bytes) -> _PlainHead | None:
    """Return the head that the bytes begin with, if it is plain and complete."""
    head, end, _ = received.partition(b"\r\n\r\n")
    if not end or len(head) > _LONGEST_PLAIN:
        return None
    # Pushes that are accepted in the same second have equal heads, so these are cached. Refusals may quote signatures.
    return (_parsed_plain if head.startswith(b"HTTP/1.1 2") else _parse_plain)(head + b"\r\n")


def _parse_plain(head: bytes) -> _PlainHead | None:
    match = _PLAIN_HEAD.fullmatch(head)
    if match is None:
        return None
    pairs = []
    for line in match[2].decode("ascii").splitlines():
        name, _, value = line.partition(":")
        pairs.append((name.lower(), value.strip(" ")))
    framing = sorted(pair for pair in pairs if pair[0] in ("connection", "content-length", "transfer-encoding"))
    if framing and framing[0][0] == "connection" and framing[0][1].lower() == "keep-alive":
        del framing[0]
    if len(framing) != 1 or framing[0][0] != "content-length" or not _PLAIN_LENGTH.fullmatch(framing[0][1]):
        return None
    length = int(framing[0][1])
    # Reversed: of a repeated header, the first value is used.
    return _PlainHead(int(match[1]), dict(reversed(pairs)), len(head) + 2, length) if length < LONGEST_BODY else None


_parsed_plain = lru_cache(16)(_parse_plain)

_repeated: dict[bytes, dict[str, str]] = {}
"""The headers of recent 202 responses without a body, by their bytes without the ID of the publication."""

_ID = "webmq-publication"
_ID_LINE = re.compile(rb"\r\nWebMQ-Publication: ([0-9]+)\r\n\r\n\Z")


def _recall(received: bytes) -> Response | None:
    headers = _repeated.get(received)
    if headers is None and (line := _ID_LINE.search(received)) is not None:
        headers = _repeated.get(received[: line.start()])
        if headers is not None:
            headers = headers | {_ID: line[1].decode()}
    return None if headers is None else Response(202, headers, b"")


def _remember(received: bytes, headers: dict[str, str]) -> None:
    if len(_repeated) >= 16:
        _repeated.clear()
    line = _ID_LINE.search(received)
    # If the header is repeated, its first value is used, and the last line is not the ID.
    if line is not None and _ID.encode() not in (rest := received[: line.start()]).lower():
        received = rest
    _repeated[received] = headers


def _is_incomplete(received: bytes) -> bool:
    """Return whether more bytes may complete a plain head: some servers write a head in pieces."""
    beginning = b"HTTP/1.1 "
    return (
        received[: len(beginning)] == beginning[: len(received)]
        and len(received) <= _LONGEST_PLAIN
        and _END_OF_HEAD.search(received) is None
    )


class _Parser:
    """Reads one response with h11."""

    def __init__(self) -> None:
        # h11 does not apply its size limit to a head that arrives at once, so the limits here replace it.
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 62)
        # h11 accepts a 101 only if the request proposed an upgrade.
        upgrade = [("Host", "_"), ("Content-Length", "0"), ("Connection", "upgrade"), ("Upgrade", "_")]
        self._h11.send(h11.Request(method="POST", target="/", headers=upgrade))
        self._h11.send(h11.EndOfMessage())
        self.reusable = False
        self._pending = bytearray()
        """Bytes that were not passed to h11 yet."""
        self._line = 0
        """The start of the incomplete line of the head in `_pending`."""
        self._lines = 0
        self._framed = 0
        self._head: h11.Response | None = None
        self._body = bytearray()

    def feed(self, received: bytes) -> Response | None:
        self._pending += received
        while self._head is None:
            head = self._take_head()
            if head is None:
                return None
            event = self._event(head)
            if isinstance(event, h11.Response):
                self._head = _checked(event)
            elif not isinstance(event, h11.InformationalResponse):
                raise NotHTTP
            elif event.status_code == 101:
                return self._response(event)
        return self._read_body(self._head)

    def end(self) -> Response | None:
        if self._head is None:
            return None
        event = self._event(b"", eof=True)
        while isinstance(event, h11.Data):
            self._body += event.data
            event = self._event(b"")
        return self._response(self._head) if isinstance(event, h11.EndOfMessage) else None

    def _take_head(self) -> bytes | None:
        """Remove a complete head from the pending bytes and return it; `None` if it is incomplete."""
        pending = self._pending
        if pending[: len(_BEGINNING)] != _BEGINNING[: len(pending)]:
            # h11 would not refuse this before an empty line.
            raise NotHTTP
        while (end := pending.find(b"\n", self._line)) >= 0:
            line = pending[self._line : end].removesuffix(b"\r")
            self._line = end + 1
            if not line:
                head = bytes(pending[: self._line])
                del pending[: self._line]
                self._line = self._lines = 0
                return head
            self._lines += 1
            if len(line) > LONGEST_LINE or self._lines > 1 + MOST_HEADERS:
                raise NotHTTP
        if len(pending) - self._line > LONGEST_LINE + 1:
            raise NotHTTP
        return None

    def _read_body(self, head: h11.Response) -> Response | None:
        piece = bytes(self._pending[: _LONGEST_FRAMED - self._framed])
        self._framed += len(piece)
        del self._pending[: len(piece)]
        event = self._event(piece)
        while isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) >= LONGEST_BODY:
                return self._response(head)
            event = self._event(b"")
        if isinstance(event, h11.EndOfMessage):
            self.reusable = self._h11.their_state is h11.DONE and not self._h11.trailing_data[0] and not self._pending
            return self._response(head)
        if event is not h11.NEED_DATA or self._pending:
            raise NotHTTP
        return None

    def _event(self, received: bytes, *, eof: bool = False) -> object:
        """Return the next event; `None` if h11 refuses the bytes. Its errors quote lines, so they are not chained."""
        try:
            if received or eof:
                self._h11.receive_data(received)
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            return None

    def _response(self, head: h11.Response | h11.InformationalResponse) -> Response:
        headers = {name.decode(): value.decode("utf-8", "surrogateescape") for name, value in reversed(head.headers)}
        return Response(head.status_code, headers, bytes(self._body[:LONGEST_BODY]))


def _checked(head: h11.Response) -> h11.Response:
    """Return a head unchanged; raise NotHTTP if h11 accepts it, but the clients do not."""
    names = {name for name, _ in head.headers}
    # RFC 9112, section 6.3: with both, the message may be an attempt at response splitting.
    if head.http_version not in (b"1.0", b"1.1") or names >= {b"content-length", b"transfer-encoding"}:
        raise NotHTTP
    return head
