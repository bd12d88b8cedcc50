"""One push from beginning to end: sign, send, judge, sleep, sign again. The policy of both clients, and all of it.

`push_flow` is a generator that does no I/O: it yields a `Request` to be sent or a `Sleep` to be slept, and is sent back
what came of it. It reads the clocks and the dice that it is given, and knows nothing of asyncio, sockets or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, TypeAlias

from .checks import checked_count, checked_seconds
from .dialects import Dialect, Request, Response, Signer
from .errors import (
    BadReply,
    ConnectFailed,
    ConnectionLost,
    NotAccepted,
    Overloaded,
    ReplyTimeout,
    Unconfirmed,
)
from .failures import Cause, TransportFailure
from .values import Receipt

__all__ = ["Answer", "Clock", "PushFlow", "Retry", "Sleep", "push_flow"]


@dataclass(frozen=True, slots=True)
class Retry:
    """When a push is tried again.

    By default only what the broker has certainly not taken is tried again, and only for a cause that may pass: no
    connection (but not a certificate that does not verify), and `Overloaded`. So a retry never makes a duplicate.

    Args:
        attempts: requests at the most, the first included; 1 never tries again.
        wait: seconds that the first pause lasts at the most; each later one may last twice as long. The length is
            drawn at random between nothing and that ("full jitter").
        max_wait: seconds that no pause exceeds. A broker that asks for a longer one gets no retry: the error is raised
            at once, with its `retry_after`.
        at_least_once: also try again after a `ConnectionLost` or a 5xx, which may make a duplicate.
    """

    attempts: int = 3
    wait: float = 0.1
    max_wait: float = 5.0
    at_least_once: bool = False

    def __post_init__(self) -> None:
        checked_count("attempts", self.attempts)
        for name, seconds in (("wait", self.wait), ("max_wait", self.max_wait)):
            if checked_seconds(name, seconds, zero=True) is None:
                raise TypeError(f"{name}: seconds are needed, not None")


class Clock(NamedTuple):
    """The two clocks of a driver, in seconds."""

    wall: Callable[[], float]
    """Unix time, which is signed."""
    monotonic: Callable[[], float]
    """What deadlines are counted in."""


class Sleep(NamedTuple):
    """A step of the flow: do nothing for so many seconds, before the next attempt."""

    seconds: float
    attempt: int
    """The attempt that was made, from 1."""
    error: NotAccepted | Unconfirmed
    """What it ended in."""


Answer: TypeAlias = Response | TransportFailure | None
"""What a driver sends back: for a Request an answer or a failure, for a Sleep None or that the deadline struck."""

PushFlow: TypeAlias = Generator[Request | Sleep, Answer, Receipt]


def push_flow(
    sign: Signer,
    dialect: Dialect,
    retry: Retry,
    clock: Clock,
    jitter: Callable[[], float],
    deadline: float,
) -> PushFlow:
    """Drive one push to its receipt.

    Args:
        sign: the push as its dialect encoded it; called anew for each attempt, after the pause before it.
        dialect: says what an answer means.
        retry: when to try again.
        clock: the driver's clocks.
        jitter: draws a number in [0, 1).
        deadline: on the monotonic clock; infinite for none. The flow does not interrupt a request, its driver does.

    Raises:
        NotAccepted: the broker has not taken it.
        Unconfirmed: the broker may have taken it. Once an attempt ended so, the push ends so or with a receipt,
            whatever later attempts say: a refusal of the second says nothing about the first.
    """
    unconfirmed: Unconfirmed | None = None
    for attempt in count(1):
        answer = yield sign(clock.wall())
        verdict: Receipt | NotAccepted | Unconfirmed
        if isinstance(answer, Response):
            verdict = dialect.judge(answer, attempt, clock.wall())
        else:
            verdict = _failed(answer)
        if isinstance(verdict, Receipt):
            return verdict
        if isinstance(verdict, Unconfirmed):
            unconfirmed = verdict
        pause = _pause(verdict, attempt, retry, jitter)
        expired = isinstance(answer, TransportFailure) and answer.cause is Cause.EXPIRED
        if (
            expired
            or pause is None
            or clock.monotonic() + pause >= deadline
            or (yield Sleep(pause, attempt, verdict)) is not None
        ):
            raise (unconfirmed or verdict).after(attempt)
    raise AssertionError("count() does not end")


def _failed(failure: TransportFailure | None) -> NotAccepted | Unconfirmed:
    """Say what it means that no answer came."""
    if failure is None:
        raise TypeError("a driver answers a Request with a Response or a TransportFailure")
    cause, begun, reason = failure
    if not begun:
        return ConnectFailed(reason, passing=cause is not Cause.CERTIFICATE)
    if cause is Cause.GARBAGE:
        return BadReply(reason)
    return ReplyTimeout(reason) if cause is Cause.EXPIRED else ConnectionLost(reason)


def _pause(verdict: NotAccepted | Unconfirmed, attempt: int, retry: Retry, jitter: Callable[[], float]) -> float | None:
    """Return how many seconds to wait before the next attempt; None where there is to be none."""
    if attempt == retry.attempts or not _may_pass(verdict, retry.at_least_once):
        return None
    backoff = jitter() * min(retry.max_wait, retry.wait * 2.0 ** min(attempt - 1, 64))
    if isinstance(verdict, Overloaded) and verdict.retry_after is not None:
        # The backoff comes on top: all the clients a broker turned away at once shall not come back at once.
        return min(verdict.retry_after + backoff, retry.max_wait) if verdict.retry_after <= retry.max_wait else None
    return backoff


def _may_pass(verdict: NotAccepted | Unconfirmed, at_least_once: bool) -> bool:
    match verdict:
        case ConnectFailed(passing=passing):
            return passing
        case Overloaded():
            return True
        case ConnectionLost():
            return at_least_once
        case BadReply(status=status):
            return at_least_once and status >= 500
        case _:
            return False
