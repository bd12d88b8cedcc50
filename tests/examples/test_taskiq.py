"""`examples/taskiq_worker.py`: with its single command, and as workers that share the tasks in a real Redis."""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES
from tests.hostile import Hostile, held
from tests.processes import PATIENCE, Ended, Process, python
from webmqconnect_async.testing import Hub

TOPIC = "http://example.com/orders"
SCRIPT = EXAMPLES / "taskiq_worker.py"

_DONE = re.compile(r"worker \d+: Stats\(pushed=(\d+), failed=(\d+), retried=(\d+), in_flight=0\b")


def numbers(hub: Hub) -> list[int]:
    """Return the IDs of the orders pushed."""
    return [pushed.event["id"] for pushed in hub.pushes if isinstance(pushed.event, dict)]


def done(ended: Ended) -> tuple[int, int, int]:
    """Return the counts that a worker prints: pushes, failures, retries."""
    (match,) = _DONE.findall(ended.stdout)
    pushed, failed, retried = map(int, match)
    return pushed, failed, retried


async def produce(count: int, env: Mapping[str, str]) -> Ended:
    async with python(str(SCRIPT), str(count), env=env) as process:
        return await process.ended()


async def test_one_command_queues_and_pushes(hub: Hub) -> None:
    ended = await produce(30, {**named(hub), "REDIS_URL": ""})
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith("30 tasks queued\n")
    assert done(ended) == (30, 0, 0)
    assert sorted(numbers(hub)) == list(range(30))


async def test_one_command_prints_failures(hub: Hub) -> None:
    hub.refuse_next(429, retry_after=60)
    ended = await produce(3, {**named(hub), "REDIS_URL": ""})
    assert (ended.status, done(ended)) == (1, (2, 1, 0))
    assert "Overloaded: the broker answered 429" in ended.stderr
    assert "signature" not in ended.stderr


async def test_ctrl_c_waits_for_pushes_in_flight(server: Hostile) -> None:
    """The first Ctrl-C waits for pushes in flight, and the counts are printed."""
    server.script(*[held()] * 3)
    async with python(str(SCRIPT), "3", env={"WEBMQ_ENDPOINT": server.url, "REDIS_URL": ""}) as process:
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 3)
        process.signal(signal.SIGINT)
        server.release()
        ended = await process.ended()
    assert (ended.status, ended.stderr) == (130, "")
    assert done(ended) == (3, 0, 0)


# With Redis


@pytest.fixture
async def redis_url() -> AsyncIterator[str]:
    """Run a Redis for this test, which listens on a Unix socket and stores nothing on disk."""
    with tempfile.TemporaryDirectory() as folder:  # a short path, because the paths of sockets are limited
        socket = Path(folder, "redis.sock")
        process = await asyncio.create_subprocess_exec(
            *("redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while b"eady to accept connections" not in (line := await process.stdout.readline()):
                    assert line, "redis-server ended"
            yield f"unix://{socket}"
        finally:
            process.terminate()
            await process.communicate()


@asynccontextmanager
async def worker(env: Mapping[str, str]) -> AsyncIterator[Process]:
    """Run the worker that the example documents, with one process. Yield once it listens for tasks."""
    command = re.findall(
        r"^    REDIS_URL=\S+ \.venv/bin/(taskiq worker \S+ \S+ \S+)", SCRIPT.read_text(), re.MULTILINE
    )[0]
    command = command.replace("--workers 2", f"--workers 1 --app-dir {EXAMPLES.parent}")
    async with python("-m", *command.split(), env=env) as process:
        await process.complained("Listening started")
        yield process


@pytest.mark.usefixtures("redis")
async def test_two_workers_share_the_tasks(hub: Hub, redis_url: str) -> None:
    """Each task is pushed once, and both workers push some."""
    env = {**named(hub), "REDIS_URL": redis_url}
    async with worker(env) as one, worker(env) as two:
        produced = await produce(200, env)
        assert (produced.status, produced.stdout, produced.stderr) == (0, "200 tasks queued\n", "")
        for _ in range(200):
            await hub.arrived(TOPIC, PATIENCE)
        ends = [await process.stopped(signal.SIGTERM) for process in (one, two)]
    assert sorted(numbers(hub)) == list(range(200))
    shares = [done(ended) for ended in ends]
    assert sum(pushed for pushed, _, _ in shares) == 200
    assert all(pushed > 0 and failed == 0 for pushed, failed, _ in shares)
    assert [ended.status for ended in ends] == [0, 0]


@pytest.mark.usefixtures("redis")
async def test_a_repeated_task_is_delivered_once(hub: Hub, redis_url: str) -> None:
    """Failed pushes are repeated later. A task that runs again, as after a killed worker, is not delivered twice."""
    env = {**named(hub), "REDIS_URL": redis_url}
    hub.refuse_next(429, retry_after=60, count=3)
    hub.refuse_next(500)
    async with worker(env) as process:
        await produce(20, env)
        for _ in range(20):
            await hub.arrived(TOPIC, PATIENCE)
        with Redis.from_url(redis_url) as redis:
            [[_, [(_, first), *_]]] = redis.xread({"taskiq": "0"})
            redis.xadd("taskiq", first)
            async with asyncio.timeout(PATIENCE):
                while (group := redis.xinfo_groups("taskiq")[0])["lag"] or group["pending"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        ended = await process.stopped(signal.SIGTERM)
    assert len(set(numbers(hub))) == len(hub.pushes) == 20
    assert done(ended) == (21, 3, 1)
