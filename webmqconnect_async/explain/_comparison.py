"""The format of timestamps, and how a signature was made. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from .._core.dialects import DialectName
from ._explanation import Explanation

_TIMESTAMPS: dict[DialectName, re.Pattern[bytes]] = {
    "webmq": re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}Z"),
    "crossbar": re.compile(rb"\d{4}(-\d\d?){2}T\d\d?(:\d\d?){2}\.\d{1,6}Z"),
}
"""The timestamps that the brokers of each dialect accept."""

TIMESTAMP_EXAMPLES: dict[DialectName, str] = {
    "webmq": "2011-10-14T16:59:51Z",
    "crossbar": "2011-10-14T16:59:51.123Z",
}


def is_timestamp(dialect: DialectName, part: bytes) -> bool:
    return bool(_TIMESTAMPS[dialect].fullmatch(part))


class Origin(NamedTuple):
    """How a signature was made."""

    request: Literal["sent", "expected"]
    """The request whose parts were signed."""
    mistake: str | None = None
    """The common mistake that was made; None if the signature is correct."""


def signature_origin(signature: str, requests: Mapping[Literal["sent", "expected"], Explanation]) -> Origin | None:
    """Return how a signature was made, or None if neither a request nor a common mistake explains it."""
    for name, explanation in requests.items():
        if explanation.is_right(signature):
            return Origin(name)
        if mistake := explanation.mistake(signature):
            return Origin(name, mistake)
    return None
