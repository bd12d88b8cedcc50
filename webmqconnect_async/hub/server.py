"""The hub over aiohttp: `POST /` takes pushes, `/ws` subscribers, `GET /` answers with the live page.

It decides nothing: `judge` does, and `Gate`, and `Sessions`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Self, Unpack

from aiohttp import StreamReader, WSCloseCode, web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from . import page, wamp1
from .config import HubConfig, HubOptions
from .judge import Accepted, Refused, judge, judge_head
from .sessions import Sessions
from .subscriber import Subscriber

__all__ = ["Hub", "create_app"]

_KEEPALIVE = 75.0
"""Seconds that a connection may idle: well over what clients keep theirs for."""

_LINGERING = 1.0
"""Seconds that the rest of a refused body may still come, so that the peer reads the answer and no reset."""

_MAX_LINE = 1 << 14
"""Bytes of a request line, the original's limit: about 700 sessions to exclude."""

_SHUTDOWN = 2.0
"""Seconds that requests in progress have when the hub closes."""

_PATIENCE = 10.0
"""Seconds that a push's body may take to arrive."""

_SPARE = 200
"""Connections beyond the subscribers', for pushes and pages."""

logger = logging.getLogger("webmqconnect_async.hub")


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
        """Where to push, and the page's address: `http://127.0.0.1:43211`.

        Raises:
            RuntimeError: the hub does not run.
        """
        if self._authority is None:
            raise RuntimeError("the hub does not run: it has a URL from start() to close()")
        return f"http://{self._authority}"

    @property
    def ws_url(self) -> str:
        """Where to subscribe: `ws://127.0.0.1:43211/ws`."""
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
            _Endpoints(self.config).app(),
            access_log=None,  # it would hold each push's signature
            logger=_http_log(),
            keepalive_timeout=_KEEPALIVE,
            lingering_time=_LINGERING,
            max_line_size=_MAX_LINE,
            shutdown_timeout=_SHUTDOWN,
        )
        self._runner = runner
        try:
            await runner.setup()
            # Not a TCPSite: it takes any number of connections, and descriptors run out.
            self._server = await asyncio.get_running_loop().create_server(
                _limited(runner, self.config.max_connections + _SPARE), self.config.host, self._port
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

    After `parent.add_subapp("/hub/", create_app(...))` it takes pushes at `/hub/` and subscribers at `/hub/ws`. Mind
    that aiohttp's access log shows request lines, and with them the signatures of pushes; that the number of
    connections is the server's to limit; and that the hub cannot see what the server is bound to, nor whom a proxy
    before it lets in: where that may be anybody, give it keys, and subscriber keys where not everybody may read.

    Args:
        host: what the server around it is bound to.
        options: see `HubConfig`.

    Raises:
        ValueError, TypeError: naming the argument.
    """
    return _Endpoints(HubConfig(host=host, **options)).app()


class _Endpoints:
    """The handlers of one hub."""

    def __init__(self, config: HubConfig) -> None:
        self._config = config
        self._sessions = Sessions(config)
        self._subscribers: set[Subscriber] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/", self._guarded(self._push))
        app.router.add_get("/", self._guarded(page.index))
        app.router.add_route("*", "/", self._guarded(_not_allowed))
        app.router.add_get("/ws", self._guarded(self._subscribe), allow_head=False)
        for path, asset in page.ASSETS.items():
            app.router.add_get(path, self._guarded(asset))
        app.on_shutdown.append(self._goodbye)
        return app

    def _guarded(self, handler: Handler) -> Handler:
        """Refuse foreign Hosts, and let no exception of ours reach the peer.

        A middleware would say the same at three times the cost.
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            if reason := self._config.gate.host(request.headers.get("Host")):
                return _text(403, reason)
            if not request.raw_path.startswith("/"):
                return _text(404, "not found")  # `POST http://hub/ HTTP/1.1` is for proxies
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except (ConnectionError, HttpProcessingError, web.RequestPayloadError):
                return _text(400, "the request broke off or is malformed")
            except TimeoutError:
                late = _text(408, "the body came too slowly")
                late.force_close()
                return late
            except Exception:
                logger.exception("a request failed")
                return _text(500, "internal server error")

        return guarded

    async def _push(self, request: web.Request) -> web.Response:
        origin = request.headers.get("Origin")
        if reason := self._config.gate.push(origin):
            return _text(403, reason)
        answer = await self._judged(request)
        if origin is not None:
            # A script that may not read the answer would take it for a failure, and push again.
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Vary"] = "Origin"
        return answer

    async def _judged(self, request: web.Request) -> web.Response:
        config = self._config
        content_type = request.headers.get("Content-Type")
        verdict = judge_head(content_type, request.content_length or 0, config.max_body) or judge(
            request.raw_path.partition("?")[2],
            content_type,
            await _body(request.content, config.max_body + 1),
            config.clock(),
            config.credentials,
            max_body=config.max_body,
            max_topic=config.max_topic,
        )
        if isinstance(verdict, Refused):
            return _refusal(verdict)
        if (refused := self._admit(verdict)) is not None:
            return _refusal(refused)
        self._sessions.deliver(verdict.topic, verdict.event, verdict.eligible, verdict.exclude)
        return web.Response(status=202)

    def _admit(self, push: Accepted) -> Refused | None:
        if self._config.admit is None:
            return None
        try:
            return self._config.admit(push)
        except Exception:
            # Here and not in `_guarded`: to that, a ConnectionError or a TimeoutError is the peer's doing.
            logger.exception("admit failed: the push is refused")
            return Refused(500, "internal server error")

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        if reason := self._config.gate.subscriber(headers.get("Origin"), headers.get("Host")):
            return _text(403, reason)
        offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
        if wamp1.SUBPROTOCOL not in map(str.strip, offered):
            return _text(400, f"a WebSocket of subprotocol '{wamp1.SUBPROTOCOL}' is expected here")
        if self._sessions.full:
            return _text(503, f"the hub has as many subscribers as it may ({self._config.max_connections})")
        if request.transport is None:
            raise ConnectionResetError("the peer has gone")
        # Its session is counted from here on, before the first await: the limit holds for any number that come at once.
        subscriber = Subscriber(request.transport, self._sessions, max_message=self._config.max_message)
        self._subscribers.add(subscriber)
        try:
            return await subscriber.serve(request)
        finally:
            self._subscribers.discard(subscriber)

    async def _goodbye(self, _app: web.Application) -> None:
        await asyncio.gather(*(subscriber.close(WSCloseCode.GOING_AWAY) for subscriber in self._subscribers))


async def _not_allowed(request: web.Request) -> web.Response:
    return _text(405, f"HTTP/{request.method} not allowed", Allow="GET, HEAD, POST")


async def _body(content: StreamReader, most: int) -> bytes:
    """Return the body, or only its first bytes where it has more: a chunked one does not say its length before."""
    body = b""
    # All of it is there as a rule, and a timeout is a tenth of what a push costs.
    async with nullcontext() if content.is_eof() else asyncio.timeout(_PATIENCE):
        while len(body) < most and not content.at_eof():
            body += await content.read(most - len(body))
    return body


class _TurnedAway(asyncio.Protocol):
    """A connection more than there may be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _limited(runner: web.AppRunner, most: int) -> Callable[[], asyncio.BaseProtocol]:
    """Return what makes a connection's protocol, and turns away those beyond so many."""
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    return lambda: server() if len(server.connections) < most else _TurnedAway()


def _text(status: int, reason: str, **headers: str) -> web.Response:
    # `nosniff`, as a reason quotes the caller: no browser is to take it for markup.
    return web.Response(status=status, text=f"{reason}\n", headers={"X-Content-Type-Options": "nosniff", **headers})


def _refusal(refused: Refused) -> web.Response:
    answer = _text(refused.status, refused.reason)
    if refused.retry_after is not None:
        answer.headers["Retry-After"] = str(refused.retry_after)
    return answer


def _authority(address: str, port: int) -> str:
    """Return what a client on this machine can connect to."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104  # compared, not bound to
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def _http_log() -> logging.Logger:
    log = logging.getLogger("webmqconnect_async.hub.http")
    log.addFilter(_quotes_no_request)
    return log


def _quotes_no_request(record: logging.LogRecord) -> bool:
    # aiohttp logs a request that is not HTTP as an error, quoting it: with its signature, and as often as anyone likes.
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
