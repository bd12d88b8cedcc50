"""Which row a relay pushes next, and what follows from its outcome. Pure: times and random numbers are arguments."""

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
from webmqconnect_async.relay import _policy
from webmqconnect_async.relay._policy import Changes, Schedule
from webmqconnect_async.relay._store import Row

NOW = 1_000_000.0


def rows(topics: str, attempts: int = 0) -> list[Row]:
    """Return a row for each letter. The letter is its topic, and its ID is its position."""
    return [Row(number, f"key {number}", topic, "1", None, None, attempts) for number, topic in enumerate(topics)]


def schedule_of(topics: str, concurrency: int = 10, attempts: int = 0) -> Schedule:
    schedule = Schedule(concurrency, 100, lambda: 1.0, Changes())
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
    changes, topics = schedule.pending()
    schedule.written(changes, topics)
    return changes


def overloaded(seconds: float) -> Overloaded:
    error = Overloaded("slow down", status=429)
    error.retry_after = seconds
    return error


# Order


def test_at_most_one_row_of_a_topic_is_in_flight() -> None:
    schedule = schedule_of("aabca")
    first, b, c = handed_out(schedule)
    assert ids([first, b, c]) == [0, 2, 3]
    schedule.done(b, None, 0, NOW)
    assert handed_out(schedule) == []
    schedule.done(first, None, 0, NOW)
    assert ids(handed_out(schedule)) == [1]


def test_at_most_concurrency_rows_are_in_flight() -> None:
    schedule = schedule_of("abcde", concurrency=2)
    first, second = handed_out(schedule)
    schedule.done(first, None, 0, NOW)
    assert ids(handed_out(schedule)) == [2]
    assert schedule.in_flight == 2
    schedule.done(second, None, 0, NOW)
    assert ids(written(schedule).deleted) == [0, 1]


def test_a_topic_is_read_again_when_its_outcomes_are_written() -> None:
    schedule = schedule_of("aab")
    a, b = handed_out(schedule)
    schedule.done(a, None, 0, NOW)
    schedule.done(b, None, 0, NOW)
    assert set(schedule.topics) == {"a", "b"}
    assert ids(written(schedule).deleted) == [0, 2]
    assert set(schedule.topics) == {"a"}
    (a,) = handed_out(schedule)
    schedule.done(a, None, 0, NOW)
    assert not schedule.idle
    assert ids(written(schedule).deleted) == [1]
    assert schedule.idle


def test_rows_are_read_only_while_slots_may_be_free() -> None:
    schedule = Schedule(2, 100, lambda: 1.0, Changes())
    assert schedule.wants_rows(0)
    schedule.add(rows("a" * 99 + "bc"))
    assert not schedule.wants_rows(0)  # it has enough rows
    schedule = schedule_of("abcd", concurrency=2)
    assert not schedule.wants_rows(0)
    handed_out(schedule)
    assert schedule.wants_rows(0)


def test_fewer_rows_are_read_if_events_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_policy, "_MAX_LENGTH", 2)
    assert schedule_of("a").wants_rows(0)
    assert not schedule_of("ab").wants_rows(0)


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
def test_the_effect_of_each_outcome_on_its_row(error: WebMQError, fate: str) -> None:
    schedule = schedule_of("baa")
    other, row = handed_out(schedule)
    schedule.done(other, None, 0, NOW)
    written(schedule)
    schedule.done(row, error, 0, NOW)
    changes = written(schedule)
    assert changes.deleted == []
    written_as = {"wait": [], "postpone": [(row, NOW + 1)], "park": [(row, None)]}
    assert [(each, due) for each, due, _ in changes.failed] == written_as[fate]
    assert ids(handed_out(schedule)) == ([2] if fate == "park" else [])
    assert schedule.wants_rows(60)  # rows that wait are read again


@pytest.mark.parametrize(("attempts", "delay"), [(0, 1), (1, 2), (5, 32), (6, 60), (5000, 60)])
def test_delay_of_a_row_doubles(attempts: int, delay: float) -> None:
    schedule = schedule_of("ab", attempts=attempts)
    (row, other) = handed_out(schedule)
    schedule.done(row, ConnectionLost("gone"), 0, NOW)
    schedule.done(other, None, 0, NOW)
    assert written(schedule).failed == [(row, NOW + delay, "ConnectionLost: gone")]


def test_delay_is_at_least_half() -> None:
    schedule = Schedule(1, 100, lambda: 0.0, Changes())
    schedule.add(rows("a"))
    (row,) = handed_out(schedule)
    schedule.done(row, ConnectionLost(), 0, NOW)
    ((_, due, _),) = written(schedule).failed
    assert due == NOW + 0.5


# A broker that is down


def test_one_push_at_a_time_probes_a_broker_that_is_down() -> None:
    """All rows are read again for the next probe, because an operator may have dropped some."""
    schedule = schedule_of("aabcd")
    for row in handed_out(schedule):
        schedule.done(row, ConnectFailed("refused"), 0, NOW)
    now = 0.0
    for expected in (0.25, 0.5, 1, 2, 4, 5, 5):
        assert schedule.pause(now) == expected
        assert schedule.idle
        assert not schedule.wants_rows(now)
        assert not written(schedule)
        assert not schedule.topics
        now += expected
        assert schedule.wants_rows(now)
        schedule.add(rows("abbcd"))
        (probe,) = handed_out(schedule, now)
        schedule.done(probe, ConnectFailed("refused"), now, NOW)
    assert str(schedule.error) == "refused"
    assert schedule.away
    written(schedule)
    now += 5
    schedule.add(rows("abcd"))
    (probe,) = handed_out(schedule, now)
    schedule.done(probe, None, now, NOW)
    assert (schedule.error, schedule.away, schedule.pause(now)) == (None, False, 0)
    assert len(handed_out(schedule, now)) == 3


def test_rows_behind_one_in_flight_are_released_too() -> None:
    schedule = schedule_of("aaab")
    a, b = handed_out(schedule)
    schedule.done(b, ConnectFailed(), 0, NOW)
    schedule.done(a, None, 0, NOW)
    assert ids(written(schedule).deleted) == [0]
    assert schedule.idle


@pytest.mark.parametrize("error", [AuthRejected(status=401), BadReply(status=502), Rejected(status=400)], ids=repr)
def test_a_broker_that_refuses_rows_is_not_down(error: WebMQError) -> None:
    """The relay does not back off. It first probes the broker with a row that has not failed yet."""
    schedule = schedule_of("ab")
    for row in handed_out(schedule):
        schedule.done(row, error, 0, NOW)
    now = 0.0
    for _ in range(4):
        written(schedule)
        schedule.add(rows("abc", attempts=1))
        schedule.add(rows("d"))
        (probe,) = handed_out(schedule, now)
        schedule.done(probe, error, now, NOW)
        assert probe.topic == "d"
        assert schedule.pause(now) == 0.25
        now += 0.25
    assert schedule.error is error
    assert not schedule.away


def test_a_server_that_refuses_all_rows_causes_none_to_be_parked() -> None:
    """A row is parked only if the broker accepts another one, because the server may not be the broker."""
    schedule = schedule_of("abb")
    a, b = handed_out(schedule)
    schedule.done(a, Rejected(status=400), 0, NOW)
    schedule.done(b, None, 0, NOW)
    assert [due for _, due, _ in written(schedule).failed] == [NOW + 1]
    (b,) = handed_out(schedule)
    schedule.done(b, Rejected(status=400), 0, NOW)
    assert [due for _, due, _ in written(schedule).failed] == [None]


def test_outcomes_that_could_not_be_written_are_kept() -> None:
    schedule = schedule_of("ab")
    a, b = handed_out(schedule)
    schedule.done(a, None, 0, NOW)
    first = schedule.pending()
    schedule.done(b, TooLarge(status=413), 0, NOW)
    assert set(schedule.topics) == {"a", "b"}
    assert schedule.pending() == (Changes([a], [(b, None, "TooLarge: ")]), ["a", "b"])
    schedule.written(*first)
    assert set(schedule.topics) == {"b"}
    assert written(schedule) == Changes([], [(b, None, "TooLarge: ")])
    assert schedule.idle


@pytest.mark.parametrize(("asked", "pause"), [(0.1, 0.25), (30, 30), (86_400, 60)])
def test_the_delay_that_the_broker_asks_for(asked: float, pause: float) -> None:
    schedule = schedule_of("a")
    (row,) = handed_out(schedule)
    schedule.done(row, overloaded(asked), 0, NOW)
    assert schedule.pause(0) == pause


def test_a_row_that_always_fails_does_not_delay_others() -> None:
    """After a single failure, the next push shows without a delay whether the row or the broker is its cause."""
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


def test_failures_of_two_topics_mean_that_the_broker_is_down() -> None:
    schedule = schedule_of("abcd", concurrency=1)
    for topic in "ab":
        (row,) = handed_out(schedule)
        assert row.topic == topic
        schedule.done(row, ReplyTimeout("late"), 0, NOW)
    assert schedule.pause(0) == 0.25
    assert isinstance(schedule.error, ReplyTimeout)
    assert schedule.away
    written(schedule)
    schedule.add(rows("cd"))
    (probe,) = handed_out(schedule, 1)
    schedule.done(probe, TooLarge(status=413), 1, NOW)  # which counts as a response
    assert ids(handed_out(schedule, 1)) == [1]


def test_pushes_that_fail_together_count_once() -> None:
    schedule = schedule_of("abcdefgh")
    for row in handed_out(schedule):
        schedule.done(row, ConnectionLost(), 0, NOW)
    assert schedule.pause(0) == 0
    assert len(written(schedule).failed) == 8
    schedule.add(rows("abc"))
    assert len(handed_out(schedule)) == 1
