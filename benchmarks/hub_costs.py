"""Measures hubs over a stream and a hub alone, in turn: CPU time, seconds from push to event, pushes per second."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TypeAlias
from urllib.parse import quote_plus

from webmqconnect_async import AsyncClient

from . import capacity, processes
from .listeners import connect
from .load import TOPIC, Load
from .plan import note
from .processes import Server

CONCURRENCY = (1, 10, 100)
SUBSCRIBERS = (0, 1, 10)
DELIVERIES = 10, 100
"""Concurrency and number of subscribers: so many that almost all of the cost is delivery."""

ALONE, STREAM, TWO = "a hub alone", "a hub over a stream", "two hubs over a stream"
SAME_HUB, ANOTHER_HUB = "at the same hub over a stream", "at another hub over the stream"
REDIS = "Redis"
READ = "another hub over the stream, without subscribers"

_BETWEEN = 0.005
"""Seconds between two pushes when latency is measured."""

_LONGEST = 60.0
"""Seconds that an event may take."""

Costs: TypeAlias = Mapping[tuple[str, int, int], Sequence[float]]
"""Microseconds of CPU time per push in each round, by process, concurrency and number of subscribers."""

Latencies: TypeAlias = Mapping[str, Sequence[float]]
"""The median milliseconds from push to event of each round, by where the subscriber is."""

Rates: TypeAlias = Mapping[str, Sequence[float]]
"""Pushes per second of each round, by which hubs are pushed to."""


@contextmanager
def _running(
    cores: tuple[int | None, int | None], redis_core: int | None
) -> Iterator[tuple[Server, Server, Server, Server]]:
    """Run a hub alone, two over a stream, and Redis."""
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis(redis_core))
        alone = stack.enter_context(processes.server("hub_load", "serve", "hub", core=cores[0]))
        first, second = (
            stack.enter_context(processes.server("hub_load", "serve", "hub", redis.url, core=core)) for core in cores
        )
        yield alone, first, second, redis


def costs(rounds: int, pushes: int, concurrencies: Sequence[int] = CONCURRENCY) -> Costs:
    """Measure CPU time. The hubs have one core; Redis and those that push and subscribe have the other one."""
    found: dict[tuple[str, int, int], list[float]] = {}
    cells = [(concurrency, subscribers) for concurrency in concurrencies for subscribers in SUBSCRIBERS] + [DELIVERIES]
    with _running((0, -1), -1) as (alone, first, second, redis):
        hubs = {ALONE: (alone,), STREAM: (first, redis, second)}

        def measure(kind: str, concurrency: int, subscribers: int) -> dict[str, float]:
            hub, *others = hubs[kind]
            arguments = (hub.pid, subscribers, pushes, concurrency, *(each.pid for each in others))
            figures: dict[str, float] = json.loads(processes.output("hub_load", "fan", hub.url, *map(str, arguments)))
            names = {kind: "CPU time per push"}
            if others:
                names |= {name: f"CPU time of {each.pid}" for name, each in zip((REDIS, READ), others, strict=True)}
            return {name: figures[figure] for name, figure in names.items()}

        for kind in hubs:  # warm-up
            measure(kind, 10, 1)
        for number in range(rounds):
            for concurrency, subscribers in reversed(cells) if number % 2 else cells:
                note(f"round {number + 1} of {rounds}: CPU time, concurrency {concurrency}, {subscribers} subscribers")
                for kind in reversed(hubs) if number % 2 else hubs:
                    for name, figure in measure(kind, concurrency, subscribers).items():
                        found.setdefault((name, concurrency, subscribers), []).append(figure)
    return found


def latencies(rounds: int, pushes: int) -> Latencies:
    """Measure how long an event takes from push to subscriber, one event at a time."""
    with _running((0, -1), -1) as (alone, first, second, _):
        places = {ALONE: (alone, alone), SAME_HUB: (first, first), ANOTHER_HUB: (first, second)}
        return asyncio.run(_latencies(places, rounds, pushes))


async def _latencies(places: Mapping[str, tuple[Server, Server]], rounds: int, pushes: int) -> Latencies:
    found: dict[str, list[float]] = {place: [] for place in places}
    for number in range(-1, rounds):
        note(f"round {number + 1} of {rounds}: push to event")
        for place, (pushed, subscribed) in places.items():
            taken = await _latency(pushed.url, subscribed.url, pushes)
            if number >= 0:  # the first round warms up
                found[place].append(1000 * median(taken))
    return found


async def _latency(url: str, subscribed: str, pushes: int) -> list[float]:
    subscriber = await connect(subscribed, TOPIC)
    event, taken = Load("").event, []
    async with asyncio.timeout(_LONGEST), AsyncClient(url, timeout=None) as client:
        await subscriber.ready.wait()
        for _ in range(pushes):
            subscriber.complete.clear()
            began = time.perf_counter()
            await client.push(TOPIC, event)
            await subscriber.complete.wait()
            taken.append(time.perf_counter() - began)
            await asyncio.sleep(_BETWEEN)
    subscriber.close()
    return taken


def rates(rounds: int, seconds: float) -> Rates:
    """Measure pushes per second without subscribers. All processes share all cores; wrk needs little CPU time."""
    found: dict[str, list[float]] = {ALONE: [], STREAM: [], TWO: []}
    body, target = json.dumps(Load("").event).encode(), f"/?topicuri={quote_plus(TOPIC)}"

    def rate(hub: Server, connections: int) -> float:
        return capacity.by_wrk(hub.url, target, body, seconds, connections, core=None)

    with _running((None, None), None) as (alone, first, second, _), ThreadPoolExecutor() as threads:
        places = {ALONE: (alone,), STREAM: (first,), TWO: (first, second)}
        for number in range(rounds):
            for place, hubs in places.items():
                note(f"round {number + 1} of {rounds}: wrk against {place}")
                taken = [threads.submit(rate, hub, 50 // len(hubs)) for hub in hubs]
                found[place].append(sum(each.result() for each in taken))
    return found
