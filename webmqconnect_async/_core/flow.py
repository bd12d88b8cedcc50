"""One push from start to end: sign, send, judge, sleep, sign again. It is the whole retry policy of both clients.

`push_flow` is a generator without I/O. It yields a `Request` to send or a `Sleep`, and is sent the outcome of each. The
clocks and the random source are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, TypeAlias

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
from .checks import checked_count, checked_seconds, wrong_type
from .dialects import Dialect, Request, Response, Signer
from .transport_failures import Cause, TransportFailure
from .values import Receipt

__all__ = ["Answer", "Clock", "PushFlow", "Retry", "Sleep", "push_flow"]


@dataclass(frozen=True, slots=True)
class Retry:
    """When a push is retried.

    By default a push is retried only if the broker has certainly not accepted it, and only if its error is `retryable`:
    a `ConnectFailed` (unless the certificate does not verify, or a proxy refuses for good), or an `Overloaded`. Such a
    retry never creates a duplicate.

    Args:
        attempts: maximum number of requests, including the first; 1 disables retries.
        wait: maximum backoff before the first retry, in seconds. The maximum doubles with each retry, and the backoff
            is drawn at random between zero and the maximum ("full jitter").
        max_wait: limit of the maximum, in seconds. If a broker asks for a longer delay, the push is not retried: the
            error is raised at once, with its `retry_after`.
        at_least_once: also retry after a `ConnectionLost` or a 5xx, which may create a duplicate.
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
    """The two clocks of a driver, in seconds."""

    wall: Callable[[], float]
    """Unix time, which is signed."""
    monotonic: Callable[[], float]
    """Measures deadlines."""


class Sleep(NamedTuple):
    """A step of the flow: sleep before the next attempt."""

    seconds: float
    attempt: int
    """The attempt that failed, counted from 1."""
    error: NotAccepted | Unconfirmed
    """The error of that attempt."""


Answer: TypeAlias = Response | TransportFailure | None
"""What a driver sends back. For a Request: the response, or why there is none. For a Sleep: None, or that the deadline
has passed."""

PushFlow: TypeAlias = Generator[Request | Sleep, Answer, Receipt]


def push_flow(
    sign: Signer,
    dialect: Dialect,
    retry: Retry,
    clock: Clock,
    jitter: Callable[[], float],
    deadline: float,
) -> PushFlow:
    """Carry out one push, and return its receipt.

    Args:
        sign: the push as its dialect encoded it; called for each attempt, after the backoff.
        dialect: judges responses.
        retry: when to retry.
        clock: the driver's clocks.
        jitter: returns a random number in [0, 1).
        deadline: on the monotonic clock; infinity for none. The driver, not the flow, interrupts a request.

    Raises:
        NotAccepted: the broker has not accepted the push. A ClockRejected without a response means that this machine's
            clock is out of range.
        Unconfirmed: the broker may have accepted it. After such an attempt the push ends so, or with a receipt, even if
            a later attempt is refused: that says nothing about the earlier one.
    """
    unconfirmed: Unconfirmed | None = None
    for attempt in count(1):
        try:
            request = sign(clock.wall())
        except ClockRejected as error:
            raise (unconfirmed or error)._after(attempt - 1) from None
        answer = yield request
        verdict: Receipt | NotAccepted | Unconfirmed
        if isinstance(answer, Response):
            verdict = dialect.judge(request, answer, attempt, clock.wall())
        else:
            verdict = _failed(answer)
        if isinstance(verdict, Receipt):
            return verdict
        if isinstance(verdict, Unconfirmed):
            unconfirmed = verdict
        backoff = _backoff(verdict, attempt, retry, jitter)
        expired = isinstance(answer, TransportFailure) and answer.cause is Cause.EXPIRED
        if (
            expired
            or backoff is None
            or clock.monotonic() + backoff >= deadline
            or (yield Sleep(backoff, attempt, verdict)) is not None
        ):
            raise (unconfirmed or verdict)._after(attempt)
    raise AssertionError("count() does not end")


def _failed(failure: TransportFailure | None) -> NotAccepted | Unconfirmed:
    """Return the error of an attempt without a response."""
    if failure is None:
        raise TypeError("a driver answers a Request with a Response or a TransportFailure")
    cause, begun, reason = failure
    if not begun:
        return ConnectFailed(reason, transient=cause not in (Cause.CERTIFICATE, Cause.PROXY))
    if cause is Cause.GARBAGE:
        return BadReply(reason)
    return ReplyTimeout(reason) if cause is Cause.EXPIRED else ConnectionLost(reason)


def _backoff(
    verdict: NotAccepted | Unconfirmed, attempt: int, retry: Retry, jitter: Callable[[], float]
) -> float | None:
    """Return the seconds to wait before the next attempt; None if there is none."""
    if attempt == retry.attempts or not verdict.retryable:
        return None
    if isinstance(verdict, Unconfirmed) and not retry.at_least_once:
        return None
    backoff = jitter() * min(retry.max_wait, retry.wait * 2.0 ** min(attempt - 1, 64))
    if isinstance(verdict, Overloaded) and verdict.retry_after is not None:
        # The backoff is added: all clients that were told the same delay must not come back at the same time.
        return min(verdict.retry_after + backoff, retry.max_wait) if verdict.retry_after <= retry.max_wait else None
    return backoff
