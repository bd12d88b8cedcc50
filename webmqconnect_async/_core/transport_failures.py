"""Outcomes of a request without a response, described without showing the request.

Pure. The drivers map their libraries' errors to these; the flow decides what they mean for the push.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from traceback import walk_tb
from types import TracebackType
from typing import NamedTuple

from ..errors import WebMQError

_NOT_TLS = re.compile("wrong.version.number|record.layer.failure|packet.length.too.long", re.IGNORECASE)
"""What OpenSSL says, depending on its version, of a peer that responds to a TLS handshake in clear."""


class Cause(Enum):
    """Why there is no response."""

    EXPIRED = "the deadline"
    LOST = "no connection, or it broke"
    CERTIFICATE = "the broker's certificate does not verify"
    PROXY = "a proxy refused the connection, and will again"
    GARBAGE = "the response is not HTTP"


class TransportFailure(NamedTuple):
    """What a driver sends back instead of a response."""

    cause: Cause
    begun: bool
    """Whether a byte of the request may have been sent: the broker may have accepted it then."""
    reason: str
    """For people. It never holds a URL."""


class WithoutFrames:
    """A block out of which no exception carries the frames below.

    The frames that send a request hold its signature and its signed URL in their local variables: aiohttp's, the
    standard library's and our own. Error reporters such as Sentry send local variables. So a cancellation, a
    `KeyboardInterrupt` or an unexpected error leaves the block without its traceback, and without the exceptions that
    were being handled inside it. For an unexpected error a note says what the block was `doing`, and where.

    `WebMQError` passes unchanged: it is raised by the flow, whose frame holds nothing secret.
    """

    __slots__ = ("_doing", "_handled")

    def __init__(self, doing: str = "sending a push") -> None:
        self._doing = doing

    def __enter__(self) -> None:
        # The caller may push while it handles an exception of its own, which stays the context.
        self._handled = sys.exception()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, WebMQError):
            if isinstance(error, Exception):
                places = (
                    f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
                    for frame, line in walk_tb(traceback)
                )
                error.add_note("\n".join([f"While {self._doing}, most recent call last:", *places]))
            _drop_frames(error)
            error.__context__ = self._handled


def _drop_frames(error: BaseException) -> None:
    error.__traceback__ = error.__cause__ = error.__context__ = None
    error.__suppress_context__ = False  # which setting the cause has changed
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            _drop_frames(each)


def expired(begun: bool, cut: bool, expect: bool = False) -> TransportFailure:
    """Return that the deadline has passed.

    Args:
        begun: whether a byte of the request's body may have been sent.
        cut: whether it is the deadline of a client being closed.
        expect: whether the request has an `Expect` header, so that its body waits for a response of 100.
    """
    what = "the client was closed" if cut else "the deadline passed"
    missing = "an answer" if begun else "a connection, or a 100 for the session's Expect" if expect else "a connection"
    return TransportFailure(Cause.EXPIRED, begun, f"{what} before there was {missing}")


def unreachable(broker: str, what: str) -> TransportFailure:
    if _NOT_TLS.search(what):
        what += "; does the broker speak https on this port?"
    return TransportFailure(Cause.LOST, False, f"cannot connect to {broker}: {what}")


def nowhere(broker: str) -> TransportFailure:
    return unreachable(broker, "the name has no address")


def refused_by_proxy(broker: str, status: int) -> TransportFailure:
    cause = Cause.LOST if status in (408, 429) or 500 <= status < 600 else Cause.PROXY
    return TransportFailure(cause, False, f"the proxy answered {status} instead of connecting to {broker}")


def unverified(broker: str, what: str) -> TransportFailure:
    return TransportFailure(Cause.CERTIFICATE, False, f"the certificate of {broker} does not verify: {what}")


def garbage(broker: str, begun: bool) -> TransportFailure:
    return TransportFailure(Cause.GARBAGE, begun, f"{broker} answered something that is not HTTP")


def cut_off(broker: str, begun: bool) -> TransportFailure:
    return TransportFailure(Cause.LOST, begun, f"{broker} closed the connection before it had answered")


def broken(broker: str, begun: bool, what: str) -> TransportFailure:
    return TransportFailure(Cause.LOST, begun, f"the connection to {broker} broke: {what}")
