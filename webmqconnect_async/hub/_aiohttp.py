"""Everything that depends on aiohttp's internals: its protocol, its limits and its parse errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from ._guards import Aborted, RequestGuard

__all__ = ["BODY_ERRORS", "malformed", "protocol_factory", "sent_early", "text_response"]

_KEEPALIVE = 75.0
"""Seconds that a connection may idle, much longer than clients keep theirs."""

_LINGERING = 1.0
"""Seconds to keep reading a refused body, so that the peer receives the response and not a reset."""

_READ = 1 << 13
"""Bytes read at once."""

_MAX_HEADERS = 64
"""Headers of a request, twice as many as a browser behind proxies sends."""

_MAX_HEADER = 8190
"""Bytes of one header, aiohttp's default."""

_MAX_TARGET = 1 << 14
"""Bytes of a request target, the limit of the original hub: about 850 session IDs."""

BODY_ERRORS = (ConnectionError, HttpProcessingError, web.RequestPayloadError)
"""Exceptions from reading a body that is malformed or incomplete."""


def protocol_factory(runner: web.AppRunner, most: int) -> Callable[[], asyncio.BaseProtocol]:
    """Return the protocol factory for `create_server`.

    Args:
        runner: the runner of the application, set up.
        most: the maximum number of connections. Further ones are aborted. (A TCPSite accepts any number, until the
            process runs out of file descriptors.)
    """
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    buffer = memoryview(bytearray(_READ))
    return lambda: RequestGuard(_RequestHandler(server), buffer) if len(server.connections) < most else Aborted()


def sent_early(request: web.Request) -> bool:
    """Return whether the client has sent more than the request of a WebSocket handshake.

    RFC 6455, 4.1: "the client MUST wait for a response from the server before sending any further data".
    """
    return bool(request.protocol._message_tail)


def text_response(status: int, text: str, **headers: str) -> web.Response:
    """Return a response of plain text. It may quote the request, so browsers must not interpret it as HTML."""
    return web.Response(status=status, text=f"{text}\n", headers={"X-Content-Type-Options": "nosniff", **headers})


def malformed() -> web.Response:
    """Return the response to a request that cannot be parsed."""
    return text_response(400, "the request broke off or is malformed")


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
