"""Pushes numbered events to topics, one after another within a topic, and stores the outcome of each."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from benchmarks.recovering.judge import Push
from webmqconnect_async import AsyncClient, NotAccepted, Overloaded, Receipt, Retry, Unconfirmed, WebMQError

__all__ = ["BURST", "FREQUENT", "KEYED", "RATES", "TOPICS", "Pushed", "Pushers"]

RATES: Mapping[str, float] = {
    "http://example.com/often": 20.0,
    "http://example.com/keyed/often": 20.0,
    "http://example.com/sometimes": 10.0,
    "http://example.com/keyed/sometimes": 10.0,
    "com.example.seldom": 1.0,
}
"""Events per second."""

KEYED = "keyed"
"""A part of the names of topics whose pushes have idempotency keys."""

BURST = tuple(f"http://example.com/burst/{number}" for number in range(20))
"""Topics that get many events at once."""

FREQUENT = tuple(topic for topic, rate in RATES.items() if rate >= 10)
"""Topics with so many events that each subscriber soon gets one."""

TOPICS = (*BURST, *(topic for topic in RATES if topic not in FREQUENT), *FREQUENT)
"""In the order of subscription: a subscriber that has an event of the last one was notified of all losses."""

_TIMEOUT = 10.0


@dataclass(slots=True)
class Pushed:
    """An event, and the outcome of its push."""

    only: str | None = None
    """The only subscriber that the event is addressed to."""
    without: str | None = None
    """The subscriber that is excluded from the event."""
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    attempts: int = 0
    outcome: Receipt | WebMQError | None = None
    """`None` while it is being pushed."""

    @property
    def for_judge(self) -> Push:
        """The event for the judge.

        An event for one session only is owed to nobody, because the session may have ended.
        """
        return Push(isinstance(self.outcome, Receipt) and self.only is None, self.only, self.without)


class Pushers:
    """Pushers of all topics.

    Args:
        url: the URL to push to.
        random: the random source for times and receivers.
        sessions: the current or last session of each subscriber, as it reported it.
        note: called with what happens, for the journal.
    """

    def __init__(self, url: str, random: Random, sessions: Mapping[str, str], note: Callable[[str], None]) -> None:
        self.pushed: dict[str, list[Pushed]] = {topic: [] for topic in TOPICS}
        """All events by topic; the index of each is its number."""
        self._url = url
        self._random = random
        self._sessions = sessions
        self._note = note
        self._pushing = True

    @property
    def newest(self) -> dict[str, int]:
        """The number of the next event of each topic."""
        return {topic: len(pushed) for topic, pushed in self.pushed.items()}

    @property
    def all(self) -> Sequence[Pushed]:
        return [each for pushed in self.pushed.values() for each in pushed]

    async def run(self) -> None:
        """Push until `stop` is called."""
        async with AsyncExitStack() as stack:
            once, keyed = await self._clients(stack)
            async with asyncio.TaskGroup() as group:
                for topic in RATES:
                    group.create_task(self._push_on(keyed if KEYED in topic else once, topic))

    def stop(self) -> None:
        """Make `run` return once the pushes in flight have ended."""
        self._pushing = False

    async def burst(self, count: int) -> list[int]:
        """Push `count` events at once, and return the IDs of those that were accepted."""
        async with AsyncExitStack() as stack:
            client, _ = await self._clients(stack)

            async def push(topic: str) -> None:
                for _ in range(count // len(BURST)):
                    await self._push(client, topic, Pushed())

            begin = {topic: len(self.pushed[topic]) for topic in BURST}
            await asyncio.gather(*map(push, BURST))
        receipts = [each.outcome for topic in BURST for each in self.pushed[topic][begin[topic] :]]
        return [receipt.id for receipt in receipts if isinstance(receipt, Receipt) and receipt.id is not None]

    def counts(self) -> Counter[str]:
        """Return the number of pushes by outcome."""
        counts: Counter[str] = Counter(pushes=0, accepted=0, unconfirmed=0, refused=0)
        for each in self.all:
            counts["pushes"] += 1
            match each.outcome:
                case Receipt():
                    counts["accepted"] += 1
                case Unconfirmed():
                    counts["unconfirmed"] += 1
                case Overloaded(status=503):
                    counts["refused"] += 1
                case other:
                    counts[type(other).__name__] += 1
        return counts

    async def _clients(self, stack: AsyncExitStack) -> tuple[AsyncClient, AsyncClient]:
        """Return a client that repeats pushes that were not accepted, and one that also repeats unconfirmed ones."""
        careful = Retry(attempts=3, wait=0.05, max_wait=2)
        keyed = Retry(attempts=5, wait=0.05, max_wait=2, at_least_once=True)
        return (
            await stack.enter_async_context(AsyncClient(self._url, timeout=_TIMEOUT, retry=careful)),
            await stack.enter_async_context(AsyncClient(self._url, timeout=_TIMEOUT, retry=keyed)),
        )

    async def _push_on(self, client: AsyncClient, topic: str) -> None:
        while self._pushing:
            await self._push(client, topic, self._receivers())
            await asyncio.sleep(self._random.expovariate(RATES[topic]))

    async def _push(self, client: AsyncClient, topic: str, event: Pushed) -> None:
        number = len(self.pushed[topic])
        self.pushed[topic].append(event)
        eligible, exclude = ([self._sessions[name]] if name else None for name in (event.only, event.without))
        key = str(uuid.UUID(int=self._random.getrandbits(128))) if KEYED in topic else None
        try:
            event.outcome = await client.push(topic, {"number": number}, eligible, exclude, idempotency_key=key)
        except (NotAccepted, Unconfirmed) as error:
            event.outcome = error
        event.attempts = event.outcome.attempts
        event.ended = time.monotonic()
        self._note(f"pushed {topic} {number}: {event.outcome!r}")

    def _receivers(self) -> Pushed:
        """Return an event, usually for all subscribers, otherwise for only one or for all but one."""
        name = self._random.choice(sorted(self._sessions))
        only, without = self._random.choices(((None, None), (None, name), (name, None)), (92, 4, 4))[0]
        return Pushed(only, without)
