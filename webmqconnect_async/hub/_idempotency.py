"""The idempotency keys of pushes, by which a hub recognizes a push that is repeated. Pure: times are arguments.

Only two digests of a push are kept, so the maximum number of keys also limits the memory, to about 40 MB.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from .._core.idempotency import key_of
from ._pushes.verdicts import Accepted, Refused
from ._remedies import NEW_KEY, QUOTED_KEY

_LIFETIME = 300.0  # seconds that a key is remembered
_MAX_KEYS = 100_000  # maximum number of keys that are remembered


class Fingerprint(NamedTuple):
    """A push with an idempotency key, in digests of 16 bytes."""

    name: bytes  # the digest of the application key, the topic and the idempotency key
    content: bytes  # the digest of the event and its receivers


def fingerprint_of(push: Accepted, values: Sequence[str]) -> Fingerprint | Refused:
    """Return the fingerprint of a push, or a refusal if the values of its `Idempotency-Key` headers are malformed."""
    if len(values) > 1:
        return Refused(400, "header Idempotency-Key given twice")
    if (key := key_of(values[0])) is None:
        return Refused(400, "header Idempotency-Key is malformed", _remedy=QUOTED_KEY)
    receivers = [(sorted(each.eligible or ()), each.eligible is None, sorted(each.exclude)) for each in push.receivers]
    content = push.event, push.args, push.kwargs, push.retain, receivers
    return Fingerprint(_digest((push.key, push.topic, key)), _digest(content))


def used_before() -> Refused:
    """Return the refusal of a push whose idempotency key was used for another push."""
    return Refused(422, "Idempotency-Key was used with another event or other receivers", _remedy=NEW_KEY)


def _digest(value: object) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


class IdempotencyKeys:
    """The pushes that a hub has accepted with an idempotency key, for 300 s; at most the last 100,000."""

    def __init__(self) -> None:
        self._pushes: OrderedDict[bytes, tuple[bytes, int, float]] = OrderedDict()  # the oldest first

    def find(self, push: Fingerprint, now: float) -> int | Refused | None:
        """Return the publication ID of a repeated push, a refusal if its key was used for another one, or `None`."""
        while self._pushes and next(iter(self._pushes.values()))[2] <= now - _LIFETIME:
            self._pushes.popitem(last=False)
        if (known := self._pushes.get(push.name)) is None:
            return None
        content, publication_id, _ = known
        return publication_id if content == push.content else used_before()

    def add(self, push: Fingerprint, publication_id: int, now: float) -> None:
        """Remember a push that was accepted, and forget the oldest one if there are too many. `now` is monotonic."""
        self._pushes[push.name] = push.content, publication_id, now
        if len(self._pushes) > _MAX_KEYS:
            self._pushes.popitem(last=False)
