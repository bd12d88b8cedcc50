"""The log of a hub."""

from __future__ import annotations

import logging

from ._observer import Drop, Observer, Refusal
from ._session import Session

__all__ = ["Log"]

logger = logging.getLogger("webmqconnect_async.hub")


class Log(Observer):
    """Writes what happens to the logger `webmqconnect_async.hub`."""

    __slots__ = ()

    def refused(self, refusal: Refusal) -> None:
        """Log it."""
        level = logging.WARNING if refusal.forged else logging.DEBUG
        remedy = f" ({refusal.remedy})" if refusal.remedy else ""
        failed = "failed to authenticate" if refusal.forged else "is refused"
        logger.log(level, "a %s from %s %s: %s%s", refusal.what, refusal.peer, failed, refusal.reason, remedy)

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        """Log it."""
        logger.warning("subscriber %s dropped: %s", session.id, details)
