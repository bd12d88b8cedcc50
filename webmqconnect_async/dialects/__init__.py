"""What a push is on the wire: `Push` in, `Request` out; `Response` in, a receipt or an error out.

A dialect knows one broker's bytes and answers. It does no I/O, reads no clock and never decides whether to try again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

from ..errors import BadReply, Rejected
from ..values import Push, Receipt

__all__ = ["Dialect", "DialectName", "Headers", "Request", "Response", "Signer", "Verdict"]


DialectName: TypeAlias = Literal["webmq", "crossbar"]
"""The dialects that there are, as a client's argument names them."""


class Request(NamedTuple):
    """One signed attempt: what follows the `?` of the endpoint, and the body."""

    query: str
    body: bytes

    def __repr__(self) -> str:
        # The query carries a signature that anybody may replay for five minutes.
        return f"Request(<{len(self.query)} characters of query>, <{len(self.body)} bytes of body>)"


class Headers(Protocol):
    """The little that a dialect asks of an answer's headers: look one up, ignoring case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header; None without one."""
        ...


class Response(NamedTuple):
    """An answer: its status, its headers, and its body as far as it was read."""

    status: int
    headers: Headers
    body: bytes

    def __repr__(self) -> str:
        # WebMQ's 401 holds the valid signature.
        return f"Response({self.status}, <headers>, <{len(self.body)} bytes of body>)"


Signer: TypeAlias = Callable[[float], Request]
"""Makes a push's request as signed at a Unix time in seconds; each attempt is signed anew."""

Verdict: TypeAlias = Receipt | Rejected | BadReply
"""What an answer means."""


class Dialect(Protocol):
    """One broker's wire."""

    @property
    def content_type(self) -> str:
        """The `Content-Type` of every request, byte for byte."""
        ...

    def encode(self, push: Push) -> Signer:
        """Encode a push once, for all its attempts.

        Raises:
            InvalidPush: the push cannot be said on this wire; the message names the argument.
        """
        ...

    def judge(self, response: Response, attempts: int, now: float) -> Verdict:
        """Say what an answer means, without raising.

        Args:
            response: the answer.
            attempts: requests of this push so far, this one included.
            now: Unix time in seconds, to tell how far a clock is off.
        """
        ...
