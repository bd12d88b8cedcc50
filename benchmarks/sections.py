"""The sections of a run: what is measured side by side, and the rows that come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import quote_plus

from . import capacity, processes
from .goals import Cell, Ratio, Row, row, summed_up
from .load import TOPIC, Load, signed_query
from .plan import Plan, note
from .twins import twins

DELAY = 0.020
"""Seconds that the slow broker takes for an answer."""


def sink(plan: Plan, url: str) -> None:
    """Measure what the sink takes, so that everybody can see that no client waits for it."""
    load = Load(url)
    body = json.dumps(load.event).encode()
    target = f"/?{signed_query(body)}"
    plan.results.sink, plan.results.sink_by = capacity.of_sink(url, target, body, plan.seconds)


def bulk(plan: Plan, url: str) -> None:
    """Push many events, 10 and 100 at a time."""
    for concurrency, goals in ((10, ((1.2, 1.35), (1.3, 1.5))), (100, ((1.3, 1.5), (1.4, 1.6)))):
        many, uvloop = Cell("push_many", concurrency), Cell("push_many", concurrency, loop="uvloop")
        naive, inlined = Cell("aiohttp, naive", concurrency), Cell("aiohttp, hand-inlined", concurrency)
        floor, cent = Cell("aiohttp's floor", concurrency), Cell("cent", concurrency)
        # httpx gets slower the more is in flight: fewer events, or all would wait for it.
        httpx = Cell("httpx", concurrency, events=600 if concurrency == 10 else 300)
        cells = [naive, many, uvloop, inlined, floor, cent, httpx]
        at = f"concurrency {concurrency}"
        ratios = [
            Ratio(f"push_many against naive aiohttp, {at}", many, naive, *goals[0]),
            Ratio(f"push_many on uvloop against naive aiohttp on asyncio, {at}", uvloop, naive, *goals[1]),
            Ratio(f"push_many against the hand-inlined aiohttp loop, {at}", many, inlined, 0.85, 0.95),
            Ratio(f"push_many against cent's AsyncClient, {at}", many, cent, 1.3, 1.5),
        ]
        # AsyncClient spares its process a cost of the allocator that its peers bear unless something else has spared
        # it to them. Here it is spared to all.
        old = {cell: replace(cell, seasoned=True) for cell in (many, inlined, floor, cent)}
        cells += old.values()
        ratios += [
            Ratio(f"{what}, {at}, all with a seasoned allocator", old[many], old[peer], *goal)
            for what, peer, goal in (
                ("push_many against the hand-inlined aiohttp loop", inlined, (0.85, 0.95)),
                ("push_many against cent's AsyncClient", cent, (1.3, 1.5)),
                ("push_many against aiohttp's floor", floor, (0.65, 0.75)),
            )
        ]
        if concurrency == 100:
            stream = Cell("push_stream", concurrency)
            unordered = Cell("push_many", concurrency, topics=1000)
            ordered = Cell("push_many, ordered", concurrency, topics=1000)
            cells += [stream, unordered, ordered]
            ratios += [
                Ratio(f"push_many against aiohttp's floor, {at}", many, floor, 0.65, 0.75),
                Ratio(f"push_stream against push_many, {at}", stream, many, 0.95, 1.0),
                Ratio(f"order_by_topic=True over 1,000 topics against unordered, {at}", ordered, unordered, 0.95, 1.0),
            ]
        plan.compare(url, cells, ratios)


def single(plan: Plan, url: str) -> None:
    """Push one by one, each awaited by its caller."""
    for concurrency, events, goals in ((1, 3000, (1.08, 1.2)), (10, 6000, (1.15, 1.3))):
        naive, push = Cell("aiohttp, naive, awaited", concurrency, events), Cell("push", concurrency, events)
        title = f"push, awaited, against the awaited naive post, concurrency {concurrency}"
        old_naive, old_push = replace(naive, seasoned=True), replace(push, seasoned=True)
        ratios = [
            Ratio(title, push, naive, *goals),
            Ratio(f"{title}, both with a seasoned allocator", old_push, old_naive, *goals),
        ]
        plan.compare(url, [naive, push, old_naive, old_push], ratios)


def sync(plan: Plan, url: str) -> None:
    """Push by the blocking client and its peers."""
    ours, bare, bare_2012 = (Cell(name) for name in ("Client.push", "http.client", "http.client as in 2012"))
    requests, urllib3 = Cell("requests", events=1500), Cell("urllib3", events=3000)
    ratios = [
        Ratio("Client.push against a raw http.client loop, the same signing", ours, bare, 1.0, 1.1),
        Ratio("Client.push against a raw http.client loop, signing as in 2012", ours, bare_2012, 1.1, 1.2),
        Ratio("Client.push against requests", ours, requests, 4.0),
        Ratio("Client.push against urllib3", ours, urllib3, 1.8),
    ]
    plan.compare(url, [bare, ours, bare_2012, urllib3, requests], ratios)


def memory(plan: Plan, url: str) -> None:
    """Weigh what a million pushes and a hundred thousand outcomes keep in memory; once, for it takes a while."""
    if not processes.has_proc():
        plan.results.skipped.append("memory: this system has no /proc")
        return
    events = plan.events(1_000_000)
    note(f"{events:,} events through push_stream")
    streamed = json.loads(processes.output("memory", "stream", url, str(events)))
    kept = json.loads(processes.output("memory", "outcomes", url, str(plan.events(100_000))))["bytes"]
    plan.results.memory = [(done, resident / 1e6) for done, resident in streamed["samples"]]
    grown = [size - plan.results.memory[0][1] for _, size in plan.results.memory]
    title = f"memory grown by {events:,} pushes through push_stream, {streamed['tasks']} tasks"
    plan.results.rows += [
        Row(title, grown[-1], min(grown), max(grown), 2.0, 0.5, "MB", less_is_better=True),
        Row("memory that push_many keeps an outcome", kept, kept, kept, 400, None, "bytes", less_is_better=True),
    ]


def slow(plan: Plan, _url: str) -> None:
    """Push to a broker that takes its time: then only what is in flight counts."""
    cell, inlined = (Cell(name, 100, 20_000, delay=DELAY) for name in ("push_many", "aiohttp, hand-inlined"))
    with processes.server("sink", "--delay", str(DELAY)) as broker:
        samples = plan.side_by_side(broker.url, [cell, inlined])[cell]
    share = [100 * sample.rate * DELAY / cell.concurrency for sample in samples]
    title = f"a broker that takes {DELAY * 1000:.0f} ms, concurrency 100: of the ideal rate"
    plan.results.rows.append(row(title, share, 92, 96, "%"))


def hub(plan: Plan, _url: str) -> None:
    """Load the embedded hub, beside a bare aiohttp handler and with subscribers."""
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
            ("CPU time a push", "us"),
            ("memory a subscriber", "bytes"),
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


def grow(plan: Plan, url: str) -> None:
    """Measure how cost grows with what is in flight, with the number of events and with their size."""
    cells = [Cell("push_many", concurrency, events=20_000) for concurrency in (1, 10, 100, 1000)]
    cells += [Cell("push_many", 100, events) for events in (1, 1000)]
    cells += [Cell("push_many", 10, events, body=body) for body, events in ((100, 6000), (4096, 6000), (1 << 20, 300))]
    results = plan.results
    results.growth = [summed_up(cell, taken) for cell, taken in plan.samples(url, cells).items()]
    # A round of a million is enough: it takes as long as everything else.
    million = Cell("push_stream", 100, events=1_000_000)
    results.growth.append(summed_up(million, [plan.measure(url, million)]))


SECTIONS: Mapping[str, Callable[[Plan, str], None]] = {
    "sink": sink,
    "bulk": bulk,
    "single": single,
    "sync": sync,
    "slow": slow,
    "hub": hub,
    "crossbar": twins,
    "memory": memory,
    "grow": grow,
}
"""By the names that the command line knows; each is given the sink's URL."""
