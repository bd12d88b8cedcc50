"""What each path of the hub answers: `POST /` and `/publish` take pushes, `/ws` subscribers, `GET /` is the live page.

It decides nothing: `judge` and `bridge` do, and `Gate`, and `Sessions`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from ..signing import Credentials
from . import _page as page
from ._broker import SUBPROTOCOLS, Sessions
from ._config import HubConfig
from ._pushes import crossbar as bridge
from ._pushes import webmq as judge
from ._pushes.verdicts import Accepted, Refused, Verdict
from ._subscriber import Subscriber
from ._wamp2.session import new_id

__all__ = ["Endpoints", "unparsable"]

_PATIENCE = 10.0
"""Seconds that a push's body may take to arrive."""

_VERSIONS = (HttpVersion11, HttpVersion10)
"""What has an answer with a head: aiohttp would speak HTTP/0.9, too, and what it takes for HTTP/2.0."""

_BRIDGE_METHODS = "POST, PUT, OPTIONS"

_MALFORMED = "the request broke off or is malformed"

_ASIDE = {"X-Content-Type-Options": "nosniff"}
"""As a reason quotes the caller, no browser is to take it for markup."""

logger = logging.getLogger("webmqconnect_async.hub")


class Endpoints:
    """The handlers of one hub, and what they share: its subscribers."""

    def __init__(self, config: HubConfig) -> None:
        self._config = config
        self._sessions = Sessions(config)
        self._subscribers: set[Subscriber] = set()

    def app(self) -> web.Application:
        """Return an application of them all."""
        app = web.Application()
        app.router.add_post("/", self._guarded(partial(self._push, _WEBMQ)))
        app.router.add_get("/", self._guarded(page.index))
        app.router.add_route("*", "/", self._guarded(_not_allowed))
        for method in ("POST", "PUT"):
            app.router.add_route(method, "/publish", self._guarded(partial(self._push, _CROSSBAR)))
        app.router.add_options("/publish", self._guarded(self._preflight))
        app.router.add_route("*", "/publish", self._guarded(_not_published))
        app.router.add_get("/ws", self._guarded(self._subscribe), allow_head=False)
        app.router.add_get("/hub.json", self._guarded(page.facts(self._config)))
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
            if request.version not in _VERSIONS:
                return _text(505, "HTTP/1.0 or HTTP/1.1 is expected here")
            if not request.raw_path.startswith("/"):
                return _text(404, "not found")  # `POST http://hub/ HTTP/1.1` is for proxies
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except (ConnectionError, HttpProcessingError, web.RequestPayloadError):
                return _text(400, _MALFORMED)
            except TimeoutError:
                late = _text(408, "the body came too slowly")
                late.force_close()
                return late
            except Exception:
                logger.exception("a request failed")
                return _text(500, "internal server error")

        return guarded

    async def _push(self, wire: _PushWire, request: web.Request) -> web.Response:
        config = self._config
        origin = request.headers.get("Origin")
        if reason := config.gate.push(origin):
            return _text(403, reason)
        content_type = request.headers.get("Content-Type")
        verdict = wire.judge_head(content_type, request.content_length or 0, config.max_body) or wire.judge(
            request.raw_path.partition("?")[2],
            content_type,
            await _body(request.content, config.max_body + 1),
            config.clock(),
            config.credentials,
            max_body=config.max_body,
            max_topic=config.max_topic,
        )
        answer = self._answer(wire, verdict, request)
        if origin is not None:
            # A script that may not read the answer would take it for a failure, and push again.
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Vary"] = "Origin"
        return answer

    def _answer(self, wire: _PushWire, verdict: Verdict, request: web.Request) -> web.Response:
        """Carry a verdict out, and return how the push is answered."""
        if isinstance(verdict, Accepted):
            verdict = self._admit(verdict)
        elif verdict.forged:
            logger.warning("a push from %s failed to authenticate: wrong key or signature", _peer(request))
        if isinstance(verdict, Refused):
            answer = wire.refusal(verdict)
            if verdict.retry_after is not None:
                answer.headers["Retry-After"] = str(verdict.retry_after)
            return answer
        publication_id = new_id()
        self._sessions.deliver(verdict, publication_id)
        return wire.receipt(publication_id)

    def _admit(self, push: Accepted) -> Verdict:
        if self._config.admit is None:
            return push
        try:
            return self._config.admit(push) or push
        except Exception:
            # Here and not in `_guarded`: to that, a ConnectionError or a TimeoutError is the peer's doing.
            logger.exception("admit failed: the push is refused")
            return Refused(500, "internal server error")

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        if reason := self._config.gate.subscriber(headers.get("Origin"), headers.get("Host")):
            return _text(403, reason)
        offered = map(str.strip, headers.get("Sec-WebSocket-Protocol", "").split(","))
        subprotocol = next((each for each in offered if each in SUBPROTOCOLS), None)
        if subprotocol is None:
            return _text(400, f"a WebSocket of subprotocol {' or '.join(SUBPROTOCOLS)} is expected here")
        if not headers.get("Sec-WebSocket-Key", "").isascii():
            # Of what is no base64, all else is refused by aiohttp; over this it breaks.
            return _text(400, "Sec-WebSocket-Key is not base64")
        if self._sessions.full:
            return _text(503, f"the hub has as many subscribers as it may ({self._config.max_connections})")
        if request.transport is None:
            raise ConnectionResetError("the peer has gone")
        # Its session is counted from here on, before the first await: the limit holds for any number that come at once.
        subscriber = Subscriber(
            request.transport,
            subprotocol,
            self._sessions,
            peer=_peer(request),
            max_message=self._config.max_message,
        )
        self._subscribers.add(subscriber)
        try:
            return await subscriber.serve(request)
        finally:
            self._subscribers.discard(subscriber)

    async def _goodbye(self, _app: web.Application) -> None:
        await asyncio.gather(*(subscriber.leave() for subscriber in self._subscribers))

    async def _preflight(self, request: web.Request) -> web.Response:
        """Answer the question that a browser asks before it lets a script post JSON."""
        origin = request.headers.get("Origin")
        if reason := self._config.gate.push(origin):
            return _text(403, reason)
        answer = web.Response(headers={"Allow": _BRIDGE_METHODS})
        if origin is not None:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Methods"] = _BRIDGE_METHODS
            answer.headers["Access-Control-Allow-Headers"] = "Content-Type"
            answer.headers["Vary"] = "Origin"
        return answer


class _Judge(Protocol):
    """Judges a whole request."""

    def __call__(
        self,
        query: str,
        content_type: str | None,
        body: bytes,
        now: float,
        keys: Mapping[str, Credentials],
        *,
        max_body: int,
        max_topic: int,
    ) -> Verdict: ...


@dataclass(frozen=True)
class _PushWire:
    """How pushes are judged and answered."""

    judge_head: Callable[[str | None, int, int], Refused | None]
    judge: _Judge
    refusal: Callable[[Refused], web.Response]
    receipt: Callable[[int], web.Response]
    """Given the ID of the publication."""


def _bridge_refusal(refused: Refused) -> web.Response:
    said = {"error": refused.reason, "args": [], "kwargs": {}}
    return web.json_response(said, status=refused.status, headers=_ASIDE)


_WEBMQ = _PushWire(
    judge.judge_head,
    judge.judge,
    refusal=lambda refused: _text(refused.status, refused.reason),
    receipt=lambda _: web.Response(status=202),
)
_CROSSBAR = _PushWire(
    bridge.judge_head,
    bridge.judge_publish,
    refusal=_bridge_refusal,
    receipt=lambda publication_id: web.json_response({"id": publication_id}),
)


def unparsable(error: HttpProcessingError, *, max_target: int, max_header: int, max_headers: int) -> web.Response:
    """Return the response to a request that aiohttp cannot parse. Nothing of the request is in it.

    The error quotes the request, which may hold a signature that was computed for another broker, or a valid one.

    Args:
        error: the parser's.
        max_target: the parser's limit of the request target, in bytes.
        max_header: its limit of one header, in bytes; another number.
        max_headers: its limit of the number of headers.
    """
    if isinstance(error, LineTooLong):
        _, limit, _ = error.args
        if limit == max_target:
            return _text(
                414,
                f"the request target is longer than {max_target} bytes: name fewer session IDs in eligible and exclude",
            )
        return _text(400, f"a header is longer than {max_header} bytes")
    if error.message == "Too many headers received":
        return _text(400, f"the request has more than {max_headers} headers")
    return _text(400, _MALFORMED)


async def _not_published(request: web.Request) -> web.Response:
    said = f"Method not accepted by the REST bridge. ('{request.method}' not allowed, only POST, PUT)"
    answer = _bridge_refusal(Refused(405, said))
    answer.headers["Allow"] = _BRIDGE_METHODS
    return answer


async def _not_allowed(request: web.Request) -> web.Response:
    return _text(405, f"HTTP/{request.method} not allowed", Allow="GET, HEAD, POST")


def _peer(request: web.BaseRequest) -> str:
    """Return the address of the peer, or of the proxy before it, as the log is to show it."""
    return request.remote or "an unknown address"


async def _body(content: StreamReader, most: int) -> bytes:
    """Return the body, or only its first bytes where it has more: a chunked one does not say its length before."""
    if content.is_eof():  # all of it is there, as a rule
        return content.read_nowait(most)
    body = b""
    async with asyncio.timeout(_PATIENCE):
        while len(body) < most and not content.at_eof():
            body += await content.read(most - len(body))
    return body


def _text(status: int, reason: str, **headers: str) -> web.Response:
    return web.Response(status=status, text=f"{reason}\n", headers={**_ASIDE, **headers})
