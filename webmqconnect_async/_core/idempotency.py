"""The headers of a push with an idempotency key. A broker that supports them accepts a repeated push only once.

They follow draft-ietf-httpapi-idempotency-key-header: the key is a string of RFC 8941, section 3.3.3. Escapes and
spaces, which such a string may contain, are not allowed.
"""

from __future__ import annotations

import re

from ..errors import InvalidPush
from .checks import wrong_type

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header of a request. Its value is the key in double quotes."""

REPLAYED = "Idempotent-Replayed"
"""The header of the response to a repeated push. Its value is `true`."""

_KEY = re.compile(r"[!#-\[\]-~]{1,255}")


def checked_key(key: object) -> str:
    """Return an idempotency key unchanged; raise InvalidPush for anything else."""
    if not isinstance(key, str):
        raise InvalidPush(wrong_type("idempotency_key", "a string", key))
    if not (match := _KEY.fullmatch(key)):
        raise InvalidPush('idempotency_key must be 1 to 255 visible ASCII characters other than " and \\')
    return match[0]  # a plain str: a subclass of str may format itself differently


def value_of(key: str) -> str:
    """Return the value of `Idempotency-Key` for a key."""
    return f'"{key}"'


def key_of(value: str) -> str | None:
    """Return the key in the value of `Idempotency-Key`; None if the value is malformed."""
    quoted = len(value) > 2 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted and _KEY.fullmatch(value, 1, len(value) - 1) else None
