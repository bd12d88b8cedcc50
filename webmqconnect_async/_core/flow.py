"""One push from start to end: sign, send, judge the response, back off, sign again. The retry policy of both clients.

A `PushFlow` does no I/O. A driver sends its requests, passes it each response or the reason why there is none, and
sleeps as it says. The clocks and the random source are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import (
    BadReply,
    ClockRejected,
    ConnectFailed,
    ConnectionLost,
    NotAccepted,
    Overloaded,
    ReplyTimeout,
    Unconfirmed,
)
from .backoff import ceiling
from .checks import checked_count, checked_seconds, wrong_type
from .dialects import Dialect, Request, Response, Signer
from .transport_failures import Cause, TransportFailure
from .values import Receipt


@dataclass(frozen=True, slots=True)
class Retry:
    """When a push is retried.

    By default, a push is retried only if the broker has certainly not accepted it, and its error is `retryable`: after
    an `Overloaded`, or a `ConnectFailed` that is `transient`. Such a retry never creates a duplicate.

    Args:
        attempts: maximum number of requests, including the first; 1 disables retries.
        wait: maximum backoff before the first retry, in seconds. The maximum doubles with each retry, and the backoff
            is drawn at random between zero and the maximum ("full jitter").
        max_wait: upper limit of that maximum, in seconds. If a broker asks for a longer delay, the push is not retried:
            the error is raised at once, with its `retry_after`.
        at_least_once: also retry after a `ConnectionLost` or a 5xx. That may create a duplicate, unless the broker is
            the hub of this package and the push has an idempotency key.
    """

    attempts: int = 3
    wait: float = 0.1
    max_wait: float = 5.0
    at_least_once: bool = False

    def __post_init__(self) -> None:
        checked_count("attempts", self.attempts)
        for name, seconds in (("wait", self.wait), ("max_wait", self.max_wait)):
            if checked_seconds(name, seconds, zero=True) is None:
                raise TypeError(wrong_type(name, "a number of seconds", seconds))


class Clock(NamedTuple):
    """The two clocks of a driver, in seconds: Unix time, which is signed, and a monotonic time for deadlines."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Sleep(NamedTuple):
    """A step of the flow: sleep before the next attempt, because an attempt, counted from 1, has ended in an error."""

    seconds: float
    attempt: int
    error: NotAccepted | Unconfirmed


@dataclass(slots=True, eq=False, repr=False)
class PushFlow:
    """One push. A driver sends `request()` and calls `receive` until it returns a receipt or raises."""

    sign: Signer
    """Called for each attempt, after the backoff."""
    dialect: Dialect
    retry: Retry
    clock: Clock
    jitter: Callable[[], float]
    """Returns a random number in [0, 1)."""
    deadline: float
    """A time of the monotonic clock, or infinity. The driver, not the flow, interrupts a request."""
    _attempts: int = field(default=0, init=False)
    _request: Request = field(init=False)
    _error: NotAccepted | Unconfirmed | None = field(default=None, init=False)

    def error(self) -> NotAccepted | Unconfirmed:
        """Return the error to raise after a failed attempt if there are no more attempts.

        If any attempt was Unconfirmed, so is the push, even if a later attempt was refused: that says nothing about the
        earlier one.
        """
        # If the flow kept the error, the two would refer to each other, by the error's traceback, and keep the event in
        # memory until the next garbage collection.
        error, self._error = self._error, None
        if error is None:
            raise TypeError("no attempt has failed")
        return error._after(self._attempts)

    def request(self) -> Request:
        """Return the request of the next attempt, signed now.

        If the Unix time is out of range, raise ClockRejected, or the Unconfirmed of an earlier attempt.
        """
        try:
            self._request = self.sign(self.clock.wall())
        except ClockRejected as rejected:
            if not isinstance(self._error, Unconfirmed):
                raise rejected._after(self._attempts) from None
        else:
            self._attempts += 1
            return self._request
        raise self.error()

    def receive(self, result: Response | TransportFailure) -> Receipt | Sleep:
        """Judge the response to the last request, or the reason why there is none.

        If there are no more attempts, raise the error. If the sleep before the next one is cut short, by the deadline
        or by `close`, the driver raises `error()`.
        """
        verdict: Receipt | NotAccepted | Unconfirmed
        if isinstance(result, Response):
            verdict = self.dialect.judge(self._request, result, self._attempts, self.clock.wall())
        else:
            verdict = _failed(result)
        if isinstance(verdict, Receipt):
            return verdict
        if isinstance(verdict, Unconfirmed) or not isinstance(self._error, Unconfirmed):
            self._error = verdict
        backoff = self._backoff(verdict)
        expired = isinstance(result, TransportFailure) and result.cause is Cause.EXPIRED
        if expired or backoff is None or self.clock.monotonic() + backoff >= self.deadline:
            del verdict  # see `error`
            raise self.error()
        return Sleep(backoff, self._attempts, verdict)

    def _backoff(self, verdict: NotAccepted | Unconfirmed) -> float | None:
        """Return the seconds to wait before the next attempt; `None` if there must not be another."""
        retry = self.retry
        if self._attempts == retry.attempts or not verdict.retryable:
            return None
        if isinstance(verdict, Unconfirmed) and not retry.at_least_once:
            return None
        backoff = self.jitter() * ceiling(retry.wait, self._attempts, retry.max_wait)
        if isinstance(verdict, Overloaded) and (asked := verdict.retry_after) is not None:
            # The random backoff is added so that clients that got the same Retry-After do not all return at once.
            return min(asked + backoff, retry.max_wait) if asked <= retry.max_wait else None
        return backoff


def _failed(failure: TransportFailure) -> NotAccepted | Unconfirmed:
    cause, begun, reason = failure
    if not begun:
        return ConnectFailed(reason, transient=cause not in (Cause.CERTIFICATE, Cause.PROXY))
    if cause is Cause.GARBAGE:
        return BadReply(reason)
    return ReplyTimeout(reason) if cause is Cause.EXPIRED else ConnectionLost(reason)
