"""Measures what it costs to connect hubs over a stream in Redis, compared with a hub alone.

python -m benchmarks.hubs [--quick] [--rounds 7] [--pages 800]    prints a table; status 1 if a goal is missed
python -m benchmarks.hubs move URL PID URL N    kills a hub, and moves its pages to another hub

A full run writes hubs.json. Each hub, Redis, and the client with its subscribers have a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from . import capacity, hub_costs, hub_instructions, processes
from .history import MISSED, Returned, beside, miss_and_return
from .hub_costs import ALONE, ANOTHER_HUB, CONCURRENCY, DELIVERIES, READ, REDIS, SAME_HUB, STREAM, TWO, Costs
from .instructions import has_valgrind
from .listeners import connect
from .load import EVENT_BYTES, TOPIC
from .plan import note
from .report import rendered, table
from .results import Results, Row, row

RESULTS = Path(__file__).with_name("hubs.json")
ROUNDS = 7
INSTRUCTION_ROUNDS = 3
"""Fewer, because counts vary much less than times, and each takes half a minute."""
TIMES, ACROSS, SAME, BACK = 1.6, 5.0, 1.0, 5.0
"""Goals: CPU relative to a hub alone, ms to an event at another hub and at a hub alone, s until pages moved."""

NEEDS = "needs Linux, Redis, wrk and Valgrind: apt-get install redis-server wrk valgrind"


async def move(url: str, pid: int, other: str, number: int) -> None:
    """Subscribe at a hub, kill it, and reconnect to another hub; see `miss_and_return`."""
    pages = [await connect(url, TOPIC) for _ in range(number)]
    for page in pages:
        await page.ready.wait()
        page.ready.clear()
    os.kill(pid, signal.SIGKILL)
    for page in pages:
        await page.ready.wait()  # the connection has been lost
    await miss_and_return(other, number, max(page.newest for page in pages))


def moved(number: int) -> Returned:
    """Measure pages that move from one hub to another."""
    with (
        processes.redis() as redis,
        processes.server("hub_load", "serve", "hub", redis.url) as first,
        processes.server("hub_load", "serve", "hub", redis.url) as second,
    ):
        return asyncio.run(beside(second, "hubs", "move", first.url, str(first.pid), second.url, str(number)))


def cost_rows(costs: Costs) -> list[Row]:
    """Return rows with the costs relative to those of a hub alone, round by round.

    With one push after another, the hub sleeps twice per push instead of once, and what that costs depends on the
    machine; see `instruction_rows`, too.
    """
    rows = []
    for kind, concurrency, subscribers in costs:
        if kind == STREAM:
            what = "delivery" if (concurrency, subscribers) == DELIVERIES else "push"
            plural = "" if subscribers == 1 else "s"
            load = f"concurrency {concurrency}, {subscribers} subscriber{plural}"
            ours, peer = (costs[each, concurrency, subscribers] for each in (STREAM, ALONE))
            rows.append(_times(f"CPU time per {what}, {load}, against a hub alone", ours, peer))
    return rows


def instruction_rows(rounds: int) -> list[Row]:
    """Return rows with the instructions per push, one push after another, of both hubs."""
    alone, stream = [], []
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}: instructions per push")
        with processes.redis() as redis:
            alone.append(hub_instructions.per_push(None))
            stream.append(hub_instructions.per_push(redis.url))
    load = "concurrency 1, 0 subscribers"
    return [
        _times(f"instructions per push, {load}, against a hub alone", stream, alone),
        _least(f"instructions per push, {load}: {ALONE}", alone, None, ""),
        _least(f"instructions per push, {load}: {STREAM}", stream, None, ""),
    ]


def _times(title: str, ours: Sequence[float], peer: Sequence[float]) -> Row:
    return _least(title, [one / other for one, other in zip(ours, peer, strict=True)], TIMES, "x")


def _least(title: str, values: Sequence[float], goal: float | None, unit: str) -> Row:
    """Return a row in which lower values are better."""
    return Row(title, median(values), min(values), max(values), goal, unit=unit, less_is_better=True)


def latency_rows(taken: hub_costs.Latencies) -> list[Row]:
    """Return rows with the milliseconds from a push to its event."""
    goals = {ALONE: SAME, SAME_HUB: None, ANOTHER_HUB: ACROSS}
    return [_least(f"push to event, {place}: median", taken[place], goal, "ms") for place, goal in goals.items()]


def rate_rows(rates: hub_costs.Rates) -> list[Row]:
    """Return rows with the pushes per second of all hubs, and of two hubs relative to one."""
    shares = [two / one for two, one in zip(rates[TWO], rates[STREAM], strict=True)]
    rows = [row("two hubs against one over a stream, pushes by wrk", shares, unit="x")]
    return rows + [row(f"{place}, pushes by wrk", values, unit="/s") for place, values in rates.items()]


def moved_rows(back: Returned, number: int) -> list[Row]:
    """Return rows that say how fast pages that moved were served."""
    title = f"{number:,} pages move to the other hub, each has missed {MISSED} events"
    latencies = [1000 * each for each in back.latencies]
    return [
        _least(f"{title}: until all have them", [back.seconds], BACK, "s"),
        _least(f"{title}: push to event of others meanwhile", latencies, 100.0, "ms"),
        _least(f"{title}: memory of the hub", [back.memory / 1e6], None, "MB"),
    ]


def cost_table(costs: Costs) -> str:
    """Return a table with the medians of the microseconds of CPU time per push."""
    head = ("CPU us/push", "subscribers", "hub alone", "over a stream", "Redis", "another hub")
    kinds = (ALONE, STREAM, REDIS, READ)
    cells = dict.fromkeys((concurrency, subscribers) for _, concurrency, subscribers in costs)
    return table(
        head,
        (
            (f"concurrency {cell[0]}", str(cell[1]), *(f"{median(costs[kind, *cell]):.0f}" for kind in kinds))
            for cell in cells
        ),
    )


def main() -> None:
    """Run the measurements, or move pages."""
    if sys.argv[1:2] == ["move"]:
        url, pid, other, number = sys.argv[2:]
        asyncio.run(move(url, int(pid), other, int(number)))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hubs", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, help=f"of each measurement; {ROUNDS}, with --quick 1")
    parser.add_argument("--pages", type=int, default=800, help="that move to the other hub; 800")
    parser.add_argument("--quick", action="store_true", help="few events, to see that everything works; writes nothing")
    options = parser.parse_args()
    if not (processes.has_redis() and processes.has_proc() and capacity.has_wrk() and has_valgrind()):
        sys.exit(NEEDS)
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    pages = 20 if options.quick else options.pages
    results = Results(" ".join(("python -m benchmarks.hubs", *sys.argv[1:])), _machine(), rounds, spinning=False)
    costs = hub_costs.costs(rounds, *((50, (10,)) if options.quick else (2000, CONCURRENCY)))
    results.rows += cost_rows(costs)
    results.rows += instruction_rows(1 if options.quick else min(rounds, INSTRUCTION_ROUNDS))
    results.rows += latency_rows(hub_costs.latencies(rounds, 5 if options.quick else 200))
    results.rows += rate_rows(hub_costs.rates(rounds, 1.0 if options.quick else 4.0))
    results.rows += moved_rows(moved(pages), pages)
    print(rendered(results), cost_table(costs), sep="\n")
    if not options.quick:
        kept = {
            f"{kind}, concurrency {concurrency}, {each} subscribers": taken
            for (kind, concurrency, each), taken in costs.items()
        }
        RESULTS.write_text(json.dumps(asdict(results) | {"CPU us/push": kept}, indent=1) + "\n")
        if missed := [each.title for each in results.rows if each.verdict == "missed"]:
            sys.exit("missed goals:\n" + "\n".join(missed))


def _machine() -> dict[str, str]:
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in ("aiohttp", "hiredis")),
        "redis-server": processes.run("redis-server", "--version").split()[2].removeprefix("v="),
        "events": f"{EVENT_BYTES} bytes",
    }


if __name__ == "__main__":
    main()
