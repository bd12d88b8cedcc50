"""The hub as a server: its port, its connections, its beginning and its end. Knows no request."""

from __future__ import annotations

import asyncio
import logging
from typing import Self, Unpack

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .config import HubConfig, HubOptions
from .connections import limited
from .endpoints import Endpoints

__all__ = ["Hub", "create_app"]

_KEEPALIVE = 75.0
"""Seconds that a connection may idle: well over what clients keep theirs for."""

_LINGERING = 1.0
"""Seconds that the rest of a refused body may still come, so that the peer reads the answer and no reset."""

_MAX_HEADERS = 64
"""Headers of a request, twice what a browser behind proxies sends. aiohttp takes 8,190 bytes in each."""

_MAX_LINE = 1 << 14
"""Bytes of a request line, the original's limit: about 700 sessions to exclude."""

_SHUTDOWN = 2.0
"""Seconds that requests in progress have when the hub closes."""

_SPARE = 200
"""Connections beyond the subscribers', for pushes and pages."""


class Hub:
    """A hub of its own on a port: `async with Hub(port=0, keys={"app": "s3cret"}) as hub: hub.url`.

    Args:
        host: the name or address to bind to. Other than loopback needs `keys`.
        port: 0 takes a free one.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: naming the argument.
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
        """Where to push, and the page's address: `http://127.0.0.1:43211`. The Crossbar dialect pushes to `/publish`.

        Raises:
            RuntimeError: the hub does not run.
        """
        if self._authority is None:
            raise RuntimeError("the hub does not run: it has a URL from start() to close()")
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """Where to subscribe, by WAMP v1 or v2: `ws://127.0.0.1:43211/ws`."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    async def start(self) -> None:
        """Bind the port and serve.

        Raises:
            OSError: the port is taken, or the host not to be bound to.
            RuntimeError: it runs already.
        """
        if self._runner is not None:
            raise RuntimeError("the hub runs already")
        runner = web.AppRunner(
            Endpoints(self.config).app(),
            access_log=None,  # it would hold each push's signature
            logger=_http_log(),
            keepalive_timeout=_KEEPALIVE,
            lingering_time=_LINGERING,
            max_headers=_MAX_HEADERS,
            max_line_size=_MAX_LINE,
            auto_decompress=False,  # what is signed are the bytes on the wire, and no wire knows compressed pushes
            shutdown_timeout=_SHUTDOWN,
        )
        self._runner = runner
        try:
            await runner.setup()
            # Not a TCPSite: it takes any number of connections, and descriptors run out.
            self._server = await asyncio.get_running_loop().create_server(
                limited(runner, self.config.max_connections + _SPARE), self.config.host, self._port
            )
        except BaseException:
            await self.close()
            raise
        self._authority = _authority(*self._server.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Say goodbye to the subscribers (1001), finish the requests in progress, free the port. Again: nothing."""
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
    """Return a hub as an application, to serve or to mount.

    After `parent.add_subapp("/hub/", create_app(...))` it takes pushes at `/hub/`, those of Crossbar.io's dialect at
    `/hub/publish`, and subscribers at `/hub/ws`. Mind that aiohttp's access log shows request lines, and with them the
    signatures of pushes; that how many connections there may be, how large a request's head and how slow a peer, is the
    server's to limit; and that the hub cannot see what the server is bound to, nor whom a proxy before it lets in:
    where that may be anybody, give it keys, and subscriber keys where not everybody may read.

    Args:
        host: what the server around it is bound to.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: naming the argument.
    """
    return Endpoints(HubConfig(host=host, **options)).app()


def _authority(address: str, port: int) -> str:
    """Return what a client on this machine can connect to."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  # compared, not bound to
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def _http_log() -> logging.Logger:
    log = logging.getLogger("webmqconnect_async.hub.http")
    log.addFilter(_is_no_strangers_doing)
    return log


def _is_no_strangers_doing(record: logging.LogRecord) -> bool:
    # What any peer can bring about, and as often as it likes. A request that is not HTTP aiohttp quotes, with its
    # signature; over a header that is not UTF-8 it may break itself.
    return not (
        record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError | UnicodeError)
    )
