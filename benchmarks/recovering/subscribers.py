"""The subscribers of the soak: `webmq.js` in Node.js and in Chromium, and the Python `Subscriber`."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

from aiohttp import web
from aiohttp.test_utils import TestServer

import webmqconnect_async.hub
from tests.chromium import chromium
from webmqconnect_async.subscriber import Subscriber, _subscriber

__all__ = ["KINDS", "Report", "Subscribers"]

Report = Callable[[str, str, str, int, str | None], None]
"""Called with a record: the subscriber's name, the topic, a `Kind`, the number of an event or -1, the session."""


class Subscribers(Protocol):
    """Subscribers of one kind. Each has a name."""

    async def connect(self, name: str, url: str) -> None:
        """Start a subscriber."""

    async def subscribe(self, name: str, topic: str) -> None:
        """Make a subscriber subscribe, whether it is connected or not."""


class _Pages:
    """Subscribers in JavaScript, controlled by scripts that call the functions of `recorder.js`."""

    def __init__(self, run: Callable[[str], Awaitable[object]]) -> None:
        self._run = run

    async def connect(self, name: str, url: str) -> None:
        await self._run(f"connect({json.dumps(name)}, {json.dumps(url)})")

    async def subscribe(self, name: str, topic: str) -> None:
        await self._run(f"subscribe({json.dumps(name)}, {json.dumps(topic)})")


_SCRIPTS = (
    Path(webmqconnect_async.hub.__file__).with_name("static") / "webmq.js",
    Path(__file__).with_name("recorder.js"),
)

# A script that runs each line of stdin as JavaScript, and prints the new records as a list per line.
_NODE = """
const { runInThisContext } = require("vm"), { readFileSync } = require("fs");
for (const path of process.argv.slice(1)) runInThisContext(readFileSync(path, "utf8"), path);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => runInThisContext(line));
setInterval(() => { if (records.length) console.log(JSON.stringify(records.splice(0))); }, 10);
"""


@asynccontextmanager
async def _node(report: Report) -> AsyncIterator[Subscribers]:
    options = ("--no-warnings", "--experimental-websocket", "-e", _NODE)
    process = await asyncio.create_subprocess_exec(
        *("node", *options, *map(str, _SCRIPTS)), stdin=PIPE, stdout=PIPE, limit=1 << 24
    )
    assert process.stdin is not None  # noqa: S101  # PIPE
    assert process.stdout is not None  # noqa: S101
    stdin, stdout = process.stdin, process.stdout

    async def read() -> None:
        while line := await stdout.readline():
            for record in json.loads(line):
                report(*record)

    async def run(script: str) -> None:
        stdin.write(f"{script}\n".encode())
        await stdin.drain()

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        try:
            yield _Pages(run)
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def _chromium(report: Report) -> AsyncIterator[Subscribers]:
    async def index(_request: web.Request) -> web.Response:
        scripts = "".join(f'<script src="{path.parent.name}/{path.name}"></script>' for path in _SCRIPTS)
        return web.Response(text=f'<link rel="icon" href="data:,">{scripts}', content_type="text/html")

    site = web.Application()
    site.router.add_get("/", index)
    site.add_routes([web.static(f"/{path.parent.name}", path.parent) for path in _SCRIPTS])
    async with TestServer(site, host="127.0.0.1") as server, chromium() as page, asyncio.TaskGroup() as group:
        await page.open(str(server.make_url("/")))
        one_at_a_time = asyncio.Lock()

        async def run(script: str) -> object:
            async with one_at_a_time:
                return await page.evaluate(script)

        async def read() -> None:
            while True:
                records = await run("records.splice(0)")
                assert isinstance(records, list)  # noqa: S101
                for record in records:
                    report(*record)
                await asyncio.sleep(0.02)

        reading = group.create_task(read())
        try:
            yield _Pages(run)
        finally:
            reading.cancel()


class _Programs:
    """Subscribers in Python, with a task for each topic."""

    def __init__(self, report: Report, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self._report = report
        self._stack = stack
        self._tasks = tasks
        self._subscribers: dict[str, Subscriber] = {}

    async def connect(self, name: str, url: str) -> None:
        def on_lost(topic: str, _why: str) -> None:
            self._report(name, topic, "lost", -1, subscriber.session_id)

        subscriber = await self._stack.enter_async_context(Subscriber(url, on_lost=on_lost))
        self._subscribers[name] = subscriber

    async def subscribe(self, name: str, topic: str) -> None:
        subscriber = self._subscribers[name]
        subscription = subscriber.subscribe(topic)

        async def confirmed() -> None:
            await subscription.ready()
            self._report(name, topic, "ready", -1, subscriber.session_id)

        async def read() -> None:
            async for event in subscription:
                assert isinstance(event.value, dict)  # noqa: S101
                self._report(name, topic, "event", event.value["number"], subscriber.session_id)

        self._tasks.create_task(confirmed())
        self._tasks.create_task(read())


@asynccontextmanager
async def _python(report: Report) -> AsyncIterator[Subscribers]:
    with patch.object(_subscriber, "_LONGEST_WAIT", 0.15):  # as in recorder.js
        async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            yield _Programs(report, stack, tasks)


KINDS: Mapping[str, Callable[[Report], AbstractAsyncContextManager[Subscribers]]] = {
    "node": _node,
    "chromium": _chromium,
    "python": _python,
}
