"""Everything that depends on aiohttp's internals: protocols, parse errors, and limits that aiohttp does not have.

aiohttp waits for the headers of a first request as long as for a next one. If a peer does not read its responses,
aiohttp waits forever, and meanwhile queues up to 32 more requests, each with headers of the maximum size.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

__all__ = ["BODY_ERRORS", "StallGuard", "abort", "malformed", "protocol_factory", "text_response", "watch"]

_TIMEOUT = 10.0
"""Seconds for the headers of a first request to arrive, and for a peer to read responses that are waiting."""

_KEEPALIVE = 75.0
"""Seconds that a connection may idle, much longer than clients keep theirs."""

_LINGERING = 1.0
"""Seconds to keep reading a refused body, so that the peer receives the response and not a reset."""

_MAX_HEADERS = 64
"""Headers of a request, twice as many as a browser behind proxies sends."""

_MAX_HEADER = 8190
"""Bytes of one header, aiohttp's default."""

_MAX_TARGET = 1 << 14
"""Bytes of a request target, the limit of the original hub: about 850 session IDs."""

_END_OF_HEADERS = b"\r\n\r\n"

BODY_ERRORS = (ConnectionError, HttpProcessingError, web.RequestPayloadError)
"""Exceptions from reading a body that is malformed or incomplete."""


def protocol_factory(runner: web.AppRunner, most: int) -> Callable[[], asyncio.Protocol]:
    """Return the protocol factory for `create_server`.

    Args:
        runner: the runner of the application, set up.
        most: the maximum number of connections. Further ones are aborted. (A TCPSite accepts any number, until the
            process runs out of file descriptors.)
    """
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    return lambda: _RequestGuard(_RequestHandler(server)) if len(server.connections) < most else _Aborted()


def watch(request: web.Request, transport: asyncio.Transport, timeout: float) -> StallGuard:
    """Wrap the protocol of a WebSocket in a `StallGuard`, which replaces the limits for requests.

    aiohttp notices a missing pong only while it waits for a message, and not while a message cannot be sent.
    """
    guard = StallGuard(request.protocol, timeout, transport)
    transport.set_protocol(guard)
    return guard


def abort(transport: asyncio.Transport) -> None:
    """Close a connection immediately, unless it is closed."""
    with suppress(AttributeError):  # raised for a closed TLS connection by early releases of Python 3.11
        transport.abort()


def text_response(status: int, text: str, **headers: str) -> web.Response:
    """Return a response of plain text. It may quote the request, so browsers must not interpret it as HTML."""
    return web.Response(status=status, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff", **headers})


def malformed() -> web.Response:
    """Return the response to a request that cannot be parsed."""
    return text_response(400, "the request broke off or is malformed")


class _Aborted(asyncio.Protocol):
    """A connection beyond the maximum."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _as_stream(transport).abort()


class StallGuard(asyncio.Protocol):
    """A protocol that passes everything to another one, and aborts the connection if the peer does not read.

    A transport buffers 64 KiB and then pauses writing until the buffer has drained to 16 KiB.

    Args:
        inner: the other protocol.
        timeout: the maximum seconds that writing may stay paused.
        transport: the connection; `None` if it has not been made yet.
    """

    def __init__(self, inner: asyncio.Protocol, timeout: float, transport: asyncio.Transport | None = None) -> None:
        self._inner = inner
        self._timeout = timeout
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    async def drain(self) -> None:
        """Wait until writing is not paused, or the connection is lost."""
        await self._writable.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._transport = _as_stream(transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._inner.data_received(data)

    def pause_writing(self) -> None:
        """Start the timeout, and pass it on."""
        self._writable.clear()
        self._start_timer()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Stop the timeout, and pass it on."""
        self._writable.set()
        self._stop_timer()
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout, and pass it on."""
        self._writable.set()
        self._stop_timer()
        self._inner.connection_lost(exc)

    def _start_timer(self) -> None:
        self._stop_timer()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout, abort, self._transport)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _RequestGuard(StallGuard):
    """A connection for requests. The headers of the first one have a timeout; reading pauses while writing does."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        super().__init__(inner, _TIMEOUT)
        self._last = b""  # the last bytes received, which may be the beginning of the end of the headers
        self._begun = False  # whether the headers of a request have arrived
        self._paused_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            received = self._last + data
            if _END_OF_HEADERS in received:
                self._begun = True
                self._stop_timer()
            else:
                self._last = received[1 - len(_END_OF_HEADERS) :]
        super().data_received(data)

    def pause_writing(self) -> None:
        transport = self._transport
        if transport is not None and transport.is_reading():  # otherwise aiohttp has paused it and will resume it
            transport.pause_reading()
            self._paused_reading = True
        super().pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()


class _RequestHandler(web.RequestHandler):
    """aiohttp's protocol, except that its responses and its log do not quote requests that it cannot parse."""

    __slots__ = ()

    def __init__(self, manager: web.Server) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # its type is wrong; a log would show each push's signature
            logger=_http_log,
            keepalive_timeout=_KEEPALIVE,
            lingering_time=_LINGERING,
            max_headers=_MAX_HEADERS,
            max_line_size=_MAX_TARGET,
            max_field_size=_MAX_HEADER,
            auto_decompress=False,  # signatures are of the bytes that were sent, and neither format has compression
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to a request that failed. The connection is then closed."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        response = _unparsable(exc)
        response.force_close()
        return response


def _unparsable(error: HttpProcessingError) -> web.Response:
    """Return the response to a request that aiohttp cannot parse.

    It does not show the error, which quotes the request: that may hold a valid signature, or one for another broker.
    """
    if isinstance(error, LineTooLong):
        _, limit, _ = error.args
        if limit == _MAX_TARGET:
            said = "name fewer session IDs in eligible and exclude"
            return text_response(414, f"the request target is longer than {_MAX_TARGET} bytes: {said}")
        return text_response(400, f"a header is longer than {_MAX_HEADER} bytes")
    if error.message == "Too many headers received":
        return text_response(400, f"the request has more than {_MAX_HEADERS} headers")
    return malformed()


def _is_worth_logging(record: logging.LogRecord) -> bool:
    # Any peer can cause these errors, as often as it likes. A parse error quotes the request; a header that is not
    # UTF-8 may raise an error inside aiohttp.
    return not (
        record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError | UnicodeError)
    )


_http_log = logging.getLogger("webmqconnect_async.hub.http")
_http_log.addFilter(_is_worth_logging)


def _as_stream(transport: asyncio.BaseTransport) -> asyncio.Transport:
    return cast(asyncio.Transport, transport)  # uvloop's has the same methods, but another base class
