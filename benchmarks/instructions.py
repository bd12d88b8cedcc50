"""Counts the instructions per push with Valgrind's callgrind. Counts vary by 1 % where times vary by 30 %.

`python -m benchmarks.instructions CELL URL` is the process that runs under Valgrind. It warms a client up, starts
counting and pushes. The cost of a push is the difference between a run with few events and one with more.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, replace

from webmqconnect_async._core.dialects.events import encode_event

from . import processes
from .goals import Cell
from .load import AsyncPeer, Load, Run
from .measure import ASYNC, runner

FEW, MORE = 200, 800
LONGEST = 100.0
"""Seconds that a push may take: Valgrind translates all code anew when the counting begins."""
VALGRIND = "apt-get install valgrind"


def has_valgrind() -> bool:
    """Return whether Valgrind is installed, with the program that starts the counting."""
    return all(map(shutil.which, ("valgrind", "vgdb")))


def per_push(cell: Cell, url: str) -> float:
    """Return the instructions per push of an asynchronous client, including the interpreter and the libraries."""

    def counted(events: int) -> int:
        with counting() as (valgrind, collected):
            encoded = json.dumps(asdict(replace(cell, events=events)))
            processes.run(*valgrind, *processes.command("instructions", encoded, url))
            return collected()

    return per_event(counted)


def per_event(counted: Callable[[int], int]) -> float:
    """Return the instructions per event. `counted` returns those of this number of events, and of the shutdown."""
    few, more = map(counted, (FEW, MORE))
    return (more - few) / (MORE - FEW)


@contextmanager
def counting() -> Iterator[tuple[Sequence[str], Callable[[], int]]]:
    """Yield how to start a program of which `count` counts the instructions, and what returns them after its end."""
    with tempfile.NamedTemporaryFile("r") as log:
        options = ("--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null", f"--log-file={log.name}")
        # A fixed seed gives all runs the same hashes, and so the same collisions in dictionaries.
        start = ("env", "PYTHONHASHSEED=0", "valgrind", *options)
        yield start, lambda: int(re.findall(r"Collected : (\d+)", log.read())[-1])


@asynccontextmanager
async def _encoding(load: Load) -> AsyncIterator[Run]:
    """Encode events instead of pushing them."""

    async def run(events: int) -> None:
        event = load.event
        for _ in range(events):
            encode_event(event)

    yield run


_PEERS: Mapping[str, AsyncPeer] = {**ASYNC, "encode_event": _encoding}


async def _push(cell: Cell, url: str) -> None:
    async with _PEERS[cell.client](Load(url, cell.concurrency, timeout=LONGEST)) as run:
        await run(cell.concurrency + 100)
        gc.collect()
        count()
        await run(cell.events)


def count() -> None:
    """Start the counting."""
    command = ("vgdb", f"--pid={os.getpid()}", "instrumentation", "on")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as vgdb:  # noqa: S603  # ours
        # Valgrind reads commands while the program runs. During a system call, vgdb would need ptrace to wake it.
        while vgdb.poll() is None:
            time.sleep(0.001)
    if vgdb.returncode:
        raise subprocess.CalledProcessError(vgdb.returncode, command)


if __name__ == "__main__":
    counted = Cell(**json.loads(sys.argv[1]))
    with runner(counted.loop) as loop:
        loop.run(_push(counted, sys.argv[2]))
