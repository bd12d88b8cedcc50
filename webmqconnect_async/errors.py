"""Every error of the package, sorted by what its caller asks: may I push again without a duplicate.

    WebMQError
    ├─ InvalidPush (ValueError)             refused here, before any I/O
    ├─ ClientClosed (RuntimeError)          the client is closed: nothing was sent
    ├─ WrongLoop (RuntimeError)             the client belongs to another live event loop: nothing was sent
    ├─ SourceFailed                         the iterable given to push_many was not read to its end
    ├─ NotAccepted                          the broker has not taken the event: safe to push again
    │  ├─ ConnectFailed (ConnectionError)   refused, DNS, TLS, or the deadline came before a connection
    │  ├─ QueueTimeout (TimeoutError)       no slot came free in time
    │  └─ Rejected                          the broker said no: .status, .reason
    │     ├─ AuthRejected                   unknown key, wrong signature, denied, unsigned where signed is needed
    │     ├─ ClockRejected                  the timestamp: .skew
    │     ├─ TooLarge                       the event
    │     └─ Overloaded                     429, and 503 with Retry-After: .retry_after
    └─ Unconfirmed                          the broker may have taken it: pushing again may double it
       ├─ ReplyTimeout (TimeoutError)       no answer before the deadline
       ├─ ConnectionLost (ConnectionError)  the connection broke before the answer
       └─ BadReply                          an answer that says neither yes nor no: .status, .reason

No error holds the secret, a signature or a signed URL. All of them pickle. This module imports nothing of the package
and knows nothing of HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._core.values import Outcome

__all__ = [
    "AuthRejected",
    "BadReply",
    "ClientClosed",
    "ClockRejected",
    "ConnectFailed",
    "ConnectionLost",
    "InvalidPush",
    "NotAccepted",
    "Overloaded",
    "QueueTimeout",
    "Rejected",
    "ReplyTimeout",
    "SourceFailed",
    "TooLarge",
    "Unconfirmed",
    "WebMQError",
    "WrongLoop",
]


def _unpickled(cls: type[WebMQError], args: tuple[object, ...], state: dict[str, object]) -> WebMQError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class WebMQError(Exception):
    """Base of all errors that a push can end with."""

    attempts: int
    """Requests handed to the network or tried to be; 0 where the push was refused before."""

    def __init__(self, message: str = "", *, attempts: int = 0) -> None:
        super().__init__(message)
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        # The bases that are OSErrors rebuild themselves from positional arguments alone and lose every keyword.
        return _unpickled, (type(self), self.args, self.__dict__)

    def after(self, attempts: int) -> Self:
        """Return this error, saying that it ended a push of so many attempts."""
        self.attempts = attempts
        return self


class InvalidPush(WebMQError, ValueError):
    """A topic, event or session ID that cannot be pushed; the message names the argument. Nothing was sent."""


class ClientClosed(WebMQError, RuntimeError):
    """The client is closed. Nothing was sent."""


class WrongLoop(WebMQError, RuntimeError):
    """An AsyncClient was used in an event loop while the one it works in is still alive. Nothing was sent."""


class SourceFailed(WebMQError):
    """The source given to `push_many` was not read to its end. `__cause__` is its error, or a ClientClosed."""

    outcomes: Sequence[Outcome]
    """The outcome of every item that was read, in input order."""

    def __init__(self, message: str = "", *, outcomes: Sequence[Outcome] = ()) -> None:
        super().__init__(message)
        self.outcomes = outcomes


class NotAccepted(WebMQError):
    """The broker has not taken the event: pushing it again makes no duplicate."""


class ConnectFailed(NotAccepted, ConnectionError):
    """No connection: refused, no such name, TLS, or the deadline came first."""

    passing: bool
    """Whether it may work later; False for a certificate that does not verify."""

    def __init__(self, message: str = "", *, attempts: int = 0, passing: bool = True) -> None:
        super().__init__(message, attempts=attempts)
        self.passing = passing


class QueueTimeout(NotAccepted, TimeoutError):
    """All `concurrency` slots of the client stayed taken until the deadline."""


class _Answered(WebMQError):
    """What an answer leaves behind: its status, and its reason without anything secret."""

    status: int
    """The HTTP status of the answer; 0 where it was not HTTP."""
    reason: str
    """What the broker said, cut short, control characters escaped, signatures removed.

    A text that quotes the request's own signature, even a part of it, is replaced as a whole.
    """

    def __init__(self, message: str = "", *, attempts: int = 0, status: int = 0, reason: str = "") -> None:
        super().__init__(message, attempts=attempts)
        self.status = status
        self.reason = reason


class Rejected(_Answered, NotAccepted):
    """The broker refused the event; `status` and `reason` say why."""


class AuthRejected(Rejected):
    """Unknown key, wrong signature, denied by a rule, or unsigned where a signature is needed."""


class ClockRejected(Rejected):
    """The broker refused the timestamp: one of the two clocks is wrong."""

    skew: float | None = None
    """This machine's clock minus the broker's `Date`, in seconds; None where it sent no usable date."""


class TooLarge(Rejected):
    """The event, as JSON, is longer than the broker takes."""


class Overloaded(Rejected):
    """The broker asks for patience: 429, or 503 with a Retry-After."""

    retry_after: float | None = None
    """Seconds to wait before the next push, as the broker asked; None where it did not say."""


class Unconfirmed(WebMQError):
    """The broker may have taken the event: pushing it again may make a duplicate."""


class ReplyTimeout(Unconfirmed, TimeoutError):
    """The request was sent, or begun, and no answer came before the deadline."""


class ConnectionLost(Unconfirmed, ConnectionError):
    """The request was sent, or begun, and the connection broke before the answer."""


class BadReply(_Answered, Unconfirmed):
    """An answer that no broker gives: a redirect, a server error, or nothing that is HTTP."""
