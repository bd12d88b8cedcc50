"""The bookkeeping of `push_soon`, without clients: times are arguments, and the tests choose the outcomes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from webmqconnect_async import (
    AuthRejected,
    Background,
    BadReply,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    Failed,
    NotAccepted,
    Overloaded,
    Push,
    QueueTimeout,
    Receipt,
    ReplyTimeout,
    Unconfirmed,
    WebMQError,
)
from webmqconnect_async._core.backlog import Backlog, Entry
from webmqconnect_async._core.dialects import Encoded, Request

SENT = Receipt(202)
AWAY = ConnectFailed("nobody there")


def ignore(failed: Failed) -> None:
    """Do nothing: with an `on_failure`, failures stay in the backlog until they are reported."""


def backlog(*topics: str, jitter: Callable[[], float] = lambda: 1.0, **options: Any) -> Backlog:
    """Return a backlog with an event for each of these topics, numbered from 0."""
    made = Backlog(Background(**{"on_failure": ignore, **options}), jitter)
    for number, topic in enumerate(topics):
        assert add(made, topic, number)
    return made


def add(backlog: Backlog, topic: str, event: object, now: float = 0.0, size: int = 10) -> bool:
    return backlog.add(Push(topic, event), Encoded(lambda body, now: Request("", body), bytes(size)), now)


def taken(backlog: Backlog, now: float = 0.0) -> Entry:
    entry = backlog.take(now)
    assert entry is not None
    return entry


def all_taken(backlog: Backlog, now: float = 0.0) -> list[Entry]:
    """Return everything that may be pushed now."""
    entries: list[Entry] = []
    while (entry := backlog.take(now)) is not None:
        entries.append(entry)
    return entries


def failures(backlog: Backlog) -> list[tuple[int, WebMQError | None]]:
    """Return the numbers and errors of failed events, and remove them."""
    found: list[tuple[int, WebMQError | None]] = []
    while (entry := backlog.next_failure()) is not None:
        found.append((entry.index, entry.error))
        backlog.forget(entry)
    return found


# Options


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"limit": 0}, ValueError, "limit must be at least 1"),
        ({"limit": 1.5}, TypeError, "limit must be an integer, not float"),
        ({"limit_bytes": 0}, ValueError, "limit_bytes must be at least 1"),
        ({"concurrency": True}, TypeError, "concurrency must be an integer, not bool"),
        ({"max_age": 0}, ValueError, "max_age must be greater than 0"),
        ({"max_age": "1"}, TypeError, "max_age must be a number of seconds or None, not str"),
        ({"on_failure": 1}, TypeError, "on_failure must be callable or None, not int"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{said}"):
        Background(**options)


def test_on_failure_is_not_a_coroutine_function() -> None:
    """A coroutine function is refused as `on_failure`, because its coroutines would never be awaited."""

    async def on_failure(failed: Failed) -> None: ...

    with pytest.raises(TypeError, match="on_failure must be a plain function"):
        Background(on_failure=on_failure)


# Order


def test_one_event_of_each_topic_is_in_flight() -> None:
    waiting = backlog("a", "a", "b", "a", "b")
    first, second = all_taken(waiting)
    assert (first.index, second.index) == (0, 2)
    waiting.done(second, SENT, 0.0)
    assert [entry.index for entry in all_taken(waiting)] == [4]
    waiting.done(first, SENT, 0.0)
    assert [entry.index for entry in all_taken(waiting)] == [1]


@pytest.mark.parametrize("result", [AuthRejected("no"), Unconfirmed("perhaps"), BadReply("what"), ClientClosed("gone")])
def test_a_failure_is_reported_and_the_next_event_is_pushed(result: WebMQError) -> None:
    waiting = backlog("a", "a")
    waiting.done(taken(waiting), result, 0.0)
    assert failures(waiting) == [(0, result)]
    assert (taken(waiting).index, waiting.waiting, waiting.failed) == (1, 1, 1)


def test_a_topic_is_forgotten_with_its_last_event() -> None:
    waiting = backlog("a")
    waiting.done(taken(waiting), SENT, 0.0)
    assert waiting._turns == {}
    add(waiting, "a", 1)
    assert taken(waiting).index == 1


def test_a_second_outcome_of_a_try_is_ignored() -> None:
    """A try may have a second outcome if its task is garbage-collected long after its loop was closed."""
    waiting = backlog("a")
    entry = taken(waiting)
    waiting.fail_in_flight(0.0)
    waiting.done(entry, SENT, 0.0)
    [(index, error)] = failures(waiting)
    assert (index, type(error), waiting.waiting) == (0, Unconfirmed, 0)


# Limits


def test_limits() -> None:
    """Events that are in flight or not yet reported count, too. Each call has an index, even if it returns False."""
    waiting = backlog("a", "b", limit=2)
    assert not add(waiting, "c", 2)
    entry = taken(waiting)
    assert not add(waiting, "c", 3)
    waiting.done(entry, Unconfirmed("perhaps"), 0.0)
    assert not add(waiting, "c", 4)
    failures(waiting)
    assert add(waiting, "c", 5)
    assert (waiting.dropped, waiting.waiting) == (3, 2)
    assert [entry.index for entry in all_taken(waiting)] == [1, 5]


def test_limit_of_bytes() -> None:
    waiting = backlog(limit_bytes=100)
    assert not add(waiting, "a", 0, size=101)
    assert add(waiting, "a", 1, size=100)
    assert not add(waiting, "a", 2, size=1)
    waiting.done(taken(waiting), SENT, 0.0)
    assert add(waiting, "a", 3, size=1)


# Outages of the broker


def test_one_push_at_a_time_probes_the_broker() -> None:
    waiting = backlog(*"abcd")
    for entry in all_taken(waiting):
        assert waiting.delay(0.0) is None
        waiting.done(entry, AWAY, 0.0)
    now, delays = 0.0, []
    for _ in range(9):
        delay = waiting.delay(now)
        assert delay
        assert waiting.take(now) is None
        delays.append(round(delay, 3))
        now += delay
        [entry] = all_taken(waiting, now)
        assert add(waiting, "new", 0, now)
        assert waiting.delay(now) is None
        waiting.done(entry, AWAY, now)
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0]
    assert waiting.failed == 0


def test_jitter() -> None:
    """If many processes lose the broker at once, each waits for a random part of the delay, at least half of it."""
    waiting = backlog("a", jitter=lambda: 0.0)
    waiting.done(taken(waiting), AWAY, 0.0)
    assert waiting.delay(0.0) == 0.05


@pytest.mark.parametrize("result", [SENT, AuthRejected("no"), BadReply("what")])
def test_any_response_ends_the_outage(result: Receipt | WebMQError) -> None:
    waiting = backlog(*"abc")
    for entry in all_taken(waiting):
        waiting.done(entry, AWAY, 0.0)
    waiting.done(taken(waiting, 10.0), result, 10.0)
    assert waiting._tries == 0
    assert len(all_taken(waiting, 10.0)) == 2


def test_a_push_without_a_response_does_not_end_the_outage() -> None:
    waiting = backlog(*"abc")
    for entry in all_taken(waiting):
        waiting.done(entry, AWAY, 0.0)
    waiting.done(taken(waiting, 10.0), ReplyTimeout("silence"), 10.0)
    assert waiting._tries
    assert waiting.take(10.0) is None
    assert [index for index, _ in failures(waiting)] == [0]


def test_a_single_lost_response_is_not_an_outage() -> None:
    waiting = backlog(*"abc")
    waiting.done(taken(waiting), ConnectionLost("broken"), 0.0)
    assert waiting._tries == 0


@pytest.mark.parametrize(
    ("asked", "max_age", "delay"),
    [(3.0, 60.0, 3.0), (0.0, 60.0, 0.1), (None, 60.0, 0.1), (60.0, 60.0, 30.0), (3600.0, None, 60.0)],
)
def test_the_delay_that_the_broker_asks_for(asked: float | None, max_age: float | None, delay: float) -> None:
    """The delay is limited, so that the event does not become too old to be tried again."""
    waiting = backlog("a", max_age=max_age)
    waiting.done(taken(waiting), overloaded(asked), 0.0)
    assert waiting.delay(0.0) == pytest.approx(delay)
    assert taken(waiting, delay).index == 0


def overloaded(asked: float | None) -> Overloaded:
    error = Overloaded("later")
    error.retry_after = asked
    return error


def test_a_topic_that_must_wait_does_not_delay_others() -> None:
    """The other topics show whether the broker refuses all events."""
    waiting = backlog("a", "a", "b", "b", "c")
    waiting.done(taken(waiting), overloaded(30.0), 0.0)
    assert waiting.take(0.05) is None
    now = 0.1
    for index in (2, 4, 3):
        assert waiting.delay(now) == 0.0
        entry = taken(waiting, now)
        assert entry.index == index
        waiting.done(entry, SENT, now)
    assert waiting.take(29.9) is None
    assert waiting.delay(now) == pytest.approx(29.9)
    assert not waiting.ready
    assert add(waiting, "d", 5, 1.0)
    assert waiting.ready
    assert taken(waiting, 1.0).index == 5
    assert taken(waiting, 30.0).index == 0


def test_a_topic_that_is_refused_is_tried_less_and_less_often() -> None:
    """The delay grows even if the broker accepts events of other topics meanwhile."""
    waiting = backlog("a", max_age=None)
    now, delays = 0.0, []
    for number in range(7):
        entry = taken(waiting, now)
        add(waiting, f"other {number}", number, now)
        other = taken(waiting, now)
        waiting.done(entry, overloaded(None), now)
        waiting.done(other, SENT, now)
        delay = waiting.delay(now)
        assert delay is not None
        delays.append(round(delay, 3))
        now += delay
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_topics_take_turns_as_probes() -> None:
    """The next probe is an event of another topic, because the broker may refuse only those of the first."""
    waiting = backlog("a", "a", "b")
    waiting.done(taken(waiting), Overloaded("later"), 0.0)
    assert taken(waiting, 10.0).push.topic == "b"


# Age


def test_tried_again_until_it_is_too_old() -> None:
    waiting = backlog("a", "a", max_age=60.0)
    waiting.done(taken(waiting), AWAY, 0.0)
    later = ConnectFailed("still nobody")
    waiting.done(taken(waiting, 59.9), later, 59.9)
    add(waiting, "a", 2, 59.9)
    assert taken(waiting, 70.0).index == 2
    (first, error), (second, other) = failures(waiting)
    assert (first, error, second, type(other)) == (0, later, 1, QueueTimeout)
    assert str(other) == "not pushed within max_age, 60 seconds: still nobody"


def test_all_events_that_are_too_old_fail_at_the_next_try() -> None:
    """Events that are too old make room, even if none of them is the next to be tried."""
    waiting = backlog(*"aabbc", max_age=60.0)
    for entry in all_taken(waiting):
        waiting.done(entry, AWAY, 0.0)
    add(waiting, "d", 5, 30.0)
    entry = taken(waiting, 61.0)
    assert (entry.index, waiting.waiting - len(failures(waiting))) == (5, 1)


def test_a_slow_broker_causes_no_losses() -> None:
    """A slow broker is not an outage, no matter how long an event waits for the previous one."""
    waiting = backlog("a", "a", max_age=60.0)
    waiting.done(taken(waiting), SENT, 60.0)
    assert taken(waiting, 1e9).index == 1


def test_no_limit_of_age() -> None:
    waiting = backlog("a", max_age=None)
    for now in (0.0, 1e9, 2e9):
        waiting.done(taken(waiting, now), AWAY, now)
    assert waiting.failed == 0


# The end of the backlog


def test_remaining_events_fail_once_the_client_is_closed() -> None:
    waiting = backlog(*"aaabc")
    flying, retried = taken(waiting), taken(waiting)
    waiting.done(retried, AWAY, 0.0)
    waiting.abandon()
    with pytest.raises(ClientClosed):
        add(waiting, "a", 5)
    assert waiting.take(1e9) is None
    waiting.done(flying, AWAY, 0.0)
    left = failures(waiting)
    assert sorted(index for index, _ in left) == [0, 1, 2, 3, 4]
    assert [str(error) for index, error in left if index == 1] == [
        "the client was closed before it could push the event: nobody there"
    ]
    assert (waiting.waiting, waiting._turns) == (0, {})
    assert waiting.log_line(1e9, ended=True) == (
        True,
        "events that were not pushed before the client ended: 5; the last error: ConnectFailed: nobody there",
    )
    assert waiting.log_line(1e9, ended=True) is None


# The log

away = "; the last error: ConnectFailed: nobody there"


def wait(events: int, more: str) -> tuple[bool, str]:
    return True, f"events that wait to be pushed in the background: {events}{more}"


def back(events: int) -> tuple[bool, str]:
    return False, f"the broker is back; events that wait to be pushed in the background: {events}"


def log_line(backlog: Backlog, now: float) -> tuple[int, str] | None:
    return backlog.log_line(now, ended=False)


def test_one_line_a_minute() -> None:
    waiting = backlog("a", max_age=None)
    told = []
    for second in range(200):
        now = float(second)
        if (entry := waiting.take(now)) is not None:
            waiting.done(entry, AWAY, now)
        if (line := log_line(waiting, now)) is not None:
            told.append((second, line))
    assert [line for _, line in told] == [wait(1, away)] * 4
    seconds = [second for second, _ in told]
    assert all(60 <= later - earlier <= 66 for earlier, later in pairwise(seconds))
    waiting.done(taken(waiting, 300.0), SENT, 300.0)
    assert log_line(waiting, 300.0) == back(0)
    assert log_line(waiting, 301.0) is None


def test_the_end_of_an_outage_is_logged_only_if_its_beginning_was() -> None:
    waiting = backlog("a", "a", "a", max_age=None)
    waiting.done(taken(waiting), AWAY, 0.0)
    assert log_line(waiting, 0.0) == wait(3, away)
    waiting.done(taken(waiting, 5.0), SENT, 5.0)
    assert log_line(waiting, 5.0) == back(2)
    waiting.done(taken(waiting, 6.0), AWAY, 6.0)
    assert log_line(waiting, 6.0) is None
    waiting.done(taken(waiting, 20.0), SENT, 20.0)
    assert log_line(waiting, 20.0) is None


@pytest.mark.parametrize("on_failure", [None, ignore])
def test_failures_are_logged_unless_they_are_reported(on_failure: Callable[[Failed], object] | None) -> None:
    waiting = backlog("a", "a", "a", on_failure=on_failure)
    refused: NotAccepted = AuthRejected("no")
    told, no = [], "; the last error: AuthRejected: no"
    for now in (0.0, 1.0, 59.0):
        waiting.done(taken(waiting, now), refused, now)
        failures(waiting)
        told.append(log_line(waiting, now))
    told.append(log_line(waiting, 60.0))
    assert told == (
        [None] * 4 if on_failure else [wait(2, f", failed: 1{no}"), None, None, wait(0, f", failed: 2{no}")]
    )
