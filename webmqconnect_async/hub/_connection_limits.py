"""Protocols between a transport and aiohttp, for limits that aiohttp does not have.

aiohttp lets a new connection take as long to send its first request as one that is kept alive. If a peer does not read
its responses, aiohttp waits forever, and queues up to 32 more requests, each with headers of the maximum size.
"""

from __future__ import annotations

import asyncio
from typing import cast

from .._core.transports import abort

_TIMEOUT = 10.0  # seconds for the headers of a first request to arrive, and for a peer to read waiting responses
_IDLE = 1.0  # seconds without data from a peer after which its connection may be closed to make room for another one
_END_OF_HEADERS = b"\r\n\r\n"


class Aborted(asyncio.Protocol):
    """A connection beyond the maximum."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        abort(_as_stream(transport))


class StallGuard(asyncio.BufferedProtocol):
    """A protocol that passes everything to an inner one, and aborts the connection if the peer does not read.

    A transport buffers 64 KiB and then pauses writing until the buffer has drained to 16 KiB; that may take `timeout`
    seconds. Connections of an event loop can share the buffer to read into: each read is passed on before the next one.
    asyncio would read 256 KiB at once, which aiohttp parses without interruption.
    """

    _transport: asyncio.Transport  # once the connection is made

    def __init__(self, inner: asyncio.Protocol, timeout: float, buffer: memoryview) -> None:
        self._inner = inner
        self._timeout = timeout
        self._buffer = buffer
        self._timer: asyncio.TimerHandle | None = None
        self._paused_reading = False
        self._writable = asyncio.Event()
        self._writable.set()

    async def drain(self) -> None:
        """Wait until writing is not paused, or the connection is lost."""
        await self._writable.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = _as_stream(transport)
        self._inner.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def pause_writing(self) -> None:
        self._writable.clear()
        self._start_timer()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self._stop_timer()
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._stop_timer()
        self._inner.connection_lost(exc)

    def _pause_reading(self) -> None:
        if self._transport.is_reading():  # otherwise aiohttp has paused it and will resume it
            self._transport.pause_reading()
            self._paused_reading = True

    def _resume_reading(self) -> None:
        if self._paused_reading and not self._transport.is_closing():
            self._transport.resume_reading()
        self._paused_reading = False

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(self._timeout, abort, self._transport)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connections:
    """The connections of a hub that are not WebSockets, in the order of their last data."""

    def __init__(self) -> None:
        self._last_data: dict[RequestGuard, float] = {}

    def touch(self, guard: RequestGuard) -> None:
        self._last_data.pop(guard, None)
        self._last_data[guard] = asyncio.get_running_loop().time()

    def forget(self, guard: RequestGuard) -> None:
        """Remove a connection that is lost, or has become a WebSocket."""
        self._last_data.pop(guard, None)

    def make_room(self) -> bool:
        """Close the connection that has been idle longest. Return whether there is an idle one.

        Those that have never pushed come first, so clients that do not push only displace each other.
        """
        latest = asyncio.get_running_loop().time() - _IDLE
        idle = [guard for guard, last in self._last_data.items() if last <= latest]
        if not idle:
            return False
        guard = next((guard for guard in idle if not guard.pushed), idle[0])
        self.forget(guard)
        guard.abort()
        return True


class RequestGuard(StallGuard):
    """A connection for requests. The headers of the first one have a timeout; reading pauses while writing does."""

    def __init__(self, inner: asyncio.Protocol, buffer: memoryview, connections: Connections) -> None:
        super().__init__(inner, _TIMEOUT, buffer)
        self.pushed = False  # whether a push over this connection was accepted
        self._connections = connections
        self._last = b""  # the last bytes received: the end of the headers may be split over two reads
        self._begun = False  # whether the headers of a request have arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.touch(self)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self.release()
        super().connection_lost(exc)

    def release(self) -> None:
        """Leave the connection to another protocol."""
        self._connections.forget(self)
        self._stop_timer()

    def abort(self) -> None:
        abort(self._transport)

    def data_received(self, data: bytes) -> None:
        if not self._writable.is_set():
            self._pause_reading()  # aiohttp, which had paused it, too, has resumed it
        self._connections.touch(self)
        if not self._begun:
            received = self._last + data
            if _END_OF_HEADERS in received:
                self._begun = True
                self._stop_timer()
            else:
                self._last = received[1 - len(_END_OF_HEADERS) :]
        super().data_received(data)

    def pause_writing(self) -> None:
        self._pause_reading()
        super().pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._resume_reading()


def _as_stream(transport: asyncio.BaseTransport) -> asyncio.Transport:
    return cast(asyncio.Transport, transport)  # uvloop's has the same methods, but another base class
