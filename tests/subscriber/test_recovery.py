"""The bookkeeping of floors and losses, rule by rule, without a connection."""

from __future__ import annotations

import pytest

from webmqconnect_async.subscriber._recovery import Recovery

RESTARTED = "the hub has restarted"


@pytest.fixture
def recovery() -> Recovery:
    """Confirm a topic in session 1, at a hub whose newest event was 10."""
    recovery = Recovery()
    recovery.connected(1, 10, "h")
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, 12) is None
    return recovery


def again(recovery: Recovery, session: int = 2, newest: int | None = 50, history: str | None = "h") -> None:
    recovery.disconnected()
    recovery.connected(session, newest, history)


def test_idle_topic_is_whole_up_to_the_position(recovery: Recovery) -> None:
    """Also one that has had no event: it was confirmed at 12."""
    again(recovery)
    assert recovery.options("t") == {"_after": 12, "_former": [1]}


def test_events_of_other_topics_raise_the_floor_at_the_end(recovery: Recovery) -> None:
    recovery.options("u")
    recovery.confirmed("u", 0, 13)
    assert recovery.event("u", 20)
    again(recovery)
    assert recovery.options("t") == {"_after": 20, "_former": [1]}


def test_topic_that_is_not_confirmed_keeps_its_floor(recovery: Recovery) -> None:
    again(recovery)
    recovery.options("u")
    recovery.confirmed("u", 0, 60)
    again(recovery, 3, 70)
    assert recovery.options("t") == {"_after": 12, "_former": [1, 2]}
    assert recovery.options("u") == {"_after": 60, "_former": [2]}


def test_cut_in_the_middle_of_a_recovery(recovery: Recovery) -> None:
    again(recovery)
    recovery.options("t")
    assert recovery.confirmed("t", 3, None) is None
    assert [recovery.event("t", 20), recovery.recovering, recovery.event("t", 30)] == [True, True, True]
    again(recovery, 3)
    assert recovery.options("t") == {"_after": 30, "_former": [1, 2]}
    recovery.confirmed("t", 1, None)
    assert [recovery.event("t", 40), recovery.recovering] == [True, False]
    again(recovery, 4)
    assert recovery.options("t") == {"_after": 50, "_former": [3]}


def test_event_at_or_below_the_floor_is_dropped_and_counts_as_missed(recovery: Recovery) -> None:
    again(recovery)
    recovery.options("t")
    recovery.confirmed("t", 3, None)
    assert [recovery.event("t", id_) for id_ in (12, 13, 13)] == [False, True, False]
    assert not recovery.recovering


def test_more_than_16_former_sessions(recovery: Recovery) -> None:
    for session in range(2, 18):
        again(recovery, session)
    assert recovery.options("t") == {"_after": 12, "_former": [*range(1, 17)]}
    again(recovery, 18)
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, 60) == "too many connections ended before the missed events had arrived"


@pytest.mark.parametrize(("newest", "history"), [(50, "other"), (11, "h"), (50, None)])
def test_another_history(recovery: Recovery, newest: int, history: str | None) -> None:
    """The position starts from the new one, even if that is lower; IDs of before are not compared."""
    recovery.event("t", 20)
    again(recovery, 2, newest, history)
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, newest) == RESTARTED
    assert recovery.event("t", newest + 1)
    again(recovery, 3, newest + 1, history)
    assert recovery.options("t") == {"_after": newest + 1, "_former": [2]}


def test_no_history(recovery: Recovery) -> None:
    """IDs are not compared, and there is a loss each time."""
    recovery.event("t", 20)
    for session in (2, 3):
        again(recovery, session, None, None)
        assert recovery.options("t") == {}
        assert recovery.confirmed("t", 0, None) == "the broker keeps no history"
        assert [recovery.event("t", 7), recovery.event("t", 3), recovery.event("t", None)] == [True] * 3
    again(recovery, 4, 60)
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, 60) == RESTARTED


def test_loss_is_pending_until_the_plain_confirmation(recovery: Recovery) -> None:
    again(recovery)
    recovery.options("t")
    recovery.unavailable("t", "expired")
    assert recovery.options("t") == {"_newest": True}
    again(recovery, 3)
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, 60) == "expired"
    again(recovery, 4, 70)
    recovery.options("t")
    assert recovery.confirmed("t", 0, None) is None


def test_never_confirmed_has_nothing_to_lose(recovery: Recovery) -> None:
    recovery.options("u")
    again(recovery, 2, 5, "other")
    assert recovery.options("u") == {"_newest": True}
    assert recovery.confirmed("u", 0, 5) is None


def test_forgotten(recovery: Recovery) -> None:
    """Its missed events are not waited for, and it begins anew."""
    again(recovery)
    recovery.options("t")
    recovery.confirmed("t", 2, None)
    recovery.forget("t")
    assert (recovery.recovering, recovery.topics, recovery.event("t", 60)) == (False, set(), False)
    assert recovery.options("t") == {"_newest": True}
    assert recovery.confirmed("t", 0, None) is None


def test_confirmation_without_a_position(recovery: Recovery) -> None:
    """The fourth element of SUBSCRIBED may be missing."""
    recovery.options("u")
    assert recovery.confirmed("u", 0, None) is None
    again(recovery)
    assert recovery.options("u") == {"_after": 12, "_former": [1]}
