"""A connection to a broker: sends a request and reads its response, all before a deadline."""

from __future__ import annotations

import io
import re
import select
import socket
import time
from contextlib import suppress
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead
from math import inf
from ssl import SSLContext, SSLSocket
from typing import TYPE_CHECKING, cast

from .._core.dialects import Response
from .._core.endpoint import Endpoint
from .._core.settings import LONGEST_ANSWER
from .response_head import plain_head
from .sockets import Expired, OwnedSocket, is_network_error, remaining

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Connection"]

_DIGITS = re.compile(r"[0-9]+")


class Connection:
    """A connection to a broker, for one push at a time.

    Args:
        endpoint: The broker.
        context: Verifies https; None for http.
        connect_timeout: See `OwnedSocket.open`.
    """

    is_open = False
    """Whether requests can be sent."""
    begun = False
    """Whether a byte of a request may have been sent."""
    idle_since = 0.0
    """When the connection was opened, or its last response read, on the monotonic clock."""

    def __init__(self, endpoint: Endpoint, context: SSLContext | None, connect_timeout: float | None) -> None:
        self._endpoint = endpoint
        self._context = context
        self._connect_timeout = connect_timeout
        self._owned = OwnedSocket()

    def open(self, deadline: float) -> None:
        """Connect. However this ends, the caller must close the connection.

        Raises:
            OSError, Expired: There is no connection.
        """
        self._socket = self._owned.open(self._endpoint, self._context, self._connect_timeout, deadline)
        self._incoming = _Incoming(self._socket)
        self._answers = _Answers(self._incoming)
        # Not every system has poll, and select accepts no descriptor above 1023.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(self._socket, select.POLLIN)
        self.idle_since = time.monotonic()
        self.is_open = True

    def exchange(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        """Send a request; return the response, and whether the connection can be used again.

        It can if the response was read to its end and nothing follows it.

        Raises:
            OSError, HTTPException, Expired: The connection must be closed.
        """
        # A broker that rejects an event as too large may respond and close before it has read all of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._send(request, deadline)
        self._incoming.deadline = deadline
        response, ends = self._plain_answer() or self._answer()
        self.begun = False
        self.idle_since = time.monotonic()
        return response, ends and not self._answers.hold_more()

    @property
    def ended(self) -> bool:
        """Whether the broker has closed its end."""
        return self._incoming.ended

    def is_quiet(self) -> bool:
        """Whether the broker has neither closed the idle connection nor sent anything on it."""
        return not (self._poll.poll(0) if self._poll else select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """Close the socket. Safe to call again."""
        self._owned.close()

    def abort(self) -> None:
        """Break the connection while another thread waits for the response, or connects."""
        self._owned.shutdown()

    def _send(self, request: bytes, deadline: float) -> None:
        # Not sendall: with TLS its timeout starts again with each record that is sent.
        rest = memoryview(request)
        while rest:
            self._socket.settimeout(remaining(deadline))
            self.begun = True
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError as error:
                if is_network_error(error):
                    raise Expired from None
                raise

    def _plain_answer(self) -> tuple[Response, bool] | None:
        """Read a response with a plain head. Return None, with nothing read, if it has another or is too long."""
        head = plain_head(self._answers.peek())
        if head is None or head.length > LONGEST_ANSWER:
            return None
        self._answers.read(head.size)
        content = self._answers.read(head.length)
        if len(content) < head.length:
            raise IncompleteRead(content)
        return Response(head.status, head.headers, content), True

    def _answer(self) -> tuple[Response, bool]:
        """Read any response."""
        reply = self._head()
        while 100 <= reply.status < 200 and reply.status != 101:
            reply = self._head()
        content = reply.read(LONGEST_ANSWER)
        if self.ended and reply.length:
            # With a Content-Length, http.client takes the end of the connection for the end of the body.
            raise IncompleteRead(content)
        return Response(reply.status, reply.headers, content), reply.isclosed() and not reply.will_close

    def _head(self) -> HTTPResponse:
        # HTTPResponse uses nothing of a socket but makefile(). It gets the same file for each response.
        reply = _Reply(cast(socket.socket, self._answers), method="POST")
        try:
            reply.begin()
        except BadStatusLine as error:
            if self.ended and "HTTP/".startswith(str(error)[:5]):
                raise IncompleteRead(b"") from None
            raise
        # http.client takes the end of the connection for the end of the headers, and accepts malformed headers.
        if not self._answers.blank:
            raise IncompleteRead(b"")
        lengths = reply.headers.get_all("Content-Length", [])
        ambiguous = len(lengths) + ("Transfer-Encoding" in reply.headers) > 1
        if ambiguous or reply.headers.defects or not all(map(_DIGITS.fullmatch, lengths)):
            raise HTTPException("the head makes no sense")
        return reply


class _Reply(HTTPResponse):
    # For the finalizer: since CPython 3.13 it complains if a signal handler has raised in the constructor.
    fp = cast(io.BufferedReader, None)


class _Incoming(io.RawIOBase):
    """The bytes from the broker, read before a deadline."""

    deadline = inf
    ended = False

    def __init__(self, source: socket.socket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self.deadline == -inf:
            return None  # BufferedReader: nothing is available yet
        self._source.settimeout(remaining(self.deadline))
        try:
            count = self._source.recv_into(buffer)
        except TimeoutError as error:
            if is_network_error(error):
                raise Expired from None
            raise
        self.ended = count == 0
        return count

    def has_buffered(self) -> bool:
        return isinstance(self._source, SSLSocket) and self._source.pending() > 0


class _Answers(io.BufferedReader):
    """The responses on one connection, one after another."""

    raw: _Incoming  # pyright: ignore[reportIncompatibleVariableOverride]
    blank = False
    """Whether the last line read was the empty line that ends a head."""

    def makefile(self, mode: str) -> _Answers:
        return self

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise HTTPException("a chunk of a negative size, for which http.client would read to the end")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.blank = line in (b"\r\n", b"\n")
        return line

    def close(self) -> None:
        """Stay open: http.client closes its file after each response."""

    def hold_more(self) -> bool:
        """Whether anything follows the response."""
        raw = self.raw
        if raw.has_buffered():
            return True
        # Makes peek look into the buffer only, and not read from the socket.
        raw.deadline = -inf
        return bool(self.peek(1))
