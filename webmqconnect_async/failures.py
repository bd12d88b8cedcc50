"""Why a request has no answer: what a driver reports in an answer's place, in words that hold no URL.

Pure: the drivers know their libraries' errors, the flow knows what a failure means for the push.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = [
    "Cause",
    "TransportFailure",
    "broken",
    "cut_off",
    "expired",
    "garbage",
    "unreachable",
    "unverified",
]


class Cause(Enum):
    """What kept the answer away."""

    EXPIRED = "the deadline"
    LOST = "no connection, or it broke"
    CERTIFICATE = "the broker's certificate does not verify"
    GARBAGE = "the answer is not HTTP"


class TransportFailure(NamedTuple):
    """What a driver sends back in place of an answer."""

    cause: Cause
    begun: bool
    """Whether a byte of the request may have left: then the broker may have taken it."""
    reason: str
    """For people."""


def expired(begun: bool, cut: bool) -> TransportFailure:
    """Return that the deadline struck, or, where it was cut short, that the grace of a closing client was over."""
    what = "the client was closed" if cut else "the deadline passed"
    return TransportFailure(Cause.EXPIRED, begun, f"{what} before there was {'an answer' if begun else 'a connection'}")


def unreachable(broker: str, what: str) -> TransportFailure:
    """Return that there is no connection to a broker, `host:port`."""
    return TransportFailure(Cause.LOST, False, f"cannot connect to {broker}: {what}")


def unverified(broker: str, what: str) -> TransportFailure:
    """Return that the broker's certificate does not verify."""
    return TransportFailure(Cause.CERTIFICATE, False, f"the certificate of {broker} does not verify: {what}")


def garbage(broker: str, begun: bool) -> TransportFailure:
    """Return that what came was no answer."""
    return TransportFailure(Cause.GARBAGE, begun, f"{broker} answered something that is not HTTP")


def cut_off(broker: str, begun: bool) -> TransportFailure:
    """Return that the broker closed the connection in place of an answer, or within it."""
    return TransportFailure(Cause.LOST, begun, f"{broker} closed the connection before it had answered")


def broken(broker: str, begun: bool, what: str) -> TransportFailure:
    """Return that the connection broke."""
    return TransportFailure(Cause.LOST, begun, f"the connection to {broker} broke: {what}")
