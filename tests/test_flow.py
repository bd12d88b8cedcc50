"""One push as a flow: scripted responses, the expected steps, and the outcome. No event loop, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from webmqconnect_async._core.dialects import Request, Response, Signer
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.flow import Clock, PushFlow, Retry, Sleep
from webmqconnect_async._core.transport_failures import Cause, TransportFailure
from webmqconnect_async._core.values import Push, Receipt
from webmqconnect_async.errors import (
    AuthRejected,
    BadReply,
    ClockRejected,
    ConnectFailed,
    ConnectionLost,
    NotAccepted,
    Overloaded,
    Rejected,
    ReplyTimeout,
    TooLarge,
    Unconfirmed,
    WebMQError,
)
from webmqconnect_async.signing import Credentials


def _response(status: int, body: bytes = b"", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, CIMultiDict(fields), body)


OK = _response(202)
REFUSED = _response(400, b"invalid JSON in request body")
UNKNOWN_KEY = _response(400, b"unknown application key 'x'")
STALE = _response(400, b"timestamp expired (delta 302 seconds)")
TOO_LARGE = _response(413)
BUSY = _response(429)
BUSY_3 = _response(429, Retry_After="3")
BUSY_5 = _response(503, Retry_After="5")
BUSY_6 = _response(429, Retry_After="6")
BUSY_FOR_EVER = _response(429, Retry_After="9" * 400)
BUSY_PAST = _response(503, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT")
PROXY_503 = _response(503)
BROKEN = _response(500, b"internal server error ('x')")
REDIRECT = _response(302, Location="http://elsewhere/")
STRANGE = _response(200)

NO_CONNECTION = TransportFailure(Cause.LOST, False, "cannot connect")
CERTIFICATE = TransportFailure(Cause.CERTIFICATE, False, "the certificate does not verify")
PROXY = TransportFailure(Cause.PROXY, False, "the proxy answered 407")
CERTIFICATE_BEGUN = TransportFailure(Cause.CERTIFICATE, True, "renegotiated away")
LOST = TransportFailure(Cause.LOST, True, "the connection broke")
GARBAGE = TransportFailure(Cause.GARBAGE, True, "not HTTP")
GARBAGE_EARLY = TransportFailure(Cause.GARBAGE, False, "not HTTP")
EXPIRED_EARLY = TransportFailure(Cause.EXPIRED, False, "the deadline passed before there was a connection")
EXPIRED = TransportFailure(Cause.EXPIRED, True, "the deadline passed before there was a response")

_START = 1318611591.0
_TAKES = 0.25
"""Seconds that each request takes in the tests."""

Answer: TypeAlias = Response | TransportFailure
Step: TypeAlias = str | float
"""A step of the flow: "sign" followed by "send", or the seconds of a delay."""


@dataclass
class Run:
    """One flow, driven by scripted responses, with clocks that only its steps advance."""

    answers: Sequence[Answer]
    retry: Retry = field(default_factory=Retry)
    jitter: float = 0.5
    deadline: float = inf
    """Seconds after the start."""
    strike: bool = False
    """Whether the deadline expires during the first delay."""

    steps: list[Step] = field(default_factory=list)
    signed_at: list[float] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    seconds: float = 0.0
    receipt: Receipt | None = None
    error: WebMQError | None = None

    def __post_init__(self) -> None:
        dialect = WebMQ(Credentials("app", "secret"))
        encoded = dialect.encode(Push("t", "Hello"))

        def sign(now: float) -> Request:
            self.steps.append("sign")
            self.signed_at.append(now - _START)
            return encoded(now)

        clock = Clock(wall=lambda: _START + self.seconds, monotonic=lambda: 777.0 + self.seconds)
        flow = PushFlow(sign, dialect, self.retry, clock, lambda: self.jitter, 777.0 + self.deadline)
        try:
            self.receipt = self._drive(flow)
        except WebMQError as error:
            self.error = error

    def _drive(self, flow: PushFlow) -> Receipt:
        answers = iter(self.answers)
        while True:
            request = flow.request()
            self.steps.append("send")
            self.sent_at.append(self.seconds)
            self.requests.append(request)
            self.seconds += _TAKES
            step = flow.receive(next(answers))
            if isinstance(step, Receipt):
                assert next(answers, None) is None, "the flow ended before the script"
                return step
            self.steps.append(step.seconds)
            self.seconds += step.seconds
            if self.strike:
                raise flow.error()

    @property
    def pauses(self) -> list[float]:
        return [step for step in self.steps if isinstance(step, float)]

    @property
    def ended(self) -> type[Receipt | WebMQError]:
        return type(self.receipt or self.error or WebMQError())


ONCE = Retry(attempts=1)
MORE = Retry(attempts=5, wait=1.0, max_wait=5.0)
AT_LEAST_ONCE = Retry(attempts=5, wait=1.0, max_wait=5.0, at_least_once=True)

# The responses, the retry policy, the expected delays, and the outcome. Jitter is 0.5.
_SCRIPTS: list[tuple[list[Answer], Retry, list[float], type[Receipt | WebMQError]]] = [
    # at once
    ([OK], Retry(), [], Receipt),
    ([OK], ONCE, [], Receipt),
    # a push that the broker has judged is not retried
    ([REFUSED], MORE, [], Rejected),
    ([UNKNOWN_KEY], MORE, [], AuthRejected),
    ([STALE], MORE, [], ClockRejected),
    ([TOO_LARGE], MORE, [], TooLarge),
    ([REFUSED], AT_LEAST_ONCE, [], Rejected),
    ([UNKNOWN_KEY], AT_LEAST_ONCE, [], AuthRejected),
    ([STALE], AT_LEAST_ONCE, [], ClockRejected),
    # no connection: a transient cause
    ([NO_CONNECTION, OK], Retry(), [0.05], Receipt),
    ([NO_CONNECTION] * 3, Retry(), [0.05, 0.1], ConnectFailed),
    ([NO_CONNECTION] * 5, MORE, [0.5, 1.0, 2.0, 2.5], ConnectFailed),
    ([NO_CONNECTION] * 4 + [OK], MORE, [0.5, 1.0, 2.0, 2.5], Receipt),
    ([NO_CONNECTION], ONCE, [], ConnectFailed),
    ([NO_CONNECTION, REFUSED], MORE, [0.5], Rejected),
    ([GARBAGE_EARLY, OK], MORE, [0.5], Receipt),
    # a certificate that does not verify: not a transient cause
    ([CERTIFICATE], MORE, [], ConnectFailed),
    ([PROXY], MORE, [], ConnectFailed),
    ([PROXY], AT_LEAST_ONCE, [], ConnectFailed),
    ([CERTIFICATE], AT_LEAST_ONCE, [], ConnectFailed),
    ([NO_CONNECTION, CERTIFICATE], MORE, [0.5], ConnectFailed),
    # overloaded: Retry-After plus the backoff, but no delay above max_wait
    ([BUSY, OK], MORE, [0.5], Receipt),
    ([BUSY] * 5, MORE, [0.5, 1.0, 2.0, 2.5], Overloaded),
    ([BUSY], ONCE, [], Overloaded),
    ([BUSY_3, OK], MORE, [3.5], Receipt),
    ([BUSY_3, BUSY_3, BUSY_3, OK], MORE, [3.5, 4.0, 5.0], Receipt),
    ([BUSY_5, OK], MORE, [5.0], Receipt),
    ([BUSY_PAST, OK], MORE, [0.5], Receipt),
    ([BUSY_6], MORE, [], Overloaded),
    ([BUSY_FOR_EVER], MORE, [], Overloaded),
    ([BUSY_3, BUSY_6], MORE, [3.5], Overloaded),
    ([BUSY_3], ONCE, [], Overloaded),
    # the broker may have accepted it: not retried by default
    ([LOST], MORE, [], ConnectionLost),
    ([CERTIFICATE_BEGUN], MORE, [], ConnectionLost),
    ([GARBAGE], MORE, [], BadReply),
    ([PROXY_503], MORE, [], BadReply),
    ([BROKEN], MORE, [], BadReply),
    ([REDIRECT], MORE, [], BadReply),
    ([STRANGE], MORE, [], BadReply),
    ([NO_CONNECTION, LOST], MORE, [0.5], ConnectionLost),
    ([BUSY, BROKEN], MORE, [0.5], BadReply),
    # at_least_once: a transient cause is retried
    ([LOST, OK], AT_LEAST_ONCE, [0.5], Receipt),
    ([LOST] * 5, AT_LEAST_ONCE, [0.5, 1.0, 2.0, 2.5], ConnectionLost),
    ([BROKEN, PROXY_503, OK], AT_LEAST_ONCE, [0.5, 1.0], Receipt),
    ([GARBAGE], AT_LEAST_ONCE, [], BadReply),
    ([REDIRECT], AT_LEAST_ONCE, [], BadReply),
    ([STRANGE], AT_LEAST_ONCE, [], BadReply),
    # once unconfirmed, it stays unconfirmed
    ([LOST, REFUSED], AT_LEAST_ONCE, [0.5], ConnectionLost),
    ([BROKEN, STALE], AT_LEAST_ONCE, [0.5], BadReply),
    ([LOST, CERTIFICATE], AT_LEAST_ONCE, [0.5], ConnectionLost),
    ([LOST, NO_CONNECTION, REFUSED], AT_LEAST_ONCE, [0.5, 1.0], ConnectionLost),
    ([LOST, BUSY_6], AT_LEAST_ONCE, [0.5], ConnectionLost),
    ([LOST, *[NO_CONNECTION] * 4], AT_LEAST_ONCE, [0.5, 1.0, 2.0, 2.5], ConnectionLost),
    ([LOST, BUSY, OK], AT_LEAST_ONCE, [0.5, 1.0], Receipt),
    ([LOST, BROKEN, REFUSED], AT_LEAST_ONCE, [0.5, 1.0], BadReply),
    # the deadline has expired: no retry, whatever the policy
    ([EXPIRED_EARLY], MORE, [], ConnectFailed),
    ([EXPIRED], MORE, [], ReplyTimeout),
    ([EXPIRED_EARLY], AT_LEAST_ONCE, [], ConnectFailed),
    ([EXPIRED], AT_LEAST_ONCE, [], ReplyTimeout),
    ([NO_CONNECTION, EXPIRED], MORE, [0.5], ReplyTimeout),
    ([LOST, EXPIRED_EARLY], AT_LEAST_ONCE, [0.5], ConnectionLost),
    ([LOST, EXPIRED], AT_LEAST_ONCE, [0.5], ReplyTimeout),
]


@pytest.mark.parametrize(("answers", "retry", "pauses", "end"), _SCRIPTS)
def test_the_steps_of_each_script(
    answers: list[Answer], retry: Retry, pauses: list[float], end: type[Receipt | WebMQError]
) -> None:
    """Each attempt is signed and sent, each delay is between two attempts, and the outcome has their number."""
    run = Run(answers, retry)
    steps: list[Step] = ["sign", "send"]
    for pause in pauses:
        steps += [pause, "sign", "send"]
    assert run.steps == pytest.approx(steps)
    assert run.ended is end
    ending = run.receipt or run.error
    assert ending is not None
    assert ending.attempts == len(answers)


@pytest.mark.parametrize(("answers", "retry", "pauses", "end"), _SCRIPTS)
def test_a_retry_makes_no_duplicate_by_default(
    answers: list[Answer], retry: Retry, pauses: list[float], end: type[Receipt | WebMQError]
) -> None:
    """For any script, no attempt but the last can have been accepted by the broker."""
    run = Run(answers, retry)
    if not retry.at_least_once:
        for answer in answers[: len(run.requests) - 1]:
            assert Run([answer], ONCE).ended in (ConnectFailed, Overloaded)


def test_every_attempt_is_signed_after_its_delay() -> None:
    """The timestamp is that of sending. Signed before a delay of 400 seconds, it would have expired."""
    run = Run([BUSY_3, BUSY_3, OK], Retry(wait=400.0, max_wait=400.0))
    assert run.signed_at == run.sent_at
    assert run.signed_at == pytest.approx([0.0, 203.25, 2 * 203.25])
    seconds = [request.query.partition("timestamp=")[2][:28] for request in run.requests]
    assert seconds == ["2011-10-14T16%3A59%3A51Z&sig", "2011-10-14T17%3A03%3A14Z&sig", "2011-10-14T17%3A06%3A37Z&sig"]


def test_the_body_is_the_same_object_in_every_attempt() -> None:
    run = Run([NO_CONNECTION, BUSY, OK])
    assert run.requests[0].body is run.requests[1].body is run.requests[2].body


def test_an_error_describes_its_own_attempt() -> None:
    run = Run([LOST, BROKEN, REFUSED], AT_LEAST_ONCE)
    assert isinstance(run.error, BadReply)
    assert (run.error.status, run.error.attempts) == (500, 3)
    run = Run([BUSY_3, BUSY_6], MORE)
    assert isinstance(run.error, Overloaded)
    assert (run.error.retry_after, run.error.attempts) == (6.0, 2)
    run = Run([STALE], MORE)
    assert run.error is not None
    assert (str(run.error), run.error.attempts) == ("the broker answered 400: timestamp expired (delta 302 seconds)", 1)


@pytest.mark.parametrize(
    ("failure", "transient"),
    [(NO_CONNECTION, True), (GARBAGE_EARLY, True), (EXPIRED_EARLY, True), (CERTIFICATE, False), (PROXY, False)],
)
def test_a_failed_connection_says_whether_it_may_work_later(failure: TransportFailure, transient: bool) -> None:
    run = Run([failure], ONCE)
    assert isinstance(run.error, ConnectFailed)
    assert run.error.transient is transient
    assert str(run.error) == failure.reason


@pytest.mark.parametrize("failure", [LOST, GARBAGE, EXPIRED, CERTIFICATE_BEGUN])
def test_a_push_is_unconfirmed_once_a_byte_was_sent(failure: TransportFailure) -> None:
    run = Run([failure], ONCE)
    assert isinstance(run.error, Unconfirmed)
    assert str(run.error) == failure.reason


# The deadline


@pytest.mark.parametrize(
    ("answers", "deadline", "pauses", "end"),
    [
        # A request takes 0.25 s, the delays are 0.5 and 1.0.
        ([NO_CONNECTION], 0.74, [], ConnectFailed),
        ([NO_CONNECTION], 0.75, [], ConnectFailed),
        ([NO_CONNECTION, OK], 0.76, [0.5], Receipt),
        ([NO_CONNECTION, NO_CONNECTION], 2.0, [0.5], ConnectFailed),
        ([NO_CONNECTION, NO_CONNECTION, OK], 2.01, [0.5, 1.0], Receipt),
        # If Retry-After is beyond the deadline, the push does not wait at all.
        ([BUSY_3], 3.75, [], Overloaded),
        ([BUSY_3], 1.0, [], Overloaded),
        ([BUSY_3, OK], 3.76, [3.5], Receipt),
        # A deadline in the past ends it as well.
        ([NO_CONNECTION], 0.0, [], ConnectFailed),
        ([NO_CONNECTION], -5.0, [], ConnectFailed),
        ([OK], 0.1, [], Receipt),
    ],
)
def test_the_deadline_includes_the_delays(
    answers: list[Answer], deadline: float, pauses: list[float], end: type[Receipt | WebMQError]
) -> None:
    run = Run(answers, MORE, deadline=deadline)
    assert (run.pauses, run.ended) == (pauses, end)


def test_an_overload_beyond_the_deadline_keeps_its_retry_after() -> None:
    run = Run([BUSY_3], MORE, deadline=1.0)
    assert isinstance(run.error, Overloaded)
    assert run.error.retry_after == 3.0
    assert run.seconds == _TAKES


@pytest.mark.parametrize(
    ("answers", "retry", "end"),
    [
        ([NO_CONNECTION], MORE, ConnectFailed),
        ([BUSY_3], MORE, Overloaded),
        ([LOST], AT_LEAST_ONCE, ConnectionLost),
        ([BROKEN], AT_LEAST_ONCE, BadReply),
    ],
)
def test_a_deadline_that_expires_in_a_delay_raises_the_error_of_the_last_attempt(
    answers: list[Answer], retry: Retry, end: type[WebMQError]
) -> None:
    run = Run(answers, retry, strike=True)
    assert run.ended is end
    assert run.error is not None
    assert run.error.attempts == 1
    assert len(run.requests) == 1


# Jitter


@pytest.mark.parametrize(
    ("jitter", "pauses"),
    [(0.0, [0.0] * 8), (0.999, [0.999 * most for most in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)])],
)
def test_full_jitter(jitter: float, pauses: list[float]) -> None:
    """Delays are between 0 and a maximum that doubles up to max_wait."""
    run = Run([NO_CONNECTION] * 9, Retry(attempts=9), jitter)
    assert run.pauses == pytest.approx(pauses)


def test_a_retry_without_a_delay_is_signed_again() -> None:
    run = Run([NO_CONNECTION, NO_CONNECTION, OK], Retry(wait=0.0), 0.999)
    assert run.steps == ["sign", "send", 0.0, "sign", "send", 0.0, "sign", "send"]


def test_very_many_attempts_do_not_overflow() -> None:
    run = Run([NO_CONNECTION] * 2000, Retry(attempts=2000), 0.0)
    assert run.error is not None
    assert run.error.attempts == 2000
    run = Run([NO_CONNECTION] * 2000, Retry(attempts=2000, wait=2e6, max_wait=2e6), 0.999)
    assert max(run.pauses) == pytest.approx(0.999 * 2e6)


_ANSWERS = st.sampled_from(
    [OK, REFUSED, BUSY, BUSY_3, BUSY_5, BUSY_6, PROXY_503, BROKEN, NO_CONNECTION, CERTIFICATE, LOST, GARBAGE]
)


@given(
    st.lists(_ANSWERS, min_size=8, max_size=8),
    st.builds(
        Retry,
        attempts=st.integers(1, 6),
        wait=st.floats(0, 10),
        max_wait=st.sampled_from([0.0, 2.0, 3.0, 3.5, 5.0, 10.0]),
        at_least_once=st.booleans(),
    ),
    st.floats(0, 1, exclude_max=True),
    st.just(inf) | st.floats(0, 30),
)
def test_the_guarantees_hold_for_any_script(
    answers: list[Answer], retry: Retry, jitter: float, deadline: float
) -> None:
    """Attempts, delays and the deadline are limits, and a push that may have been accepted is always Unconfirmed."""
    # As many responses as the flow needs, found by trying.
    for length in range(1, len(answers) + 1):
        try:
            run = Run(answers[:length], retry, jitter, deadline)
        except (RuntimeError, StopIteration):
            continue
        break
    else:
        pytest.fail("more than eight attempts")
    taken = answers[: len(run.requests)]
    assert len(taken) <= retry.attempts
    assert all(pause <= retry.max_wait for pause in run.pauses)
    assert all(at < deadline for at in run.sent_at[1:])
    doubtful = any(issubclass(Run([answer], ONCE).ended, Unconfirmed) for answer in taken)
    if isinstance(run.error, NotAccepted):
        assert not doubtful
    if isinstance(run.error, Unconfirmed):
        assert doubtful


# Retry


def test_the_default_retry() -> None:
    retry = Retry()
    assert (retry.attempts, retry.wait, retry.max_wait, retry.at_least_once) == (3, 0.1, 5.0, False)
    assert hash(retry) == hash(Retry())


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1"),
        ({"attempts": -1}, ValueError, "attempts must be at least 1"),
        ({"attempts": 2.0}, TypeError, "attempts must be an integer"),
        ({"attempts": True}, TypeError, "attempts must be an integer"),
        ({"attempts": None}, TypeError, "attempts must be an integer"),
        ({"wait": -0.1}, ValueError, "wait must be at least 0"),
        ({"wait": inf}, ValueError, "wait must be at least 0"),
        ({"wait": None}, TypeError, "wait must be a number of seconds, not NoneType"),
        ({"wait": "1"}, TypeError, "wait must be a number"),
        ({"max_wait": float("nan")}, ValueError, "max_wait must be at least 0"),
        ({"max_wait": None}, TypeError, "max_wait must be a number of seconds, not NoneType"),
    ],
)
def test_invalid_arguments_of_retry_are_refused(given: dict[str, float], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=f"^{said}"):
        Retry(**given)  # type: ignore[arg-type]  # wrong on purpose


# Wrong use by a driver


def _unsigned() -> Signer:
    return WebMQ().encode(Push("t", 1))


def _flow(sign: Signer, retry: Retry = MORE) -> PushFlow:
    return PushFlow(sign, WebMQ(), retry, Clock(lambda: 5.0, lambda: 0.0), lambda: 0.5, inf)


def test_no_error_before_an_attempt_has_failed() -> None:
    with pytest.raises(TypeError, match="no attempt has failed"):
        _flow(_unsigned()).error()


def test_nothing_is_signed_before_the_first_request() -> None:
    """A flow that is created but not started, as by a client that was just closed, has no effect."""
    calls: list[float] = []

    def sign(now: float) -> Request:
        calls.append(now)
        return Request("", b"")

    flow = _flow(sign)
    assert calls == []
    assert flow.request().query == ""
    assert calls == [5.0]


def test_sleep_has_the_reason() -> None:
    """A `Sleep` step has the attempt and its error, for the log."""
    flow = _flow(_unsigned())
    flow.request()
    step = flow.receive(NO_CONNECTION)
    assert isinstance(step, Sleep)
    assert (step.seconds, step.attempt, str(step.error)) == (0.5, 1, NO_CONNECTION.reason)
    assert isinstance(step.error, ConnectFailed)
