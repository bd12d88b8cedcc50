"""The hub as a server: it binds a port, accepts connections, and shuts down. `Endpoints` handles the requests."""

from __future__ import annotations

import asyncio
import logging
from typing import Self, Unpack

from aiohttp import web
from aiohttp.http import HttpProcessingError

from ._config import HubConfig, HubOptions
from ._connections import limited
from ._handlers import Endpoints, unparsable

__all__ = ["Hub", "create_app"]

_KEEPALIVE = 75.0
"""Seconds that a connection may idle, much longer than clients keep theirs."""

_LINGERING = 1.0
"""Seconds to keep reading a refused body, so that the peer gets the response and not a reset."""

_MAX_HEADERS = 64
"""Headers of a request, twice as many as a browser behind proxies sends."""

_MAX_HEADER = 8190
"""Bytes of one header, aiohttp's default."""

_MAX_TARGET = 1 << 14
"""Bytes of a request target, the limit of the original hub: about 850 session IDs."""

_SHUTDOWN = 2.0
"""Seconds for requests in progress to end when the hub closes."""

_SPARE = 200
"""Connections for pushes and pages, besides those of subscribers."""


class Hub:
    """A hub with its own port: `async with Hub(port=0, keys={"app": "s3cret"}) as hub: hub.url`.

    Args:
        host: the name or address to bind to. Any other than loopback requires `keys`.
        port: 0 chooses a free port.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: an argument cannot be used; the message names it.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080, **options: Unpack[HubOptions]) -> None:
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            raise ValueError(f"port: {port!r} is not a port")
        self.config = HubConfig(host=host, **options)
        self._port = port
        self._authority: str | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The URL to push to, and of the live page: `http://127.0.0.1:43211`. The Crossbar dialect uses `/publish`.

        Raises:
            RuntimeError: the hub is not running.
        """
        if self._authority is None:
            raise RuntimeError("the hub does not run: it has a URL from start() to close()")
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """The URL to subscribe at, with WAMP v1 or v2: `ws://127.0.0.1:43211/ws`."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    async def start(self) -> None:
        """Bind the port and serve.

        Raises:
            OSError: the port is in use, or the host cannot be bound to.
            RuntimeError: the hub is running already.
        """
        if self._runner is not None:
            raise RuntimeError("the hub runs already")
        runner = web.AppRunner(Endpoints(self.config).app(), shutdown_timeout=_SHUTDOWN)
        self._runner = runner
        try:
            await runner.setup()
            # Not a TCPSite: it accepts any number of connections, and the process runs out of descriptors.
            self._server = await asyncio.get_running_loop().create_server(
                limited(runner, _RequestHandler, self.config.max_connections + _SPARE), self.config.host, self._port
            )
        except BaseException:
            await self.close()
            raise
        self._authority = _authority(*self._server.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Close the subscribers' connections (1001), finish requests in progress, and free the port. Idempotent."""
        runner, self._runner, self._authority = self._runner, None, None
        if self._server is not None:
            self._server.close()
            self._server = None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def create_app(host: str = "127.0.0.1", **options: Unpack[HubOptions]) -> web.Application:
    """Return a hub as an aiohttp application, to serve or to mount.

    After `parent.add_subapp("/hub/", create_app(...))` it accepts pushes at `/hub/`, pushes of the Crossbar dialect at
    `/hub/publish`, and subscribers at `/hub/ws`. The server around it is yours to configure:

    - aiohttp's access log shows request lines, and with them the signatures of pushes. So does its response to a
      request that it cannot parse, and its log of it.
    - The number of connections, the size of a request's head, and the patience with slow peers are for the server to
      limit.
    - The hub cannot see what the server is bound to, or whom a proxy in front of it lets in. Give it keys if that may
      be anybody, and subscriber keys if not everybody may read.

    Args:
        host: what the server around it is bound to.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: an argument cannot be used; the message names it.
    """
    return Endpoints(HubConfig(host=host, **options)).app()


def _authority(address: str, port: int) -> str:
    """Return the authority that a client on this machine can connect to."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  # compared, not bound to
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


class _RequestHandler(web.RequestHandler):
    """aiohttp's protocol of a connection, which would quote the request that it cannot parse."""

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
        response = unparsable(exc, max_target=_MAX_TARGET, max_header=_MAX_HEADER, max_headers=_MAX_HEADERS)
        response.force_close()
        return response


def _is_worth_logging(record: logging.LogRecord) -> bool:
    # Any peer can cause these errors, as often as it likes. A parse error quotes the request; a header that is not
    # UTF-8 may raise an error inside aiohttp.
    return not (
        record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError | UnicodeError)
    )


_http_log = logging.getLogger("webmqconnect_async.hub.http")
_http_log.addFilter(_is_worth_logging)
