"""What `push_soon` has queued when a real server ends: its clients push all of it, within the grace of `close`."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.examples.serving import EXAMPLES, serving
from tests.hostile import Hostile, held
from tests.processes import python

GUNICORN = ("-W", "default", "-m", "gunicorn", "--bind", "127.0.0.1:0")
BOARD = ("--chdir", str(EXAMPLES / "boards"), "fastapi_board:app")
FLASK = ("--chdir", str(EXAMPLES), "flask_orders:app")
WORKER_ENDS = "Worker exiting"
"""What gunicorn says when a worker serves no more, before its interpreter exits."""
UWSGI = ("-W", "default", "-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])", "--http-socket", "127.0.0.1:0")
SERVERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "uvicorn": (
        ("-m", "uvicorn", "--port", "0", "--app-dir", str(EXAMPLES / "boards"), "fastapi_board:app"),
        "Waiting for application shutdown",
    ),
    "gunicorn, uvicorn": (
        (*GUNICORN, "--worker-class", "uvicorn.workers.UvicornWorker", *BOARD),
        "Waiting for application shutdown",
    ),
    "gunicorn, sync": ((*GUNICORN, *FLASK), WORKER_ENDS),
    "gunicorn, gthread": ((*GUNICORN, "--worker-class", "gthread", "--threads", "4", *FLASK), WORKER_ENDS),
    "gunicorn, gevent": ((*GUNICORN, "--worker-class", "gevent", *FLASK), WORKER_ENDS),
    "gunicorn, --preload": ((*GUNICORN, "--preload", "--workers", "2", *FLASK), WORKER_ENDS),
    "uWSGI": (
        (
            *UWSGI,
            "--master",
            "--processes",
            "2",
            "--die-on-term",
            "--no-orphans",
            "--chdir",
            str(EXAMPLES),
            "--module",
            "flask_orders:app",
        ),
        "killing workers",
    ),
}
"""The command of a server, and what it says once it serves no more, before clients are closed."""


def environment(server: Hostile, tmp_path: Path) -> dict[str, str]:
    return {"WEBMQ_ENDPOINT": server.url, "HOME": str(tmp_path)}  # gunicorn keeps a socket there


async def first_push(server: Hostile) -> None:
    """Wait until the first event is in flight. Those after it wait in the queue, because they have its topic."""
    await asyncio.to_thread(server.until, lambda: len(server.requests) >= 1)


def numbers(server: Hostile) -> list[int]:
    """Return the numbers of the orders or items pushed, after a check that those of each process are in order."""
    by_process: dict[object, list[int]] = defaultdict(list)
    for request in server.requests:
        event = json.loads(request.body)
        number = event["item"]["text"] if "version" in event else event["order"]["number"]
        by_process[event.get("worker")].append(int(number))
    assert all(of_one == sorted(of_one) for of_one in by_process.values())
    return sorted(number for of_one in by_process.values() for number in of_one)


@pytest.mark.parametrize(("command", "ending"), SERVERS.values(), ids=SERVERS)
async def test_sigterm_loses_nothing(command: tuple[str, ...], ending: str, server: Hostile, tmp_path: Path) -> None:
    """Twenty requests are served while the broker responds to none; it is SIGTERM that finds their events queued."""
    server.script(*[held()] * 2)  # at most two processes
    says = r"Listening at" if "gunicorn" in command else "Uvicorn running on" if "uvicorn" in command else "bound to"
    path = "items" if "fastapi_board:app" in command else "orders"
    async with (
        serving(*command, says=says, env=environment(server, tmp_path)) as site,
        # uWSGI closes a connection after the response, and does not say so in its head.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        for number in range(20):
            order = {"number": number, "text": str(number)}
            async with http.post(f"{site.url}/{path}", json=order) as response:
                assert response.status in (201, 202), await response.text()
        await first_push(server)
        site.process.signal(signal.SIGTERM)
        await site.process.complained(ending)
        assert len(server.requests) <= 2
        server.release()
        ended = await site.process.ended()
    assert numbers(server) == list(range(20))
    assert "Traceback" not in ended.stderr


# Celery

PRELOADED = """
from celery.signals import worker_init
from examples.celery_worker import app, client

@worker_init.connect
def queue(**_):
    for number in range(100):
        client.push_soon("http://example.com/opened", number)
"""
"""An application whose main process has 100 events queued when it forks."""


async def test_warm_shutdown_of_celery_loses_nothing(
    server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks are done while the broker responds to nothing. What the main process has queued remains its own."""
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    monkeypatch.chdir(tmp_path)
    env = {**environment(server, tmp_path), "PYTHONPATH": f"{EXAMPLES.parent}:{tmp_path}", "CELERY_BROKER_URL": ""}
    server.script(*[held()] * 3)
    worker = ("--app", "preloaded", "worker", "--concurrency", "2", "--loglevel", "INFO")
    async with python("-W", "default", "-m", "celery", *worker, env=env) as process:
        await process.complained("ready.")
        async with python("-m", "examples.celery_worker", "6", env=env) as producer:
            ended = await producer.ended()
        assert (ended.status, ended.stderr) == (0, "")
        for _ in range(6):
            await process.complained("succeeded in")
        await first_push(server)
        process.signal(signal.SIGTERM)
        await process.complained("Warm shutdown")
        assert len(server.requests) <= 3
        server.release()
        ended = await process.ended()
    assert "Traceback" not in ended.stderr
    events: dict[str, list[object]] = defaultdict(list)
    for request in server.requests:
        events[request.query["topicuri"].rpartition("/")[2]].append(json.loads(request.body))
    assert events["opened"] == list(range(100))
    shipped = {event["id"]: event["worker"] for event in events["orders"] if isinstance(event, dict)}
    assert (len(events["orders"]), sorted(shipped)) == (6, list(range(6)))
    assert process.pid not in shipped.values()
