"""One run: a hub with a history of some length, its subscribers behind proxies, and a pusher for each topic."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from typing import TextIO

from webmqconnect_async import AsyncClient, NotAccepted, Retry, Unconfirmed
from webmqconnect_async.hub import Hub

from .judge import Kind, Push, Record, Verdict, judged
from .proxy import Proxy
from .subscribers import Subscribers

__all__ = ["TOPICS", "Course", "Outcome"]

OFTEN, SOMETIMES, SELDOM = TOPICS = ("http://example.com/often", "http://example.com/sometimes", "com.example.seldom")

_RATES = {OFTEN: 20.0, SOMETIMES: 4.0, SELDOM: 1.0}
"""Events per second."""

_OF_A_KIND = 2
"""Subscribers of each kind."""

_PATIENCE = 30.0
"""Seconds without faults after which subscribers must have got all their events."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run."""

    history: int
    cuts: int
    restarts: int
    pushed: int
    recovered: int
    """Events that reached a subscriber on a later connection than the one it had when they were pushed."""
    verdicts: Mapping[tuple[str, str], Verdict]
    """The verdict by subscriber and topic."""
    in_time: bool
    """Whether all subscribers got the last events in time."""


class Course:
    """A run.

    Args:
        history: how many events of a topic the hub keeps.
        seed: the seed of everything that is random.
        journal: the file for a log of the run. `None`: no log.
    """

    def __init__(self, history: int, seed: int, journal: TextIO | None = None) -> None:
        self._history = history
        self._random = Random(f"{seed} {history}")  # noqa: S311  # to be drawn again
        self._journal = journal
        self._hub: Hub | None = None
        self._port, self._url = 0, ""
        self._behind = 0.0
        """Seconds by which the clock of the hub is set back."""
        self._restarts = 0
        self._recovered = 0
        self._proxies: dict[str, Proxy] = {}
        self._pushes: dict[str, list[Push]] = {topic: [] for topic in TOPICS}
        self._sessions: dict[str, dict[int, Mapping[str, str | None]]] = {topic: {} for topic in TOPICS}
        """The sessions of all subscribers right after an event was pushed, by topic and number."""
        self._known: dict[str, str] = {}
        """The current or last session that each subscriber has reported."""
        self._records: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        self._told = asyncio.Event()
        self._pushing = True

    def names(self, kind: str) -> list[str]:
        """Return the names of the subscribers of a kind."""
        return [f"{kind} {self._history} {number}" for number in range(_OF_A_KIND)]

    def report(self, name: str, topic: str, kind: str, number: int, session: str | None) -> None:
        """Append what a subscriber reports, and in which session, to the records."""
        record = Record(Kind(kind), number if kind == Kind.EVENT else len(self._pushes[topic]))
        self._records[name, topic].append(record)
        if session is not None:
            self._known[name] = session
        if kind == Kind.EVENT and self._sessions[topic].get(number, {}).get(name, session) != session:
            self._recovered += 1
        self._note(f"{name}: {topic}: {kind} {record.number}")
        self._told.set()

    async def run(self, seconds: float, kinds: Mapping[str, Subscribers]) -> Outcome:
        """Disturb all subscribers for `seconds`, let them catch up, and judge their records."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            await self._start()
            client = await stack.enter_async_context(AsyncClient(self._url, timeout=10, retry=Retry(attempts=1)))
            subscribers = {name: each for kind, each in kinds.items() for name in self.names(kind)}
            for name, each in subscribers.items():
                proxy = Proxy(self._port, Random(f"{self._random.random()} {name}"))  # noqa: S311
                self._proxies[name] = await stack.enter_async_context(proxy)
                await each.connect(name, proxy.url)
                await each.subscribe(name, OFTEN)
                await each.subscribe(name, SOMETIMES)
            in_time = await self._until(lambda: len(self._records) == 2 * len(subscribers))
            async with asyncio.TaskGroup() as pushing:
                pushing.create_task(self._push(client, OFTEN))
                # All connections are cut. No subscriber has an event of `SOMETIMES` yet; all subscribe to `SELDOM`
                # meanwhile.
                for name, each in subscribers.items():
                    self._proxies[name].calm = False
                    self._proxies[name].cut(self._random.uniform(0.2, 0.5))
                    await each.subscribe(name, SELDOM)
                pushing.create_task(self._push(client, SOMETIMES))
                pushing.create_task(self._push(client, SELDOM))
                await self._restart_again_and_again(seconds)
                for proxy in self._proxies.values():
                    proxy.calm = True
                    proxy.cut()
                pushed = {topic: len(pushes) for topic, pushes in self._pushes.items()}
                in_time &= await self._until(lambda: self._all_have(pushed))
                self._pushing = False
            in_time &= await self._until(self._all_have_the_last)
        return Outcome(
            self._history,
            cuts=sum(proxy.cuts.total() for proxy in self._proxies.values()),
            restarts=self._restarts,
            pushed=sum(map(len, self._pushes.values())),
            recovered=self._recovered,
            verdicts={
                (name, topic): judged(name, self._records[name, topic], self._pushes[topic])
                for name in self._proxies
                for topic in TOPICS
            },
            in_time=in_time,
        )

    # The hub

    async def _start(self) -> None:
        behind = self._behind
        self._hub = Hub(port=self._port, history=self._history, grace=0.3, clock=lambda: time.time() - behind)
        await self._hub.start()
        self._url = self._hub.url
        self._port = int(self._url.rpartition(":")[2])
        self._note(f"hub started, {behind:.1f} s behind")

    async def _stop(self) -> None:
        if self._hub is not None:
            await self._hub.close()
            self._note("hub stopped")

    async def _restart_again_and_again(self, seconds: float) -> None:
        """Restart the hub at random times. Its clock may be set back, so that it assigns the same IDs again."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._random.uniform(1, 12)))
            if time.monotonic() < end:
                await self._stop()
                await asyncio.sleep(self._random.choice((0, self._random.uniform(0, 1))))
                self._behind += self._random.choice((0, self._random.uniform(0, 5)))
                self._restarts += 1
                await self._start()

    # The pusher

    async def _push(self, client: AsyncClient, topic: str) -> None:
        """Push numbered events to a topic until the end of the run."""
        pushes = self._pushes[topic]
        while self._pushing:
            number = len(pushes)
            only, without = self._receivers()
            pushes.append(Push(False, only, without))
            eligible, exclude = (name and self._known[name] for name in (only, without))
            with suppress(NotAccepted, Unconfirmed):
                await client.push(
                    topic,
                    {"number": number},
                    eligible=[eligible] if eligible else None,
                    exclude=[exclude] if exclude else None,
                )
                # A subscriber that has reconnected may have subscribed on the later session before the event arrived.
                certain = only is None or self._proxies[only].session == eligible
                pushes[number] = Push(certain, only, without)
            self._sessions[topic][number] = {name: proxy.session for name, proxy in self._proxies.items()}
            self._note(f"pushed {topic} {number} {pushes[number]}")
            await asyncio.sleep(self._random.expovariate(_RATES[topic]))

    def _receivers(self) -> tuple[str | None, str | None]:
        """Return the only subscriber that gets an event, and one that does not get it. Usually both are None."""
        name = self._random.choice(list(self._known))
        return self._random.choices(((None, None), (None, name), (name, None)), (90, 7, 3))[0]

    # The records of the subscribers

    async def _until(self, condition: Callable[[], bool]) -> bool:
        """Wait until a condition is true, and return whether it became true in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not condition():
                    self._told.clear()
                    await self._told.wait()
                return True
        return False

    def _all_have(self, numbers: Mapping[str, int]) -> bool:
        """Return whether the newest event of each subscriber is at least this number, by topic."""
        return all(self._newest(name, topic) >= numbers[topic] for name in self._proxies for topic in TOPICS)

    def _all_have_the_last(self) -> bool:
        return all(
            self._newest(name, topic) >= max((n for n, push in enumerate(pushes) if push.owed(name)), default=-1)
            for name in self._proxies
            for topic, pushes in self._pushes.items()
        )

    def _newest(self, name: str, topic: str) -> int:
        records = reversed(self._records[name, topic])
        return next((record.number for record in records if record.kind is Kind.EVENT), -1)

    def _note(self, text: str) -> None:
        if self._journal is not None:
            print(f"{time.monotonic():.3f} {self._history}: {text}", file=self._journal)
