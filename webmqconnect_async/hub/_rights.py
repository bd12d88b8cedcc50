"""Who may read a topic. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .._core.topics import covers
from . import _remedies as remedies

if TYPE_CHECKING:
    from .._core.tickets import Ticket  # needs PyJWT

__all__ = ["Refused", "Rights"]


class Refused(NamedTuple):
    """Why a subscriber may not read a topic."""

    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """The rules of one hub.

    Args:
        public: topics that everybody may read, exact or with a trailing `*`.
        restricted: whether other topics need a subscriber key or a ticket.
    """

    public: tuple[str, ...]
    restricted: bool

    @property
    def anonymous(self) -> bool:
        """Whether there is anything that an anonymous subscriber may read."""
        return not self.restricted or bool(self.public)

    def refusal(self, topic: str, role: str, ticket: Ticket | None, clock: Callable[[], float]) -> Refused | None:
        """Return why a subscriber may not read a topic; `None` if it may.

        Args:
            topic: the topic.
            role: "subscriber" if it has authenticated, otherwise "anonymous".
            ticket: the ticket that it has joined with, if it has.
            clock: returns the Unix time. A ticket that was valid when the subscriber joined may have expired.
        """
        if not self.restricted or covers(self.public, topic):
            return None
        if ticket is not None:
            if clock() >= ticket.expires:
                return Refused("the ticket has expired")
            return None if covers(ticket.topics, topic) else Refused("the ticket does not cover this topic")
        if role != "anonymous":
            return None
        none = "" if self.public else ", and this hub has none"
        return Refused(f"anonymous subscribers may read public topics only{none}", remedies.PUBLIC)
