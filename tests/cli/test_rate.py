"""The rate limit of `webmqconnect push`, with a simulated clock."""

from __future__ import annotations

import pytest

from webmqconnect_async._cli.push.rate import RateLimit


def turns(rate: float, seconds: float, *, lateness: float = 0.0, stalls: dict[int, float] | None = None) -> list[float]:
    """Return the times at which turns are taken.

    Args:
        rate: turns per second.
        seconds: duration of the simulation.
        lateness: by how much every timer fires late.
        stalls: how many seconds the process is suspended, by the number of the turn after it.
    """
    limit, now, taken = RateLimit(rate), 1000.0, list[float]()
    while now <= 1000 + seconds:
        now += (stalls or {}).get(len(taken), 0.0)
        while delay := limit.delay(now):
            now += delay + lateness
        limit.take(now)
        taken.append(now)
    return taken


def most_within(taken: list[float], seconds: float) -> int:
    """Return the maximum number of turns within any window of `seconds`."""
    most = first = 0
    for last, at in enumerate(taken):
        while taken[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rate", [0.5, 10, 333, 20_000])
@pytest.mark.parametrize("lateness", [0.0, 0.0015])
def test_late_timers_do_not_reduce_the_rate(rate: float, lateness: float) -> None:
    taken = turns(rate, 20, lateness=lateness)
    assert len(taken) == pytest.approx(20 * rate + 1, abs=max(1, rate * 0.01))


@pytest.mark.parametrize("rate", [2, 10, 25, 333, 20_000])
@pytest.mark.parametrize("window", [0.0, 0.05, 0.5, 1.0])
def test_the_rate_is_never_exceeded_by_more_than_a_tenth_of_a_second(rate: float, window: float) -> None:
    """After a stall, at most the turns of a tenth of a second are made up for. The start does not count as a stall."""
    stalls = {0: 3.0, int(rate * 2): 1.5, int(rate * 3): 0.05, int(rate * 4): 10.0}
    taken = turns(rate, 20, stalls=stalls)
    assert most_within(taken, window) <= rate * (window + max(0.1, 1 / rate + 0.002)) + 1e-6 * rate


def test_a_short_stall_is_made_up_for() -> None:
    taken = turns(1000, 2, stalls={500: 0.08})
    assert taken[1999] == pytest.approx(taken[0] + 1.999)


def test_a_long_stall_is_not_made_up_for() -> None:
    taken = turns(1000, 5, stalls={500: 2.0})
    assert taken[1999] == pytest.approx(taken[0] + 1.999 + 2.0 - 0.1, abs=0.002)


@pytest.mark.parametrize("rate", [2, 9.9])
def test_slow_rates_make_up_for_no_stall(rate: float) -> None:
    taken = turns(rate, 20, stalls={5: 3.0})
    assert most_within(taken, 0.9 / rate) == 1


def test_the_first_turn_comes_at_once() -> None:
    assert RateLimit(0.001).delay(5.0) == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_invalid_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate: must be greater than 0"):
        RateLimit(rate)
