"""Measures how long an event takes to arrive while other subscribers flood the hub.

python -m benchmarks.floods [--seconds 20] [--peers 20,200] [--only pings]    prints a table
python -m benchmarks.floods attack URL FLOOD PEERS                            floods until the end of stdin

Three processes run: the hub, the flood, and a pair of a client and a subscriber, whose delay is measured. Peers that
the hub drops reconnect.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import socket
import statistics
import sys
import time
from urllib.parse import urlsplit

from webmqconnect_async import AsyncClient
from webmqconnect_async.subscriber import Subscriber, SubscriberError

from .load import TOPIC
from .processes import attendant, has_proc, resident, server

BETWEEN = 0.02
"""Seconds between two pushes."""

LONGEST = 60.0
"""Seconds that an event may take."""

_GET = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: d2VibXFjb25uZWN0X2FzeQ==\r\nSec-WebSocket-Protocol: wamp\r\n\r\n"
)


def _frame(payload: bytes, first: int) -> bytes:
    """Return a short frame, masked with zeros."""
    return bytes((first, 0x80 | len(payload), 0, 0, 0, 0)) + payload


_CHURN = b"".join(_frame(b'[%d,"t%d"]' % (kind, number), 0x81) for number in range(100) for kind in (5, 6))

FLOODS = {
    "pings": _frame(b"", 0x89),
    "pongs": _frame(b"", 0x8A),
    "subscriptions": _CHURN,
    "fragments": _frame(b"", 0x00),
}
"""The frame that the peers of each flood repeat. In the last flood, no frame completes the message."""


class _Peer:
    """A connection that sends as fast as the hub reads, and discards what it receives."""

    def __init__(self, address: tuple[str, int], flood: str, selector: selectors.BaseSelector) -> None:
        self._address = address
        self._beginning = _frame(b"x", 0x01) if flood == "fragments" else b""
        self._data = FLOODS[flood] * (1 + (1 << 16) // len(FLOODS[flood]))
        self._selector = selector
        self._connect()

    def _connect(self) -> None:
        self._unsent = memoryview(self._beginning)
        self._socket = socket.create_connection(self._address)
        self._socket.send(_GET)
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_READ, self)

    def proceed(self, events: int) -> None:
        """Receive and send as much as is possible without blocking."""
        try:
            if events & selectors.EVENT_READ:
                if not self._socket.recv(1 << 16):
                    raise ConnectionResetError
                # the response to the handshake is complete
                self._selector.modify(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
            if events & selectors.EVENT_WRITE:
                self._unsent = self._unsent[self._socket.send(self._unsent) :] or memoryview(self._data)
        except BlockingIOError:
            pass
        except ConnectionError:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._connect()


def attack(url: str, flood: str, peers: int) -> None:
    """Flood until stdin ends."""
    parts = urlsplit(url)
    with selectors.DefaultSelector() as selector:
        for _ in range(peers):
            _Peer((parts.hostname or "", parts.port or 80), flood, selector)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, events in selector.select():
                if key.data is None:
                    return
                key.data.proceed(events)


async def latencies(url: str, flood: str, peers: int, seconds: float) -> list[float]:
    """Push again and again during a flood, and return how many seconds each event took to arrive."""
    taken: list[float] = []
    async with (
        asyncio.timeout(LONGEST + seconds),
        AsyncClient(url, timeout=None) as client,
        Subscriber(url, reconnect=False) as subscriber,
        subscriber.subscribe(TOPIC) as events,
    ):
        with attendant("floods", "attack", url, flood, str(peers)):
            end = time.perf_counter() + seconds
            while (began := time.perf_counter()) < end or len(taken) < 2:
                await client.push(TOPIC, "beat")
                await anext(events)
                taken.append(time.perf_counter() - began)
                await asyncio.sleep(BETWEEN)
    return taken


def measure(flood: str, peers: int, seconds: float) -> str:
    """Measure one flood, and return a row of the table."""
    with server("hub_load", "serve", "hub") as hub:
        try:
            taken = asyncio.run(latencies(hub.url, flood, peers, seconds))
        except (SubscriberError, TimeoutError) as error:  # the hub dropped the client or the subscriber
            return f"{flood:15} {peers:5} {type(error).__name__}: {error}"
        memory = resident(hub.pid) / 1e6 if has_proc() else 0
    median, ninety_ninth = (1000 * statistics.quantiles(taken, n=100)[at - 1] for at in (50, 99))
    figures = f"{median:9.1f} {ninety_ninth:9.1f} {1000 * max(taken):9.1f} {len(taken):7} {memory:9.0f}"
    return f"{flood:15} {peers:5} {figures}"


def main() -> None:
    """Run the measurements, or one flood."""
    if sys.argv[1:2] == ["attack"]:
        attack(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floods", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each flood; 60")
    parser.add_argument("--peers", default="1,20,200", help="how many flood; 1,20,200")
    parser.add_argument("--only", choices=FLOODS, action="append", help="a flood; repeatable")
    options = parser.parse_args()
    print("flood           peers median ms    p99 ms    max ms  pushes    hub MB")
    print(measure("pings", 0, options.seconds), flush=True)
    for flood in options.only or FLOODS:
        for peers in map(int, options.peers.split(",")):
            print(measure(flood, peers, options.seconds), flush=True)


if __name__ == "__main__":
    main()
