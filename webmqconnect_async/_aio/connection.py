"""A connection that carries one request at a time: HTTP/1.1 as an asyncio protocol."""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable

from .._core import transport_failures as failures
from .._core.dialects import Response
from .._core.http1 import NotHTTP, ResponseReader
from .._core.transport_failures import TransportFailure
from .._core.transports import abort
from .aiohttp_errors import describe

_LONG = 16384
"""Maximum size of a request, in bytes, that the kernel accepts at once even if the broker reads nothing."""
_SEPARATE = 65536
"""Size of a body, in bytes, above which it is not copied to be written together with the head."""
_LAST = 1024
"""Bytes at the end of such a body that are written separately.

The write buffer size of a TLS transport does not include what it has passed to its TCP transport. But while that one's
buffer is full, the TLS transport keeps later writes: so its size shows whether the whole body was sent.
"""


class Connection(asyncio.BufferedProtocol):
    """A connection to a broker, for one request at a time. A request needs one future and no task.

    All connections of a pool share `buffer`, where the loop puts received bytes, because they copy them at once.
    """

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
        self.idle_since = 0.0
        """When the last request ended, on the loop's clock."""

    def send(
        self, loop: asyncio.AbstractEventLoop, head: bytes, body: bytes
    ) -> asyncio.Future[Response | TransportFailure | None]:
        """Send a request. Return a future of the response, or of why there is none; `None` after `expire`."""
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
        """Close the connection at once, without sending buffered data. Safe to call again."""
        self.usable = False
        abort(self._transport)

    def is_quiet(self) -> bool:
        """Whether the kernel has neither data nor an end from the broker. A loop that was blocked would not know."""
        socket = self._transport.get_extra_info("socket")
        if sys.platform == "win32":
            return not select.select([socket], [], [], 0)[0]
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(socket, select.POLLIN)
        return not self._poll.poll(0)

    def is_open(self) -> bool:
        """Whether another request can be sent. uvloop raises an error if data is written to a closing transport."""
        return self.usable and not self._transport.is_closing()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        received = bytes(self._buffer[:nbytes])
        if self._waiter is None:
            # Unsolicited data would be taken for the response to the next request.
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
        """End the request: the broker will send nothing more."""
        self._end_at_close(None)
        # Otherwise a transport with unsent data would stay open for as long as the broker does not read.
        self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the request: the connection has ended."""
        self.usable = False
        self._end_at_close(exc)
        self._on_lost(self)

    def _is_sent(self, response: Response) -> bool:
        """Whether a long request was sent completely. A broker that refuses it for its size may not read all of it."""
        return response.status < 300 and self._transport.get_write_buffer_size() == 0

    def _end_at_close(self, error: BaseException | None) -> None:
        if self._waiter is None:
            return
        try:
            response = self._reader.end()
        except NotHTTP:
            self._end(failures.garbage(self._broker, True))
            return
        if error is None:
            failure = failures.cut_off(self._broker, True)
        else:
            failure = failures.broken(self._broker, True, describe(error))
        self._end(response or failure)

    def _end(self, result: Response | TransportFailure | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(result)
