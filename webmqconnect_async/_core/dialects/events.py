"""Encode an event as JSON, and name the part of it that is not JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

from ...errors import InvalidPush
from ..escape import shortened
from ..values import JSONText

__all__ = ["Dumps", "encode_event"]

Dumps: TypeAlias = Callable[[object], str | bytes]
"""A JSON encoder such as `orjson.dumps`."""

_ENCODING_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError)
"""What encoders raise for an event that they cannot encode; a RecursionError is a RuntimeError.

Not Exception: a signal handler may raise while the encoder is running, such as the soft time limit of a task queue.
"""

_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def encode_event(event: object, dumps: Dumps | None = None) -> bytes:
    """Return the event as JSON in UTF-8, in compact form unless `dumps` is given or the event is a `JSONText`.

    Raises:
        InvalidPush: the event holds NaN or Infinity, a lone surrogate, itself, a value of another type, or is nested
            too deeply. The message gives the path of that value if it is known.
    """
    if isinstance(event, JSONText):
        return event.encoded
    try:
        written = (dumps or _compact)(event)
        if isinstance(written, bytes):
            return written
        if isinstance(written, str):
            return written.encode()
        problem = f"dumps must return str or bytes, not {type(written).__name__}"
    except _ENCODING_ERRORS as error:
        culprit = _culprit(event, "event", set()) if dumps is None and not isinstance(error, RecursionError) else None
        raise InvalidPush(culprit or f"event: not JSON: {type(error).__name__}: {error}") from error
    raise InvalidPush(problem)


def _culprit(value: object, path: str, above: set[int]) -> str | None:
    """Return the path of the first value that is not JSON, and why it is not; None if there is none."""
    if isinstance(value, str):
        return None if _is_unicode(value) else f"{path}: a lone surrogate is not UTF-8"
    if isinstance(value, float):
        return None if isfinite(value) else f"{path}: {value} is not JSON"
    if value is None or isinstance(value, int):
        return None
    if not isinstance(value, dict | list | tuple):
        return f"{path}: {type(value).__name__} is not JSON"
    if id(value) in above:
        return f"{path}: contains itself"
    if len(above) >= 100:
        return None
    above.add(id(value))
    try:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                if not isinstance(key, str | int | float | None):
                    return f"{path}: a key of type {type(key).__name__} is not JSON"
                if found := _culprit(key, f"{path}: the key {_shown(key)}", above):
                    return found
            if found := _culprit(item, f"{path}[{_shown(key)}]", above):
                return found
    finally:
        above.discard(id(value))
    return None


def _shown(key: object) -> str:
    try:
        return shortened(repr(key), 60)
    except ValueError:  # CPython converts no integer of more than 4300 digits to text
        return "…"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
