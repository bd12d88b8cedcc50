"""Counts the instructions of a hub per push with Valgrind's callgrind, which does not count those of the kernel.

`python -m benchmarks.hub_instructions [BACKPLANE]` is the hub that runs under Valgrind. It starts counting after a
number of pushes. The cost of a push is the difference between a run with few events and one with more.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from webmqconnect_async.hub._engine import follower

from . import processes
from .hub_load import logging_to_a_file, serve
from .instructions import count, counting, per_event

_WARM = 150
"""The number of pushes that are not counted. `fan` pushes 100 events before those that it is asked for."""

_SLOWNESS = 50
"""How many times as long as usual everything takes under Valgrind, approximately."""


def per_push(backplane: str | None) -> float:
    """Return the instructions per push, one push after another, of a hub without subscribers."""
    arguments = [backplane] if backplane else []

    def counted(events: int) -> int:
        with counting() as (valgrind, collected):
            with processes.server("hub_instructions", *arguments, under=valgrind) as hub:
                processes.output("hub_load", "fan", hub.url, str(hub.pid), "0", str(events), "1")
            return collected()

    return per_event(counted)


async def _serve(backplane: str | None) -> None:
    pushes = 0

    def admit(_push: object) -> None:
        nonlocal pushes
        pushes += 1
        if pushes == _WARM:
            gc.collect()
            count()

    # A hub that is slow would read each of its own events, because the next one comes later.
    follower._HOLD *= _SLOWNESS
    follower._LONGEST_HOLD *= _SLOWNESS
    await serve("hub", backplane, admit)


if __name__ == "__main__":
    with logging_to_a_file():
        asyncio.run(_serve(sys.argv[1] if sys.argv[1:] else None))
