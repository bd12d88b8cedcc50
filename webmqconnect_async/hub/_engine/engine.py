"""What a hub needs of an engine."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import ClassVar, NamedTuple, TypeAlias

from .._idempotency import Fingerprint
from .._publication import Publication
from .._pushes.verdicts import Refused


class Repeated(NamedTuple):
    """An event that was published before, under the same idempotency key."""

    publication_id: int
    """That of the first time."""


Published: TypeAlias = int | Repeated | Refused
"""What became of an event: its ID if it is published; otherwise it is not published, or 502 if that is not known."""


class Engine(ABC):
    """Gives events their IDs, and hands them to the broker in the order of these."""

    shared: ClassVar[bool] = False
    """Whether events come from other hubs, too."""

    async def start(self) -> None:  # noqa: B027  # nothing to do in memory
        """Get ready to publish.

        Raises:
            ConnectionError: The backplane cannot be used. The message says why.
        """

    async def close(self) -> None:  # noqa: B027
        """Stop. What is published later is refused."""

    @property
    def unready(self) -> str:
        """Why events cannot be published at present; empty if they can."""
        return ""

    def find(self, push: Fingerprint) -> int | Refused | None:
        """Return what `publish` would for a push that this hub knows to be repeated, without publishing a new one."""
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
        """Return what waits until this hub has delivered all events up to an ID, but not for long.

        `None`: there is nothing to wait for.
        """
        return None
