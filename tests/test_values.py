"""The values: attributes, comparison, repr and copies."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from webmqconnect_async._core.values import Failed, Outcome, Payload, Push, Receipt, Sent, Stats
from webmqconnect_async.errors import InvalidPush


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Push("t", 1), "topic"),
        (Receipt(202), "status"),
        (Sent(0, Push("t", 1), Receipt(202)), "index"),
        (Failed(0, None, InvalidPush("no")), "index"),
        (Stats(), "pushed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_frozen_and_slotted(value: object, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, "x")
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    "value",
    [
        Push("t", {"a": [1]}, eligible=["x"], exclude=(1,), options={"o": 1}),
        Receipt(202, None, 2),
        Sent(3, Push("t", 1), Receipt(202)),
        Stats(1, 2, 3, 4),
        Payload(1, "two", three=[3]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_equals_its_copies(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # its own bytes
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value


def test_by_default_a_push_is_for_all_subscribers() -> None:
    push = Push("t", None)
    assert (push.eligible, push.exclude, push.options) == (None, None, None)


def test_the_default_receipt_is_that_of_a_hub() -> None:
    assert Receipt(202) == Receipt(status=202, id=None, attempts=1)


def test_both_outcomes_have_the_same_attributes() -> None:
    push, receipt, error = Push("t", 1), Receipt(202), InvalidPush("no")
    sent, failed = Sent(3, push, receipt), Failed(4, None, error)
    assert (sent.index, sent.push, sent.receipt, sent.error, sent.ok) == (3, push, receipt, None, True)
    assert (failed.index, failed.push, failed.receipt, failed.error, failed.ok) == (4, None, None, error, False)


def test_a_failed_outcome_can_be_pickled() -> None:
    """Errors compare by identity, so the parts of the outcome are compared."""
    failed = pickle.loads(pickle.dumps(Failed(4, Push("t", 1), InvalidPush("no"))))  # noqa: S301  # its own bytes
    assert (failed.index, failed.push, failed.receipt, failed.ok) == (4, Push("t", 1), None, False)
    assert type(failed.error) is InvalidPush


def test_match_distinguishes_outcomes() -> None:
    outcomes: list[Outcome] = [Sent(0, Push("t", 1), Receipt(202)), Failed(1, None, InvalidPush("no"))]
    said = []
    for outcome in outcomes:
        match outcome:
            case Sent(index, _, receipt):
                said.append(f"{index}: {receipt.status}")
            case Failed(error=error):
                said.append(str(error))
    assert said == ["0: 202", "no"]


def test_a_payload_keeps_positional_and_keyword_arguments() -> None:
    payload = Payload(1, "two", three=3)
    assert payload.args == (1, "two")
    assert payload.kwargs == {"three": 3}
    assert repr(payload) == "Payload(1, 'two', three=3)"
    assert repr(Payload()) == "Payload()"


def test_payloads_compare_by_their_arguments() -> None:
    assert Payload(1, a=2) == Payload(1, a=2)
    assert Payload(1, a=2) != Payload(1, a=3)
    assert Payload(1) != Payload(1, a=2)
    assert Payload(1) != (1,)


def test_a_payload_is_not_hashable() -> None:
    """A payload is not hashable, because its arguments may be lists."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Payload([1]))
