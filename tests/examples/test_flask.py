"""`examples/flask_orders.py` with gunicorn --preload: both workers push with a client that was made before the fork.

For events that are queued when the server ends, see test_servers.py.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES, Site, serving
from tests.hostile import ACCEPTED, Hostile, answer, held
from tests.running import stopped
from webmqconnect_async.testing import Hub, Pushed

CALLS, ORDERS = "http://example.com/calls", "http://example.com/orders"

_OPENED = """
def when_ready(server):
    import flask_orders
    flask_orders.client.push("http://example.com/opened", True)
"""
"""Configuration of gunicorn: its main process pushes before it forks, so that workers inherit an open connection."""


@asynccontextmanager
async def site(env: Mapping[str, str], tmp_path: Path, *arguments: str) -> AsyncIterator[Site]:
    """Run the command that the example documents, on a free port, until the end of the block."""
    command = re.findall(r"^\.venv/bin/(gunicorn .*)$", (EXAMPLES / "flask_orders.py").read_text(), re.MULTILINE)[0]
    command = command.replace("--chdir examples", f"--chdir {EXAMPLES}")
    environment = {**env, "HOME": str(tmp_path)}  # where later versions have a socket
    bound = ("--bind", "127.0.0.1:0")
    async with serving("-m", *command.split(), *bound, *arguments, says="Listening at", env=environment) as running:
        yield running


async def post(http: aiohttp.ClientSession, site: Site, path: str, body: object) -> tuple[int, object]:
    """Return the status and the JSON of a response."""
    async with http.post(f"{site.url}/{path}", json=body) as response:
        return response.status, await response.json()


async def test_both_workers_push_with_a_client_made_before_the_fork(server: Hostile, tmp_path: Path) -> None:
    """Both workers serve requests: each serves one at a time, and two pushes are held at the same time."""
    config = tmp_path / "opened.py"
    config.write_text(_OPENED)
    server.script(answer(ACCEPTED), held(), held())
    server.release_at(3)
    async with (
        site({"WEBMQ_ENDPOINT": server.url}, tmp_path, "--config", str(config)) as running,
        aiohttp.ClientSession() as http,
    ):
        answers = await asyncio.gather(*(post(http, running, "calls", {"table": 4}) for _ in range(2)))
        answers += [await post(http, running, "calls", {"table": 4}) for _ in range(20)]
        ended = await running.process.stopped(signal.SIGTERM)
    assert [status for status, _ in answers] == [202] * 22
    events = [event for _, event in answers if isinstance(event, dict)]
    workers = {event["worker"] for event in events}
    assert len(workers) == 2
    assert running.process.pid not in workers

    opened, *pushed = [json.loads(request.body) for request in server.requests]
    assert opened is True
    assert sorted(pushed, key=str) == sorted(events, key=str)
    assert server.connections >= 3, "a worker used the connection of the process from which it was forked"

    assert ended.status == 0
    complaints = [line for line in ended.stderr.splitlines() if "Warning" in line or "Traceback" in line]
    # Under -W error, gunicorn's workers warn about their listening socket. No other socket is left open.
    assert [line for line in complaints if f"laddr=('127.0.0.1', {running.port})>" not in line] == []


async def test_the_response_to_a_call_depends_on_the_outcome(hub: Hub, tmp_path: Path) -> None:
    """Accepted, possibly accepted, not accepted and invalid are four different responses."""
    async with site(named(hub), tmp_path) as running, aiohttp.ClientSession() as http:
        status, event = await post(http, running, "calls", 4)
        assert status == 202
        assert hub.pushes == [Pushed(CALLS, event, key="app")]
        hub.refuse_next(500)
        assert (await post(http, running, "calls", 4))[0] == 502
        async with stopped(hub):
            assert await post(http, running, "calls", 4) == (503, {"error": "not accepted: call again"})
        for invalid in ("\ud800", "x" * 5000):
            assert (await post(http, running, "calls", invalid))[0] == 422
        async with http.post(f"{running.url}/calls", data={"table": 4}) as response:
            assert response.status == 415
        ended = await running.process.stopped(signal.SIGTERM)
    assert len(hub.pushes) == 1
    assert (ended.status, "signature" in ended.stderr) == (0, False)
    assert [line for line in ended.stderr.splitlines() if "WARNING in flask_orders: a call " in line]


async def test_an_order_is_accepted_while_the_broker_is_down(hub: Hub, tmp_path: Path) -> None:
    """The order is pushed later. An order that cannot be pushed is still an error of the request."""
    async with site(named(hub), tmp_path) as running, aiohttp.ClientSession() as http:
        async with stopped(hub):
            status, event = await post(http, running, "orders", {"item": "tea"})
            assert status == 202
        assert await hub.arrived(ORDERS) == Pushed(ORDERS, event, key="app")
        assert (await post(http, running, "orders", "\ud800"))[0] == 422
        assert (await running.process.stopped(signal.SIGTERM)).status == 0
