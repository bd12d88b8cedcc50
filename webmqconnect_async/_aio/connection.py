"""A connection that carries one request at a time: HTTP/1.1 as an asyncio protocol."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable
from contextlib import suppress

from .._core import transport_failures as failures
from .._core.dialects import Response
from .._core.http1 import NotHTTP, ResponseReader
from .._core.transport_failures import TransportFailure
from .aiohttp_errors import describe

_LONG = 16384
"""Bytes of a request that the kernel takes at once, however slowly the broker reads."""
_SEPARATE = 65536
"""Bytes of a body that are not copied to join the head."""
_LAST = 1024
"""Bytes of such a body that are written last.

A TLS transport reports only what it has not yet passed to its TCP transport. While that one is full, later writes stay
visible, so the end of a long body is written separately.
"""


class Connection(asyncio.BufferedProtocol):
    """A connection to a broker, for one request at a time. It resolves one future per request, and needs no task.

    Args:
        transport: Connected. The connection must become its protocol at once.
        broker: Its host and port, for error messages.
        buffer: Where the loop puts received bytes. All pool of a loop share it: what arrives is copied at once.
        on_lost: Called with the connection when the connection has ended.
    """

    __slots__ = (
        "_broker",
        "_buffer",
        "_is_long",
        "_on_lost",
        "_poll",
        "_reader",
        "_transport",
        "_waiter",
        "idle_since",
        "usable",
    )

    def __init__(
        self, transport: asyncio.Transport, broker: str, buffer: memoryview, on_lost: Callable[[Connection], object]
    ) -> None:
        self._transport = transport
        self._broker = broker
        self._buffer = buffer
        self._on_lost = on_lost
        self._reader = ResponseReader()
        self._waiter: asyncio.Future[Response | TransportFailure | None] | None = None
        self._is_long = False
        if sys.platform != "win32":
            self._poll: select.poll | None = None
        self.usable = True
        """Whether another request can be sent."""
        self.idle_since = 0.0
        """When the last request ended, on the loop's clock."""

    def send(
        self, loop: asyncio.AbstractEventLoop, head: bytes, body: bytes
    ) -> asyncio.Future[Response | TransportFailure | None]:
        """Send a request.

        Returns:
            A future of the response, or of why there is none; `None` after `expire`.
        """
        waiter = self._waiter = loop.create_future()
        self._reader = ResponseReader()
        self._is_long = len(head) + len(body) > _LONG
        if len(body) > _SEPARATE:
            view = memoryview(body)
            self._transport.write(head)
            self._transport.write(view[:-_LAST])
            self._transport.write(view[-_LAST:])
        else:
            self._transport.write(head + body)
        return waiter

    def expire(self) -> None:
        """End the request at its deadline, and abort the connection."""
        self.abort()
        self._end(None)

    def abort(self) -> None:
        """Close the connection at once and drop what is not sent yet. Safe to call again."""
        self.usable = False
        # AttributeError: early releases of CPython 3.11, if TLS has ended. RuntimeError: the loop is closed.
        with suppress(AttributeError, RuntimeError):
            self._transport.abort()

    def is_quiet(self) -> bool:
        """Whether the broker has neither closed the connection nor sent anything since the last response.

        After the loop was blocked, that may be known to the kernel alone.
        """
        socket = self._transport.get_extra_info("socket")
        if sys.platform == "win32":
            return not select.select([socket], [], [], 0)[0]
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(socket, select.POLLIN)
        return not self._poll.poll(0)

    def is_closing(self) -> bool:
        """Whether the transport accepts no more data: uvloop raises then."""
        return self._transport.is_closing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the loop puts received bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read received bytes."""
        received = bytes(self._buffer[:nbytes])
        if self._waiter is None:
            # It would be taken for the response to the next request.
            self.abort()
            return
        try:
            response = self._reader.feed(received)
        except NotHTTP:
            self.abort()
            self._end(failures.garbage(self._broker, True))
            return
        if response is not None:
            if not self._reader.reusable or (self._is_long and not self._is_sent(response)):
                self.abort()
            self._end(response)

    def eof_received(self) -> None:
        """End the request: the broker sends no more."""
        self._end_at_close(None)
        # Otherwise a transport that still has data to send would stay open for as long as the broker does not read.
        self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the request: the connection has ended."""
        self.usable = False
        self._end_at_close(exc)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Do nothing: each request is handed over as a whole."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def _is_sent(self, response: Response) -> bool:
        """Whether a long request has been sent as a whole. A broker that refuses it for its length may not read it."""
        return response.status < 300 and self._transport.get_write_buffer_size() == 0

    def _end_at_close(self, error: BaseException | None) -> None:
        if self._waiter is None:
            return
        result: Response | TransportFailure | None
        try:
            result = self._reader.end()
        except NotHTTP:
            result = failures.garbage(self._broker, True)
        if result is None and error is None:
            result = failures.cut_off(self._broker, True)
        elif result is None and error is not None:
            result = failures.broken(self._broker, True, describe(error))
        self._end(result)

    def _end(self, result: Response | TransportFailure | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(result)
