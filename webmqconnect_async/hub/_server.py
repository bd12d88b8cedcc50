"""The hub as a server: it binds a port, accepts connections, and shuts down. `Handlers` handles the requests."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self, Unpack

from aiohttp import web

from .._core.checks import checked_integer
from ._aiohttp import protocol_factory
from ._config import HubConfig, HubOptions
from ._descriptors import Outages, available
from ._handlers import Handlers

_SPARE = 200  # connections for pushes and pages, besides those of subscribers

logger = logging.getLogger("webmqconnect_async.hub")


class Hub:
    """A hub with its own port: `async with Hub(port=0, keys={"app": "s3cret"}) as hub: hub.url`.

    Args:
        host: the name or address to bind to. Any other than loopback requires `keys`.
        port: 0 chooses a free port.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: an argument cannot be used; the message names it.
        ImportError: `ticket_keys` is given, and PyJWT is not installed.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080, **options: Unpack[HubOptions]) -> None:
        self._port = checked_integer("port", port, 0, 65535)
        self.config: HubConfig = HubConfig(host=host, **options)
        self._authority: str | None = None
        self._handlers: Handlers | None = None
        self._running = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Hub {'not running' if self._authority is None else self.url}>"

    @property
    def url(self) -> str:
        """The URL to push to, and of the live page: `http://127.0.0.1:43211`. The Crossbar dialect uses `/publish`.

        Raises:
            RuntimeError: the hub is not running.
        """
        if self._authority is None:
            raise RuntimeError("the hub is not running: it has a URL from start() to close()")
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """The URL to subscribe at, with WAMP v1 or v2: `ws://127.0.0.1:43211/ws`."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def metrics_url(self) -> str | None:
        """The URL of the metrics: `http://127.0.0.1:9100/metrics`; `None` if the hub has none, or is not running."""
        metrics = self._handlers.metrics if self._handlers is not None else None
        return None if metrics is None else f"http://{_authority(*metrics.address)}/metrics"

    async def start(self) -> None:
        """Bind the port and serve.

        The soft limit of open files is raised if the hub needs more. If it cannot be raised as far, the hub accepts
        fewer subscribers and logs a warning.

        Raises:
            ConnectionError: the backplane cannot be used; the message says why.
            ImportError: `metrics` or `backplane` is given, and what it needs is not installed.
            OSError: a port is in use, or a host cannot be bound to. If it is the address of the metrics, `filename` is
                that address.
            RuntimeError: the hub is running already.
        """
        if self._handlers is not None:
            raise RuntimeError("the hub is already running")
        loop = asyncio.get_running_loop()
        config, connections = _within_limit(self.config)
        self._handlers = handlers = Handlers(config, alone=True)
        # Half of `grace` is for subscribers. aiohttp may wait for twice its timeout.
        runner = web.AppRunner(handlers.app(), shutdown_timeout=config.grace / 5)
        self._running.push_async_callback(runner.cleanup)
        try:
            await runner.setup()
            if handlers.metrics is not None:
                handlers.metrics.server = runner.server
            factory = protocol_factory(runner, connections, config.keepalive)
            server = await loop.create_server(factory, config.host, self._port)
            self._running.callback(server.close)
            self._running.callback(Outages(loop).close)
        except BaseException:
            await self.close()
            raise
        self._authority = _authority(*server.sockets[0].getsockname()[:2])

    async def drain(self, seconds: float) -> None:
        """Keep serving for a number of seconds, while `/readyz` responds with 503. Call it before `close`.

        Load balancers use the time to send new requests to other hubs.
        """
        if self._handlers is not None:
            self._handlers.ready = False
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Free the port, close the subscribers' connections (1001), and finish requests in progress. Idempotent.

        It takes at most `grace` seconds.
        """
        self._authority = None
        if self._handlers is not None:
            self._handlers.ready = False
            self._handlers = None
        await self._running.pop_all().aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def create_app(host: str = "127.0.0.1", **options: Unpack[HubOptions]) -> web.Application:
    """Return a hub as an aiohttp application, to serve or to mount.

    After `parent.add_subapp("/hub/", create_app(...))` it accepts pushes at `/hub/`, pushes of the Crossbar dialect at
    `/hub/publish`, and subscribers at `/hub/ws`. The server around it is yours to configure:

    - aiohttp's access log shows request lines, which contain the signatures of pushes. So do its response to a request
      that it cannot parse, and its log of the error.
    - Limits of the number of connections, the size of headers, and the time that slow peers may take are those of the
      server.
    - Only one process can bind the port of `metrics`.
    - The hub cannot see what the server is bound to, or which requests a proxy in front of it forwards. Give it keys
      unless every client may push, and keys for subscribers or tickets unless every client may read.
    - Each worker process has a hub of its own, which a push to another worker does not reach without a `backplane`. A
      warning is logged under gunicorn with several workers; nothing else is detected.

    Args:
        host: the name or address that the server is bound to.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: an argument cannot be used; the message names it.
        ImportError: `metrics`, `ticket_keys` or `backplane` is given, and what it needs is not installed.
    """
    config = HubConfig(host=host, **options)
    app = Handlers(config).app()
    if config.backplane is None:
        app.on_startup.append(_warn_about_workers)
    return app


async def _warn_about_workers(_app: web.Application) -> None:
    """Warn in the second worker of gunicorn: when the arbiter forked it, there was one other worker."""
    arbiter = getattr(sys.modules.get("gunicorn.arbiter"), "Arbiter", None)
    if len(getattr(arbiter, "WORKERS", ())) == 1:
        logger.warning(
            "each gunicorn worker has a hub of its own, and a push reaches the subscribers of one only: use 1 worker, "
            "or run `webmqconnect hub` beside the application"
        )


def _within_limit(config: HubConfig) -> tuple[HubConfig, int]:
    """Return the configuration with as many subscribers as there are descriptors for, and the number of connections."""
    connections = available(config.max_connections + _SPARE)
    subscribers = min(config.max_connections, max(1, connections - min(_SPARE, connections // 2)))
    if subscribers == config.max_connections:
        return config, connections
    logger.warning(
        "max_connections is %d instead of %d, because the limit of open files is too low (see ulimit -n, or "
        "LimitNOFILE of systemd)",
        *(subscribers, config.max_connections),
    )
    return replace(config, max_connections=subscribers), connections


def _authority(address: str, port: int) -> str:
    """Return the authority that a client on this machine can connect to."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  # compared, not bound to
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
