"""Everything that depends on aiohttp's internals: its protocol, its limits and its parse errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import chain

from aiohttp import HttpVersion11, web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from ._connection_limits import Aborted, Connections, RequestGuard

_KEEPALIVE = 75.0  # seconds to keep an idle connection that has not pushed
_LINGERING = 1.0  # seconds to read on after a refusal: the peer receives it, and not a reset (RFC 9112, 9.6)
_READ = 1 << 13  # bytes read at once
_BODY_TIMEOUT = 10.0  # seconds for the body of a push to arrive
_MAX_EARLY = 1 << 12  # bytes that a client may send before the response to its WebSocket handshake
_MAX_HEADERS = 64  # maximum number of headers in a request, twice as many as a browser behind proxies sends
_MAX_HEADER = 8190  # maximum bytes of a header other than `Cookie`, the default of aiohttp
# Maximum bytes of a `Cookie` header. Browsers send the hub the cookies of every application on the same host name,
# because "cookies do not provide isolation by port" (RFC 6265, 8.5).
_MAX_COOKIE = 1 << 15
_MAX_HEAD = 3 << 14  # maximum bytes of all headers together
_MAX_TARGET = 1 << 14  # maximum bytes of a request target, as in the original hub: about 850 session IDs

_HEADERS_TOO_LONG = f"the headers are longer than {_MAX_HEAD} bytes"
_REFUSED_HEAD = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n"
)

# From reading a body that is malformed or incomplete.
BODY_ERRORS = (ConnectionError, HttpProcessingError, web.RequestPayloadError)


def protocol_factory(runner: web.AppRunner, most: int, keepalive: float) -> Callable[[], asyncio.BaseProtocol]:
    """Return the protocol factory for `create_server`, once the runner is set up.

    A connection beyond the maximum replaces an idle one, or is aborted if none is idle. (aiohttp's `TCPSite` accepts
    connections until there are no more file descriptors.) An idle one that has pushed is kept for `keepalive` seconds.
    """
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    buffer, connections = memoryview(bytearray(_READ)), Connections()

    def protocol() -> asyncio.BaseProtocol:
        if len(server.connections) >= most and not connections.make_room():
            return Aborted()
        return RequestGuard(_RequestHandler(server, keepalive), buffer, connections)

    return protocol


def keep(request: web.Request) -> None:
    """Keep the connection of an accepted push open for the whole `keepalive`, even if it is idle."""
    guard = _guard(request.transport)
    if guard is not None:
        guard.pushed = True


def _guard(transport: asyncio.Transport | None) -> RequestGuard | None:
    """Return the guard of a connection; `None` if the connection is closed, or its server is not that of a `Hub`."""
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, RequestGuard) else None


def oversized(request: web.Request) -> web.Response | None:
    """Return the response to a request whose headers are too long, or `None`.

    aiohttp applies the same limit to every header (`max_field_size`), so it has to be that of `Cookie`.
    """
    if sum(map(len, chain.from_iterable(request.raw_headers))) <= _MAX_HEADER:
        return None
    sizes = [(len(name) + len(value), name.lower()) for name, value in request.raw_headers]
    if any(size > _MAX_HEADER and name != b"cookie" for size, name in sizes):
        response = text_response(400, f"a header is longer than {_MAX_HEADER} bytes")
    elif sum(size for size, _ in sizes) > _MAX_HEAD:
        response = text_response(400, _HEADERS_TOO_LONG)
    else:
        return None
    response.force_close()
    return response


def sent_early(request: web.Request) -> bool:
    """Return whether the client has sent much more than its WebSocket handshake, all of which aiohttp keeps.

    RFC 6455, 4.1: "the client MUST wait for a response from the server before sending any further data". Some clients
    send their first messages immediately nevertheless, so a few are allowed.
    """
    return len(request.protocol._message_tail) > _MAX_EARLY


def text_response(status: int, text: str, **headers: str) -> web.Response:
    """Return a response of plain text. It may quote the request, so browsers must not interpret it as HTML."""
    return web.Response(status=status, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff", **headers})


async def expect(request: web.Request) -> None:
    """Refuse any `Expect` but `100-continue` (RFC 9110, 10.1.1).

    `read_body` sends the status 100, so that a request that is refused by its headers gets only the final one.
    """
    if request.version == HttpVersion11 and request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def read_body(request: web.Request, most: int) -> bytes:
    """Return a body, but at most `most` bytes of it: the length of a chunked body is not known before.

    It raises a ConnectionError if the connection is closed, and a TimeoutError if the body does not arrive in time.
    """
    content = request.content
    if content.is_eof():  # usually the whole body has arrived
        return content.read_nowait(most)
    if request.version == HttpVersion11 and "Expect" in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # aiohttp responds to an error only if nothing was sent
    received = b""
    async with asyncio.timeout(_BODY_TIMEOUT):
        while len(received) < most and not content.at_eof():
            if request.transport is None:  # otherwise aiohttp would raise a RuntimeError
                raise ConnectionResetError("the connection is closed")
            received += await content.read(most - len(received))
    return received


def malformed() -> web.Response:
    return text_response(400, "the request is incomplete or malformed")


class _RequestHandler(web.RequestHandler):
    """aiohttp's protocol, except that its responses and its log do not quote requests that it cannot parse."""

    __slots__ = ("_head", "_pusher_keepalive")

    def __init__(self, manager: web.Server, keepalive: float) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # its type is wrong; a log would show each push's signature
            logger=_http_log,
            keepalive_timeout=min(_KEEPALIVE, keepalive),
            lingering_time=_LINGERING,
            max_headers=_MAX_HEADERS,
            max_line_size=_MAX_TARGET,
            max_field_size=_MAX_COOKIE,
            auto_decompress=False,  # signatures cover the bytes as sent, and neither push format has compression
        )

        self._head = 0  # bytes of headers that are incomplete
        self._pusher_keepalive = keepalive

    def data_received(self, data: bytes) -> None:
        """Limit the size of the headers while they arrive. `oversized` checks them only when they are complete."""
        super().data_received(data)
        if self._waiter is None or self._waiter.done():
            self._head = 0
            return
        self._head += len(data)
        if self._head > _MAX_TARGET + _MAX_HEAD and self.transport is not None:
            body = f"{_HEADERS_TOO_LONG}\n".encode()
            self.transport.write(_REFUSED_HEAD % len(body) + body)
            self.force_close()

    def _process_keepalive(self) -> None:
        """Close an idle connection. If it has pushed, its timeout is longer.

        `webmqconnect` of 2012 never reconnects: once its connection is closed, every push fails.
        """
        guard = _guard(self.transport)
        more = self._pusher_keepalive - self._keepalive_timeout if guard is not None and guard.pushed else 0
        left = self._next_keepalive_close_time + more - self._loop.time()
        if more and left > 0:
            self._keepalive_handle = self._loop.call_later(left, self._process_keepalive)
        else:
            super()._process_keepalive()

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

    It does not contain the error, which quotes the request, and so may contain a valid signature.
    """
    if isinstance(error, LineTooLong):
        if error.args[1] == _MAX_TARGET:
            advice = "name fewer session IDs in eligible and exclude"
            return text_response(414, f"the request target is longer than {_MAX_TARGET} bytes: {advice}")
        return text_response(400, f"a header is longer than {_MAX_COOKIE} bytes")
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
