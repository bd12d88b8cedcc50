"""Measures one hub, one node of Crossbar.io and two clusters: pushes per second, and milliseconds from push to event.

`python3 benchmarks/crossbar_cluster.py` runs this module in a venv. Brokers, client and subscribers share all cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from brokers import crossbar
from brokers.crossbar_cluster import cluster
from webmqconnect_async import AsyncClient, Push
from webmqconnect_async.subscriber import Subscriber, Subscription

from . import processes
from .load import EVENT_BYTES, KEY, SECRET, TOPIC, Load
from .report import table

RESULTS = Path(__file__).with_name("clusters.json")
EVENTS = 2000
ROUNDS = 5
CONCURRENCY = 10
LONGEST = 120.0
"""Seconds for all events of a measurement to arrive."""


@dataclass(frozen=True, slots=True)
class Place:
    """The URLs to push to and to subscribe at."""

    endpoint: str
    secret: str
    near: str
    """The WebSocket URL of the node at which events are pushed."""
    far: str | None = None
    """The WebSocket URL of another node; `None` if there is only one node."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What was measured with one subscriber."""

    rate: float
    """Pushes per second, until the last event has arrived."""
    ms: float
    """Milliseconds from the beginning of a push to its event, one push at a time; the median."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured at one place."""

    near: Reached
    """Measured with a subscriber of the node at which events are pushed."""
    far: Reached | None
    """Measured with a subscriber of another node; `None` if there is only one node."""


@contextmanager
def hub() -> Iterator[Place]:
    """Run a hub with a key, and push to it as to Crossbar.io."""
    with processes.server("hub_load", "serve", "signed") as server:
        yield Place(f"{server.url}/publish", SECRET, f"{server.url.replace('http', 'ws')}/ws")


@contextmanager
def node() -> Iterator[Place]:
    """Run Crossbar.io with the configuration of the example."""
    with crossbar.node(json.loads(crossbar.EXAMPLE.read_text())) as running:
        authority = f"127.0.0.1:{running.port}"
        yield Place(f"http://{authority}/publish", SECRET, f"ws://{authority}/ws")


@contextmanager
def two(kind: str) -> Iterator[Place]:
    """Run a cluster of two nodes. Its events are pushed to the first node."""
    with cluster(kind) as running:
        yield Place(running.endpoints[0], running.secret, running.first.ws_url, running.second.ws_url)


WAYS: Mapping[str, Callable[[], AbstractContextManager[Place]]] = {
    "one hub": hub,
    "Crossbar.io, one node": node,
    "Crossbar.io, router and proxies": lambda: two("router"),
    "Crossbar.io, equal nodes": lambda: two("equal"),
}


async def measured(place: Place, events: int) -> Figures:
    """Measure one place: first with ten pushes in flight, then with a tenth as many pushes, one after another."""
    near = await _reached(place, place.near, events)
    return Figures(near, None if place.far is None else await _reached(place, place.far, events))


async def _reached(place: Place, ws_url: str, events: int) -> Reached:
    event = Load("").event
    async with (
        AsyncClient(place.endpoint, KEY, place.secret, dialect="crossbar", concurrency=CONCURRENCY) as client,
        Subscriber(ws_url) as subscriber,
        subscriber.subscribe(TOPIC) as arriving,
    ):
        await _linked(client, arriving)

        began = time.perf_counter()
        outcomes, _ = await asyncio.gather(
            client.push_many(Push(TOPIC, event) for _ in range(events)), _receive(arriving, events)
        )
        rate = events / (time.perf_counter() - began)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        delays = []
        for _ in range(max(events // 10, 1)):
            began = time.perf_counter()
            await asyncio.gather(client.push(TOPIC, event), _receive(arriving, 1))
            delays.append(time.perf_counter() - began)
    return Reached(rate, median(delays) * 1000)


async def _linked(client: AsyncClient, events: Subscription) -> None:
    """Wait until events arrive at the node of the subscriber, and none is in flight."""
    arrived = asyncio.ensure_future(_receive_until(events, "linked"))
    while not arrived.done():
        await client.push(TOPIC, "linked")
    await arrived
    await client.push(TOPIC, "ready")
    await _receive_until(events, "ready")


async def _receive(events: Subscription, number: int) -> None:
    """Receive this number of events."""
    async with asyncio.timeout(LONGEST):
        for _ in range(number):
            await anext(events)


async def _receive_until(events: Subscription, value: object) -> None:
    """Receive events until the one with this value."""
    async with asyncio.timeout(LONGEST):
        while (await anext(events)).value != value:
            pass


def middle(rounds: Sequence[Figures]) -> Figures:
    """Return the medians of all rounds."""
    far = [each.far for each in rounds if each.far is not None]
    return Figures(_middle([each.near for each in rounds]), _middle(far) if far else None)


def _middle(rounds: Sequence[Reached]) -> Reached:
    return Reached(median(each.rate for each in rounds), median(each.ms for each in rounds))


def rendered(figures: Mapping[str, Figures]) -> str:
    """Return the table for a terminal."""
    head = ("", "pushes/s, same node", "ms to event", "pushes/s, another node", "ms to event")
    return table(head, ((way, *_shown(each.near), *_shown(each.far)) for way, each in figures.items()))


def _shown(reached: Reached | None) -> tuple[str, str]:
    return ("", "") if reached is None else (f"{reached.rate:,.0f}", f"{reached.ms:.1f}")


def main() -> None:
    """Measure all places, print the table, and save the results."""
    parser = argparse.ArgumentParser(prog="benchmarks/crossbar_cluster.py", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"default: {EVENTS}; fewer are not kept")
    options = parser.parse_args()
    if not crossbar.installed():
        raise SystemExit(f"needs Crossbar.io {crossbar.VERSION}: {crossbar.COMMAND}")
    rounds: dict[str, list[Figures]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        places = {way: stack.enter_context(running()) for way, running in WAYS.items()}
        # The places take turns, so that a slow minute of the machine affects all of them.
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS} ...", file=sys.stderr, flush=True)
            for way, place in places.items():
                rounds[way].append(asyncio.run(measured(place, options.events)))
    figures = {way: middle(each) for way, each in rounds.items()}
    machine = {
        "command": " ".join(("python3 benchmarks/crossbar_cluster.py", *sys.argv[1:])),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "Crossbar.io": crossbar.VERSION,
        "events": f"{options.events:,} of {EVENT_BYTES} bytes, {CONCURRENCY} at a time; medians of {ROUNDS} rounds",
    }
    print("\n".join(f"{name}: {value}" for name, value in machine.items()), rendered(figures), sep="\n\n")
    if options.events >= EVENTS:
        kept = machine | {"figures": {way: asdict(each) for way, each in figures.items()}}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
