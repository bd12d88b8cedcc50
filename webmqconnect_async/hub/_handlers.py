"""The HTTP handlers: `POST /` and `/publish` for pushes, `/ws` for subscribers, and `GET /` for the page.

They decide nothing themselves: `_pushes`, `Gate` and `Broker` do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler

from .._core.escape import visible
from .._core.transports import abort
from . import _page
from ._aiohttp import BODY_ERRORS, expect, malformed, oversized, sent_early, text_response
from ._broker import Broker
from ._config import HubConfig
from ._console import Console, Watcher
from ._fairness import Turns
from ._host_and_origin import is_own_page
from ._log import Log
from ._observer import Observer
from ._push_handlers import CROSSBAR, WEBMQ, PushHandlers, not_published
from ._refusals import deny, peer_of, refuse
from ._session import Session
from ._websocket import PROTOCOLS, SubscriberSocket

if TYPE_CHECKING:
    from ._metrics import Metrics

_VERSIONS = (HttpVersion11, HttpVersion10)
"""aiohttp would also respond to HTTP/0.9, without headers, and to anything that it parses as HTTP/2.0."""

logger = logging.getLogger("webmqconnect_async.hub")


class Handlers:
    """The handlers of one hub, and its broker.

    `alone` says whether the hub has its own server. Otherwise, another application may add headers to the responses.
    """

    def __init__(self, config: HubConfig, *, alone: bool = False) -> None:
        self._config = config
        self._gate = config._gate
        observers: list[Observer] = [Log()]
        self._broker = Broker(config, observers)
        if config._backplane is not None:
            from ._engine.stream import StreamEngine  # needs an extra

            self._broker.engine = StreamEngine(config._backplane, config, self._broker)
        self._pushes = PushHandlers(self._broker, alone=alone)
        self._console = None if config.console_token is None else Console(self._broker, self._pushes.admit)
        if self._console is not None:
            observers.append(self._console)
        self._sockets: set[SubscriberSocket] = set()
        self.ready = True  # whether `/readyz` lets load balancers send requests here; false while the hub shuts down
        self.metrics: Metrics | None = None
        if config._metrics_address is not None:
            from ._metrics import Metrics  # needs an extra

            self.metrics = Metrics(config._metrics_address, self._broker, config.allow_hosts)
            observers.append(self.metrics)
        self._turns = Turns()

    def app(self) -> web.Application:
        app = web.Application()

        def add(method: str, path: str, handler: Handler) -> None:
            app.router.add_route(method, path, self._guarded(handler), expect_handler=expect)

        add("POST", "/", partial(self._pushes.push, WEBMQ))
        add("GET", "/ws", self._subscribe)
        for path in ("/publish", "/publish/"):
            for method in ("POST", "PUT"):
                add(method, path, partial(self._pushes.push, CROSSBAR))
            add("OPTIONS", path, self._pushes.preflight)
            add("*", path, not_published)
        pages = {"/": _page.index, "/hub.json": _page.facts(self._config), **_page.ASSETS}
        for path, page in pages.items():
            for method in ("GET", "HEAD"):
                add(method, path, page)
        add("*", "/", _not_allowed)
        if self._console is not None:
            add("GET", "/console", partial(self._watch, self._console))
        # Not guarded: probes address a container by its address or name, and the responses reveal nothing.
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/readyz", self._readiness)
        app.on_shutdown.append(self._close_sockets)
        app.cleanup_ctx.append(self._run_engine)
        if (metrics := self.metrics) is not None:
            app.cleanup_ctx.append(lambda _app: metrics.serving())
        return app

    def _guarded(self, handler: Handler) -> Handler:
        """Refuse requests for other hosts, and respond to exceptions without showing them.

        A middleware would do the same at three times the cost.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            if denial := self._gate.host(request.headers.get("Host")):
                return deny(self._broker, "request", denial, request)
            if refusal := oversized(request):
                return refusal
            if request.version not in _VERSIONS:
                return refuse(self._broker, "request", 505, "HTTP/1.0 or HTTP/1.1 is expected here", request)
            if not request.raw_path.startswith("/"):
                return text_response(404, "not found")  # `POST http://hub/ HTTP/1.1` is for proxies
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except BODY_ERRORS:
                return malformed()
            except TimeoutError:
                response = refuse(self._broker, "request", 408, "the body did not arrive in time", request)
                response.force_close()
                return response
            except Exception:
                logger.exception("a request failed")
                return text_response(500, "internal server error")

        return guarded

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        config, headers = self._config, request.headers
        if denial := self._gate.subscriber(headers.get("Origin"), headers.get("Host")):
            return deny(self._broker, "subscriber", denial, request)
        lines = headers.getall("Sec-WebSocket-Protocol", ())
        if len(lines) > 1:  # they are one list (RFC 6455, 11.3.4), of which aiohttp reads the first line only
            merged = headers.copy()
            merged["Sec-WebSocket-Protocol"] = ",".join(lines)
            request = request.clone(headers=merged)
        offered = map(str.strip, ",".join(lines).split(","))
        subprotocol = next((each for each in offered if each in PROTOCOLS), None)
        status, remedy = 400, ""
        if subprotocol is None:
            reason = f"connect a WebSocket here, with the subprotocol {' or '.join(PROTOCOLS)}"
        elif not headers.get("Sec-WebSocket-Key", "").isascii():
            # aiohttp refuses any other invalid base64, but raises an exception over this.
            reason = "Sec-WebSocket-Key is not base64"
        elif not web.WebSocketResponse(protocols=(subprotocol,)).can_prepare(request):
            reason = "the request is not a WebSocket handshake"
        elif sent_early(request):
            reason = "too much data was sent before the response to the handshake"
        elif self._broker.full:
            status, reason = 503, f"the hub has its maximum number of subscribers ({config.max_connections})"
            remedy = f"--max-connections {2 * config.max_connections}"
        else:
            open_session = partial(self._broker.open, PROTOCOLS[subprotocol])
            return await self._serve_session(request, open_session, self._broker.close)
        return refuse(self._broker, "subscriber", status, reason, request, remedy)

    async def _watch(self, console: Console, request: web.Request) -> web.StreamResponse:
        headers, remedy = request.headers, ""
        if not is_own_page(headers.get("Origin"), headers.get("Host")):
            status, origin = 403, visible(headers["Origin"], 100)
            reason = f"origin '{origin}' may not open the console, only the hub's own page may"
            remedy = "a proxy in front of the hub must forward the Host header; nginx: proxy_set_header Host $http_host"
        elif headers.get("Sec-WebSocket-Protocol") != Watcher.subprotocol:
            status = 401
            reason = "connect a WebSocket here, and send the token of the console in its first message"
        elif console.full:
            status, reason = 503, "too many connections wait for the console"
        else:
            return await self._serve_session(request, console.open, console.close)
        return refuse(self._broker, "request", status, reason, request, remedy)

    async def _serve_session(
        self,
        request: web.Request,
        open_session: Callable[[Callable[[], None], str], Session],
        close_session: Callable[[Session], None],
    ) -> web.StreamResponse:
        if request.transport is None:
            raise ConnectionResetError("the connection is closed")
        # The session is opened before the first await, so that `full` counts handshakes in progress.
        session = open_session(partial(abort, request.transport), peer_of(request))
        socket = SubscriberSocket(request.transport, session, self._config, self._turns)
        self._sockets.add(socket)
        try:
            return await socket.serve(request)
        finally:
            self._sockets.discard(socket)
            close_session(session)

    async def _close_sockets(self, _app: web.Application) -> None:
        self.ready = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.grace / 2):  # the other half is for requests in progress
                await asyncio.gather(*(socket.leave() for socket in self._sockets), return_exceptions=True)
        for socket in self._sockets:
            socket.abort()

    async def _run_engine(self, _app: web.Application) -> AsyncIterator[None]:
        try:
            await self._broker.engine.start()
            yield
        finally:
            await self._broker.engine.close()

    async def _readiness(self, _request: web.Request) -> web.Response:
        if not self.ready:
            return text_response(503, "shutting down")
        # The response does not have the reason, which may contain an address.
        unready = self._broker.engine.unready
        return text_response(503, "the backplane cannot be used") if unready else text_response(200, "ready")


async def _healthy(_request: web.Request) -> web.Response:
    return text_response(200, "ok")


async def _not_allowed(request: web.Request) -> web.Response:
    # RFC 9110, 15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
    return text_response(405, f"HTTP/{request.method} not allowed", Allow="GET, HEAD, POST")
