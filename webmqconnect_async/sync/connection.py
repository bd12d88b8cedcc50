"""One connection to a broker: a request written in one go, and its answer read, all within a deadline.

Deadlines are times of the monotonic clock, infinite for none. A socket's timeout is not one: it begins anew with each
byte that trickles in, so it is set to what is left before every operation.
"""

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

from ..dialects import Response
from ..endpoint import Endpoint
from ..settings import LONGEST_ANSWER
from .heads import plain_head

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Connection", "Expired"]

_DIGITS = re.compile(r"[0-9]+")


class Expired(Exception):
    """The deadline has passed."""


def remaining(deadline: float) -> float | None:
    """Return the seconds until a deadline, None where it is infinite; raise Expired where it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Expired
    return None if left == inf else left


class Connection:
    """A connection to a broker, for one push at a time.

    Args:
        endpoint: where to.
        context: verifies https; None for http.
        deadline: resolving the name cannot be interrupted, and is not.
        connect_timeout: seconds for each address, and again for the TLS handshake; None shares what is left evenly
            among the addresses to come.

    Raises:
        OSError, Expired: there is no connection.
    """

    begun = False
    """Whether a byte of a request may have left."""

    def __init__(
        self, endpoint: Endpoint, context: SSLContext | None, deadline: float, connect_timeout: float | None
    ) -> None:
        self._socket = _connect(endpoint, context, deadline, connect_timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if isinstance(self._socket, SSLSocket):
                self._socket.settimeout(_sooner(remaining(deadline), connect_timeout))
                self._socket.do_handshake()
        except BaseException as error:
            self._socket.close()
            if isinstance(error, TimeoutError):
                remaining(deadline)
            raise
        self._incoming = _Incoming(self._socket)
        self._answers = _Answers(self._incoming)
        # Not every system has poll, and select takes no descriptor above 1023.
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll:
            self._poll.register(self._socket, select.POLLIN)
        self.idle_since = time.monotonic()

    def exchange(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        """Send a request; return its answer, and whether the next push may use the connection.

        It may where the answer is read to its end, with nothing behind it.

        Raises:
            OSError, HTTPException, Expired: the connection is of no more use.
        """
        # A broker that refuses an event for its length may answer and close before it has read the event.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._send(request, deadline)
        self._incoming.deadline = deadline
        response, ends = self._plain_answer() or self._answer()
        self.begun = False
        self.idle_since = time.monotonic()
        return response, ends and not self._answers.hold_more()

    @property
    def ended(self) -> bool:
        """Whether the broker has closed its side."""
        return self._incoming.ended

    def is_quiet(self) -> bool:
        """Tell whether the broker has neither closed the idle connection nor sent what nobody asked for."""
        return not (self._poll.poll(0) if self._poll else select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """Close the socket, without a TLS goodbye: after a fork the connection is the parent's."""
        self._socket.close()

    def abort(self) -> None:
        """Break the connection under the thread that waits for its answer."""
        with suppress(OSError):
            # Not SSLSocket's shutdown: it takes TLS off first, and what is sent just then goes out in clear.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _send(self, request: bytes, deadline: float) -> None:
        # Not sendall: under TLS its timeout, too, begins anew with each record that goes out.
        rest = memoryview(request)
        while rest:
            self._socket.settimeout(remaining(deadline))
            self.begun = True
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                raise Expired from None

    def _plain_answer(self) -> tuple[Response, bool] | None:
        """Read an answer whose head is plain; None where it is not, or the body too long, with nothing taken yet."""
        head = plain_head(self._answers.peek())
        if head is None or head.length > LONGEST_ANSWER:
            return None
        self._answers.read(head.size)
        content = self._answers.read(head.length)
        if len(content) < head.length:
            raise IncompleteRead(content)
        return Response(head.status, head.headers, content), True

    def _answer(self) -> tuple[Response, bool]:
        """Read any answer."""
        reply = self._head()
        while 100 <= reply.status < 200 and reply.status != 101:
            reply = self._head()
        content = reply.read(LONGEST_ANSWER)
        if self.ended and reply.length:
            # With a Content-Length http.client takes the end of the connection for the end of the body.
            raise IncompleteRead(content)
        return Response(reply.status, reply.headers, content), reply.isclosed() and not reply.will_close

    def _head(self) -> HTTPResponse:
        # All that HTTPResponse asks of a socket is makefile(); it gets the same file for each answer.
        reply = HTTPResponse(cast(socket.socket, self._answers), method="POST")
        try:
            reply.begin()
        except BadStatusLine as error:
            if self.ended and "HTTP/".startswith(str(error)[:5]):
                raise IncompleteRead(b"") from None
            raise
        # http.client takes the end of the connection for the end of the headers, and makes something of any header.
        if not self._answers.blank:
            raise IncompleteRead(b"")
        lengths = reply.headers.get_all("Content-Length", [])
        ambiguous = len(lengths) + ("Transfer-Encoding" in reply.headers) > 1
        if ambiguous or reply.headers.defects or not all(map(_DIGITS.fullmatch, lengths)):
            raise HTTPException("the head makes no sense")
        return reply


class _Incoming(io.RawIOBase):
    """What a broker sends, read within the deadline."""

    deadline = inf
    ended = False

    def __init__(self, source: socket.socket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self.deadline == -inf:
            return None  # which a BufferedReader takes for "nothing there yet"
        self._source.settimeout(remaining(self.deadline))
        try:
            count = self._source.recv_into(buffer)
        except TimeoutError:
            raise Expired from None
        self.ended = count == 0
        return count

    def has_buffered(self) -> bool:
        return isinstance(self._source, SSLSocket) and self._source.pending() > 0


class _Answers(io.BufferedReader):
    """The answers on one connection, one behind the other."""

    raw: _Incoming
    blank = False
    """Whether the last line read was the blank one that ends a head."""

    def makefile(self, mode: str) -> _Answers:
        return self

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise HTTPException("a chunk of a negative size, which http.client takes for all that comes")
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.blank = line in (b"\r\n", b"\n")
        return line

    def close(self) -> None:
        """Stay open: http.client closes its file behind each answer."""

    def hold_more(self) -> bool:
        """Tell whether something has come behind the answer."""
        raw = self.raw
        if raw.has_buffered():
            return True
        # It keeps peek from the socket, to look into the buffer alone.
        raw.deadline = -inf
        return bool(self.peek(1))


def _sooner(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two times, of which None is the longest."""
    return min((each for each in (one, other) if each is not None), default=None)


def _connect(
    endpoint: Endpoint, context: SSLContext | None, deadline: float, connect_timeout: float | None
) -> socket.socket:
    addresses = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    failure: OSError = OSError("the name has no address")
    for place, (family, kind, protocol, _, address) in enumerate(addresses):
        left = remaining(deadline)
        share = None if left is None else left / (len(addresses) - place)
        try:
            connecting = _socket(family, kind, protocol, context, endpoint.host)
        except OSError as error:  # the resolver knows a family that the kernel does not
            failure = error
            continue
        try:
            connecting.settimeout(_sooner(share, connect_timeout))
            connecting.connect(address)
        except OSError as error:
            connecting.close()
            failure = error
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    remaining(deadline)
    raise failure


def _socket(family: int, kind: int, protocol: int, context: SSLContext | None, host: str) -> socket.socket:
    """Return a socket to connect with, which does not shake hands by itself.

    It is made a TLS one before it is connected: wrap_socket makes of a connection that is being reset one that nobody
    can close (before Python 3.13), or that never shakes hands.
    """
    bare = socket.socket(family, kind, protocol)
    if context is None:
        return bare
    try:
        return context.wrap_socket(bare, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        bare.close()
        raise
