"""Measures the memory of bulk pushes: `python -m benchmarks.memory stream|outcomes|relay URL EVENTS` prints JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import replace
from tempfile import NamedTemporaryFile

from webmqconnect_async import AsyncClient
from webmqconnect_async.relay import Relay

from .load import KEY, SECRET, Load
from .ours import fill, pushes
from .processes import resident

SAMPLES = 20
"""How often a stream's memory is sampled; the first sample ends the warm-up."""


def _resident() -> int:
    gc.collect()
    return resident()


async def stream(load: Load, events: int) -> dict[str, object]:
    """Push a generator through `push_stream`.

    Returns:
        `samples`, pairs of events so far and bytes resident; `tasks`, the most at any time; `seconds`.
    """
    samples: list[tuple[int, int]] = []
    tasks = done = 0
    began = time.perf_counter()
    async with (
        AsyncClient(load.url, KEY, SECRET, concurrency=load.concurrency) as client,
        client.push_stream(pushes(load, events)) as outcomes,
    ):
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            done += 1
            if done % (events // SAMPLES) == 0:
                samples.append((done, _resident()))
                tasks = max(tasks, len(asyncio.all_tasks()))
    return {"samples": samples, "tasks": tasks, "seconds": time.perf_counter() - began}


async def outcomes(load: Load, events: int) -> dict[str, object]:
    """Push one event many times with `push_many`, and keep the outcomes.

    Returns:
        `bytes`: by how much resident memory has grown per outcome, including the pushes and the list, not the event.
    """
    async with AsyncClient(load.url, KEY, SECRET, concurrency=load.concurrency) as client:
        await client.push_many(pushes(load, max(1, events // 10)))
        before = _resident()
        kept = await client.push_many(pushes(load, events))
        return {"bytes": (_resident() - before) / len(kept)}


async def relay(load: Load, events: int) -> dict[str, object]:
    """Push the rows of an outbox in SQLite, of a hundred topics.

    Returns:
        `samples`, pairs of rows so far and bytes resident; `seconds`.
    """
    load = replace(load, topics=100)
    samples: list[tuple[int, int]] = []
    with NamedTemporaryFile(suffix=".db") as file:
        fill(file.name, load, events)
        began = time.perf_counter()
        async with (
            AsyncClient(load.url, KEY, SECRET) as client,
            Relay(f"sqlite:///{file.name}", client) as running,
            asyncio.TaskGroup() as group,
        ):
            run = group.create_task(running.run(once=True))
            while not run.done():  # a relay does not yield each event, so a thread samples the memory
                await asyncio.sleep(0.02)
                if running.stats.pushed >= (len(samples) + 1) * events // SAMPLES:
                    samples.append((running.stats.pushed, _resident()))
            samples.append((running.stats.pushed, _resident()))
    return {"samples": samples, "seconds": time.perf_counter() - began}


def main() -> None:
    """Run the measurement that the arguments name."""
    kind, url, events = sys.argv[1:]
    measured = {"stream": stream, "outcomes": outcomes, "relay": relay}[kind]
    print(json.dumps(asyncio.run(measured(Load(url, concurrency=100), int(events)))))


if __name__ == "__main__":
    main()
