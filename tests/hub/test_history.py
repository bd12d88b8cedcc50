"""The history of a hub: which events it keeps, and when it reports that events are no longer available."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webmqconnect_async.hub._history import History, Kept, Unavailable
from webmqconnect_async.hub._publication import Publication, PublicationIDs, Receivers

EVENT = 800  # bytes, about the size of a small event


def history(most: int = 100, seconds: float = 300.0, most_bytes: int = 1 << 20, start: int = 10) -> History:
    return History(most, seconds, most_bytes, start)


def ids(events: Sequence[Kept]) -> list[int]:
    return [kept.id for kept in events]


def test_events_after_a_floor() -> None:
    kept = history()
    for number, topic in ((11, "a"), (12, "b"), (13, "a"), (20, "a")):
        kept.add(Publication(topic, str(number)), number, now=0.0)
    assert ids(kept.after("a", 10, now=1.0)) == [11, 13, 20]
    assert ids(kept.after("a", 12, now=1.0)) == [13, 20]
    assert ids(kept.after("a", 20, now=1.0)) == []
    assert ids(kept.after("never used", 10, now=1.0)) == []
    assert [each.publication.event for each in kept.after("b", 11, now=1.0)] == ["12"]


def test_ids_that_are_not_of_this_hub() -> None:
    kept = history()
    kept.add(Publication("a", "1"), 11, now=0.0)
    with pytest.raises(Unavailable, match="the hub has restarted"):
        kept.after("a", 9, now=0.0)
    with pytest.raises(Unavailable, match="the hub has not reached this position"):
        kept.after("a", 12, now=0.0)


def test_the_oldest_event_of_a_topic_is_removed_first() -> None:
    kept = history(most=2)
    for number in (11, 12, 13):
        kept.add(Publication("a", "1"), number, now=0.0)
    kept.add(Publication("b", "1"), 14, now=0.0)
    assert ids(kept.after("a", 11, now=0.0)) == [12, 13]
    with pytest.raises(Unavailable, match="no longer in the history"):
        kept.after("a", 10, now=0.0)
    assert ids(kept.after("b", 10, now=0.0)) == [14]


def test_events_expire() -> None:
    kept = history(seconds=300.0)
    kept.add(Publication("a", "1"), 11, now=0.0)
    kept.add(Publication("a", "1"), 12, now=200.0)
    assert ids(kept.after("a", 10, now=299.9)) == [11, 12]
    assert ids(kept.after("a", 11, now=300.0)) == [12]
    with pytest.raises(Unavailable):
        kept.after("a", 10, now=300.0)
    assert ids(kept.after("a", 12, now=10_000.0)) == []
    assert (len(kept), kept.bytes, kept._logs) == (0, 0, {})
    with pytest.raises(Unavailable):
        kept.after("a", 11, now=10_000.0)
    with pytest.raises(Unavailable):
        kept.after("a topic of which nothing is remembered", 11, now=10_000.0)


def test_bytes_are_limited_over_all_topics() -> None:
    kept = history(most_bytes=20 * EVENT)
    for number in range(11, 111):
        kept.add(Publication(f"topic {number % 7}", "1"), number, now=0.0)
        assert kept.bytes <= 20 * EVENT
    oldest = min(kept._events)
    assert oldest == 111 - len(kept)  # the newest are kept, no matter of which topic
    kept.add(Publication("large", "x" * 100_000), 111, now=0.0)
    assert (len(kept), kept.bytes) == (0, 0)
    with pytest.raises(Unavailable):
        kept.after("large", 110, now=0.0)
    assert ids(kept.after("large", 111, now=0.0)) == []


def test_a_history_of_no_events() -> None:
    kept = history(most=0)
    kept.add(Publication("a", "1"), 11, now=0.0)
    with pytest.raises(Unavailable, match="keeps no history"):
        kept.after("a", 11, now=0.0)
    assert (len(kept), kept.bytes) == (0, 0)


def test_retained_events() -> None:
    """The last event of each topic that is for all subscribers is retained. It does not expire, and is removed last."""
    kept = history(most=0, most_bytes=4 * 3 * EVENT, seconds=1.0)
    for number, topic in ((11, "a"), (12, "b"), (13, "a")):
        kept.add(Publication(topic, "1", retain=True), number, now=0.0)
    kept.add(Publication("a", "1"), 14, now=0.0)
    kept._trim(now=10_000.0)
    retained = kept.retained("a")
    assert retained is not None
    assert retained.id == 13
    assert kept.retained("c") is None
    for number in (16, 17):
        kept.add(Publication(str(number), "1", retain=True), number, now=0.0)
    assert [kept.retained(topic) is None for topic in ("b", "a", "16", "17")] == [True, False, False, False]


def test_retained_events_leave_room_for_others() -> None:
    """Retained events do not take up the whole history, which they would end for good, because they do not expire."""
    kept = history(most_bytes=40 * EVENT)
    for number in range(11, 111):
        kept.add(Publication(str(number), "1", retain=True), number, now=0.0)
    assert kept._retained_bytes <= 10 * EVENT
    assert 8 <= len(kept._retained) <= 12
    kept._trim(now=10_000.0)
    assert kept.bytes == kept._retained_bytes
    for number in range(111, 121):
        kept.add(Publication("a", "1"), number, now=10_000.0)
    assert ids(kept.after("a", 110, now=10_000.0)) == [*range(111, 121)]


def test_receivers_are_counted() -> None:
    kept = history(most_bytes=64 << 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(11, 111):
            names = [frozenset(f"{number}-{part}-{each}" for each in range(300)) for part in range(4)]
            publication = Publication("a", "1", names[0], names[1], authid=Receivers(exclude=names[2]))
            publication.authrole = Receivers(names[3])
            kept.add(publication, number, now=0.0)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * kept.bytes < taken <= 1.05 * kept.bytes


@pytest.mark.parametrize(
    ("topics", "event"),
    [(1, '"x"'), (1000, '"x"'), (4000, '"x"'), (1, f'"{"x" * 200}"'), (50, f'"{"ü" * 200}"'), (3, f'"{"🦊" * 2000}"')],
)
def test_the_memory_is_at_most_what_is_counted(topics: int, event: str) -> None:
    """The counted size includes the frames that are made when an event is missed."""
    kept = history(most=1000, most_bytes=4 << 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(11, 4011):
            topic, text = f"http://example.com/{number % topics}", event[:-1] + str(number) + '"'
            kept.add(Publication(topic, text, args=f"[{text}]"), number, now=0.0)
        for each in kept._events.values():
            each.frame = 1 << 40, f"[36,{each.id},{each.id},{{}},{each.publication.args}]".encode()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 0.5 * kept.bytes < taken <= kept.bytes


@dataclass
class Model:
    """A history that keeps all events, and so can tell which may be missing."""

    most: int
    seconds: float
    start: int
    events: list[tuple[int, str, float]] = field(default_factory=list)

    def missed(self, topic: str, floor: int) -> list[int]:
        return [number for number, each, _ in self.events if each == topic and number > floor]

    def available(self, topic: str, floor: int, now: float) -> bool:
        """Return whether the limits by number and by age keep everything that was missed."""
        missed = [each for each in self.events if each[1] == topic and each[0] > floor]
        return len(missed) <= self.most and all(since > now - self.seconds for _, _, since in missed)


@settings(max_examples=200)
@given(
    most=st.integers(1, 4),
    seconds=st.floats(0.5, 5.0),
    most_bytes=st.sampled_from([2 * EVENT, 6 * EVENT, 1 << 20]),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.floats(0.0, 2.0)), max_size=30),
    asked=st.tuples(st.sampled_from("abcd"), st.integers(0, 100), st.floats(0.0, 3.0)),
)
def test_the_history_agrees_with_a_model_that_keeps_everything(
    most: int,
    seconds: float,
    most_bytes: int,
    steps: list[tuple[str, int, float]],
    asked: tuple[str, int, float],
) -> None:
    """The returned events are all that were missed, and they are returned if the limits allow it."""
    kept, model = history(most, seconds, most_bytes), Model(most, seconds, 10)
    number, now = 10, 0.0
    for topic, distance, passed in steps:
        number, now = number + distance, now + passed
        kept.add(Publication(topic, "1"), number, now)
        model.events.append((number, topic, now))
        assert kept.bytes <= most_bytes
        assert kept.bytes == sum(each.size for each in kept._events.values()) + 1100 * len(kept._logs)
    topic, floor, passed = asked
    now += passed
    try:
        missed = ids(kept.after(topic, floor, now))
    except Unavailable:
        known = 10 <= floor <= number
        roomy = most_bytes == 1 << 20
        # For topics that are removed completely, the hub remembers only the newest ID of all their events.
        forgotten = topic not in kept._logs and floor < kept._gone
        assert not (known and roomy and model.available(topic, floor, now)) or forgotten
    else:
        assert 10 <= floor <= number
        assert missed == model.missed(topic, floor)


def test_ids_are_times() -> None:
    clock = [1_795_879_000.25]
    ids = PublicationIDs(lambda: clock[0])
    assert ids.newest == 1_795_879_000_250 << 11
    assert [ids.next() - (1_795_879_000_250 << 11) for _ in range(3)] == [1, 2, 3]
    clock[0] += 0.001
    assert ids.next() == 1_795_879_000_251 << 11
    assert 4_398_046_511_103 << 11 < 2**53  # the year 2109


@given(st.lists(st.floats(-1e6, 4e9), min_size=2, max_size=50))
def test_ids_increase_if_the_clock_is_set_back(times: list[float]) -> None:
    clock = iter(times)
    ids = PublicationIDs(lambda: next(clock))
    given_ = [ids.newest] + [ids.next() for _ in times[1:]]
    assert all(earlier < later for earlier, later in pairwise(given_))
    assert all(0 <= each <= 2**53 for each in given_)


def test_more_than_2048_in_one_millisecond() -> None:
    ids = PublicationIDs(lambda: 1000.0)
    assert len({ids.next() for _ in range(5000)}) == 5000
