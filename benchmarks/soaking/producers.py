"""Eight producers, which share the numbers to push: `python -m benchmarks.soaking.producers URL FOLDER PLAN`.

They use all ways to push. They write reports and samples into the folder. The resources that the process still holds
after all clients are closed are printed as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import count, islice
from pathlib import Path

from benchmarks.load import KEY, SECRET
from webmqconnect_async import AsyncClient, Client, Outcome, Push, WebMQError

from .plan import TIMEOUT, Mode, Plan
from .reports import Reporter, descriptors

LANES = 10
"""Topics of a producer. A producer of single pushes has one worker for each topic."""

BATCH = 500
"""Pushes of one `push_many`; fewer if the run is short."""

CONCURRENCY = 10
"""Pushes in flight of each client."""

SAMPLES = 300
"""How often memory and open files are sampled."""


class Numbers(Iterator[int]):
    """The numbers to push. Each is given out once, to the thread that asks first."""

    def __init__(self, pushes: int) -> None:
        self._numbers = iter(range(pushes))
        self._lock = threading.Lock()

    def __next__(self) -> int:
        with self._lock:
            return next(self._numbers)


def topic(producer: str, lane: int) -> str:
    """Return a topic to which no other producer pushes."""
    return f"http://example.com/soak/{producer}/{lane}"


class Producers:
    """The eight producers, with their clients.

    Args:
        url: the broker.
        plan: how they push.
        reporter: writes down the outcome of each push.
    """

    def __init__(self, url: str, plan: Plan, reporter: Reporter) -> None:
        self._plan = plan
        self._reporter = reporter
        self._numbers = Numbers(plan.pushes)
        self._batch = max(1, min(BATCH, plan.pushes // 40))
        asynchronous = partial(AsyncClient, url, KEY, SECRET, TIMEOUT, concurrency=CONCURRENCY, retry=plan.retry)
        blocking = partial(Client, url, KEY, SECRET, TIMEOUT, concurrency=CONCURRENCY, retry=plan.retry)
        self._asynchronous = [asynchronous() for _ in range(3)]
        self._blocking = [blocking() for _ in range(4)]
        self._clients: list[AsyncClient | Client] = [*self._asynchronous, *self._blocking]

    @property
    def slots(self) -> int:
        """The maximum number of pushes in flight, of all clients together."""
        return CONCURRENCY * len(self._clients)

    async def run(self) -> None:
        """Push all numbers, and close the clients."""
        loop = asyncio.get_running_loop()
        shared, third, fourth = self._asynchronous
        by_threads = (self._streamed, self._in_batches, self._one_by_one, self._alone)
        with ThreadPoolExecutor(len(by_threads)) as threads:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._async_streamed(shared, "a-stream"))
                group.create_task(self._async_streamed(shared, "a-second-stream"))
                group.create_task(self._async_in_batches(third))
                group.create_task(self._async_one_by_one(fourth))
                for produce, client in zip(by_threads, self._blocking, strict=True):
                    group.create_task(_awaited(loop.run_in_executor(threads, produce, client)))
        for each in self._asynchronous:
            await each.close()
        for client in self._blocking:
            client.close()

    def stats(self) -> Counter[str]:
        """Return the sums of the clients' stats."""
        sums: Counter[str] = Counter()
        for client in self._clients:
            sums.update(asdict(client.stats))
        return sums

    async def _async_streamed(self, client: AsyncClient, name: str) -> None:
        async def source() -> AsyncIterator[Push]:
            for push in self._pushes(name):
                yield push

        async with client.push_stream(source(), order_by_topic=self._plan.ordered) as outcomes:
            async for outcome in outcomes:
                self._done(outcome)

    async def _async_in_batches(self, client: AsyncClient) -> None:
        pushes = self._pushes("a-many")
        while batch := list(islice(pushes, self._batch)):
            for outcome in await client.push_many(batch, order_by_topic=self._plan.ordered):
                self._done(outcome)

    async def _async_one_by_one(self, client: AsyncClient) -> None:
        async def work(lane: int) -> None:
            for number in self._numbers:
                try:
                    self._reporter.report(number, await client.push(topic("a-push", lane), {"number": number}))
                except WebMQError as error:
                    self._reporter.report(number, error)

        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(work(lane))

    def _streamed(self, client: Client) -> None:
        with client.push_stream(self._pushes("b-stream"), order_by_topic=self._plan.ordered) as outcomes:
            for outcome in outcomes:
                self._done(outcome)

    def _in_batches(self, client: Client) -> None:
        pushes = self._pushes("b-many")
        while batch := list(islice(pushes, self._batch)):
            for outcome in client.push_many(batch, order_by_topic=self._plan.ordered):
                self._done(outcome)

    def _one_by_one(self, client: Client) -> None:
        with ThreadPoolExecutor(LANES) as threads:
            for done in [threads.submit(self._work, client, topic("b-push", lane)) for lane in range(LANES)]:
                done.result()

    def _alone(self, client: Client) -> None:
        self._work(client, topic("b-alone", 0))

    def _work(self, client: Client, lane: str) -> None:
        for number in self._numbers:
            try:
                self._reporter.report(number, client.push(lane, {"number": number}))
            except WebMQError as error:
                self._reporter.report(number, error)

    def _pushes(self, producer: str) -> Iterator[Push]:
        for place, number in zip(count(), self._numbers, strict=False):
            yield Push(topic(producer, place % LANES), {"number": number})

    def _done(self, outcome: Outcome) -> None:
        if outcome.push is None or not isinstance(outcome.push.event, dict):
            raise AssertionError(f"not an outcome of this producer: {outcome}")
        self._reporter.report(outcome.push.event["number"], outcome.receipt if outcome.ok else outcome.error)


async def _awaited(future: asyncio.Future[None]) -> None:
    await future


async def produce(url: str, folder: Path, plan: Plan) -> dict[str, int]:
    """Push everything. Return the stats and slots of the clients, and the tasks and threads that are left."""
    reporter = Reporter(folder, every=max(1, plan.pushes // SAMPLES))
    producers = Producers(url, plan, reporter)
    await producers.run()
    reporter.close()
    return {
        **producers.stats(),
        "slots": producers.slots,
        "tasks": len(asyncio.all_tasks()) - 1,
        "threads": threading.active_count() - 1,
    }


def main() -> None:
    """Run the producers."""
    url, folder, said = sys.argv[1:]
    settings = json.loads(said)
    plan = Plan(**settings | {"mode": Mode(settings["mode"])})
    before = descriptors()
    left = asyncio.run(produce(url, Path(folder), plan))
    gc.collect()  # the warnings of resources that were not closed appear now, while stderr is still read
    print(json.dumps(left | {"descriptors before": before, "descriptors after": descriptors()}))


if __name__ == "__main__":
    main()
