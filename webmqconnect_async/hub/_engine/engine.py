"""The interface of an engine."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import ClassVar, NamedTuple, TypeAlias

from .._idempotency import Fingerprint
from .._publication import Publication
from .._pushes.verdicts import Refused


class Repeated(NamedTuple):
    """An event that was published before, with the same idempotency key."""

    publication_id: int
    """The ID of the first publication."""


Published: TypeAlias = int | Repeated | Refused
"""The outcome of a publication: the event's ID, or why it was not published. `Refused` with 502: it may have been."""


class Engine(ABC):
    """Gives events their IDs, and passes them to the broker in the order of the IDs."""

    shared: ClassVar[bool] = False
    """Whether there are also events of other hubs."""

    async def start(self) -> None:  # noqa: B027  # nothing to do in memory
        """Get ready to publish.

        Raises:
            ConnectionError: The backplane cannot be used. The message says why.
        """

    async def close(self) -> None:  # noqa: B027
        """Stop. Events that are published later are refused."""

    @property
    def unready(self) -> str:
        """Why events cannot be published at present; empty if they can."""
        return ""

    def find(self, push: Fingerprint) -> int | Refused | None:
        """Return the result of a push whose idempotency key this hub has seen before; `None` for any other push."""
        return None

    @abstractmethod
    def publish(
        self, publication: Publication, push: Fingerprint | None = None, began: float | None = None
    ) -> Published | asyncio.Future[Published]:
        """Publish an event, unless it is repeated.

        Args:
            publication: The event.
            push: Identifies a push that has an idempotency key.
            began: `time.perf_counter()` when the push arrived; `None` if a subscriber publishes the event.
        """

    def reach(self, publication_id: int) -> Coroutine[object, object, object] | None:
        """Return a coroutine that waits, for a limited time, until this hub has delivered all events up to an ID.

        `None`: there is nothing to wait for.
        """
        return None
