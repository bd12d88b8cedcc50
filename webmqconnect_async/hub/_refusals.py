"""How the hub refuses requests: it responds, and notifies the observers."""

from __future__ import annotations

from aiohttp import web

from ._aiohttp import text_response
from ._broker import Broker
from ._host_and_origin import Denial
from ._observer import Refusal, RefusedPart


def deny(broker: Broker, what: RefusedPart, denial: Denial, request: web.Request) -> web.Response:
    """Refuse a request because of its Host or Origin."""
    broker.refused(Refusal(what, denial.reason, denial.remedy, peer_of(request), 403))
    return text_response(403, str(denial))


def refuse(
    broker: Broker, what: RefusedPart, status: int, reason: str, request: web.Request, remedy: str = ""
) -> web.Response:
    """Refuse a request. `Refusal` explains the arguments."""
    broker.refused(Refusal(what, reason, remedy, peer_of(request), status))
    return text_response(status, reason)


def peer_of(request: web.BaseRequest) -> str:
    """Return the address of the client, or of the proxy in front of the hub."""
    return request.remote or "an unknown address"
