"""Checks of a push's arguments and of the clock, shared by both dialects so that their messages are the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ...errors import ClockRejected, InvalidPush
from ..checks import wrong_type
from . import DialectName, checked_dialect

SESSION_IDS = range(1, 2**53 + 1)
"""The session IDs of WAMP v2."""

_NUMBER = re.compile("[1-9][0-9]{0,15}")
_ID_OF_2012 = re.compile("[A-Za-z0-9_-]{16}")
_YEAR_10000 = 253_402_300_800


def checked_time(now: float) -> float:
    """Return a Unix time unchanged; raise ClockRejected if it is NaN, or not in the years 1970 to 9999."""
    if not 0 <= now < _YEAR_10000:
        raise ClockRejected("this machine's clock is out of range: it must be in the years 1970 to 9999")
    return now


def listed(argument: str, values: object, kind: str = "session IDs") -> Collection[object]:
    """Return a list, tuple or set unchanged; raise InvalidPush for anything else.

    An iterator is refused: it would be empty at the second push with the same argument, and empty means nobody.
    """
    if not isinstance(values, Collection) or isinstance(values, Mapping | str | bytes | bytearray | memoryview):
        raise InvalidPush(wrong_type(argument, f"a list, tuple or set of {kind}", values))
    return values


def session_id(text: str | None, dialect: DialectName = "webmq") -> str | None:
    """Return the text if it has the form of a session ID; `None` otherwise.

    Use it to check a session ID that a page has sent before you pass it to `eligible` or `exclude`. Otherwise, a
    visitor who sends `a,b` makes the push raise InvalidPush, so that nobody receives the event. It does not check
    whether the session exists.

    Args:
        text: The text, such as the value of a header. `None` returns `None`.
        dialect: That of the client. A session ID is an integer from 1 to 2^53 in decimal digits. In the dialect "webmq"
            it may also be that of a hub of 2012: 16 characters, each a letter, a digit, `-` or `_`.

    Raises:
        ValueError: The dialect does not exist.
    """
    of_2012 = checked_dialect("dialect", dialect) == "webmq"
    if not isinstance(text, str):
        return None
    if text.isdecimal():
        return text if _NUMBER.fullmatch(text) and int(text) in SESSION_IDS else None
    return text if of_2012 and _ID_OF_2012.fullmatch(text) else None


def utf8(argument: str, text: object) -> bytes:
    """Return text encoded as UTF-8; raise InvalidPush for anything else."""
    if not isinstance(text, str):
        raise InvalidPush(wrong_type(argument, "a string", text))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPush(f"{argument}: a lone surrogate at character {error.start} is not UTF-8") from None


def id_text(argument: str, value: object) -> str:
    """Return a session ID as text; raise InvalidPush for a value that cannot be a session ID of a hub."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return int.__repr__(value)  # an IntEnum has another repr
        except ValueError:
            raise InvalidPush(f"{argument}: an integer of too many digits") from None
    if not isinstance(value, str):
        raise InvalidPush(wrong_type(argument, "a string or an integer", value))
    # A hub splits the list at commas and strips whitespace: such an ID would select other sessions.
    if not value or "," in value or value != value.strip():
        raise InvalidPush(
            f"{argument}: {value[:40]!r} is not a session ID (empty, with a comma, or surrounded by whitespace)"
        )
    utf8(argument, value)
    return value
