"""Who may read a topic, and publish to it. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .._core.topics import covers
from . import _remedies as remedies

if TYPE_CHECKING:
    from .._core.tickets import Ticket  # needs PyJWT

_MAX_SPREAD = 30.0  # maximum seconds by which the hub ends a session before its ticket expires


@dataclass(frozen=True, slots=True)
class Identity:
    """A subscriber, for `may_subscribe`."""

    authid: str
    """The subject of its ticket, or its subscriber key; the session ID if it is anonymous."""
    role: str
    """`"subscriber"` if it has authenticated, otherwise `"anonymous"`."""
    session: str
    """The ID of its session."""
    peer: str
    """Its address, or that of the proxy in front of the hub."""
    claims: Mapping[str, object] | None = field(default=None, repr=False, hash=False)
    """All claims of its ticket, including those of your own; `None` without a ticket."""


class Refused(NamedTuple):
    """Why a subscriber may not read a topic, or may not publish to it."""

    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """The rules of one hub."""

    public: tuple[str, ...]  # topics that everybody may read, exact or with a trailing `*`
    restricted: bool  # whether other topics need a subscriber key or a ticket

    @property
    def anonymous(self) -> bool:
        """Whether anonymous subscribers may read any topics, and so are admitted."""
        return not self.restricted or bool(self.public)

    def is_public(self, topic: str) -> bool:
        return covers(self.public, topic)

    def reading(self, topic: str, role: str, ticket: Ticket | None, clock: Callable[[], float]) -> Refused | None:
        """Return why a subscriber may not read a topic. The arguments are those of `publishing`."""
        return None if self.is_public(topic) else self.publishing(topic, role, ticket, clock)

    def publishing(self, topic: str, role: str, ticket: Ticket | None, clock: Callable[[], float]) -> Refused | None:
        """Return why a subscriber may not publish to a topic, even a public one; `None` if it may.

        The role is that of an `Identity`. The ticket was valid when the subscriber joined, but may have expired.
        """
        if not self.restricted:
            return None
        if ticket is not None:
            if clock() >= ticket.expires:
                return Refused("the ticket has expired")
            return None if covers(ticket.topics, topic) else Refused("the ticket does not cover this topic")
        if role != "anonymous":
            return None
        return Refused("anonymous subscribers may read public topics only", remedies.PUBLIC)


def ends_at(ticket: Ticket, random: float) -> float:
    """Return the Unix time at which the hub ends the session of a ticket, shortly before the ticket expires.

    `random` is a number from 0 to 1. It spreads the times, so that subscribers who have connected at the same time do
    not reconnect at the same time.
    """
    return ticket.expires - random * min((ticket.expires - ticket.issued) / 10, _MAX_SPREAD)
