"""Checks of numbers: which are accepted, which are refused, and that the error names the argument."""

from __future__ import annotations

import pytest

from webmqconnect_async._core.checks import checked_count, checked_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (1, 1.0), (0.001, 0.001), (5e-324, 5e-324), (86400, 86400.0), (2_147_483, 2147483.0)],
)
def test_seconds_above_zero_or_none(value: float | None, seconds: float | None) -> None:
    checked = checked_seconds("timeout", value)
    assert checked == seconds
    assert isinstance(checked, float | None)


@pytest.mark.parametrize(
    "value",
    [0, 0.0, -0.0, -1, -1e-9, float("inf"), float("-inf"), float("nan"), 2_147_484, 1e300, 10**5000],
    ids=lambda value: str(value) if abs(value) < 1e9 else "more",
)
def test_other_numbers_are_refused_as_seconds(value: float) -> None:
    """More seconds than `poll` accepts are refused, too, because the first push would raise an OverflowError."""
    with pytest.raises(ValueError, match=r"^timeout must be greater than 0 and at most 2147483 seconds$"):
        checked_seconds("timeout", value)


@pytest.mark.parametrize("value", ["5", True, False, b"5", [5], 5j, object()])
def test_seconds_must_be_a_number(value: float) -> None:
    with pytest.raises(TypeError, match=rf"^timeout must be a number of seconds or None, not {type(value).__name__}$"):
        checked_seconds("timeout", value)


def test_zero_seconds_are_accepted_where_they_have_a_meaning() -> None:
    assert checked_seconds("keepalive", 0, zero=True) == 0.0
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^keepalive must be at least 0 and at most 2147483 seconds$"):
            checked_seconds("keepalive", value, zero=True)


@pytest.mark.parametrize("value", [1, 50, 10**100])
def test_a_count_is_one_or_more(value: int) -> None:
    assert checked_count("concurrency", value) == value


@pytest.mark.parametrize("value", [0, -1, -(10**5000)], ids=["0", "-1", "of 5000 digits"])
def test_a_count_below_one_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=r"^concurrency must be at least 1$"):
        checked_count("concurrency", value)


@pytest.mark.parametrize("value", [None, 1.0, "1", True, [1]])
def test_a_count_must_be_an_integer(value: int) -> None:
    with pytest.raises(TypeError, match=rf"^concurrency must be an integer, not {type(value).__name__}$"):
        checked_count("concurrency", value)
