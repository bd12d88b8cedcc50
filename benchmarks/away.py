"""Measures how long a handler takes while the broker is away: `python -m benchmarks.away`.

The command runs handlers one after another, with `push` in a try block and with `push_soon`, and prints the median and
the slowest in milliseconds. It does so for a broker that refuses connections and for one that accepts them but never
responds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median

from webmqconnect_async import AsyncClient, Client, NotAccepted, Unconfirmed

TOPIC = "http://example.com/orders"
EVENT = {"id": 17, "state": "paid", "items": ["tea", "milk"]}


async def awaited(url: str, timeout: float, count: int) -> list[float]:
    """Return the seconds of each handler that awaits `push` of an AsyncClient."""
    seconds = []
    async with AsyncClient(url, "app", "s3cret", timeout) as client:
        for _ in range(count):
            begin = time.perf_counter()
            with suppress(NotAccepted, Unconfirmed):
                await client.push(TOPIC, EVENT)
            seconds.append(time.perf_counter() - begin)
    return seconds


async def queued(url: str, timeout: float, count: int) -> list[float]:
    """Return the seconds of each handler that calls `push_soon` of an AsyncClient."""
    seconds = []
    async with AsyncClient(url, "app", "s3cret", timeout) as client:
        for _ in range(count):
            begin = time.perf_counter()
            client.push_soon(TOPIC, EVENT)
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(0)  # lets the background task run
        await client.close(grace=0)
    return seconds


def blocking(url: str, timeout: float, count: int) -> list[float]:
    """Return the seconds of each handler that calls `push` of a Client."""
    seconds = []
    with Client(url, "app", "s3cret", timeout) as client:
        for _ in range(count):
            begin = time.perf_counter()
            with suppress(NotAccepted, Unconfirmed):
                client.push(TOPIC, EVENT)
            seconds.append(time.perf_counter() - begin)
    return seconds


def handed_over(url: str, timeout: float, count: int) -> list[float]:
    """Return the seconds of each handler that calls `push_soon` of a Client."""
    seconds = []
    client = Client(url, "app", "s3cret", timeout)
    for _ in range(count):
        begin = time.perf_counter()
        client.push_soon(TOPIC, EVENT)
        seconds.append(time.perf_counter() - begin)
    client.close(grace=0)
    return seconds


WAYS: dict[str, Callable[[str, float, int], list[float]]] = {
    "await client.push of AsyncClient": lambda *arguments: asyncio.run(awaited(*arguments)),
    "client.push_soon of AsyncClient": lambda *arguments: asyncio.run(queued(*arguments)),
    "client.push of Client": blocking,
    "client.push_soon of Client": handed_over,
}


def main() -> None:
    """Print a line for each way to push and each way in which the broker is away."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.away", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--timeout", type=float, default=5.0, help="of the clients; 5 seconds, as by default")
    parser.add_argument("--count", type=int, default=50, help="handlers of each way; 50")
    options = parser.parse_args()
    logging.getLogger("webmqconnect_async").setLevel(
        logging.ERROR
    )  # the outcomes of events that are still queued do not matter
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"http://127.0.0.1:{server.getsockname()[1]}"
        with socket.socket() as bound:  # not listening, so connections are refused
            bound.bind(("127.0.0.1", 0))
            refusing = f"http://127.0.0.1:{bound.getsockname()[1]}"
            print(f"{'milliseconds of a handler':34} {'the broker':12} {'median':>10} {'slowest':>10}")
            for name, way in WAYS.items():
                for broker, url in (("refuses", refusing), ("hangs", silent)):
                    count = options.count if broker == "refuses" or "soon" in name else 2
                    seconds = way(url, options.timeout, count)
                    print(f"{name:34} {broker:12} {median(seconds) * 1000:10.3f} {max(seconds) * 1000:10.3f}")


if __name__ == "__main__":
    main()
