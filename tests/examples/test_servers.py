"""Events that wait for the broker when a real server is told to end: all are pushed within the grace of `close`."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES, serving
from tests.processes import python
from tests.running import away
from webmqconnect_async.testing import Hub

BOARD = "fastapi_board:app"
UVICORN = ("-m", "uvicorn", "--port", "0", "--app-dir", str(EXAMPLES / "boards"), BOARD)
GUNICORN = ("-W", "default", "-m", "gunicorn", "--bind", "127.0.0.1:0", "--chdir")
FLASK = (*GUNICORN, str(EXAMPLES), "flask_orders:app", "--worker-class")
RUN_UWSGI = "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"
UWSGI = ("-c", RUN_UWSGI, "--http-socket", "127.0.0.1:0", "--master", "--die-on-term", "--no-orphans")
LIFESPAN_ENDS, WORKER_ENDS = "Waiting for application shutdown", "Worker exiting"
SERVERS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "uvicorn": (UVICORN, "Uvicorn running on", LIFESPAN_ENDS),
    "gunicorn, uvicorn": (
        (*GUNICORN, str(EXAMPLES / "boards"), BOARD, "--worker-class", "uvicorn.workers.UvicornWorker"),
        "Listening at",
        LIFESPAN_ENDS,
    ),
    "gunicorn, gthread": ((*FLASK, "gthread", "--threads", "4"), "Listening at", WORKER_ENDS),
    "gunicorn, gevent": ((*FLASK, "gevent"), "Listening at", WORKER_ENDS),
    "gunicorn, sync, preloaded": ((*FLASK, "sync", "--preload", "--workers", "2"), "Listening at", WORKER_ENDS),
    "uWSGI": (
        (*UWSGI, "--processes", "2", "--chdir", str(EXAMPLES), "--module", "flask_orders:app"),
        "bound to",
        "killing workers",
    ),
}
"""The command of a server, what it says when it listens, and what it says when it serves no more."""


def in_order(hub: Hub) -> dict[str, list[int]]:
    """Return the numbers that were pushed on each topic, sorted, after a check that each process pushed in order."""
    numbers: dict[tuple[str, object], list[int]] = defaultdict(list)
    for push in hub.pushes:
        assert isinstance(push.event, dict)
        numbers[push.topic, push.event.get("worker")].append(int(number_of(push.event)))
    topics: dict[str, list[int]] = defaultdict(list)
    for (topic, _worker), pushed in numbers.items():
        assert pushed == sorted(pushed)
        topics[topic.rpartition("/")[2]] += pushed
    return {topic: sorted(pushed) for topic, pushed in topics.items()}


def number_of(event: dict[str, object]) -> str:
    """Return the number that the test gave to an item of the board, or to an order."""
    match event:
        case {"item": {"text": number}} | {"order": {"text": number}} | {"id": number}:
            return str(number)
    raise AssertionError(event)


@pytest.mark.parametrize(("command", "listens", "ends"), SERVERS.values(), ids=SERVERS)
async def test_sigterm_loses_nothing(
    command: tuple[str, ...], listens: str, ends: str, hub: Hub, tmp_path: Path
) -> None:
    """The broker is away while the requests are served, and comes back when the server has begun to end."""
    env = {**named(hub), "HOME": str(tmp_path)}  # where gunicorn keeps a socket
    path, topic = ("items", "board") if BOARD in command else ("orders", "orders")
    async with (
        serving(*command, says=listens, env=env) as site,
        # uWSGI closes a connection after the response, without a header that says so.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        async with away(hub):
            for number in range(20):
                async with http.post(f"{site.url}/{path}", json={"text": str(number)}) as response:
                    assert response.status in (201, 202), await response.text()
            site.process.signal(signal.SIGTERM)
            await site.process.complained(ends)
        ended = await site.process.ended()
    assert in_order(hub) == {topic: list(range(20))}
    assert "Traceback" not in ended.stderr


PRELOADED = """
from celery.signals import worker_init
from examples.celery_worker import app, client

@worker_init.connect
def queue(**_):
    for number in range(20):
        client.push_soon("http://example.com/opened", {"id": number})
"""
"""A Celery application whose main process has events queued when it forks."""


async def test_warm_shutdown_of_celery_loses_nothing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are done while the broker is away. What the main process has queued remains its own, and is pushed once."""
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    monkeypatch.chdir(tmp_path)
    env = {**named(hub), "PYTHONPATH": f"{EXAMPLES.parent}:{tmp_path}", "CELERY_BROKER_URL": ""}
    worker = ("--app", "preloaded", "worker", "--concurrency", "2", "--loglevel", "INFO")
    async with AsyncExitStack() as broker_is_away:
        await broker_is_away.enter_async_context(away(hub))
        async with (
            python("-W", "default", "-m", "celery", *worker, env=env) as process,
            python("-m", "examples.celery_worker", "6", env=env) as producer,
        ):
            produced = await producer.ended()
            assert (produced.status, produced.stderr) == (0, "")
            for _ in range(6):
                await process.complained("succeeded in")
            process.signal(signal.SIGTERM)
            await process.said("Warm shutdown")
            await broker_is_away.aclose()
            ended = await process.ended()
    assert in_order(hub) == {"opened": list(range(20)), "orders": list(range(6))}
    workers = {push.event["worker"] for push in hub.pushes if isinstance(push.event, dict) and "worker" in push.event}
    assert process.pid not in workers
    assert "Traceback" not in ended.stderr
