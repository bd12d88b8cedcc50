"""JSON as the hub reads it from peers and writes it to them, strictly: what a browser's JSON.parse would take."""

from __future__ import annotations

import json
from math import isfinite
from typing import NoReturn

__all__ = ["encoded", "json_value"]


def json_value(text: str) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or nested too deeply to be read.
    """
    try:
        value: object = _JSON.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON, whatever Python's decoder thinks


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)  # 1e400 would leave here as Infinity
    return number


_JSON = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)

# ASCII, so that a lone surrogate, which JSON can say and UTF-8 cannot, stays an escape.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encoded(value: object) -> str:
    """Return a value as compact JSON text.

    Raises:
        ValueError: it is nested too deeply to be written, though it may have been read.
    """
    try:
        return _encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
