"""The values hold, compare, show and copy; they decide nothing."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from webmqconnect_async._core.values import Outcome, Payload, Push, Receipt, Stats
from webmqconnect_async.errors import InvalidPush


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Push("t", 1), "topic"),
        (Receipt(202), "status"),
        (Outcome(0, None), "index"),
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
        Outcome(3, Push("t", 1), Receipt(202)),
        Stats(1, 2, 3, 4),
        Payload(1, "two", three=[3]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_equals_its_copies(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # its own bytes
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value


def test_a_push_says_by_default_that_everybody_gets_the_event() -> None:
    push = Push("t", None)
    assert (push.eligible, push.exclude, push.options) == (None, None, None)


def test_a_receipt_is_a_hub_s_by_default() -> None:
    assert Receipt(202) == Receipt(status=202, id=None, attempts=1)


def test_an_outcome_is_ok_without_an_error() -> None:
    assert Outcome(0, Push("t", 1), Receipt(202)).ok
    assert not Outcome(0, Push("t", 1), None, InvalidPush("no")).ok
    assert not Outcome(0, None, error=InvalidPush("no")).ok


def test_a_payload_keeps_positional_and_keyword_arguments() -> None:
    payload = Payload(1, "two", three=3)
    assert payload.args == (1, "two")
    assert payload.kwargs == {"three": 3}
    assert repr(payload) == "Payload(1, 'two', three=3)"
    assert repr(Payload()) == "Payload()"


def test_payloads_compare_by_what_they_hold() -> None:
    assert Payload(1, a=2) == Payload(1, a=2)
    assert Payload(1, a=2) != Payload(1, a=3)
    assert Payload(1) != Payload(1, a=2)
    assert Payload(1) != (1,)


def test_a_payload_does_not_hash() -> None:
    """Its arguments may be lists, which do not either."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Payload([1]))
