"""A soak: producers, a relay or a hub that is killed repeatedly, and the outcome of each event.

    .venv/bin/python -m tests.outbox sqlite relay 100000
    .venv/bin/python -m tests.outbox postgresql hub 20000 --seed 7

Producers commit and roll back at random, each with topics of its own. The hub writes each push that it accepts to a
file before it responds. Two relays run, so that one takes over when the other is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Literal, Protocol, TypeAlias

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Accepted, Hub
from webmqconnect_async.relay import Relay

from .databases import Database

# Forked processes start at once, because this process has already imported what they need.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.outbox.soak", "webmqconnect_async.relay._sqlite", "psycopg"])

CONCURRENCY = 20
KILLS = 10
PRODUCERS = 3
TOPICS = 10
"""Topics per producer."""

Victim: TypeAlias = Literal["relay", "hub"]


@dataclass(slots=True)
class Outcome:
    """The state at the end."""

    committed: dict[str, list[int]]
    """Numbers of the events by topic, in the order of their transactions."""
    accepted: dict[str, list[int]]
    """Numbers of the events that a hub accepted, in the order of acceptance."""
    kills: int = 0
    relays: int = 0
    """How many relays became active."""
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """The guarantees that were broken. Events that were delivered twice are allowed."""
        found = list(self.complaints)
        for topic in self.committed.keys() | self.accepted.keys():
            committed, accepted = self.committed.get(topic, []), self.accepted.get(topic, [])
            lost, phantoms = set(committed) - set(accepted), set(accepted) - set(committed)
            found += [f"{topic}: {len(lost)} lost"] if lost else []
            found += [f"{topic}: {len(phantoms)} phantoms"] if phantoms else []
            # The numbers increase within a topic.
            late = sum(later < earlier for earlier, later in pairwise(accepted))
            found += [f"{topic}: {late} out of order"] if late else []
        return found

    @property
    def doubled(self) -> int:
        """How many accepted events had been accepted before."""
        return sum(len(numbers) - len(set(numbers)) for numbers in self.accepted.values())

    def __str__(self) -> str:
        rows = sum(map(len, self.committed.values()))
        counts = (
            f"{rows:,} rows, {self.kills} kills, {self.relays} relays, {self.doubled} doubled, {self.seconds:.1f} s"
        )
        return "\n".join((counts, *(self.failures or ["none lost, no phantoms, none out of order"])))


class _Victim(Protocol):
    async def kill(self) -> None:
        """Kill a process without a clean shutdown, and start another one."""
        ...


async def soak(database: Database, victim: Victim, rows: int, seed: int, folder: Path) -> Outcome:
    """Produce this number of committed rows, kill the victim ten times meanwhile, and return what the hubs accepted.

    Args:
        database: a database with an empty outbox.
        victim: the process to kill.
        rows: the minimum number of rows that are committed.
        seed: the seed of the producers' transactions.
        folder: the folder for the files of the run.
    """
    began = time.monotonic()
    outcome = Outcome({}, {})
    journal = _Journal(folder / "journal")
    hub = _Hub(journal)
    await asyncio.to_thread(hub.start)
    relays = _Relays(database.url, hub.url)
    try:
        await relays.start()
        await relays.start()
        async with asyncio.TaskGroup() as group:
            for number in range(PRODUCERS):
                producer = _Producer(database, journal, number, rows, outcome)
                group.create_task(asyncio.to_thread(producer.run, Random(f"{seed} {number}")))  # noqa: S311
            for kill in range(KILLS):
                await journal.reached(rows * (kill + 1) // (KILLS + 1))
                await (hub if victim == "hub" else relays).kill()
                outcome.kills += 1
        async with asyncio.timeout(60):
            while await asyncio.to_thread(database.scalar, "SELECT count(*) FROM webmq_outbox"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        outcome.relays = relays.activations
        outcome.complaints = await relays.end()
    finally:
        journal.abandoned = True
        relays.close()
        hub.close()
    for line in journal.path.read_text().splitlines():
        text, topic = line.split()
        outcome.accepted.setdefault(topic, []).append(int(text))
    outcome.seconds = time.monotonic() - began
    return outcome


class _Journal:
    """The file in which hubs write the events that they accept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.abandoned = False
        """Whether waiting for more lines was given up."""
        path.touch()

    @property
    def lines(self) -> int:
        return self.path.read_bytes().count(b"\n")

    async def reached(self, lines: int) -> None:
        async with asyncio.timeout(600):
            while self.lines < lines:  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.02)


class _Producer:
    """Commits and rolls back transactions in a thread of its own, not far ahead of the relay."""

    def __init__(self, database: Database, journal: _Journal, number: int, rows: int, outcome: Outcome) -> None:
        self._database = database
        self._journal = journal
        self._topics = [f"http://example.com/{number}/{topic}" for topic in range(TOPICS)]
        self._committed = outcome.committed
        self._rows = rows
        self._number = number

    def run(self, random: Random) -> None:
        with self._database.connection() as connection:
            while (committed := sum(map(len, list(self._committed.values())))) < self._rows:
                if self._journal.abandoned:
                    return
                if committed > self._journal.lines + self._rows / KILLS:
                    time.sleep(0.02)
                    continue
                pushes = list(self._pushes(random))
                self._database.within(connection, *pushes)
                if random.random() < 0.2:
                    connection.rollback()
                    continue
                connection.commit()
                for topic, event in pushes:
                    self._committed.setdefault(topic, []).append(event["number"])

    def _pushes(self, random: Random) -> Iterator[tuple[str, dict[str, int]]]:
        for _ in range(random.randint(1, 8)):
            self._number += PRODUCERS
            yield random.choice(self._topics), {"number": self._number}


class _Hub:
    """A hub that has the same URL after it was killed and restarted."""

    def __init__(self, journal: _Journal) -> None:
        self._journal = journal
        self._port = 0
        self._process: BaseProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        receiver, sender = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_serve, args=(str(self._journal.path), self._port, sender))
        self._process.start()
        sender.close()
        self._port = receiver.recv()

    async def kill(self) -> None:
        await asyncio.to_thread(self.close)
        await asyncio.to_thread(self.start)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()  # until then the process has the port


def _serve(journal: str, port: int, sender: Connection) -> None:
    """Run a hub. Accepted events survive a kill, because the kernel has the line before the response is sent."""
    lines = os.open(journal, os.O_WRONLY | os.O_APPEND)

    def admit(push: Accepted) -> None:
        os.write(lines, f"{json.loads(push.event)['number']} {push.topic}\n".encode())

    async def serve() -> None:
        async with Hub(port=port, admit=admit) as hub:
            sender.send(int(hub.url.rpartition(":")[2]))
            await asyncio.Event().wait()

    asyncio.run(serve())


class _Relays:
    """Two relays, one of which is active."""

    def __init__(self, database: str, hub: str) -> None:
        self.activations = 0
        self._arguments = database, hub
        self._running: list[BaseProcess] = []
        self._active: BaseProcess | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        receiver, sender = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_relay, args=(*self._arguments, sender))
        await asyncio.to_thread(process.start)
        sender.close()
        self._running.append(process)
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                receiver.recv()
            except EOFError:
                loop.remove_reader(receiver.fileno())
                receiver.close()
            else:
                self._active = process
                self.activations += 1
                self._changed.set()

        loop.add_reader(receiver.fileno(), read)

    async def kill(self) -> None:
        await self.active()
        process, self._active = self._active, None
        assert process is not None
        self._running.remove(process)
        process.kill()
        await self.start()

    async def active(self) -> None:
        """Wait until a relay is active."""
        async with asyncio.timeout(60):
            while self._active is None:
                self._changed.clear()
                await self._changed.wait()

    async def end(self) -> list[str]:
        """Tell all relays to end, and return their errors."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            await asyncio.to_thread(process.join, 60)
        # A relay that has just started does not handle the signal yet.
        expected = (0, -signal.SIGTERM)
        return [f"a relay ended with status {each.exitcode}" for each in self._running if each.exitcode not in expected]

    def close(self) -> None:
        for process in self._running:
            process.kill()


def _relay(database: str, hub: str, sender: Connection) -> None:
    """Run a relay that reports when it is active."""

    class ReportActive(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("active"):
                sender.send(None)

    logger = logging.getLogger("webmqconnect_async.relay")
    logger.addHandler(ReportActive())
    logger.setLevel(logging.INFO)

    async def run() -> None:
        async with AsyncClient(hub) as client, Relay(database, client, concurrency=CONCURRENCY) as relay:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, relay.stop)
            await relay.run()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # until the signal
    asyncio.run(run())


def main() -> None:
    """Run a soak as a command, and exit with 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(description="Kill relays or hubs while producers fill an outbox.")
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument("victim", choices=["relay", "hub"])
    parser.add_argument("rows", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"{options.database}, the {options.victim} is killed, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if options.database == "sqlite":
            url = f"sqlite:///{folder}/shop.db"
        else:
            from ..postgresql import running

            url = stack.enter_context(running()).new_database()
        outcome = asyncio.run(soak(Database(url), options.victim, options.rows, options.seed, Path(folder)))
    print(outcome)
    sys.exit(bool(outcome.failures or (options.victim == "relay" and outcome.doubled)))
