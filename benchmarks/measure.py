"""Measures one cell in a process of its own: `python -m benchmarks.measure CELL` prints a sample as JSON.

Each measurement has its own process, so that it does not inherit the heap and the caches of another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

from . import ours, peers_async, peers_sync, raw
from .goals import Cell
from .load import AsyncPeer, BlockingPeer, Load
from .results import Sample

ASYNC: Mapping[str, AsyncPeer] = {
    "push_many": ours.push_many,
    "push_many, ordered": ours.push_many_ordered,
    "push_many, orjson": ours.push_many_orjson,
    "push_stream": ours.push_stream,
    "push --jsonl": ours.push_jsonl,
    "relay": ours.relay,
    "push": ours.push,
    "aiohttp, naive": peers_async.naive,
    "aiohttp, naive, awaited": peers_async.naive_awaited,
    "aiohttp, hand-inlined": peers_async.inlined,
    "aiohttp, constant": peers_async.constant,
    "raw protocol loop": raw.protocol_loop,
    "pyreqwest": peers_async.pyreqwest,
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
    """Reads the wall clock and the CPU clock twice."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._began = time.perf_counter(), time.process_time()

    def sample(self) -> Sample:
        """Return the time since the start."""
        wall, cpu = self._began
        return Sample(self._events, time.perf_counter() - wall, time.process_time() - cpu)


async def measure(peer: AsyncPeer, load: Load, events: int) -> Sample:
    """Warm an asynchronous client up, so that all its connections are open, and measure it."""
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


def runner(loop: str) -> asyncio.Runner:
    """Return a runner of asyncio's or of uvloop's event loop."""
    if loop == "asyncio":
        return asyncio.Runner()
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def sample_of(cell: Cell, url: str) -> Sample:
    """Measure a cell in this process."""
    load = Load(url, cell.concurrency, cell.topics, cell.body)
    if cell.client in BLOCKING:
        return measure_blocking(BLOCKING[cell.client], load, cell.events)
    with runner(cell.loop) as running:
        return running.run(measure(ASYNC[cell.client], load, cell.events))


if __name__ == "__main__":
    print(json.dumps(asdict(sample_of(Cell(**json.loads(sys.argv[1])), sys.argv[2]))), flush=True)
    # Exit without finalization, during which the threads of pyreqwest 0.15 sometimes abort the interpreter.
    os._exit(0)
