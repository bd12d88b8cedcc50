"""The judge of the course of several hubs, as far as it differs from that of the recovery soak."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.recovering.judge import Kind, Record
from webmqconnect_async import NotAccepted, Receipt, Unconfirmed, WebMQError

from .backplane.outcome import Outcome, outcome_of
from .backplane.pushers import Pushed

KEYED, PLAIN = "http://example.com/keyed/often", "http://example.com/often"


def outcome(
    received: Sequence[int],
    pushed: Sequence[Pushed],
    topic: str = PLAIN,
    data_losses: Sequence[tuple[float, float]] = (),
) -> Outcome:
    """Judge what one subscriber reported. Its subscription was confirmed before the first push."""
    records = [Record(Kind.READY, 0), *(Record(Kind.EVENT, number) for number in received)]
    counts = {"pushes": len(pushed), "accepted": 0, "unconfirmed": 0, "refused": 0}
    return outcome_of((1, 2, 3, 4), counts, {topic: pushed}, {("ada", topic): records}, data_losses, {})


def pushed(*outcomes: Receipt | WebMQError | None, attempts: int = 1) -> list[Pushed]:
    return [
        Pushed(began=10.0 * number, ended=10.0 * number + 5, attempts=attempts, outcome=each)
        for number, each in enumerate(outcomes)
    ]


SENT = Receipt(202)


def test_no_guarantee_is_broken() -> None:
    result = outcome([0, 1, 2], pushed(SENT, SENT, SENT))
    assert (result.failures, result.figure("deliveries")) == ([], 3)


def test_missing_events_are_found() -> None:
    result = outcome([0, 2], pushed(SENT, SENT, SENT))
    assert result.failures == [f"ada: {PLAIN}: missing without onlost: 1"]
    assert result.figure("missing") == 1


@pytest.mark.parametrize("received", [[0, 2], [0, 1, 2], [0, 2, 1]])
def test_an_unconfirmed_push_may_be_delivered_or_not_or_late(received: list[int]) -> None:
    assert outcome(received, pushed(SENT, Unconfirmed(), SENT)).failures == []


def test_a_doubled_unconfirmed_push_is_found() -> None:
    assert outcome([0, 1, 1], pushed(SENT, Unconfirmed())).figure("doubled") == 1


def test_events_out_of_order_are_found() -> None:
    assert outcome([1, 0], pushed(SENT, SENT)).figure("out of order") == 1


def test_a_delivered_push_that_was_not_accepted_is_found() -> None:
    refused = pushed(SENT, NotAccepted())
    assert outcome([0], refused).failures == []
    assert outcome([0, 1], refused).figure("refused, delivered") == 1


@pytest.mark.parametrize(
    ("topic", "attempts", "loss", "doubled"),
    [
        (KEYED, 2, (12.0, 13.0), 0),
        (KEYED, 1, (12.0, 13.0), 1),  # the pusher did not repeat it
        (KEYED, 2, (16.0, 17.0), 1),  # Redis still had the key
        (PLAIN, 2, (12.0, 13.0), 1),  # it was repeated only because it was not accepted
    ],
)
def test_a_repeated_push_may_be_doubled_if_its_key_was_lost(
    topic: str, attempts: int, loss: tuple[float, float], doubled: int
) -> None:
    assert outcome([0, 1, 1], pushed(SENT, SENT, attempts=attempts), topic, [loss]).figure("doubled") == doubled


def test_an_unexpected_error_is_found() -> None:
    counts = {"pushes": 1, "accepted": 0, "unconfirmed": 0, "refused": 0, "TooLarge": 1}
    result = outcome_of((1, 2, 3, 4), counts, {}, {}, (), {"ada: told of losses after the step 'x'": 2})
    assert result.failures == ["ada: told of losses after the step 'x', of 2 topics", "1 pushes ended with TooLarge"]
    assert result.figure("without cause") == 2
