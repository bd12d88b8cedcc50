"""Why a request has no response, in words that show nothing of the request. Pure.

The drivers convert the errors of their libraries to a `TransportFailure`. The flow decides what it means for the push.
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
"""The errors of OpenSSL, depending on its version, for a server that responds to a TLS handshake in plain text."""


class Cause(Enum):
    """The kind of a failure."""

    EXPIRED = "the deadline"
    LOST = "no connection, or it broke"
    CERTIFICATE = "the broker's certificate does not verify"
    PROXY = "a proxy refused the connection, and will refuse the next"
    GARBAGE = "the response is not HTTP"


class TransportFailure(NamedTuple):
    """What a driver passes to the flow instead of a response."""

    cause: Cause
    begun: bool
    """Whether a byte of the request may have been sent, so that the broker may have accepted it."""
    reason: str
    """Never contains a URL."""


class WithoutFrames:
    """Removes the traceback and the context of an exception that leaves its block, unless it is a `WebMQError`.

    The frames that send a request, in aiohttp, the standard library and this package, have its signature and its signed
    URL in their local variables, and error reporters such as Sentry send local variables. The flow, which raises
    a `WebMQError`, has nothing secret in its frame. A note on an unexpected error says what the block was `doing`, and
    where.
    """

    __slots__ = ("_doing", "_handled")

    def __init__(self, doing: str = "sending a push") -> None:
        self._doing = doing

    def __enter__(self) -> None:
        # If the caller is handling an exception, errors of the push must keep it as their `__context__`.
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
    error.__suppress_context__ = False  # setting __cause__ has set it to True
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            _drop_frames(each)


# Of the functions below, `broker` is its host and port, and `what` the text of an error, which must not contain a URL.


def expired(begun: bool, closing: bool, expect: bool = False) -> TransportFailure:
    """Return the failure of a request whose deadline, or that of the client's `close`, has passed.

    With an `Expect` header, the request's body waits for a response of 100 (RFC 9110, section 10.1.1).
    """
    what = "the client was closed" if closing else "the deadline passed"
    missing = "a response" if begun else "a connection, or a 100 for the session's Expect" if expect else "a connection"
    return TransportFailure(Cause.EXPIRED, begun, f"{what} before there was {missing}")


def unreachable(broker: str, what: str) -> TransportFailure:
    if _NOT_TLS.search(what):
        what += "; does the broker speak https on this port?"
    return TransportFailure(Cause.LOST, False, f"cannot connect to {broker}: {what}")


def refused_by_proxy(broker: str, status: int) -> TransportFailure:
    cause = Cause.LOST if status in (408, 429) or 500 <= status < 600 else Cause.PROXY
    return TransportFailure(cause, False, f"the proxy answered {status} instead of connecting to {broker}")


def unverified(broker: str, what: str) -> TransportFailure:
    return TransportFailure(Cause.CERTIFICATE, False, f"the certificate of {broker} does not verify: {what}")


def garbage(broker: str, begun: bool) -> TransportFailure:
    return TransportFailure(Cause.GARBAGE, begun, f"the response of {broker} is not HTTP")


def cut_off(broker: str, begun: bool) -> TransportFailure:
    return TransportFailure(Cause.LOST, begun, f"{broker} closed the connection before it responded")


def broken(broker: str, begun: bool, what: str) -> TransportFailure:
    return TransportFailure(Cause.LOST, begun, f"the connection to {broker} broke: {what}")
