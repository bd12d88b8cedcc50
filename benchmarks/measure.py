"""One cell in a process of its own: `python -m benchmarks.measure CELL` prints a sample as JSON.

A process of its own, so that no measurement inherits another's heap, caches or garbage.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

from . import ours, peers_async, peers_sync
from .goals import Cell, Sample
from .load import AsyncPeer, BlockingPeer, Load

ASYNC: Mapping[str, AsyncPeer] = {
    "push_many": ours.push_many,
    "push_many, ordered": ours.push_many_ordered,
    "push_stream": ours.push_stream,
    "push": ours.push,
    "aiohttp, naive": peers_async.naive,
    "aiohttp, naive, awaited": peers_async.naive_awaited,
    "aiohttp, hand-inlined": peers_async.inlined,
    "aiohttp's floor": peers_async.floor,
    "httpx": peers_async.httpx,
    "cent": peers_async.cent,
}

BLOCKING: Mapping[str, BlockingPeer] = {
    "Client.push": ours.client_push,
    "http.client": peers_sync.http_client,
    "http.client as in 2012": peers_sync.http_client_2012,
    "requests": peers_sync.requests,
    "urllib3": peers_sync.urllib3,
}


class _Watch:
    """Reads both clocks between two moments."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._began = time.perf_counter(), time.process_time()

    def sample(self) -> Sample:
        """Return what has passed."""
        wall, cpu = self._began
        return Sample(self._events, time.perf_counter() - wall, time.process_time() - cpu)


async def measure(peer: AsyncPeer, load: Load, events: int) -> Sample:
    """Warm an asynchronous client up, so that all its connections stand, and measure it."""
    async with peer(load) as run:
        await run(min(load.concurrency + 100, events))
        watch = _Watch(events)
        await run(events)
        return watch.sample()


def measure_blocking(peer: BlockingPeer, load: Load, events: int) -> Sample:
    """Warm a blocking client up and measure it."""
    with peer(load) as run:
        run(min(100, events))
        watch = _Watch(events)
        run(events)
        return watch.sample()


def sample_of(cell: Cell, url: str) -> Sample:
    """Measure a cell in this process."""
    load = Load(url, cell.concurrency, cell.topics, cell.body)
    if cell.client in BLOCKING:
        return measure_blocking(BLOCKING[cell.client], load, cell.events)
    loop_factory = None
    if cell.loop == "uvloop":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(measure(ASYNC[cell.client], load, cell.events))


def main() -> None:
    """Measure the cell that the command line names."""
    cell = Cell(**json.loads(sys.argv[1]))
    if cell.seasoned:
        # glibc maps and unmaps memory for each of asyncio's receive buffers of 256 KB, a tenth of a push, until a
        # larger block was freed once: by AsyncClient when it opens, by gather() over thousands of tasks, by chance.
        bytearray(1 << 20)
    print(json.dumps(asdict(sample_of(cell, sys.argv[2]))))


if __name__ == "__main__":
    main()
