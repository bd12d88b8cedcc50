"""Events that wait for the broker when a real server is told to shut down are pushed within the grace of `close`."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path

import aiohttp
import pytest

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES, serving
from tests.processes import python
from tests.running import stopped
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
"""The command of a server, the text it prints when it listens, and the text it prints when it has stopped serving."""


def events(hub: Hub, topic: str) -> list[dict[str, object]]:
    """Return the events that were pushed on a topic, in order."""
    return [push.event for push in hub.pushes if push.topic == topic and isinstance(push.event, dict)]


def number_of(event: dict[str, object]) -> int:
    """Return the number of an item of the board, or of an order."""
    text = event["item" if "item" in event else "order"]
    assert isinstance(text, dict)
    return int(text["text"])


@pytest.mark.parametrize(("command", "listens", "ends"), SERVERS.values(), ids=SERVERS)
async def test_sigterm_loses_nothing(
    command: tuple[str, ...], listens: str, ends: str, hub: Hub, tmp_path: Path
) -> None:
    """The broker is down while requests are served, and returns when the server has begun to shut down."""
    env = {**named(hub), "HOME": str(tmp_path)}  # where gunicorn keeps a socket
    path, topic = ("items", "board") if BOARD in command else ("orders", "orders")
    async with (
        serving(*command, says=listens, env=env) as site,
        # uWSGI closes a connection after the response, without a header that says so.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        async with stopped(hub):
            for number in range(20):
                async with http.post(f"{site.url}/{path}", json={"text": str(number)}) as response:
                    assert response.status in (201, 202), await response.text()
            if RUN_UWSGI in command:  # a worker that is still busy with a request would not call exit handlers
                for _ in range(20):
                    await site.process.complained("POST /orders")
            site.process.signal(signal.SIGTERM)
            await site.process.complained(ends)
        ended = await site.process.ended()
    numbers: dict[object, list[int]] = defaultdict(list)
    for event in events(hub, f"http://example.com/{topic}"):
        numbers[event.get("worker")].append(number_of(event))
    assert all(of_worker == sorted(of_worker) for of_worker in numbers.values())
    assert sorted(chain.from_iterable(numbers.values())) == list(range(20))
    assert "Traceback" not in ended.stderr


PRELOADED = """
from celery.signals import worker_init
from examples.celery_worker import app, client

@worker_init.connect
def queue(**_):
    for number in range(20):
        client.push_soon("http://example.com/opened", {"id": number})
"""
"""A Celery application whose main process has queued events when it forks."""


async def test_warm_shutdown_of_celery_loses_nothing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run while the broker is down. Events queued by the main process are pushed once, by that process."""
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    monkeypatch.chdir(tmp_path)
    env = {**named(hub), "PYTHONPATH": f"{EXAMPLES.parent}:{tmp_path}", "CELERY_BROKER_URL": ""}
    worker = ("--app", "preloaded", "worker", "--concurrency", "2", "--loglevel", "INFO")
    async with AsyncExitStack() as broker_is_away:
        await broker_is_away.enter_async_context(stopped(hub))
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
    assert events(hub, "http://example.com/opened") == [{"id": number} for number in range(20)]
    orders = events(hub, "http://example.com/orders")
    assert sorted(str(order["id"]) for order in orders) == ["0", "1", "2", "3", "4", "5"]
    assert process.pid not in {order["worker"] for order in orders}
    assert "Traceback" not in ended.stderr
