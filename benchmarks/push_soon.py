"""Measures what `push_soon` costs its caller, compared with encoding the event: `python -m benchmarks.push_soon`.

Both are measured in turn, as CPU time of the calling thread, on which other processes have little influence. No broker
is running.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from statistics import median

from webmqconnect_async import AsyncClient, Background, Client, Push, Retry

from .load import KEY, SECRET, TOPIC, Load

NOWHERE = "http://127.0.0.1:9"
GOAL = 2.0
ROUNDS, CALLS = 15, 1000


def main() -> None:
    """Print the ratio of each client, and exit with 1 if one of them is above the goal."""
    ratios = {"AsyncClient": asyncio.run(_asynchronous()), "Client": _blocking()}
    for name, ratio in ratios.items():
        print(f"{name}.push_soon: {ratio:.2f} times the encoding of its event, at most {GOAL}")
    sys.exit(max(ratios.values()) > GOAL)


async def _asynchronous() -> float:
    async with AsyncClient(NOWHERE, KEY, SECRET, retry=Retry(attempts=1), background=_room()) as client:
        ratio = _ratio(client)
        await client.close(grace=0.0)
    return ratio


def _blocking() -> float:
    client = Client(NOWHERE, KEY, SECRET, retry=Retry(attempts=1), background=_room())
    ratio = _ratio(client)
    client.close(grace=0.0)
    return ratio


def _room() -> Background:
    return Background(limit=(ROUNDS + 1) * CALLS, limit_bytes=1 << 30, on_failure=lambda failed: None)


def _ratio(client: AsyncClient | Client) -> float:
    """Return the median of the cost of a call, divided by the cost of encoding its event."""
    event, encode = Load("").event, client._settings.dialect.encode

    def encoded() -> object:
        return encode(Push(TOPIC, event))

    def pushed() -> object:
        return client.push_soon(TOPIC, event)

    _cost(pushed)  # the first call starts the thread
    return median(_cost(pushed) / _cost(encoded) for _ in range(ROUNDS))


def _cost(call: Callable[[], object]) -> float:
    """Return the CPU seconds of many calls."""
    gc.collect()
    gc.disable()  # collect now: the cost of a collection depends on all objects of the program
    begun = time.thread_time()
    for _ in range(CALLS):
        call()
    spent = time.thread_time() - begun
    gc.enable()
    return spent


if __name__ == "__main__":
    main()
