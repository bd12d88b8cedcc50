"""Counts the instructions of a hub per push with Valgrind's callgrind, which does not count those of the kernel.

`python -m benchmarks.hub_instructions [BACKPLANE]` is the hub that runs under Valgrind. It starts counting after a
number of pushes. The cost of a push is the difference between a run with few events and one with more.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._engine import follower

from . import processes
from .hub_load import logging_to_a_file
from .instructions import FEW, MORE, count

_WARM = 150
"""The number of pushes that are not counted."""

_SLOWNESS = 50
"""How many times as long as usual everything takes under Valgrind, approximately."""


def per_push(backplane: str | None) -> float:
    """Return the instructions per push, one push after another, of a hub without subscribers."""
    few, more = (_counted(backplane, events) for events in (FEW, MORE))
    return (more - few) / (MORE - FEW)


def _counted(backplane: str | None, events: int) -> int:
    """Return the instructions of this number of pushes, and of some that are the same for any number."""
    options = ("--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null", "--log-fd=1")
    command = ("valgrind", *options, *processes.command("hub_instructions", *([backplane] if backplane else [])))
    # A fixed seed gives all runs the same hashes, and so the same collisions in dictionaries.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with subprocess.Popen(command, cwd=processes.ROOT, stdout=subprocess.PIPE, text=True, env=environment) as hub:  # noqa: S603  # ours
        port = next(line for line in hub.stdout or () if line.strip().isdigit())
        fan = "fan", f"http://127.0.0.1:{int(port)}", str(hub.pid), "0", str(_WARM + events), "1"
        processes.output("hub_load", *fan)
        hub.terminate()
        return int(re.findall(r"Collected : (\d+)", hub.communicate(timeout=processes.LONGEST)[0])[-1])


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
    async with Hub(port=0, backplane=backplane, admit=admit) as hub:
        print(urlsplit(hub.url).port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with logging_to_a_file():
        asyncio.run(_serve(sys.argv[1] if sys.argv[1:] else None))
