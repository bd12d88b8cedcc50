"""One run: subscribers and pushers at several hubs, while one step after another happens to the hubs and to Redis."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random

from benchmarks.recovering.judge import Kind, Record
from benchmarks.recovering.subscribers import KINDS
from tests.supervisor import HubExited

from .fleet import SCRIPT, Fleet, running
from .outcome import Outcome, outcome_of
from .pushers import FREQUENT, TOPICS, Pushers
from .steps import HUB_KILLED, OTHERS, Step, both

__all__ = ["Course", "random_step", "short_steps"]

PAGES = {"node": 3, "python": 2}
"""Subscribers by kind."""


def short_steps(seed: int, kills: int = 10, others: Sequence[Step] = OTHERS) -> list[Step]:
    """Return `kills` kills of hubs, and each other step once, in random order."""
    steps = [HUB_KILLED] * kills + list(others)
    Random(f"steps {seed}").shuffle(steps)  # noqa: S311  # to be drawn again
    return steps


def random_step(random: Random) -> Step:
    """Return a random step, or two that happen at the same time."""
    one = random.choice((HUB_KILLED, *OTHERS))
    return one if random.random() < 0.7 else both(one, random.choice((HUB_KILLED, *OTHERS)))


class Course:
    """A run.

    Args:
        folder: the folder for files.
        hubs: the number of hubs.
        seed: the seed of everything that is random.
        outage: how many seconds an outage takes at most.
        patience: after how many seconds subscribers must have all events that they are owed, once a step is over.
        kinds: the kinds of subscribers.
        command: the arguments of Python that run a hub. `None`: those of the command line.
    """

    def __init__(
        self,
        folder: Path,
        hubs: int,
        seed: int,
        *,
        outage: float = 2.0,
        patience: float = 30.0,
        kinds: Collection[str] = tuple(PAGES),
        command: Sequence[str] | None = None,
    ) -> None:
        self._folder = folder
        self._hubs = hubs
        self._seed = seed
        self._outage = outage
        self._patience = patience
        self._kinds = kinds
        self._command = command
        self.journal: list[str] = []
        """A log of the run."""
        self._random = Random(f"{seed} {hubs}")  # noqa: S311  # to be drawn again
        self._names = [f"{kind} {number}" for kind in kinds for number in range(PAGES[kind])]
        self._records: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        self._newest: dict[tuple[str, str], int] = {}
        self._sessions: dict[str, str] = {}
        self._told = asyncio.Event()
        self._step: Step | None = None
        self._step_began = 0.0
        self._without_cause: Counter[str] = Counter()
        self._failures: list[str] = []
        self._kills = 0
        self._pushers: Pushers | None = None

    async def run(self, steps: Sequence[Step], seconds: float = 0, burst: int = 0) -> Outcome:
        """Run all steps, and then random ones until the time is over. Judge what subscribers reported.

        Args:
            steps: the steps to run first.
            seconds: how long the run takes, if the steps do not take longer.
            burst: how many events are pushed in one millisecond at the end. 0: none.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            fleet = await stack.enter_async_context(
                running(self._folder, self._random, self._hubs, self._outage, self._command)
            )
            self._pushers = pushers = Pushers(fleet.url, self._random, self._sessions, self._note)
            await self._subscribe(fleet, stack)
            async with asyncio.TaskGroup() as group:
                group.create_task(pushers.run())
                try:
                    await self._disturb(fleet, steps, began + seconds)
                    if burst and not self._failures:
                        await self._burst(fleet, burst)
                finally:
                    pushers.stop()
            await self._until(self._all_have_the_last, "the last events")
            complaints = fleet.complaints()
        outcome = outcome_of(
            (self._seed, self._hubs, time.monotonic() - began, self._kills),
            pushers.counts(),
            pushers.pushed,
            {(name, topic): self._records[name, topic] for name in self._names for topic in TOPICS},
            fleet.data_losses,
            self._without_cause,
        )
        outcome.failures += self._failures + complaints
        return outcome

    # Running steps

    async def _subscribe(self, fleet: Fleet, stack: AsyncExitStack) -> None:
        for kind in self._kinds:
            subscribers = await stack.enter_async_context(KINDS[kind](self._report))
            for number in range(PAGES[kind]):
                await subscribers.connect(f"{kind} {number}", fleet.url.replace("http", "ws", 1) + "/ws")
                for topic in TOPICS:
                    await subscribers.subscribe(f"{kind} {number}", topic)
        await self._until(lambda: len(self._records) == len(self._names) * len(TOPICS), "confirmations")

    async def _disturb(self, fleet: Fleet, steps: Sequence[Step], end: float) -> None:
        """Run all steps, and then random ones until the end."""
        remaining = list(reversed(steps))
        await self._settle(fleet)
        while not self._failures and (remaining or time.monotonic() < end):
            self._step = step = remaining.pop() if remaining else random_step(self._random)
            self._step_began = time.monotonic()
            self._note(f"step: {step.name}")
            self._kills += HUB_KILLED.name in step.name
            await step.act(fleet)
            await self._settle(fleet)
            if step.may_lose:
                await self._settle(fleet)  # from now on, losses are caused by the next step
        self._step = None

    async def _settle(self, fleet: Fleet) -> None:
        """Wait until all hubs are ready, and all subscribers have events that were pushed after that."""
        assert self._pushers is not None
        after = f"after {f'the step {self._step.name!r}' if self._step else 'no step'}"
        try:
            await fleet.settled()
        except (HubExited, TimeoutError) as error:
            self._failures.append(f"a hub is not ready {after}: {error}")
            return
        newest = self._pushers.newest
        await self._until(lambda: self._all_have(newest), f"events {after}")

    async def _burst(self, fleet: Fleet, count: int) -> None:
        """Push many events while the clocks of all hubs stand still."""
        assert self._pushers is not None
        # Above all IDs so far, even future ones: a hub's clock is never behind the newest ID.
        fixed = time.time() + 1
        async with fleet.all_hubs() as hubs:
            for hub in hubs:
                hub.command = (*SCRIPT, "--fixed", str(fixed))
                await hub.kill()
            await asyncio.gather(*(hub.start_again_and_again() for hub in hubs))
        await self._settle(fleet)
        ids = await self._pushers.burst(count)
        await self._settle(fleet)
        spread = (max(ids) >> 11) - (min(ids) >> 11) if ids else -1
        self._note(f"burst: {len(ids)} accepted, within {spread} ms")
        if len(ids) != count or len(set(ids)) != count:
            self._failures.append(f"{count} pushes at once: {len(ids)} accepted with {len(set(ids))} IDs")
        if not count >> 11 <= spread <= (count >> 11) + 2:  # 2048 in a millisecond, and the other pushers' events
            self._failures.append(f"{count} pushes in one millisecond have IDs within {spread} ms")

    # The reports of subscribers

    def _report(self, name: str, topic: str, kind: str, number: int, session: str | None) -> None:
        """Record what a subscriber reports, and in which session."""
        assert self._pushers is not None
        record = Record(Kind(kind), number if kind == Kind.EVENT else len(self._pushers.pushed[topic]))
        self._records[name, topic].append(record)
        if session is not None:
            self._sessions[name] = session
        if record.kind is Kind.EVENT:
            self._newest[name, topic] = number
        if record.kind is Kind.LOST and not self._has_cause(name, topic):
            self._without_cause[f"{name}: told of losses after the step {self._step and self._step.name!r}"] += 1
        self._note(f"{name}: {topic}: {kind} {record.number}")
        self._told.set()

    def _has_cause(self, name: str, topic: str) -> bool:
        """Return whether a subscriber may have lost events of a topic.

        An event for a session that has ended may be lost, because no other session may get it.
        """
        assert self._pushers is not None
        recent = [each for each in self._pushers.pushed[topic] if not each.ended or each.ended > self._step_began - 1]
        return (self._step is not None and self._step.may_lose) or any(each.only == name for each in recent)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition is true, and record a failure if that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while not condition():
                    self._told.clear()
                    await self._told.wait()
                return
        self._failures.append(f"waited in vain for {what}")

    def _all_have(self, numbers: dict[str, int]) -> bool:
        """Return whether the newest event of each subscriber is at least this number, by topic."""
        return all(self._newest.get((name, topic), -1) >= numbers[topic] for name in self._names for topic in FREQUENT)

    def _all_have_the_last(self) -> bool:
        """Return whether all subscribers have the last event that they are owed, or were notified of its loss."""
        assert self._pushers is not None
        for topic, pushed in self._pushers.pushed.items():
            for name in self._names:
                owed = (number for number in reversed(range(len(pushed))) if pushed[number].for_judge.owed(name))
                lost = max((each.number for each in self._records[name, topic] if each.kind is Kind.LOST), default=0)
                if max(self._newest.get((name, topic), -1), lost - 1) < next(owed, -1):
                    return False
        return True

    def _note(self, text: str) -> None:
        self.journal.append(f"{time.monotonic():.3f} {text}\n")
