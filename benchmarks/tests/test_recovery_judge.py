"""The judge of the recovery soak, with records written by hand, some of which break a guarantee."""

from __future__ import annotations

import pytest

from benchmarks.recovering.judge import Kind, Push, Record, Verdict, judged

PUSHES = [Push()] * 6


def parsed(text: str) -> list[Record]:
    """Parse a line of records: `r0` and `l3` are a confirmation and a loss before events 0 and 3, `5` is an event."""
    kinds = {"r": Kind.READY, "l": Kind.LOST}
    return [Record(kinds.get(word[0], Kind.EVENT), int(word.lstrip("rl"))) for word in text.split()]


def verdict(text: str, pushes: list[Push] = PUSHES) -> Verdict:
    return judged("ada", parsed(text), pushes)


@pytest.mark.parametrize(
    "text",
    [
        "r0 0 1 2 3 4 5",
        "r3 3 4 5",
        "r4 3 4 5",  # the record of the confirmation was late
        "3 r4 4 5",
        "",  # never confirmed
        "r6",
        "r0 0 1 l4 4 5",
        "r0 l6",
        "r0 0 l3 l6",
        "r0 0 1 l5 3 4 5",  # the record of the loss was late
    ],
)
def test_no_guarantee_is_broken(text: str) -> None:
    result = verdict(text)
    assert (result.missing, result.doubled, result.disordered, result.foreign) == ([], [], [], [])


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("r0 0 1 3 4 5", [2]),
        ("r0 1 2 3 4 5", [0]),
        ("r0 0 1 2", [3, 4, 5]),
        ("r0", [0, 1, 2, 3, 4, 5]),
        ("r1 0 2 3 4 5", [1]),
        ("r0 0 2 l4 4 5", [1]),  # a gap before the last event that precedes the loss
        ("r0 0 1 l2 4 5", [2, 3]),  # the loss was reported before the subscription was confirmed
        ("r0 0 1 l4 5", [4]),
        ("r0 0 l2 1 4 5", [2, 3]),  # an event from before the loss was reported after it
        ("r0 0 1 l4", [4, 5]),
    ],
)
def test_missing_events_are_found(text: str, missing: list[int]) -> None:
    assert verdict(text).missing == missing


def test_duplicate_events_are_found() -> None:
    assert verdict("r0 0 1 1 2 3 4 5").doubled == [1]
    assert verdict("r0 0 1 2 0 3 4 5").doubled == [0]
    assert verdict("r0 0 1 2 l2 2 3 4 5").doubled == [2]


def test_events_out_of_order_are_found() -> None:
    assert verdict("r0 0 2 1 3 4 5").disordered == [1]
    assert verdict("r0 0 1 4 l3 3 5").disordered == [3]


def test_events_and_losses_are_counted() -> None:
    result = verdict("r0 0 1 l3 3 l5 5")
    assert (result.received, result.losses) == (4, 2)


@pytest.mark.parametrize("pushes", [[Push(), Push(certain=False)], [Push(), Push(without="ada")]])
def test_an_event_that_need_not_arrive_may_arrive_or_be_missing(pushes: list[Push]) -> None:
    for text in ("r0 0", "r0 0 1"):
        result = verdict(text, pushes)
        assert (result.missing, result.foreign) == ([], [])


def test_an_event_that_excludes_another_is_owed() -> None:
    assert verdict("r0 0", [Push(), Push(without="bob")]).missing == [1]


def test_an_event_that_is_addressed_to_the_subscriber_is_owed() -> None:
    pushes = [Push(), Push(only="ada"), Push()]
    assert verdict("r0 0 2", pushes).missing == [1]
    assert verdict("r0 0 l2 2", pushes).missing == []


def test_an_event_that_is_addressed_to_another_subscriber_must_not_arrive() -> None:
    pushes = [Push(), Push(only="bob"), Push()]
    assert verdict("r0 0 2", pushes) == Verdict(2, 0, [], [], [], [])
    assert verdict("r0 0 1 2", pushes).foreign == [1]
