"""`webmq.js` in Chromium at both nodes of a cluster, and the events that are lost when a node is killed and restarted.

With `-s` the tests print the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from brokers.crossbar_cluster import Cluster
from webmqconnect_async import AsyncClient, NotAccepted, Payload, Unconfirmed

from ..chromium import Page
from .brokers import KEY

pytestmark = [pytest.mark.usefixtures("crossbar", "chromium"), pytest.mark.timeout(300)]

FIRST, SECOND = "first", "second"
SIDES = (FIRST, SECOND)
AWAY = {("ConnectFailed", None)}
"""The error, with its status, of a push to a node that is down."""
STARTING = {("ConnectionLost", None), ("Rejected", 404)}
"""Other possible errors: the push was in flight when the node was killed, or the node listens but has no paths yet."""
LISTEN = """
globalThis.listeners = {};
for (const [side, url] of Object.entries(%s)) {
  const mq = new WebMQ(url);
  const listener = listeners[side] = { mq, states: new Set(), events: [] };
  mq.onstate = (state) => listener.states.add(state);
  mq.subscribe(%s, (event) => listener.events.push(event));
}
"""


@dataclass(slots=True)
class Pusher:
    """Pushes the name of its side and a number, again and again, and keeps the outcomes."""

    side: str
    last: int = 0
    accepted: list[int] = field(default_factory=list)
    kinds: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    """The errors, by class and status."""

    async def run(self, topic: str, client: AsyncClient) -> None:
        """Push until cancelled."""
        for self.last in itertools.count(1):
            try:
                await client.push(topic, [self.side, self.last], timeout=30)
                self.accepted.append(self.last)
            except (NotAccepted, Unconfirmed) as error:
                self.kinds[type(error).__name__, getattr(error, "status", None)] += 1
            await asyncio.sleep(0.02)  # the rate of the pushes, not a wait for something


@dataclass(frozen=True, slots=True)
class Course:
    """A page that subscribes at both nodes, and the pushers, while they run."""

    page: Page
    pushers: dict[str, Pusher]

    async def until(self, condition: str) -> None:
        """Return once a condition is true in the page."""
        while True:
            with suppress(TimeoutError):
                await self.page.until(condition)
                return

    async def until_heard(self, numbers: Mapping[str, int]) -> None:
        """Return once both listeners have received these numbers of the pushers, or later ones."""
        for (side, number), listener in itertools.product(numbers.items(), SIDES):
            await self.until(f"listeners.{listener}.events.some(([by, n]) => by === '{side}' && n >= {number})")

    def next(self) -> dict[str, int]:
        """Return the numbers that will be pushed next."""
        return {side: pusher.last + 1 for side, pusher in self.pushers.items()}

    async def until_well(self) -> dict[str, int]:
        """Return once every push arrives at both listeners, with the numbers from which on that is true."""
        for side in SIDES:
            await self.until(f"listeners.{side}.mq.state === 'open'")
        await self.until_heard(self.next())
        numbers = self.next()
        await self.until_heard(numbers)
        return numbers

    async def heard(self, listener: str, side: str) -> list[int]:
        """Return the numbers of a pusher that a listener has received."""
        numbers = await self.page.evaluate(
            f"listeners.{listener}.events.filter(([by]) => by === '{side}').map(([, n]) => n)"
        )
        assert isinstance(numbers, list)
        return numbers


@asynccontextmanager
async def course(cluster: Cluster, page: Page, topic: str) -> AsyncIterator[Course]:
    """Run a page that subscribes at both nodes, and pushes for its subscribers, until the end of the block."""
    urls = dict(zip(SIDES, (cluster.first.ws_url, cluster.second.ws_url), strict=True))
    await page.evaluate(LISTEN % (json.dumps(urls), json.dumps(topic)))
    async with AsyncExitStack() as stack:
        pushers = {side: Pusher(side) for side in SIDES}
        tasks = []
        for pusher, endpoint in zip(pushers.values(), cluster.endpoints, strict=True):
            client = await stack.enter_async_context(AsyncClient(endpoint, KEY, cluster.secret, dialect="crossbar"))
            tasks.append(asyncio.create_task(pusher.run(topic, client)))
        try:
            yield Course(page, pushers)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@dataclass(frozen=True, slots=True)
class Outage:
    """The results after a node was killed and restarted and all events arrive again."""

    errors: Counter[tuple[str, int | None]]
    """The errors of the pushes for the subscribers of the killed node, by class and status."""
    spared: Counter[tuple[str, int | None]]
    """The same for the subscribers of the other node."""
    states: dict[str, set[str]]
    """The states of the pages, by node."""
    missed: dict[tuple[str, str], int]
    """How many accepted events of a pusher a page at a node missed, by node and pusher."""


async def outage(killed: str, cluster: Cluster, page: Page, topic: str) -> Outage:
    """Kill a node and restart it while events are pushed to pages at both nodes.

    Checks that every page gets each event at most once and in order, and all that are accepted before and after.
    """
    member, other = (cluster.first, SECOND) if killed == FIRST else (cluster.second, FIRST)
    async with course(cluster, page, topic) as run:
        before = await run.until_well()
        await page.evaluate("for (const listener of Object.values(listeners)) listener.states.clear()")
        began = time.monotonic()
        await asyncio.to_thread(member.process.kill)
        await run.until(f"listeners.{killed}.mq.state !== 'open'")
        noticed = time.monotonic() - began
        await asyncio.to_thread(member.restart)
        ready = time.monotonic() - began
        after = await run.until_well()
        well = time.monotonic() - began
        missed = {}
        for listener, (side, pusher) in itertools.product(SIDES, run.pushers.items()):
            heard = await run.heard(listener, side)
            assert heard == sorted(set(heard))
            lost = {number for number in pusher.accepted if before[side] <= number <= heard[-1]} - set(heard)
            assert max(lost, default=0) < after[side]
            missed[listener, side] = len(lost)
        states = {side: {*map(str, await listed(page, f"[...listeners.{side}.states]"))} for side in SIDES}
    cost = Outage(run.pushers[killed].kinds, run.pushers[other].kinds, states, missed)
    print(
        f"\n{cluster.kind}, {killed} killed: noticed by the page after {noticed:.1f} s, started {ready:.1f} s,", end=" "
    )
    print(f"well {well:.1f} s; {cost}")
    return cost


async def listed(page: Page, expression: str) -> list[object]:
    """Return a list from the page."""
    value = await page.evaluate(expression)
    assert isinstance(value, list)
    return value


async def test_a_killed_node_has_the_documented_effects(cluster: Cluster, page: Page, topic: str) -> None:
    """Killing the second node has the documented effects, and so has killing the first one where it is the router."""
    second = await outage(SECOND, cluster, page, f"{topic}.second")
    assert second.states == {FIRST: set(), SECOND: {"closed", "connecting", "open"}}
    assert second.missed[FIRST, FIRST] == 0
    assert not second.spared
    if cluster.kind == "equal":
        assert AWAY <= set(second.errors) <= AWAY | STARTING
        return
    assert not second.errors
    assert second.missed[FIRST, SECOND] == 0
    first = await outage(FIRST, cluster, page, f"{topic}.first")
    assert all({"closed", "connecting", "open"} <= states for states in first.states.values())
    for errors in (first.errors, first.spared):
        assert AWAY <= set(errors) <= AWAY | STARTING


async def test_a_session_id_selects_a_page_at_either_node(cluster: Cluster, page: Page, topic: str) -> None:
    """A session ID selects a page as receiver, whether the event is pushed at its own node or at the router."""
    async with course(cluster, page, topic) as run:
        await run.until_well()
    sessions = {side: await page.evaluate(f"listeners.{side}.mq.sessionId") for side in SIDES}
    for side, endpoint in zip(SIDES, cluster.endpoints, strict=True):
        session_id = sessions[side]
        assert isinstance(session_id, str)
        async with AsyncClient(endpoint, KEY, cluster.secret, dialect="crossbar") as client:
            await client.push(topic, Payload("but it", side), exclude=[session_id])
            await client.push(topic, Payload("it alone", side), eligible=[session_id])
        expected = [{"args": ["it alone", side], "kwargs": {}}]
        await page.until(f"listeners.{side}.events.some(({{ args }}) => args?.[1] === '{side}')")
        assert await listed(page, f"listeners.{side}.events.filter(({{ args }}) => args?.[1] === '{side}')") == expected
