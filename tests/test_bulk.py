"""The bookkeeping of many pushes: indexes, order, outcomes. A model uses it in the same way as both clients."""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async._core.bulk import Bulk, Job, in_order, outcome_of, worker_count
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Failed, Outcome, Push, Receipt, Sent
from webmqconnect_async.errors import ConnectionLost, InvalidPush, SourceFailed, WebMQError

# Items


def test_a_push_is_not_copied() -> None:
    push = Push("t", 1, eligible=[])
    job = Bulk(False).take(push)
    assert job == Job(0, push)
    assert job.push is push


def test_a_pair_is_a_push() -> None:
    assert Bulk(False).take(("t", {"a": 1})) == Job(0, Push("t", {"a": 1}))


@pytest.mark.parametrize(
    "item",
    ["text", b"bytes", 5, None, [], ["t", 1], (), ("t",), ("t", 1, 2), {"topic": "t"}, object(), ValueError("x")],
    ids=lambda item: repr(item)[:20],
)
def test_a_malformed_item_is_a_job_that_fails(item: object) -> None:
    """A malformed item does not end the bulk: it has an index, waits for no topic, and the next items are pushed."""
    bulk = Bulk(order_by_topic=True)
    job = bulk.take(item)
    assert job is not None
    assert isinstance(job.push, InvalidPush)
    assert str(job.push) == f"each item must be a Push or a (topic, event) pair, not {type(item).__name__}"
    assert bulk.done(job) is None
    assert bulk.take(("t", 1)) == Job(1, Push("t", 1))


def test_an_error_is_not_an_item() -> None:
    job = Bulk(order_by_topic=True).take(InvalidPush("of the caller"))
    assert job is not None
    assert str(job.push) == "each item must be a Push or a (topic, event) pair, not InvalidPush"


@pytest.mark.parametrize("topic", [None, 5, ["unhashable"], {}])
def test_a_topic_that_is_not_text_waits_for_no_other(topic: str) -> None:
    """The dialect refuses such a topic, as for a single push; before that, it must not break the bookkeeping."""
    bulk = Bulk(order_by_topic=True)
    jobs = [bulk.take(Push(topic, 1)), bulk.take((topic, 2))]
    for index, job in enumerate(jobs):
        assert job is not None
        assert job.index == index
        assert bulk.done(job) is None


# Order


def test_without_order_every_job_may_run_at_once() -> None:
    bulk = Bulk(order_by_topic=False, look_ahead=1)
    jobs = [bulk.take(("t", number)) for number in range(5)]
    assert [job.index for job in jobs if job is not None] == [0, 1, 2, 3, 4]
    assert not bulk.full
    assert all(bulk.done(job) is None for job in jobs if job is not None)


def test_the_jobs_of_a_topic_run_one_after_another() -> None:
    bulk = Bulk(order_by_topic=True)
    first, other = bulk.take(("a", 0)), bulk.take(("b", 1))
    assert first is not None
    assert other is not None
    assert bulk.take(("a", 2)) is None
    assert bulk.take(("a", 3)) is None
    assert bulk.done(other) is None
    second = bulk.done(first)
    assert second == Job(2, Push("a", 2))
    third = bulk.done(second)
    assert third == Job(3, Push("a", 3))
    assert bulk.done(third) is None
    # The topic is idle again.
    assert bulk.take(("a", 4)) == Job(4, Push("a", 4))


def test_topics_that_look_alike_are_different() -> None:
    bulk = Bulk(order_by_topic=True)
    for topic in ("caf\u00e9", "cafe\u0301", "CAFE", "", " "):
        assert bulk.take((topic, 1)) is not None


def test_a_bulk_is_full_while_look_ahead_jobs_wait() -> None:
    bulk = Bulk(order_by_topic=True, look_ahead=2)
    job = bulk.take(("a", 0))
    fullness = []
    for number in (1, 2):
        fullness.append(bulk.full)
        assert bulk.take(("a", number)) is None
    assert [*fullness, bulk.full] == [False, False, True]
    assert job is not None
    job = bulk.done(job)
    assert not bulk.full
    assert job == Job(1, Push("a", 1))


def test_running_jobs_do_not_count_as_look_ahead() -> None:
    bulk = Bulk(order_by_topic=True, look_ahead=1)
    for topic in "abcdef":
        assert bulk.take((topic, 1)) is not None
        assert not bulk.full


def test_a_finished_topic_leaves_nothing_behind() -> None:
    """A million topics, each pushed to once, take no memory afterwards."""
    bulk = Bulk(order_by_topic=True)
    for number in range(1000):
        job = bulk.take((f"t{number}", 1))
        assert job is not None
        assert bulk.done(job) is None
    assert len(bulk._turns) == 0


_TOPICS = st.sampled_from(["a", "b", "c", "d"])
_ITEMS = st.lists(
    st.tuples(_TOPICS, st.integers()) | _TOPICS.map(lambda topic: Push(topic, 0)) | st.none(), max_size=60
)


@given(
    items=_ITEMS,
    workers=st.integers(1, 6),
    look_ahead=st.integers(1, 5),
    ordered=st.booleans(),
    choices=st.lists(st.integers(0, 10**6), max_size=200),
)
def test_any_source_and_any_order_of_outcomes(
    items: list[tuple[str, int] | Push | None], workers: int, look_ahead: int, ordered: bool, choices: list[int]
) -> None:
    """At most one job per topic runs at a time, in order, with a limited look-ahead, and each item is pushed once."""
    bulk = Bulk(ordered, look_ahead)
    source: Iterator[tuple[int, object]] = iter(enumerate(items))
    chosen = iter(choices)
    running: list[Job] = []
    begun: list[int] = []
    done: list[int] = []
    taken = 0
    reading = True

    def start(job: Job) -> None:
        running.append(job)
        begun.append(job.index)
        if ordered:
            topics = [each.push.topic for each in running if isinstance(each.push, Push)]
            assert len(topics) == len(set(topics))

    while reading or running:
        # Like a client: read while a worker is idle and the bulk is not full; otherwise end a job in flight.
        if reading and len(running) < workers and not bulk.full and not (running and next(chosen, 0) % 2):
            try:
                index, item = next(source)
            except StopIteration:
                reading = False
                continue
            assert index == taken
            taken += 1
            if (job := bulk.take(item)) is not None:
                assert job.index == index
                start(job)
        else:
            assert running, "the bulk is full, and no running job could make room"
            job = running.pop(next(chosen, 0) % len(running))
            done.append(job.index)
            if (following := bulk.done(job)) is not None:
                start(following)
        waiting = taken - len(begun)
        assert waiting <= look_ahead
        assert len(running) <= workers

    assert sorted(done) == sorted(begun) == list(range(len(items)))
    if ordered:
        in_turn: dict[str, list[int]] = defaultdict(list)
        for index in begun:
            job_item = items[index]
            if job_item is not None:
                in_turn[job_item[0] if isinstance(job_item, tuple) else job_item.topic].append(index)
        assert all(indices == sorted(indices) for indices in in_turn.values())
    else:
        assert begun == list(range(len(items)))


# Outcomes


def test_an_outcome_is_a_receipt_or_an_error() -> None:
    push = Push("t", 1)
    assert outcome_of(Job(3, push), Receipt(202)) == Sent(3, push, Receipt(202))
    error = ConnectionLost("broke", attempts=1)
    assert outcome_of(Job(4, push), error) == Failed(4, push, error)
    invalid = InvalidPush("no")
    assert outcome_of(Job(5, invalid), invalid) == Failed(5, None, invalid)


class _Kept:
    """An object of the caller that a frame refers to."""


def _failed_push(event: object) -> tuple[Outcome, weakref.ref[_Kept]]:
    kept = _Kept()

    def push(job: Job) -> Outcome:
        holding = kept
        assert isinstance(job.push, Push)
        try:
            WebMQ().encode(job.push)
            raise ConnectionLost("broke", attempts=1)
        except WebMQError as error:
            assert holding is kept
            return outcome_of(job, error)

    job = Bulk(False).take(("t", event))
    assert job is not None
    return push(job), weakref.ref(kept)


@pytest.mark.parametrize("event", [1, float("nan"), "\ud800", object()], ids=["lost", "NaN", "surrogate", "object"])
def test_an_outcome_keeps_no_frame_alive(event: object) -> None:
    """An outcome keeps no frame alive, not even through the cause of its error: a million may be kept."""
    outcome, kept = _failed_push(event)
    gc.collect()
    assert outcome.error is not None
    assert outcome.error.__traceback__ is None
    assert kept() is None


def test_an_outcome_keeps_the_cause_of_its_error() -> None:
    outcome, _ = _failed_push(object())
    assert outcome.error is not None
    assert isinstance(outcome.error.__cause__, TypeError)


def test_outcomes_come_in_input_order() -> None:
    outcomes: list[Outcome] = [Sent(index, Push("t", 1), Receipt(202)) for index in (2, 0, 3, 1)]
    assert [outcome.index for outcome in in_order(outcomes, None)] == [0, 1, 2, 3]
    assert in_order([], None) == []


def test_the_error_of_a_source_has_the_outcomes_so_far() -> None:
    outcomes: list[Outcome] = [Sent(index, Push("t", 1), Receipt(202)) for index in (1, 0)]
    failure = KeyError("row 3")
    with pytest.raises(SourceFailed, match="the source was not read to its end; there are 2 outcomes") as caught:
        in_order(outcomes, failure)
    assert [outcome.index for outcome in caught.value.outcomes] == [0, 1]
    assert caught.value.__cause__ is failure
    assert caught.value.attempts == 0


# Workers


class _Once:
    """An iterable without a length."""

    def __iter__(self) -> Iterator[Push]:
        return iter(())


@pytest.mark.parametrize(
    ("pushes", "concurrency", "slots", "workers"),
    [
        (_Once(), None, 50, 50),
        (_Once(), 10, 50, 10),
        (_Once(), 100, 50, 50),
        (_Once(), 1, 50, 1),
        (iter([1, 2]), None, 50, 50),
        ([1, 2, 3], None, 50, 3),
        ([1, 2, 3], 2, 50, 2),
        ((), None, 50, 1),
        ([1] * 100, None, 50, 50),
        (range(10**12), 7, 50, 7),
    ],
)
def test_no_more_workers_than_pushes_or_slots(
    pushes: object, concurrency: int | None, slots: int, workers: int
) -> None:
    assert worker_count(pushes, (Iterable,), concurrency, slots) == workers


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_of_zero_is_refused(concurrency: int) -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        worker_count([], (Iterable,), concurrency, 50)


@pytest.mark.parametrize("concurrency", [1.0, "1", True])
def test_a_concurrency_must_be_an_integer(concurrency: int) -> None:
    with pytest.raises(TypeError, match="concurrency must be an integer"):
        worker_count([], (Iterable,), concurrency, 50)


@pytest.mark.parametrize("pushes", ["text", "", b"bytes"])
def test_text_is_refused_as_a_source(pushes: object) -> None:
    with pytest.raises(TypeError, match=f"pushes must be an iterable of pushes, not {type(pushes).__name__}"):
        worker_count(pushes, (Iterable,), None, 50)


def test_only_built_in_collections_are_asked_for_their_length() -> None:
    """A query set of a database also has a length, but would execute a query for it."""

    class QuerySet:
        def __iter__(self) -> Iterator[Push]:
            return iter(())

        def __len__(self) -> int:
            raise AssertionError("the database was asked")

    assert worker_count(QuerySet(), (Iterable,), None, 50) == 50
    assert worker_count([Push("t", 1)], (Iterable,), None, 50) == 1
