"""The sections of a run: what is measured, and the rows that it adds to the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote_plus

from . import capacity, goals, processes
from .goals import Cell, Group
from .instructions import VALGRIND, has_valgrind, per_push
from .load import TOPIC, Load, signed_query
from .plan import Plan, note
from .report import name
from .results import Row, limited, row, summed_up
from .twins import twins


def sink(plan: Plan) -> None:
    """Measure how many requests the sink can handle, to show that no client waits for it."""
    body = json.dumps(Load("").event).encode()
    target = f"/?{signed_query(body)}"
    with plan.sink() as server:
        plan.results.sink, plan.results.sink_by = capacity.of_sink(server.url, target, body, plan.seconds)


def compare(groups: Sequence[Group], plan: Plan) -> None:
    """Measure one group of clients after another."""
    for group in groups:
        plan.compare(group)


def instructions(plan: Plan) -> None:
    """Count the instructions per push."""
    if not has_valgrind():
        plan.results.skipped.append(f"instructions per push: Valgrind is not installed ({VALGRIND})")
        return
    cells = [*goals.INSTRUCTIONS][: 1 if plan.quick else None]
    with processes.server("sink") as server:  # the server may sleep, because no time is measured
        for cell in cells:
            title = f"instructions per push, {name(cell)}, concurrency {cell.concurrency}"
            note(title)
            counted = per_push(cell, server.url)
            plan.results.rows.append(limited(title, [counted], goals.INSTRUCTIONS[cell], "instructions"))


def memory(plan: Plan) -> None:
    """Measure once how much memory a million pushes and a hundred thousand outcomes occupy."""
    if not processes.has_proc():
        plan.results.skipped.append("memory: this system has no /proc")
        return
    events = plan.events(1_000_000)
    note(f"{events:,} events through push_stream")
    with plan.sink() as server:
        streamed = json.loads(processes.output("memory", "stream", server.url, str(events)))
        kept = json.loads(processes.output("memory", "outcomes", server.url, str(plan.events(100_000))))["bytes"]
    plan.results.memory = [(done, resident / 1e6) for done, resident in streamed["samples"]]
    grown = [size - plan.results.memory[0][1] for _, size in plan.results.memory]
    title = f"memory grown by {events:,} pushes through push_stream, {streamed['tasks']} tasks"
    plan.results.rows += [
        limited(title, grown, goals.GROWN, "MB"),
        limited("memory that push_many keeps per outcome", [kept], goals.KEPT, "bytes"),
    ]


def hub(plan: Plan) -> None:
    """Measure the embedded hub: compared with a bare aiohttp handler, and with subscribers."""
    if capacity.has_wrk():
        _hub_by_wrk(plan)
    else:
        plan.results.skipped.append(f"hub against a bare aiohttp handler: {capacity.NO_WRK}")
    for subscribers, events in ((10, 20_000), (1000, 1000)):
        note(f"hub with {subscribers:,} subscribers")
        with processes.server("hub_load", "serve", "hub") as running:
            arguments = (running.url, str(running.pid), str(subscribers), str(plan.events(events)))
            figures = json.loads(processes.output("hub_load", "fan", *arguments))
        for what, unit in (
            ("pushes", "/s"),
            ("deliveries", "/s"),
            ("CPU time per push", "us"),
            ("memory per subscriber", "bytes"),
        ):
            if (figure := figures.get(what)) is not None:
                title = f"hub with {subscribers:,} subscribers: {what}"
                plan.results.rows.append(Row(title, figure, figure, figure, unit=unit))


def _hub_by_wrk(plan: Plan) -> None:
    body = json.dumps(Load("").event).encode()
    rates: dict[str, list[float]] = {"bare": [], "hub": [], "signed": []}
    for number in range(plan.results.rounds):
        for kind, taken in rates.items():
            note(f"round {number + 1} of {plan.results.rounds}: wrk against {kind}")
            target = f"/?{signed_query(body)}" if kind == "signed" else f"/?topicuri={quote_plus(TOPIC)}"
            with processes.server("hub_load", "serve", kind) as running:
                taken.append(capacity.by_wrk(running.url, target, body, plan.seconds, connections=50))
    for kind, title in (("hub", "unsigned pushes"), ("signed", "signed pushes")):
        shares = [ours / bare for ours, bare in zip(rates[kind], rates["bare"], strict=True)]
        goal = f"hub, no subscriber, {title} by wrk, against a bare aiohttp handler"
        plan.results.rows.append(row(goal, shares, 0.7, 0.85, "x"))
        plan.results.rows.append(row(f"hub, no subscriber, {title} by wrk", rates[kind], unit="/s"))


def grow(plan: Plan) -> None:
    """Measure how the cost grows with the concurrency, with the number of events and with their size."""
    cells = [Cell("push_many", concurrency, events=20_000) for concurrency in (1, 10, 100, 1000)]
    cells += [Cell("push_many", 100, events) for events in (1, 1000)]
    cells += [Cell("push_many", 10, events, body=body) for body, events in ((100, 6000), (4096, 6000), (1 << 20, 300))]
    results = plan.results
    with plan.sink() as server:
        results.growth = [summed_up(cell, taken) for cell, taken in plan.samples(server, cells).items()]
        # A million events get only one round, which takes as long as all of the above.
        million = Cell("push_stream", 100, events=1_000_000)
        results.growth.append(summed_up(million, [plan.measure(server, million)]))


SECTIONS: Mapping[str, Callable[[Plan], None]] = {
    "sink": sink,
    "bulk": partial(compare, goals.BULK),
    "single": partial(compare, goals.SINGLE),
    "sync": partial(compare, goals.SYNC),
    "slow": partial(compare, goals.SLOW),
    "tls": partial(compare, goals.TLS),
    "instructions": instructions,
    "hub": hub,
    "crossbar": twins,
    "memory": memory,
    "grow": grow,
}
"""The sections by their names on the command line."""

GOALS = ("bulk", "single", "sync", "slow", "tls", "instructions", "memory")
"""The sections that fill the goal table of the clients."""
