"""Strict JSON, as a browser's `JSON.parse` accepts it. Python's own decoder also accepts NaN and Infinity."""

from __future__ import annotations

import json
import sys
from math import isfinite
from typing import NoReturn


def decode(text: str, *, finite: bool = False) -> object:
    """Return the value of a JSON text. The message of its ValueError gives the position and quotes nothing of the text.

    With `finite`, refuse numbers such as 1e400, which decode to Infinity and could not be encoded again.
    """
    try:
        value: object = (_FINITE if finite else _ANY).decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except ValueError as error:
        if str(error).startswith("not JSON"):
            raise
        raise ValueError(f"an integer of more than {sys.get_int_max_str_digits():,} digits") from None
    return value


def encode(value: object) -> str:
    """Return a value as compact JSON, in ASCII; raise `ValueError` if it is nested too deeply, even after `decode`."""
    try:
        return _encode(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def refuse_constant(name: str) -> NoReturn:
    """Raise ValueError for NaN or Infinity, as the `parse_constant` of a decoder."""
    raise ValueError(f"not JSON: {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("not JSON: a number out of range")
    return number


_ANY = json.JSONDecoder(parse_constant=refuse_constant)
_FINITE = json.JSONDecoder(parse_constant=refuse_constant, parse_float=_finite)

raw_decode = _FINITE.raw_decode
"""`json.JSONDecoder.raw_decode`, strict and finite."""

# ASCII, so that a lone surrogate, which JSON can express and UTF-8 cannot, stays an escape.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
