"""Measures what the history of a hub costs, and how fast 800 subscribers that reconnect at once get missed events.

python -m benchmarks.history [--rounds 9] [--subscribers 800]    prints both; status 1 if a goal is missed
python -m benchmarks.history return URL N                        runs the subscribers, until the end of stdin

Three processes run: the hub, the reconnecting subscribers, and a pair of a client and a subscriber, whose delay is
measured meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from webmqconnect_async import AsyncClient

from . import processes
from .listeners import connect
from .load import TOPIC

LONGEST = 60.0
"""Seconds after which any step fails."""

BETWEEN = 0.005
"""Seconds between two pushes of the pair."""

MISSED = 100
"""Events that each subscriber has missed."""

THROUGHPUT, SECONDS, LATENCY = 0.97, 5.0, 0.1
"""The goals: throughput with a history against without, seconds to serve all, and the median latency meanwhile."""

_EVENT = {"id": 17, "state": "paid", "note": "x" * 180}
_BESIDE = "http://example.com/beside"


async def come_back(url: str, number: int) -> None:
    """Let subscribers miss events and reconnect all at once; see `miss_and_return`."""
    subscriber = await connect(url, TOPIC)
    await subscriber.ready.wait()
    floor = subscriber.newest
    subscriber.close()
    await miss_and_return(url, number, floor)


async def miss_and_return(url: str, number: int, floor: int) -> None:
    """Miss the events after an ID, print a line, wait for one, and reconnect all at once. Print the seconds as JSON."""
    loop = asyncio.get_running_loop()
    async with AsyncClient(url, timeout=None) as client:
        for _ in range(MISSED):
            await client.push(TOPIC, _EVENT)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    async with asyncio.timeout(LONGEST):
        subscribers = await asyncio.gather(*(connect(url, TOPIC, floor) for _ in range(number)))
        await asyncio.gather(*(each.complete.wait() for each in subscribers))
    taken = time.perf_counter() - began
    if any(each.got != MISSED for each in subscribers):
        raise RuntimeError("a subscriber did not get what it had missed")
    print(json.dumps(taken), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Returned(NamedTuple):
    """How the hub served subscribers that reconnected at once."""

    seconds: float
    """Seconds until all subscribers had the events that they had missed."""
    latencies: Sequence[float]
    """Seconds from push to event of the other pair while subscribers reconnected."""
    before: Sequence[float]
    """Seconds from push to event of the other pair before that."""
    memory: int
    """Bytes that the hub has grown by at most."""


def returning(number: int) -> Returned:
    """Measure subscribers that reconnect all at once."""
    with processes.server("hub_load", "serve", "hub") as hub:
        return asyncio.run(beside(hub, "history", "return", hub.url, str(number)))


async def beside(hub: processes.Server, module: str, *arguments: str) -> Returned:
    """Measure how a hub serves subscribers that reconnect, and the delay of another pair meanwhile.

    Args:
        hub: the hub that they reconnect to.
        module: the module that runs the subscribers by calling `miss_and_return`.
        arguments: the arguments of that module.
    """
    command = processes.command(module, *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=processes.ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("no pipes")
    subscriber = await connect(hub.url, _BESIDE)
    before: list[float] = []
    latencies: list[float] = []
    memory = [0]

    async def push(into: list[float], client: AsyncClient) -> None:
        subscriber.complete.clear()
        began = time.perf_counter()
        await client.push(_BESIDE, "beat")
        await subscriber.complete.wait()
        into.append(time.perf_counter() - began)
        memory.append(processes.resident(hub.pid) if processes.has_proc() else 0)
        await asyncio.sleep(BETWEEN)

    try:
        async with asyncio.timeout(LONGEST), AsyncClient(hub.url, timeout=None) as client:
            await subscriber.ready.wait()
            await stdout.readline()
            for _ in range(50):
                await push(before, client)
            resident = memory[-1]
            stdin.write(b"\n")
            done = asyncio.ensure_future(stdout.readline())
            while not done.done():
                await push(latencies, client)
            return Returned(json.loads(await done), latencies, before, max(memory) - resident)
    finally:
        subscriber.close()
        stdin.close()
        await process.wait()


def costs(rounds: int, subscribers: int, pushes: int) -> dict[str, list[float]]:
    """Return microseconds of a hub's CPU time per push, with and without a history, measured in turn."""
    found: dict[str, list[float]] = {"hub": [], "forgetful": []}
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(processes.server("hub_load", "serve", kind)) for kind in found}
        for number in range(-1, rounds):
            for kind in sorted(found, reverse=number % 2 == 0):
                arguments = (servers[kind].url, *map(str, (servers[kind].pid, subscribers, pushes)))
                figures = json.loads(processes.output("hub_load", "fan", *arguments))
                if number >= 0:  # the first round warms up
                    found[kind].append(figures["CPU time per push"])
    return found


def main() -> None:
    """Run the measurements, or the subscribers that reconnect."""
    if sys.argv[1:2] == ["return"]:
        asyncio.run(come_back(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="of each hub; 9")
    parser.add_argument("--pushes", type=int, default=5000, help="of each round; 5000")
    parser.add_argument("--subscribers", type=int, default=800, help="that come back; 800")
    options = parser.parse_args()
    missed = []
    for subscribers in (1, 10):
        found = costs(options.rounds, subscribers, options.pushes)
        kept, forgotten = (statistics.median(found[kind]) for kind in ("hub", "forgetful"))
        ratios = sorted(without / with_ for with_, without in zip(found["hub"], found["forgetful"], strict=True))
        if statistics.median(ratios) < THROUGHPUT:
            missed.append(f"throughput with {subscribers} subscribers")
        print(
            f"{subscribers:3} subscribers: {kept:.0f} µs of CPU time per push with a history, {forgotten:.0f} without; "
            f"throughput {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
            flush=True,
        )
    back = returning(options.subscribers)
    print(
        f"{options.subscribers} subscribers come back at once, each has missed {MISSED} events: {back.seconds:.2f} s;\n"
        f"push to event of others meanwhile {1000 * statistics.median(back.latencies):.1f} ms at the median, "
        f"{1000 * max(back.latencies):.0f} ms at most ({1000 * statistics.median(back.before):.1f} ms before);\n"
        f"the hub grows by {back.memory / 1e6:.0f} MB"
    )
    if back.seconds > SECONDS or statistics.median(back.latencies) > LATENCY:
        missed.append("subscribers that come back")
    if missed:
        sys.exit(f"missed goals: {', '.join(missed)}")


if __name__ == "__main__":
    main()
