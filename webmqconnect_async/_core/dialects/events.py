"""Encode an event as JSON. The error for one that is not JSON names the invalid part."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from inspect import isroutine
from math import isfinite
from typing import TypeAlias

from ...errors import InvalidPush
from ..escape import shortened
from ..values import JSONText

Dumps: TypeAlias = Callable[[object], str | bytes]
"""A JSON encoder such as `orjson.dumps`."""

_ENCODING_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError)
"""Errors that encoders raise for an event that they cannot encode; RecursionError is a RuntimeError.

Not Exception: a signal handler may raise while the encoder is running, such as the soft time limit of a task queue.
"""

_NUMPY_KINDS = frozenset("biufUO")
"""Values of `dtype.kind`. Not complex; not datetime64 and timedelta64, whose `tolist` may return nanoseconds as int."""

_MINUTE = timedelta(minutes=1)
_N, _I = b"NI"
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_OR_CONSTANT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(NaN|Infinity)', re.DOTALL)


def encode_event(event: object, dumps: Dumps | None = None) -> bytes:
    """Return the event as JSON in UTF-8, in compact form unless `dumps` is given or the event is a `JSONText`.

    The InvalidPush for an event that is not JSON gives the path of the invalid part if it is known.
    """
    if isinstance(event, JSONText):
        return event.encoded
    if dumps is None:
        try:
            return _compact(event).encode()
        except _ENCODING_ERRORS as error:
            raise _invalid(event, error, _substitute) from error
    try:
        written = dumps(event)
        encoded = written.encode() if isinstance(written, str) else written
    except InvalidPush:  # from to_json
        raise
    except _ENCODING_ERRORS as error:
        raise InvalidPush(f"event: not JSON: {type(error).__name__}: {error}") from error
    if not isinstance(encoded, bytes):
        raise InvalidPush(f"dumps must return str or bytes, not {type(encoded).__name__}")
    # json.dumps writes both, JSON.parse accepts neither. CPython finds a single byte faster if it is given as an int.
    if (_N in encoded and b"NaN" in encoded) or (_I in encoded and b"Infinity" in encoded):
        for found in _STRING_OR_CONSTANT.finditer(encoded):
            if found[1]:
                raise InvalidPush(f"event: dumps returned {found[1].decode()}, which is not JSON")
    return encoded


def to_json(event: object) -> bytes:
    """Return an event as compact JSON in UTF-8, with more types than the clients encode by default.

    It is for the argument `dumps` of both clients: `AsyncClient(url, dumps=to_json)`. In addition to the default types,
    it encodes

    - instances of dataclasses as objects of their fields;
    - pydantic models as `model_dump(mode="json")` returns them: the model decides, also about naive datetimes;
    - scalars and arrays of numpy as numbers and lists, except for `datetime64` and `timedelta64`;
    - paths as strings.

    Raises:
        InvalidPush: the event contains a value of another type, a naive datetime, a set, NaN or Infinity, a lone
            surrogate or itself, or is nested too deeply. The message gives the type and the path, such as
            `event.items[3].price`.
    """
    try:
        return _extended(event).encode()
    except _ENCODING_ERRORS as error:
        raise _invalid(event, error, _extended_substitute) from error


class _NotJSON(TypeError):
    """A value that cannot be represented in JSON; the message says why."""


def _substitute(value: object) -> object:
    """Return a value that represents another one in JSON; raise _NotJSON if there is none.

    The result may need a substitute itself: the encoder passes it again.
    """
    match value:
        case Enum():
            return value.value
        case datetime():
            if value != value:  # pandas.NaT, which is like NaN
                raise _NotJSON("NaT is not JSON; push None")
            offset = value.utcoffset()
            if offset is None:
                raise _NotJSON("a naive datetime, which browsers would read as local time; give it a time zone")
            if offset % _MINUTE:  # such as local mean time; ISO 8601 allows hours and minutes only
                value = value.astimezone(UTC)
            return value.isoformat()
        case time():
            offset = value.utcoffset()
            if value.tzinfo is not None and offset is None:
                raise _NotJSON("a time in a zone whose offset depends on the date; push a datetime, or a naive time")
            if offset and offset % _MINUTE:
                raise _NotJSON(
                    "a time whose UTC offset is not a whole number of minutes; push a datetime, or a naive time"
                )
            return value.isoformat()
        case date():
            return value.isoformat()
        case set() | frozenset():
            raise _NotJSON(f"{_type_of(value)} is not JSON: a set has no order; pass a sorted list")
    if _is_a("uuid", "UUID", value):
        return str(value)
    if _is_a("decimal", "Decimal", value):
        if set(text := str(value)) & set("NI"):  # NaN, sNaN, Infinity
            raise _NotJSON(f"{text} is not JSON")
        return text
    hint = "; dumps=webmqconnect_async.to_json encodes it" if _converter(value) else ""
    raise _NotJSON(f"{_type_of(value)} is not JSON{hint}")


def _is_a(module: str, name: str, value: object) -> bool:
    # Importing these modules takes milliseconds. If an application has such a value, they are in sys.modules.
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _extended_substitute(value: object) -> object:
    """Do what `_substitute` does, for the types of `to_json`."""
    convert = None if isinstance(value, Enum) else _converter(value)
    if convert is None:
        return _substitute(value)
    try:
        return convert()
    except (*_ENCODING_ERRORS, OSError) as error:
        raise _NotJSON(f"{type(error).__name__}: {error}") from error


def _converter(value: object) -> Callable[[], object] | None:
    """Return a function that converts a value, if only `to_json` encodes its type."""
    kind = type(value)
    if dump := _method(value, "model_dump", mode="json"):
        return dump
    if is_dataclass(kind):
        return lambda: {field.name: getattr(value, field.name) for field in fields(kind)}
    if path := _method(value, "__fspath__"):
        return path
    if hasattr(kind, "dtype") and (tolist := _method(value, "tolist")):
        with suppress(Exception):
            dtype = getattr(value, "dtype", None)
            # `tolist` of a numpy.longdouble returns a numpy.longdouble: Python has no such type.
            if getattr(dtype, "kind", None) in _NUMPY_KINDS and type(plain := tolist()) is not kind:
                return lambda: plain
    return None


def _method(value: object, name: str, **options: str) -> Callable[[], object] | None:
    """Return a call of a method that the class of a value defines; `None` if it defines none.

    Attributes of the instance are not used: mocks and proxies have every attribute, and a lazy row of an ORM may query
    its database.
    """
    if isroutine(getattr(type(value), name, None)):  # the `__fspath__` of a MagicMock is a mock, even of its class
        return lambda: getattr(value, name)(**options)
    return None


def _type_of(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _encoder(default: Callable[[object], object]) -> Callable[[object], str]:
    # Plain JSON never calls `default`.
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default).encode


_compact = _encoder(_substitute)
_extended = _encoder(_extended_substitute)


def _invalid(event: object, error: Exception, substitute: Callable[[object], object]) -> InvalidPush:
    culprit = None if isinstance(error, RecursionError) else _culprit(event, "event", frozenset(), substitute)
    return InvalidPush(culprit or f"event: not JSON: {type(error).__name__}: {error}")


def _culprit(
    value: object, path: str, above: frozenset[int], substitute: Callable[[object], object], attributes: bool = False
) -> str | None:
    """Return the path of the first value that is not JSON, and the reason; `None` if there is none."""
    if isinstance(value, str):
        return f"{path}: a lone surrogate is not UTF-8" if _SURROGATE.search(value) else None
    if isinstance(value, float):
        return None if isfinite(value) else f"{path}: {value} is not JSON"
    if value is None or isinstance(value, int):
        return None
    if id(value) in above:
        return f"{path}: contains itself"
    if len(above) >= 100:
        return None
    above |= {id(value)}
    if not isinstance(value, dict | list | tuple):
        try:
            substituted = substitute(value)
        except _NotJSON as error:
            return f"{path}: {error}"
        except _ENCODING_ERRORS as error:
            return f"{path}: {type(error).__name__}: {error}"
        return _culprit(substituted, path, above, substitute, attributes=True)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        step = f".{key}" if attributes and isinstance(value, dict) else f"[{_shown(key)}]"
        if isinstance(value, dict):
            if not isinstance(key, str | int | float | None):
                return f"{path}: a key of type {_type_of(key)} is not JSON"
            if found := _culprit(key, f"{path}: the key {_shown(key)}", above, substitute):
                return found
        if found := _culprit(item, path + step, above, substitute):
            return found
    return None


def _shown(key: object) -> str:
    try:
        return shortened(repr(key), 60)
    except ValueError:  # an integer of more than 4,300 digits (sys.set_int_max_str_digits)
        return "…"
