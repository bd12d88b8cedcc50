"""The engine of a single hub. It keeps the events in this process, and their idempotency keys in `IdempotencyKeys`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .._idempotency import Fingerprint, IdempotencyKeys
from .._publication import Publication
from .._pushes.verdicts import Refused
from .engine import Engine

if TYPE_CHECKING:
    from .._broker import Broker


class MemoryEngine(Engine):
    """Delivers events as they are published."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._keys = IdempotencyKeys()

    def find(self, push: Fingerprint) -> int | Refused | None:
        return self._keys.find(push, monotonic())

    def publish(self, publication: Publication, push: Fingerprint | None = None, began: float | None = None) -> int:
        """Deliver an event. The caller has asked `find` whether it is repeated."""
        self._broker.deliver(publication, began=began)
        publication_id = self._broker.ids.newest
        if push is not None:
            self._keys.add(push, publication_id, monotonic())
        return publication_id
