"""How the hub refuses requests: it responds, and notifies the observers."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from ._aiohttp import text_response
from ._host_and_origin import Denial
from ._observer import Refusal, RefusedPart


class Refusals:
    """The refusals of one hub.

    Args:
        report: notifies the observers.
    """

    def __init__(self, report: Callable[[Refusal], None]) -> None:
        self.report = report

    def deny(self, what: RefusedPart, denial: Denial, request: web.Request) -> web.Response:
        """Refuse a request because of its Host or Origin."""
        self.report(Refusal(what, denial.reason, denial.remedy, peer_of(request), 403))
        return text_response(403, str(denial))

    def refuse(
        self, what: RefusedPart, status: int, reason: str, request: web.Request, remedy: str = ""
    ) -> web.Response:
        """Refuse a request. `Refusal` explains the arguments."""
        self.report(Refusal(what, reason, remedy, peer_of(request), status))
        return text_response(status, reason)


def peer_of(request: web.BaseRequest) -> str:
    """Return the address of the client, or of the proxy in front of the hub."""
    return request.remote or "an unknown address"
