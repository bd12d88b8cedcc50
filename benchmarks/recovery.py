"""Checks that subscribers get every event, or `onlost`, while connections break and hubs are restarted.

python -m benchmarks.recovery [--seconds 600] [--seed 17] [--history 3] [--only node] [--journal FILE]

Three hubs keep the last 1, 3 and 100 events of a topic. Each has subscribers of all kinds: `webmq.js` in Node.js and in
Chromium, and the Python `Subscriber`. The command prints a table, and exits with 1 if a guarantee was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

from .recovering.course import Course, Outcome
from .recovering.judge import Verdict
from .recovering.subscribers import KINDS
from .report import table

HISTORIES = (1, 3, 100)

FAULTS: Mapping[str, Callable[[Verdict], Sequence[int]]] = {
    "for others": lambda verdict: verdict.foreign,
    "missing without onlost": lambda verdict: verdict.missing,
    "doubled": lambda verdict: verdict.doubled,
    "out of order": lambda verdict: verdict.disordered,
}
"""Each fault that must not happen, with a function that returns the events that it affected."""


async def run(
    seconds: float,
    seed: int,
    histories: Sequence[int] = HISTORIES,
    kinds: Collection[str] = tuple(KINDS),
    journal: TextIO | None = None,
) -> list[Outcome]:
    """Run a hub for each history, all at the same time."""
    courses = [Course(history, seed, journal) for history in histories]
    by_name = {name: course for course in courses for kind in kinds for name in course.names(kind)}

    def report(name: str, topic: str, kind: str, number: int, session: str | None) -> None:
        by_name[name].report(name, topic, kind, number, session)

    async with AsyncExitStack() as stack:
        running = {kind: await stack.enter_async_context(KINDS[kind](report)) for kind in kinds}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(course.run(seconds, running)) for course in courses]
    return [task.result() for task in tasks]


def rendered(outcomes: Sequence[Outcome]) -> str:
    """Return a table with a row for each history."""
    head = ("history", "cuts", "restarts", "pushed", "received", "recovered", "losses reported", *FAULTS)
    return table(head, [[f"{figure:,}" for figure in _figures(outcome)] for outcome in outcomes])


def _figures(outcome: Outcome) -> list[int]:
    verdicts = outcome.verdicts.values()
    return [
        *(outcome.history, outcome.cuts, outcome.restarts, outcome.pushed),
        sum(verdict.received for verdict in verdicts),
        outcome.recovered,
        sum(verdict.losses for verdict in verdicts),
        *(sum(len(fault(verdict)) for verdict in verdicts) for fault in FAULTS.values()),
    ]


def failures(outcome: Outcome) -> list[str]:
    """Return the guarantees that were broken, with the numbers of the events."""
    said = [
        f"{name}: {topic}: {what}: {', '.join(map(str, fault(verdict)))}"
        for (name, topic), verdict in outcome.verdicts.items()
        for what, fault in FAULTS.items()
        if fault(verdict)
    ]
    if not outcome.in_time:
        said.append(f"history {outcome.history}: some subscribers, left alone, did not get the last events")
    return said


def main() -> None:
    """Run, print a table, and exit with 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="of disturbance; 600")
    parser.add_argument("--seed", type=int, help="of all that is random; another one each time")
    parser.add_argument("--history", type=int, action="append", help="events that a hub keeps; repeatable; 1, 3, 100")
    parser.add_argument("--only", choices=KINDS, action="append", help="a kind of subscribers; repeatable; all")
    parser.add_argument("--journal", type=Path, help="where to write all that happens; nowhere")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with open(options.journal or os.devnull, "w") as journal:
        outcomes = asyncio.run(
            run(options.seconds, seed, options.history or HISTORIES, options.only or tuple(KINDS), journal)
        )
    print(rendered(outcomes))
    broken = [failure for outcome in outcomes for failure in failures(outcome)]
    print("\n".join(broken or ["every promise was kept"]))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
