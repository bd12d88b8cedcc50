"""Checks of a push's arguments, and of the clock, that both dialects share, so that both raise the same messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...errors import ClockRejected, InvalidPush
from ..checks import wrong_type

__all__ = ["checked_time", "listed", "utf8"]

_YEAR_10000 = 253_402_300_800


def checked_time(now: float) -> float:
    """Return a Unix time unchanged; raise ClockRejected if it is NaN, or not in the years 1970 to 9999."""
    if not 0 <= now < _YEAR_10000:
        raise ClockRejected("this machine's clock is out of range: it must be in the years 1970 to 9999")
    return now


def listed(argument: str, values: object, kind: str = "session IDs") -> Collection[object]:
    """Return a list, tuple or set unchanged; raise InvalidPush for anything else.

    An iterator is refused: it would be empty when the argument is used for a second push, and empty means nobody.
    """
    if not isinstance(values, Collection) or isinstance(values, Mapping | str | bytes | bytearray | memoryview):
        raise InvalidPush(wrong_type(argument, f"a list, tuple or set of {kind}", values))
    return values


def utf8(argument: str, text: object) -> bytes:
    """Return text encoded as UTF-8; raise InvalidPush for anything else."""
    if not isinstance(text, str):
        raise InvalidPush(wrong_type(argument, "a string", text))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPush(f"{argument}: a lone surrogate at character {error.start} is not UTF-8") from None
