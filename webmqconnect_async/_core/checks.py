"""Checks of arguments, shared by the clients and the hub. Every message names the argument and says what it must be."""

from __future__ import annotations

# 24.8 days: more milliseconds than that do not fit into a C int, and so not into the timeout of a socket.
_MAX_SECONDS = 2_147_483


def wrong_type(argument: str, expected: str, value: object) -> str:
    """Return the message for an argument of another type: `concurrency must be an integer, not str`."""
    return f"{argument} must be {expected}, not {type(value).__name__}"


def checked_seconds(argument: str, value: float | None, *, zero: bool = False) -> float | None:
    """Return a duration in seconds, or `None` for no limit; raise TypeError or ValueError for anything else."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(wrong_type(argument, "a number of seconds or None", value))
    if not 0 <= value <= _MAX_SECONDS or (value == 0 and not zero):
        least = "at least 0" if zero else "greater than 0"
        raise ValueError(f"{argument} must be {least} and at most {_MAX_SECONDS} seconds")
    return float(value)


def checked_count(argument: str, value: int) -> int:
    """Return an integer of at least 1; raise TypeError or ValueError if it is not one."""
    return checked_integer(argument, value, 1)


def checked_integer(argument: str, value: int, least: int, most: int | None = None) -> int:
    """Return an integer of at least `least` and at most `most`; raise TypeError or ValueError if it is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(wrong_type(argument, "an integer", value))
    if value < least or (most is not None and value > most):
        raise ValueError(f"{argument} must be at least {least}" + ("" if most is None else f" and at most {most}"))
    return value
