"""The clients of this package, used through the public API, with timeouts and retries, as its README shows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import cycle, islice
from tempfile import NamedTemporaryFile, TemporaryFile
from uuid import uuid4

from webmqconnect_async import AsyncClient, Client, Outcome, outbox
from webmqconnect_async.relay import Relay
from webmqconnect_async.typing import Dumps

from .load import KEY, SECRET, TOPIC, BlockingRun, Load, Refused, Run, by_workers


def _client(load: Load, dumps: Dumps | None = None) -> AsyncClient:
    return AsyncClient(load.url, KEY, SECRET, load.timeout, concurrency=load.concurrency, dumps=dumps)


def pushes(load: Load, events: int) -> Iterator[tuple[str, object]]:
    """Yield this number of pushes, cycling through the topics."""
    event = load.event
    topics = [TOPIC] if load.topics == 1 else [f"{TOPIC}/{number}" for number in range(load.topics)]
    return ((topic, event) for topic in islice(cycle(topics), events))


def _check(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


@asynccontextmanager
async def push_many(load: Load, order_by_topic: bool = False, dumps: Dumps | None = None) -> AsyncIterator[Run]:
    """Push with `push_many`."""
    async with _client(load, dumps) as client:

        async def run(events: int) -> None:
            _check(await client.push_many(pushes(load, events), order_by_topic=order_by_topic))

        yield run


@asynccontextmanager
async def push_many_ordered(load: Load) -> AsyncIterator[Run]:
    """Push with `push_many(order_by_topic=True)`."""
    async with push_many(load, order_by_topic=True) as run:
        yield run


@asynccontextmanager
async def push_many_orjson(load: Load) -> AsyncIterator[Run]:
    """Push with `push_many` and `dumps=orjson.dumps`."""
    from orjson import dumps

    async with push_many(load, dumps=dumps) as run:
        yield run


@asynccontextmanager
async def push_stream(load: Load) -> AsyncIterator[Run]:
    """Push with `push_stream`."""
    async with _client(load) as client:

        async def run(events: int) -> None:
            async with client.push_stream(pushes(load, events)) as stream:
                async for outcome in stream:
                    _check((outcome,))

        yield run


@asynccontextmanager
async def push_jsonl(load: Load) -> AsyncIterator[Run]:
    """Push the lines of a file as `webmqconnect push --jsonl` does: each run writes the file and has a new client."""
    from webmqconnect_async._cli.push.files import LineReader
    from webmqconnect_async._cli.push.jsonl import Records
    from webmqconnect_async._cli.push.pusher import LinePusher

    async def run(events: int) -> None:
        with TemporaryFile() as file:
            file.writelines([json.dumps({"topic": TOPIC, "event": load.event}).encode() + b"\n"] * events)
            file.seek(0)
            pusher = LinePusher(_client(load), LineReader(file.fileno()), Records())
            await pusher.run()
        if pusher.tally.pushed != events:
            raise Refused(f"{pusher.tally.pushed} of {events} lines were pushed")

    yield run


def fill(database: str, load: Load, events: int) -> None:
    """Insert this number of rows into the outbox of a SQLite database, cycling through the topics."""
    statement, (_, _, event, *receivers) = outbox.insert(TOPIC, load.event)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(outbox.schema("sqlite"))
        rows = ((str(uuid4()), topic, event, *receivers) for topic, _ in pushes(load, events))
        connection.executemany(statement, rows)


@asynccontextmanager
async def relay(load: Load) -> AsyncIterator[Run]:
    """Relay the rows of an outbox in SQLite. Each run fills the outbox first."""
    with NamedTemporaryFile(suffix=".db") as file:
        fill(file.name, load, 0)
        async with (
            _client(load) as client,
            Relay(f"sqlite:///{file.name}", client, concurrency=load.concurrency) as relay,
        ):

            async def run(events: int) -> None:
                fill(file.name, load, events)
                before = relay.stats.pushed
                pushed = (await relay.run(once=True)).pushed - before
                if pushed != events:
                    raise Refused(f"{pushed} of {events} rows were pushed")

            yield run


@asynccontextmanager
async def push(load: Load) -> AsyncIterator[Run]:
    """Await one `push` after another, in `concurrency` tasks."""
    event = load.event
    async with _client(load) as client:

        async def once() -> None:
            await client.push(TOPIC, event)

        async def run(events: int) -> None:
            await by_workers(once, events, load.concurrency)

        yield run


@contextmanager
def client_push(load: Load) -> Iterator[BlockingRun]:
    """Call the blocking `Client.push` again and again."""
    event = load.event
    with Client(load.url, KEY, SECRET) as client:

        def run(events: int) -> None:
            for _ in range(events):
                client.push(TOPIC, event)

        yield run
