"""Metrics in the format of Prometheus, on a port of their own. They need the extra `metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing

from aiohttp import web

from ._aiohttp import protocol_factory, text_response
from ._host_and_origin import Gate

try:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    problem = "metrics need prometheus_client: pip install 'webmqconnect-async[metrics]'"
    raise ModuleNotFoundError(problem, name=error.name) from None

__all__ = ["CounterMetricFamily", "Exposition", "GaugeMetricFamily", "HistogramMetricFamily", "Metric"]

_CONNECTIONS = 20  # maximum number of connections to the port of the metrics
_KEEPALIVE = 75.0  # seconds to keep an idle connection, longer than Prometheus waits between two scrapes

# A registry of its own, because the collector reads files in /proc, which would block the event loop.
_process = CollectorRegistry()
ProcessCollector(registry=_process)


class Exposition(Collector):
    """Serves the metrics that the `collect` of a subclass yields, at a host and a port; 0 chooses a free one."""

    def __init__(self, address: tuple[str, int], allow_hosts: Collection[str] = ()) -> None:
        self.address: tuple[str, int] = address
        self._gate = Gate(address[0], allow_hosts, ())
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def refresh(self) -> None:
        """Fetch what `collect` needs. Called before each scrape."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the metrics. If the port cannot be bound, the `filename` of the OSError is the address."""
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        runner = web.AppRunner(app, shutdown_timeout=0.05)  # Prometheus scrapes again
        await runner.setup()
        try:
            factory = protocol_factory(runner, _CONNECTIONS, _KEEPALIVE)
            host, port = self.address
            try:
                server = await asyncio.get_running_loop().create_server(factory, host, port)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
            self.address = server.sockets[0].getsockname()[:2]
            with closing(server):
                yield
        finally:
            await runner.cleanup()

    async def _scrape(self, request: web.Request) -> web.Response:
        if denial := self._gate.host(request.headers.get("Host")):
            return text_response(403, str(denial))
        await self.refresh()
        body = generate_latest(self._registry) + await asyncio.to_thread(generate_latest, _process)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
