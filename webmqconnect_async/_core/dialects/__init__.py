"""The wire formats of the brokers: a dialect encodes a `Push` as a `Request`, and judges the `Response`.

Dialects are pure, and do not decide whether to retry. `webmq` and `crossbar` are the two dialects; `arguments`,
`events`, `replies` and `masking` hold what both use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


# Request and Response contain signatures: brokers accept one again for 300 seconds, and the 401 of the original WebMQ
# hub has the valid one in its body. The two are neither tuples nor dataclasses, because error reporters show the items
# and fields of those in the local variables of a traceback. For the same reason, their repr is that of `object`.


class Request:
    """One attempt at a push, signed."""

    __slots__ = ("body", "idempotency_key", "query", "signature")

    def __init__(self, query: str, body: bytes, signature: str = "", idempotency_key: str = "") -> None:
        self.query = query
        """Percent-encoded, and including the signature."""
        self.body = body
        self.signature = signature
        """In base64, not percent-encoded; empty for an unsigned request."""
        self.idempotency_key = idempotency_key
        """Empty if the push has none."""


class Response:
    """The response to a request, with as much of its body as was read."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        """By names in lower case; of a repeated header, the first value."""
        self.body = body


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
        """Encode a push for all attempts at it; raise InvalidPush or TooLarge if this format cannot express it."""
        ...

    def judge(self, request: Request, response: Response, attempts: int, now: float) -> Verdict:
        """Return what the response to the last of `attempts` requests means. Errors are returned, not raised.

        No error shows the signature of the request, even if the response quotes it. The Unix time `now` is compared
        with the broker's clock.
        """
        ...
