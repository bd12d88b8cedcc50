"""What both dialects ask of a push's arguments, refused in the same words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import InvalidPush

__all__ = ["listed", "utf8"]


def listed(argument: str, values: object, kind: str = "session IDs") -> Collection[object]:
    """Return the values of a list, tuple or set.

    Not of any iterable: one that is empty when it is read again, for a second push, would mean nobody.
    """
    if not isinstance(values, Collection) or isinstance(values, Mapping | str | bytes | bytearray | memoryview):
        raise InvalidPush(f"{argument}: a list, tuple or set of {kind} is needed, not {type(values).__name__}")
    return values


def utf8(argument: str, text: object) -> bytes:
    """Return a text as UTF-8."""
    if not isinstance(text, str):
        raise InvalidPush(f"{argument}: text is needed, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPush(f"{argument}: a lone surrogate at character {error.start} is not UTF-8") from None
