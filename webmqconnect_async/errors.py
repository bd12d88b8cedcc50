"""Exceptions, grouped by whether retrying can create a duplicate.

    WebMQError
    ├─ InvalidPush (ValueError)             the push is invalid: nothing was sent
    ├─ ClientClosed (RuntimeError)          the client is closed: nothing was sent
    ├─ WrongLoop (RuntimeError)             the client is in use in another event loop: nothing was sent
    ├─ SourceFailed                         the iterable given to push_many was not read to its end
    ├─ NotAccepted                          the broker has not accepted the event: retrying is safe
    │  ├─ ConnectFailed (ConnectionError)   no connection: refused, DNS, TLS, or the deadline passed
    │  ├─ QueueTimeout (TimeoutError)       no slot before the deadline
    │  └─ Rejected                          the broker rejected it: .status, .reason
    │     ├─ AuthRejected                   unknown key, wrong signature, denied, or a signature is required
    │     ├─ ClockRejected                  invalid or expired timestamp: .skew
    │     ├─ TooLarge                       the event is too large
    │     └─ Overloaded                     429, or 503 with Retry-After: .retry_after
    └─ Unconfirmed                          the broker may have accepted the event: retrying can create a duplicate
       ├─ ReplyTimeout (TimeoutError)       no response before the deadline
       ├─ ConnectionLost (ConnectionError)  the connection broke before the response
       └─ BadReply                          neither an acceptance nor a rejection: .status, .reason

`retryable` says whether the same push may succeed later. No error holds the secret, a signature or a signed URL. All
errors can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

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
    """Base class of the errors of a push."""

    attempts: int
    """Number of requests, including those without a connection; 0 if the push was refused before the first."""

    _shown: ClassVar[tuple[str, ...]] = ("attempts",)
    """Attributes that the repr shows, unless they are 0 or None."""
    _retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, attempts: int = 0) -> None:
        super().__init__(message)
        self.attempts = attempts

    def __repr__(self) -> str:
        shown = [repr(str(self)), *(f"{name}={getattr(self, name)!r}" for name in self._shown if getattr(self, name))]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def retryable(self) -> bool:
        """Whether the same push may succeed later. The class says whether it may then create a duplicate."""
        return self._retryable

    def __reduce__(self) -> tuple[object, ...]:
        # Unlike BaseException, without calling the class: an application's subclass may have another __init__.
        return _unpickled, (type(self), self.args, self.__dict__)

    def _after(self, attempts: int) -> Self:
        """Set the number of attempts, and return the error."""
        self.attempts = attempts
        return self


class InvalidPush(WebMQError, ValueError):
    """A topic, event or session ID is invalid; the message names the argument. Nothing was sent."""


class ClientClosed(WebMQError, RuntimeError):
    """The client is closed. Nothing was sent."""


class WrongLoop(WebMQError, RuntimeError):
    """An AsyncClient was used in an event loop while it is in use in another one. Nothing was sent."""


class SourceFailed(WebMQError):
    """The source given to `push_many` was not read to its end. `__cause__` is its error, or a ClientClosed."""

    outcomes: Sequence[Outcome]
    """The outcomes of all items that were read, in input order."""

    def __init__(self, message: str = "", *, outcomes: Sequence[Outcome] = ()) -> None:
        super().__init__(message)
        self.outcomes = outcomes


class NotAccepted(WebMQError):
    """The broker has not accepted the event. Pushing it again cannot create a duplicate."""


class ConnectFailed(NotAccepted, ConnectionError):
    """No connection: it was refused, DNS or TLS failed, a proxy refused it, or the deadline passed first."""

    transient: bool
    """Whether a later attempt may connect.

    `False` if the certificate does not verify, or if a proxy responds with a status other than 408, 429 or 5xx.
    """

    def __init__(self, message: str = "", *, attempts: int = 0, transient: bool = True) -> None:
        super().__init__(message, attempts=attempts)
        self.transient = transient

    @property
    def retryable(self) -> bool:
        """The same as `transient`. All errors have `retryable`."""
        return self.transient


class QueueTimeout(NotAccepted, TimeoutError):
    """All slots of the client were in use until the deadline."""

    _retryable = True


class _Answered(WebMQError):
    """Base class of errors that a response causes."""

    status: int
    """HTTP status of the response. 0 if the response is not HTTP, or if nothing was sent."""
    reason: str
    """The text of the response, shortened, with control characters escaped and signatures removed.

    The whole text is replaced if it quotes any part of the request's own signature.
    """

    _shown: ClassVar[tuple[str, ...]] = ("status", "attempts")

    def __init__(self, message: str = "", *, attempts: int = 0, status: int = 0, reason: str = "") -> None:
        super().__init__(message, attempts=attempts)
        self.status = status
        self.reason = reason


class Rejected(_Answered, NotAccepted):
    """The broker rejected the event; `status` and `reason` say why.

    A `status` of 0 means that the client itself refused the push and sent nothing: see `TooLarge` and `ClockRejected`.
    """


class AuthRejected(Rejected):
    """Unknown key, wrong signature, denied by a rule of the broker, or unsigned although a signature is required."""


class ClockRejected(Rejected):
    """The broker rejected the timestamp: one of the two clocks is wrong.

    Also raised, with a `status` of 0, if this machine's clock is so wrong that no timestamp can express it.
    """

    skew: float | None = None
    """This machine's clock minus the broker's `Date`, in seconds; `None` without a usable date."""

    _shown = ("status", "attempts", "skew")


class TooLarge(Rejected):
    """The event, as JSON, is larger than the broker accepts.

    Also raised, with a `status` of 0, if the request's head would be longer than the client's `max_request_head`.
    """


class Overloaded(Rejected):
    """The broker asks for a delay: 429, or 503 with `Retry-After`."""

    retry_after: float | None = None
    """Seconds to wait before the next push, as the broker asked; `None` if it did not say."""

    _shown = ("status", "attempts", "retry_after")
    _retryable = True


class Unconfirmed(WebMQError):
    """The broker may have accepted the event. Pushing it again can create a duplicate."""


class ReplyTimeout(Unconfirmed, TimeoutError):
    """Sending had begun, and there was no response before the deadline."""

    _retryable = True


class ConnectionLost(Unconfirmed, ConnectionError):
    """Sending had begun, and the connection broke before the response."""

    _retryable = True


class BadReply(_Answered, Unconfirmed):
    """A response that neither accepts nor rejects the event: a redirect, a server error, or not HTTP."""

    @property
    def retryable(self) -> bool:
        """Whether the response is a server error (5xx)."""
        return 500 <= self.status < 600
