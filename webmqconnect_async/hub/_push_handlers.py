"""The HTTP handlers of pushes. `_pushes` judges them, and `Broker` delivers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from aiohttp import hdrs, web

from .._core.idempotency import IDEMPOTENCY_KEY, REPLAYED
from ._aiohttp import keep, read_body, text_response
from ._broker import Broker
from ._engine.engine import Published, Repeated
from ._idempotency import fingerprint_of
from ._observer import Refusal
from ._pushes import crossbar, webmq
from ._pushes.verdicts import Accepted, Refused, Rules
from ._receipt import PUBLICATION, PUBLICATION_ID, RECEIPT, may_be_short
from ._refusals import deny, peer_of

_BRIDGE_METHODS = "POST, PUT, OPTIONS"

logger = logging.getLogger("webmqconnect_async.hub")


class PushHandlers:
    """The handlers of pushes to one hub. `alone` is as for `Handlers`."""

    def __init__(self, broker: Broker, *, alone: bool) -> None:
        self._config = config = broker.config
        self._broker = broker
        self._alone = alone
        self._gate = config._gate
        self._rules = Rules(config._credentials, config.max_body, config.max_topic)

    async def push(self, push_format: PushFormat, request: web.Request) -> web.StreamResponse:
        began = perf_counter()
        origin = request.headers.get(hdrs.ORIGIN)  # an istr, which multidict looks up in a third of the time of a str
        if denial := self._gate.push(origin):
            return deny(self._broker, "push", denial, request)
        rules = self._rules
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        verdict: Accepted | Refused | None
        verdict = push_format.judge_head(content_type, request.content_length or 0, rules.max_body)
        if verdict is None:
            query = request.raw_path.partition("?")[2]
            body = await read_body(request, rules.max_body + 1)
            verdict = push_format.judge(query, content_type, body, self._config.clock(), rules)
        published = self._publish(verdict, request, began) if isinstance(verdict, Accepted) else verdict
        if isinstance(published, asyncio.Future):
            published = await published
        if isinstance(published, Repeated) and isinstance(verdict, Accepted):
            self._broker.repeated(verdict, published.publication_id)
        response = self._respond(push_format, published, request)
        if origin is not None:
            # Without these, a script could not read the response, would report a failure, and might push again.
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = f"{PUBLICATION}, {REPLAYED}"
            response.headers["Vary"] = "Origin"
        return response

    def _publish(self, push: Accepted, request: web.Request, began: float) -> Published | asyncio.Future[Published]:
        """Publish an event, unless it is repeated or the application refuses it."""
        fingerprint = None
        if IDEMPOTENCY_KEY in request.headers:
            found = fingerprint_of(push, request.headers.getall(IDEMPOTENCY_KEY))
            if isinstance(found, Refused):
                return found
            if (known := self._broker.engine.find(found)) is not None:
                return Repeated(known) if isinstance(known, int) else known
            fingerprint = found
        admitted = self.admit(push)
        return admitted if isinstance(admitted, Refused) else self._broker.engine.publish(admitted, fingerprint, began)

    def _respond(self, push_format: PushFormat, published: Published, request: web.Request) -> web.StreamResponse:
        if isinstance(published, int):
            keep(request)
            if self._alone and push_format is WEBMQ and may_be_short(request):
                request[PUBLICATION_ID] = published
                return RECEIPT
            return push_format.receipt(published)
        if isinstance(published, Repeated):
            receipt = push_format.receipt(published.publication_id)
            receipt.headers[REPLAYED] = "true"
            return receipt
        reason = "wrong key or signature" if published._forged else published.reason  # the reason may quote the key
        refusal = Refusal("push", reason, published._remedy, peer_of(request), published.status, published._forged)
        self._broker.refused(refusal)
        response = push_format.refusal(published)
        if published.retry_after is not None:
            response.headers["Retry-After"] = str(published.retry_after)
        return response

    def admit(self, push: Accepted) -> Accepted | Refused:
        """Ask the application about a push."""
        if self._config.admit is None:
            return push
        try:
            return self._config.admit(push) or push
        except Exception:
            # Not left to `Handlers`, which would attribute a ConnectionError or a TimeoutError to the connection.
            logger.exception("admit failed: the push is refused")
            return Refused(500, "internal server error")

    async def preflight(self, request: web.Request) -> web.Response:
        """Respond to the preflight request that a browser sends before it lets a script of another origin post JSON.

        The Fetch standard requires it, because `application/json` is not a CORS-safelisted content type.
        """
        origin = request.headers.get("Origin")
        if denial := self._gate.push(origin):
            return deny(self._broker, "push", denial, request)
        response = web.Response(headers={"Allow": _BRIDGE_METHODS})
        if origin is not None:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = _BRIDGE_METHODS
            response.headers["Access-Control-Allow-Headers"] = f"Content-Type, {IDEMPOTENCY_KEY}"
            response.headers["Vary"] = "Origin"
        return response


@dataclass(frozen=True)
class PushFormat:
    """How pushes are judged and responded to."""

    judge_head: Callable[[str | None, int, int], Refused | None]
    judge: Callable[[str, str | None, bytes, float, Rules], Accepted | Refused]
    refusal: Callable[[Refused], web.Response]
    receipt: Callable[[int], web.Response]  # called with the ID of the publication


def _bridge_refusal(refused: Refused) -> web.Response:
    content = {"error": refused.reason, "args": [], "kwargs": {}}
    return web.json_response(content, status=refused.status, headers={"X-Content-Type-Options": "nosniff"})


WEBMQ = PushFormat(
    webmq.judge_head,
    webmq.judge,
    refusal=lambda refused: text_response(refused.status, refused.reason),
    receipt=lambda publication_id: web.Response(status=202, headers={PUBLICATION: str(publication_id)}),
)
CROSSBAR = PushFormat(
    crossbar.judge_head,
    crossbar.judge,
    refusal=_bridge_refusal,
    receipt=lambda publication_id: web.json_response({"id": publication_id}),
)


async def not_published(request: web.Request) -> web.Response:
    """Refuse a request whose method is not that of a push."""
    reason = f"Method not accepted by the REST bridge. ('{request.method}' not allowed, only POST, PUT)"
    response = _bridge_refusal(Refused(405, reason))
    response.headers["Allow"] = _BRIDGE_METHODS
    return response
