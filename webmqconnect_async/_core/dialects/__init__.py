"""The wire formats of the brokers: a dialect encodes a `Push` as a `Request`, and judges the `Response`.

Dialects are pure, and do not decide whether to retry. `webmq` and `crossbar` are the two dialects; `arguments`,
`events`, `replies` and `masking` hold what both use.
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


# Request and Response contain signatures. They are neither tuples nor dataclasses, because error reporters show the
# items and fields of those in the local variables of a traceback.


class Request:
    """One attempt at a push, signed: the query of the request target, and the body.

    Args:
        query: percent-encoded, and including the signature.
        body: the exact bytes.
        signature: in base64, not percent-encoded; empty for an unsigned request.
        idempotency_key: that of the push; empty if it has none.
    """

    __slots__ = ("body", "idempotency_key", "query", "signature")

    def __init__(self, query: str, body: bytes, signature: str = "", idempotency_key: str = "") -> None:
        self.query = query
        self.body = body
        self.signature = signature
        self.idempotency_key = idempotency_key

    def __repr__(self) -> str:
        # Shows neither: brokers accept a signature again for 300 seconds.
        return f"Request(<{len(self.query)} characters of query>, <{len(self.body)} bytes of body>)"


class Headers(Protocol):
    """The headers of a response. Names are case-insensitive."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header; `None` if it is missing."""
        ...


class Response:
    """The response to a request: its status, its headers, and as much of its body as was read."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        # Shows no body: that of a 401 from the original WebMQ hub contains the valid signature.
        return f"Response({self.status}, <headers>, <{len(self.body)} bytes of body>)"


Signer: TypeAlias = Callable[[float], Request]
"""Returns the request of a push, signed with a Unix time in seconds as its timestamp. Called for each attempt.

It raises ClockRejected if the time is out of range.
"""


class Encoded(partial[Request]):
    """An encoded push: a `Signer`, with the encoded body as the last of its arguments.

    A partial, because a Python function or method would add a call to each attempt.
    """

    __slots__ = ()

    @property
    def body(self) -> bytes:
        """The body of the request."""
        body: bytes = self.args[-1]
        return body


def unsigned(query: str, idempotency_key: str, body: bytes, now: float) -> Request:
    """Return an unsigned request, the same at any time. The function of an `Encoded`."""
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
