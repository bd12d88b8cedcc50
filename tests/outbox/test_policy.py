"""What a relay pushes next, and what becomes of a row: pure, so times and random numbers are arguments."""

from __future__ import annotations

import pytest

from webmqconnect_async import (
    AuthRejected,
    BadReply,
    ClockRejected,
    ConnectFailed,
    ConnectionLost,
    InvalidPush,
    Overloaded,
    QueueTimeout,
    Rejected,
    ReplyTimeout,
    TooLarge,
    WebMQError,
)
from webmqconnect_async.relay._policy import Changes, Schedule
from webmqconnect_async.relay._store import Row

NOW = 1_000_000.0


def rows(topics: str, attempts: int = 0) -> list[Row]:
    """Return a row for each letter, which is its topic; their IDs are their positions."""
    return [Row(number, f"key {number}", topic, "1", None, None, attempts) for number, topic in enumerate(topics)]


def schedule_of(topics: str, concurrency: int = 10, attempts: int = 0) -> Schedule:
    schedule = Schedule(concurrency, 100, lambda: 1.0)
    schedule.add(rows(topics, attempts))
    return schedule


def handed_out(schedule: Schedule, now: float = 0.0) -> list[Row]:
    """Return all rows that may be pushed now."""
    found = []
    while row := schedule.next(now):
        found.append(row)
    return found


def ids(found: list[Row]) -> list[int]:
    return [row.id for row in found]


def written(schedule: Schedule) -> Changes:
    changes, topics = schedule.take_changes()
    schedule.written(topics)
    return changes


def overloaded(seconds: float) -> Overloaded:
    error = Overloaded("slow down", status=429)
    error.retry_after = seconds
    return error


# Order


def test_one_row_of_a_topic_is_in_flight() -> None:
    schedule = schedule_of("aabca")
    first, b, c = handed_out(schedule)
    assert ids([first, b, c]) == [0, 2, 3]
    schedule.done(b, None, 0, NOW)
    assert handed_out(schedule) == []
    schedule.done(first, None, 0, NOW)
    assert ids(handed_out(schedule)) == [1]


def test_at_most_so_many_are_in_flight() -> None:
    schedule = schedule_of("abcde", concurrency=2)
    first, second = handed_out(schedule)
    schedule.done(first, None, 0, NOW)
    assert ids(handed_out(schedule)) == [2]
    assert schedule.in_flight == 2
    schedule.done(second, None, 0, NOW)
    assert written(schedule).deleted == [0, 1]


def test_a_topic_is_read_again_when_its_outcomes_are_written() -> None:
    schedule = schedule_of("aab")
    a, b = handed_out(schedule)
    schedule.done(a, None, 0, NOW)
    schedule.done(b, None, 0, NOW)
    assert set(schedule.topics) == {"a", "b"}
    assert written(schedule).deleted == [0, 2]
    assert set(schedule.topics) == {"a"}
    (a,) = handed_out(schedule)
    schedule.done(a, None, 0, NOW)
    assert not schedule.idle
    assert written(schedule).deleted == [1]
    assert schedule.idle


def test_rows_are_read_while_there_may_be_slots_for_them() -> None:
    schedule = Schedule(2, 100, lambda: 1.0)
    assert schedule.wants_rows(0)
    schedule.add(rows("a" * 99 + "bc"))
    assert not schedule.wants_rows(0)  # it holds enough
    schedule = schedule_of("abcd", concurrency=2)
    assert not schedule.wants_rows(0)
    handed_out(schedule)
    assert schedule.wants_rows(0)


# Outcomes


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (ConnectFailed(), "wait"),
        (ConnectFailed(transient=False), "wait"),
        (QueueTimeout(), "wait"),
        (Overloaded(status=503), "wait"),
        (ClockRejected(status=400), "wait"),
        (Rejected(status=404), "wait"),
        (Rejected(status=405), "wait"),
        (Rejected(status=407), "wait"),
        (AuthRejected(status=401), "postpone"),
        (ConnectionLost(), "postpone"),
        (ReplyTimeout(), "postpone"),
        (BadReply(status=500), "postpone"),
        (BadReply(status=301), "postpone"),
        (Rejected(status=400), "park"),
        (Rejected(status=422), "park"),
        (TooLarge(status=413), "park"),
        (TooLarge(), "park"),
        (InvalidPush(), "park"),
    ],
    ids=repr,
)
def test_what_becomes_of_a_row(error: WebMQError, fate: str) -> None:
    schedule = schedule_of("aa")
    (row,) = handed_out(schedule)
    schedule.done(row, error, 0, NOW)
    changes = written(schedule)
    assert changes.deleted == []
    assert [each.id for each, *_ in changes.postponed] == ([0] if fate == "postpone" else [])
    assert [each.id for each, _ in changes.parked] == ([0] if fate == "park" else [])
    assert ids(handed_out(schedule)) == {"wait": [], "postpone": [], "park": [1]}[fate]
    assert ids(handed_out(schedule, now=60)) == {"wait": [0], "postpone": [], "park": []}[fate]


@pytest.mark.parametrize(("attempts", "delay"), [(0, 1), (1, 2), (5, 32), (6, 60), (5000, 60)])
def test_delay_of_a_row_doubles(attempts: int, delay: float) -> None:
    schedule = schedule_of("ab", attempts=attempts)
    (row, other) = handed_out(schedule)
    schedule.done(row, ConnectionLost("gone"), 0, NOW)
    schedule.done(other, None, 0, NOW)
    assert written(schedule).postponed == [(row, NOW + delay, "ConnectionLost: gone")]


def test_delay_is_at_least_half() -> None:
    schedule = Schedule(1, 100, lambda: 0.0)
    schedule.add(rows("a"))
    (row,) = handed_out(schedule)
    schedule.done(row, ConnectionLost(), 0, NOW)
    ((_, due, _),) = written(schedule).postponed
    assert due == NOW + 0.5


# A broker that is away


def test_one_push_at_a_time_probes_a_broker_that_is_away() -> None:
    schedule = schedule_of("abcd")
    for row in handed_out(schedule):
        schedule.done(row, ConnectFailed("refused"), 0, NOW)
    pause = 1.0
    now = 0.0
    for expected in (0.25, 0.5, 1, 2, 4, 5, 5):
        pause = schedule.pause(now) or 0.0
        assert pause == expected
        assert handed_out(schedule, now + pause - 0.01) == []
        assert not schedule.wants_rows(now)
        now += pause
        (probe,) = handed_out(schedule, now)
        assert probe.id == 3  # the same again, in front of the others
        schedule.done(probe, ConnectFailed("refused"), now, NOW)
    assert str(schedule.error) == "refused"
    assert not written(schedule)
    now += 5
    (probe,) = handed_out(schedule, now)
    schedule.done(probe, None, now, NOW)
    assert schedule.error is None
    assert schedule.pause(now) is None
    assert len(handed_out(schedule, now)) == 3


@pytest.mark.parametrize(("asked", "pause"), [(0.1, 0.25), (30, 30), (86_400, 60)])
def test_broker_asks_for_a_pause(asked: float, pause: float) -> None:
    schedule = schedule_of("a")
    (row,) = handed_out(schedule)
    schedule.done(row, overloaded(asked), 0, NOW)
    assert schedule.pause(0) == pause


def test_a_row_that_always_fails_does_not_delay_others() -> None:
    """A single failure may be the row's, or the broker's: the next push shows which, and there is no pause before."""
    schedule = schedule_of("abc")
    a, b, c = handed_out(schedule)
    schedule.done(a, BadReply(status=500), 0, NOW)
    assert schedule.error is None
    for row in (b, c):
        schedule.done(row, None, 0, NOW)
    for _ in range(5):
        written(schedule)
        schedule.add(rows("a"))
        (a,) = handed_out(schedule)
        schedule.done(a, BadReply(status=500), 0, NOW)
    written(schedule)
    schedule.add(rows("bc"))
    (probe,) = handed_out(schedule)
    schedule.done(probe, None, 0, NOW)
    assert len(handed_out(schedule)) == 1


def test_failures_of_two_topics_are_the_brokers() -> None:
    schedule = schedule_of("abcd", concurrency=1)
    for topic in "ab":
        (row,) = handed_out(schedule)
        assert row.topic == topic
        schedule.done(row, ReplyTimeout("late"), 0, NOW)
    assert schedule.pause(0) == 0.25
    assert isinstance(schedule.error, ReplyTimeout)
    (probe,) = handed_out(schedule, 1)
    assert probe.topic == "c"
    schedule.done(probe, TooLarge(status=413), 1, NOW)  # which is a response
    assert ids(handed_out(schedule, 1)) == [3]


def test_pushes_that_fail_together_count_once() -> None:
    schedule = schedule_of("abcdefgh")
    for row in handed_out(schedule):
        schedule.done(row, ConnectionLost(), 0, NOW)
    assert schedule.pause(0) is None
    assert len(written(schedule).postponed) == 8
    schedule.add(rows("abc"))
    assert len(handed_out(schedule)) == 1
