"""A clock with a time that no timestamp can express raises an error of the package before anything is sent."""

from __future__ import annotations

import math
import time

import pytest

from webmqconnect_async import ClockRejected, ConnectionLost, Push, WebMQError
from webmqconnect_async._core.dialects import Dialect, DialectName, Request
from webmqconnect_async._core.flow import Clock, PushFlow, Retry, Sleep
from webmqconnect_async._core.settings import new_dialect
from webmqconnect_async._core.transport_failures import Cause, TransportFailure
from webmqconnect_async.signing import Credentials

from .cases import PUBLISHED
from .clients import DRIVERS, METHODS, Both
from .hostile import ACCEPTED, hostile

both_drivers = pytest.mark.parametrize("driver", DRIVERS)
both_dialects = pytest.mark.parametrize("dialect", ["webmq", "crossbar"])

BEYOND = [1e18, -1e18, -1.0, 253_402_300_800.0, 1e300, math.nan, math.inf, -math.inf]
"""Times outside of the years 1970 to 9999."""


@pytest.mark.parametrize("now", BEYOND)
@both_dialects
@both_drivers
def test_a_clock_out_of_range(driver: str, dialect: DialectName, now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    with hostile() as server, Both(driver, server.url, "app", "s3cret", dialect=dialect) as client:
        for method in METHODS:
            error = client.ended(method, "com.example.t", 1)
            assert isinstance(error, ClockRejected)
            assert str(error) == "this machine's clock is out of range: it must be in the years 1970 to 9999"
            assert (error.attempts, error.status, error.skew, error.retryable) == (0, 0, None, False)
        assert server.requests == []
        assert client.stats.failed == 3


@pytest.mark.parametrize("now", [0.0, 253_402_300_799.9])
@both_dialects
@both_drivers
def test_the_first_and_the_last_second(
    driver: str, dialect: DialectName, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    accepted = ACCEPTED if dialect == "webmq" else PUBLISHED
    with hostile(accepted=accepted) as server, Both(driver, server.url, "app", "s3cret", dialect=dialect) as client:
        client.push("com.example.t", 1)
        year = "1970" if now == 0.0 else "9999"
        assert server.requests[0].query["timestamp"].startswith(year)


@pytest.mark.parametrize("now", BEYOND)
@both_dialects
@both_drivers
def test_an_unsigned_push_needs_no_clock(
    driver: str, dialect: DialectName, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    accepted = ACCEPTED if dialect == "webmq" else PUBLISHED
    with hostile(accepted=accepted) as server, Both(driver, server.url, dialect=dialect) as client:
        assert client.push("com.example.t", 1).attempts == 1


def _ended(dialect: Dialect, begun: bool) -> WebMQError:
    """Push; the first attempt fails, and the clock fails before the second. Return the error."""
    times = iter([1_800_000_000.0, math.nan])
    clock = Clock(wall=lambda: next(times), monotonic=lambda: 0.0)
    sign = dialect.encode(Push("com.example.t", 1))
    flow = PushFlow(sign, dialect, Retry(at_least_once=True), clock, lambda: 0.0, math.inf)
    assert isinstance(flow.request(), Request)
    assert isinstance(flow.receive(TransportFailure(Cause.LOST, begun, "broke")), Sleep)
    with pytest.raises(WebMQError) as caught:
        flow.request()
    return caught.value


@both_dialects
def test_a_clock_that_fails_between_two_attempts(dialect: DialectName) -> None:
    """The error has the number of attempts, and a push that may have been accepted stays Unconfirmed."""
    both = new_dialect(dialect, Credentials("app", "s3cret"))
    error = _ended(both, begun=False)
    assert (type(error), error.attempts) == (ClockRejected, 1)
    error = _ended(both, begun=True)
    assert (type(error), error.attempts) == (ConnectionLost, 1)
