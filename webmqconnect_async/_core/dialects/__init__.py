"""The wire formats of the brokers: a `Push` becomes a `Request`, a `Response` becomes a receipt or an error.

A dialect implements one broker's format. It does no I/O, reads no clock, and does not decide whether to retry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, TypeAlias, get_args

from ...errors import BadReply, Rejected
from ..values import Push, Receipt

DialectName: TypeAlias = Literal["webmq", "crossbar"]
"""The values of a client's `dialect` argument."""


def checked_dialect(argument: str, value: object) -> DialectName:
    """Return the name of a dialect unchanged; raise ValueError, naming the argument, for anything else."""
    match value:
        case "webmq" | "crossbar":
            return value  # pyright: ignore[reportReturnType]  # it does not narrow object to literals
    raise ValueError(f"{argument} must be {' or '.join(map(repr, get_args(DialectName)))}, not {value!r}")


# Request and Response hold signatures. They are neither tuples nor dataclasses, because error reporters show the items
# of both in the local variables of a traceback.


class Request:
    """One attempt at a push, signed: what follows the `?` of the endpoint, and the body.

    Args:
        query: with the signature in it.
        body: the exact bytes.
        signature: in base64, unquoted; empty for an unsigned request.
        idempotency_key: of the push; empty if it has none.
    """

    __slots__ = ("body", "idempotency_key", "query", "signature")

    def __init__(self, query: str, body: bytes, signature: str = "", idempotency_key: str = "") -> None:
        self.query = query
        self.body = body
        self.signature = signature
        self.idempotency_key = idempotency_key

    def __repr__(self) -> str:
        # Anybody can replay a signature for 300 seconds.
        return f"Request(<{len(self.query)} characters of query>, <{len(self.body)} bytes of body>)"


class Headers(Protocol):
    """The headers of a response, looked up ignoring case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header, or None."""
        ...


class Response:
    """The response to a request: its status, its headers, and as much of its body as was read."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        # The 401 of the original WebMQ hub holds the valid signature.
        return f"Response({self.status}, <headers>, <{len(self.body)} bytes of body>)"


Signer: TypeAlias = Callable[[float], Request]
"""Makes the request of a push, signed at a Unix time in seconds. Each attempt is signed again.

It raises ClockRejected if no timestamp can express the time.
"""


class Encoded(partial[Request]):
    """An encoded push: a `Signer`, made of a function and its arguments but for the time. The last one is the body.

    It is a partial, which adds no call of its own to each attempt.
    """

    __slots__ = ()

    @property
    def body(self) -> bytes:
        """The event."""
        body: bytes = self.args[-1]
        return body


def unsigned(query: str, idempotency_key: str, body: bytes, now: float) -> Request:
    """Return an unsigned request, the same for each attempt. The function of an `Encoded`."""
    return Request(query, body, "", idempotency_key)


Verdict: TypeAlias = Receipt | Rejected | BadReply
"""What a response means."""


class Dialect(Protocol):
    """The wire format of one broker."""

    @property
    def content_type(self) -> str:
        """The `Content-Type` of every request, byte for byte."""
        ...

    def encode(self, push: Push) -> Encoded:
        """Encode a push once, for all attempts at it.

        Raises:
            InvalidPush: this format cannot express the push; the message names the argument.
        """
        ...

    def judge(self, request: Request, response: Response, attempts: int, now: float) -> Verdict:
        """Return what a response means. Errors are returned, not raised.

        Args:
            request: the request that was sent. No error shows its signature, even if the response quotes it.
            response: the response to that request.
            attempts: requests sent for this push so far, including this one.
            now: Unix time in seconds, to compare with the broker's clock.
        """
        ...
