"""Runs a hub with a clock that is wrong, or with a bug. The command line has no options for either.

python -m tests.hub.backplane.hub_process --port 8080 --backplane redis://127.0.0.1:6379/0 --behind 60
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Callable, Sequence

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._engine.entries import Entry
from webmqconnect_async.hub._engine.stream import StreamEngine
from webmqconnect_async.hub._history import History, Kept

_OFTEN = 20
"""A bug affects every 20th event."""


def dropped() -> None:
    """Make the reader skip some events, as if they were not in the stream."""
    deliver, numbers = StreamEngine._deliver, itertools.count(1)

    def deliver_most(self: StreamEngine, entry: Entry) -> None:
        if next(numbers) % _OFTEN:
            deliver(self, entry)

    StreamEngine._deliver = deliver_most  # type: ignore[method-assign]


def doubled() -> None:
    """Deliver some events twice, under IDs of their own."""
    deliver, numbers = StreamEngine._deliver, itertools.count(1)

    def deliver_again(self: StreamEngine, entry: Entry) -> None:
        deliver(self, entry)
        if next(numbers) % _OFTEN == 0:
            self._broker.deliver(entry.publication(), entry.position.publication_id + 1, forwarded=True)

    StreamEngine._deliver = deliver_again  # type: ignore[method-assign]


def swallowed() -> None:
    """Keep the ID of a history that is lost, so that what is left of it seems to be all that was missed."""
    renew = Broker.renew

    def renew_silently(self: Broker, history: History, history_id: str, newest: int) -> None:
        renew(self, history, _first_id.setdefault("id", history_id), newest)

    def left(self: History, topic: str, floor: int, now: float) -> Sequence[Kept]:
        log = self._logs.get(topic)
        return [kept for kept in (log.events if log else ()) if kept.id > floor]

    Broker.renew = renew_silently  # type: ignore[method-assign]
    History.after = left  # type: ignore[method-assign]


_first_id: dict[str, str] = {}

BUGS: dict[str, Callable[[], None]] = {bug.__name__: bug for bug in (dropped, doubled, swallowed)}


async def main() -> None:
    """Run a hub until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backplane")
    parser.add_argument("--behind", type=float, default=0.0, help="seconds by which the clock is set back")
    parser.add_argument("--fixed", type=float, help="the Unix time that the clock always shows")
    parser.add_argument("--bug", choices=BUGS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.bug:
        BUGS[options.bug]()

    def clock() -> float:
        shown: float = time.time() - options.behind if options.fixed is None else options.fixed
        return shown

    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    async with Hub(port=options.port, clock=clock, backplane=options.backplane):
        await terminated.wait()


if __name__ == "__main__":
    asyncio.run(main())
