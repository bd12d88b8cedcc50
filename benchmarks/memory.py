"""Memory that bulk pushes keep: `python -m benchmarks.memory stream|outcomes URL EVENTS` prints it as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time

from webmqconnect_async import AsyncClient

from .load import KEY, SECRET, Load
from .ours import pushes
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
    """Push one event many times through `push_many`, and keep the outcomes.

    Returns:
        `bytes`, by which resident memory has grown per outcome: outcomes, pushes and the list, not the event.
    """
    async with AsyncClient(load.url, KEY, SECRET, concurrency=load.concurrency) as client:
        await client.push_many(pushes(load, max(1, events // 10)))
        before = _resident()
        kept = await client.push_many(pushes(load, events))
        return {"bytes": (_resident() - before) / len(kept)}


def main() -> None:
    """Measure one of the two."""
    kind, url, events = sys.argv[1:]
    measured = {"stream": stream, "outcomes": outcomes}[kind]
    print(json.dumps(asyncio.run(measured(Load(url, concurrency=100), int(events)))))


if __name__ == "__main__":
    main()
