"""Compares the hub under load with a bare aiohttp handler, each in a process of its own.

python -m benchmarks.hub_load serve hub|signed|forgetful|bare [BACKPLANE]
    runs a server: the hub without a key, with a key, or without a history, or the bare handler
python -m benchmarks.hub_load fan URL PID N PUSHES [CONCURRENCY [PID ...]]
    subscribes N times, pushes, and prints figures as JSON
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiohttp import web

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._frames import text_frame
from webmqconnect_async.hub._wamp1 import messages

from .listeners import LeanWebSocket
from .load import KEY, SECRET, TOPIC, Load
from .ours import pushes
from .processes import cpu_seconds, has_proc, resident

LONGEST = 60.0
"""Seconds after which subscribers must have received all events."""


@contextmanager
def logging_to_a_file() -> Iterator[None]:
    """Log as `webmqconnect hub` can."""
    with tempfile.TemporaryFile("w") as log:
        logging.basicConfig(level=logging.INFO, stream=log)
        yield


async def serve(kind: str, backplane: str | None = None, admit: Callable[[object], None] | None = None) -> None:
    """Serve on a free port of the loopback until the process ends."""
    if kind == "bare":
        app = web.Application()
        app.router.add_post("/", _accept)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
    else:
        keys = {KEY: SECRET} if kind == "signed" else None
        history = 0 if kind == "forgetful" else 100
        hub = Hub(port=0, keys=keys, max_connections=10_000, history=history, backplane=backplane, admit=admit)
        await hub.start()
        print(urlsplit(hub.url).port, flush=True)
    await asyncio.Event().wait()


async def _accept(_request: web.Request) -> web.Response:
    return web.Response(status=202)


class _Tally:
    """Counts the bytes of events that all subscribers together still have to receive."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.complete = asyncio.Event()
        self.count(0)

    def count(self, got: int) -> None:
        """Subtract bytes that a subscriber has received."""
        self.left -= got
        if self.left <= 0:
            self.complete.set()


class _Subscriber(LeanWebSocket):
    """A subscriber of the topic that counts the bytes it receives."""

    def __init__(self, authority: str, tally: _Tally) -> None:
        super().__init__(authority, "wamp")
        self._tally = tally
        self._said = b""
        self._asked = False

    def data_received(self, data: bytes) -> None:
        """Subscribe after the handshake, and count bytes once subscribed."""
        if self.ready.is_set():
            self._tally.count(len(data))
            return
        self._said += data
        if not self._asked and b"\r\n\r\n" in self._said:
            self._asked = True
            self.send([5, TOPIC])
            self.send([2, "1", "http://api.wamp.ws/procedure#ping"])
        # The hub responds in order: after the result of the ping, the subscription is in effect.
        elif b'[3,"1",null]' in self._said:
            self.ready.set()


async def fan(
    url: str, pid: int, subscribers: int, events: int, concurrency: int = 10, *beside: int
) -> dict[str, float]:
    """Subscribe, push, and wait until every subscriber has received every event.

    Args:
        url: the hub.
        pid: the process ID of the hub.
        subscribers: how many there are.
        events: how many to push.
        concurrency: pushes at a time.
        beside: the process IDs of other servers whose CPU time is measured, too.

    Returns:
        `pushes` and `deliveries` per second. Where the system has /proc, the hub's bytes of `memory per subscriber`
        and microseconds of `CPU time per push`, and the CPU time of the other servers, such as `CPU time of 17`.
    """
    load = Load(url, concurrency=concurrency)
    frame = text_frame(messages.event(TOPIC, json.dumps(load.event, separators=(",", ":"))))
    tally = _Tally(len(frame) * subscribers * events)
    address = urlsplit(url)
    figures: dict[str, float] = {}
    connected: list[_Subscriber] = []

    async def connect() -> None:
        create = asyncio.get_running_loop().create_connection
        _, subscriber = await create(
            lambda: _Subscriber(address.netloc, tally), address.hostname or "", address.port or 80
        )
        connected.append(subscriber)
        await subscriber.ready.wait()

    # timeout=None: a hub that delivers to a thousand subscribers before it responds is slow, not broken.
    async with asyncio.timeout(LONGEST), AsyncClient(url, timeout=None, concurrency=load.concurrency) as client:
        await client.push_many(pushes(load, 100))
        before = resident(pid) if has_proc() else 0
        for _ in range(subscribers):
            await connect()
        if has_proc() and subscribers:
            figures["memory per subscriber"] = (resident(pid) - before) / subscribers
        measured = {"CPU time per push": pid} | {f"CPU time of {each}": each for each in beside}
        cpu = {name: cpu_seconds(each) if has_proc() else 0.0 for name, each in measured.items()}
        began = time.perf_counter()
        outcomes = await client.push_many(pushes(load, events))
        figures["pushes"] = events / (time.perf_counter() - began)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        await tally.complete.wait()
        figures["deliveries"] = subscribers * events / (time.perf_counter() - began)
        # With few subscribers the hub waits for this process, which pushes and subscribes: CPU time is more meaningful.
        if has_proc():
            figures |= {name: (cpu_seconds(each) - cpu[name]) / events * 1e6 for name, each in measured.items()}
    for subscriber in connected:
        subscriber.close()
    return figures


def main() -> None:
    """Run a server, or the subscribers."""
    if sys.argv[1] == "serve":
        with logging_to_a_file():
            asyncio.run(serve(sys.argv[2], sys.argv[3] if sys.argv[3:] else None))
        return
    import uvloop

    url, *numbers = sys.argv[2:]
    print(json.dumps(uvloop.run(fan(url, *map(int, numbers)))))


if __name__ == "__main__":
    main()
