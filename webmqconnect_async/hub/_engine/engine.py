"""The interface of an engine, and the engine of a single hub."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from .._idempotency import Fingerprint, IdempotencyKeys
from .._publication import Publication
from .._pushes.verdicts import Refused

if TYPE_CHECKING:
    from .._broker import Broker


class Repeated(NamedTuple):
    """An event that was published before, with the same idempotency key."""

    publication_id: int  # the ID of the first publication


Published: TypeAlias = int | Repeated | Refused
"""The outcome of a publication: the event's ID, or why it was not published. `Refused` with 502: it may have been."""


class Engine(ABC):
    """Gives events their IDs, and passes them to the broker in the order of the IDs."""

    shared: ClassVar[bool] = False  # whether there are also events of other hubs

    unready: str = ""  # why events cannot be published at present; empty if they can

    async def start(self) -> None:  # noqa: B027  # nothing to do in memory
        """Get ready to publish; raise `ConnectionError` if the backplane cannot be used. Its message says why."""

    async def close(self) -> None:  # noqa: B027
        """Stop. Events that are published later are refused."""

    def find(self, push: Fingerprint) -> int | Refused | None:
        """Return the result of a push whose idempotency key this hub has seen before; `None` for any other push."""
        return None

    @abstractmethod
    def publish(
        self, publication: Publication, push: Fingerprint | None = None, began: float | None = None
    ) -> Published | asyncio.Future[Published]:
        """Publish an event, unless it is repeated.

        `push` identifies a push that has an idempotency key. `began` is the `time.perf_counter()` when the push
        arrived; `None` if a subscriber publishes the event.
        """

    def reach(self, publication_id: int) -> Coroutine[object, object, object] | None:
        """Return a coroutine that waits, for a limited time, until this hub has delivered all events up to an ID.

        `None`: there is nothing to wait for.
        """
        return None


class MemoryEngine(Engine):
    """Delivers events as they are published, and keeps idempotency keys in this process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._keys = IdempotencyKeys()

    def find(self, push: Fingerprint) -> int | Refused | None:
        return self._keys.find(push, monotonic())

    def publish(self, publication: Publication, push: Fingerprint | None = None, began: float | None = None) -> int:
        # The caller has asked `find` whether the push is repeated.
        self._broker.deliver(publication, began=began)
        publication_id = self._broker.ids.newest
        if push is not None:
            self._keys.add(push, publication_id, monotonic())
        return publication_id
