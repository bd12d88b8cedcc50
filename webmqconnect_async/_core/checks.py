"""Checks of arguments that several rooms take. Each error names the argument and says what it takes."""

from __future__ import annotations

__all__ = ["checked_count", "checked_seconds"]

# 24.8 days: as many milliseconds as a C int, and so a socket's timeout, can hold.
_MOST_SECONDS = 2_147_483


def checked_seconds(argument: str, value: float | None, *, zero: bool = False) -> float | None:
    """Return a number of seconds above 0, or from 0 on where `zero` allows it, or None for no limit."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{argument}: seconds or None are needed, not {type(value).__name__}")
    if not 0 <= value <= _MOST_SECONDS or (value == 0 and not zero):
        least = "from 0 on" if zero else "above 0"
        raise ValueError(f"{argument}: seconds {least} are needed, {_MOST_SECONDS} at the most")
    return float(value)


def checked_count(argument: str, value: int) -> int:
    """Return an integer of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{argument}: an integer is needed, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{argument}: 1 or more is needed")
    return value
