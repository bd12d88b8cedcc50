"""A hub in an application that a server runs in several processes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestServer

from tests.processes import python
from webmqconnect_async.hub import create_app


@pytest.mark.parametrize(("others", "warnings"), [([], 0), ([1], 1), ([1, 2], 0)])
async def test_the_second_worker_of_gunicorn_warns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, others: list[int], warnings: int
) -> None:
    """Only the second worker warns, so that there is one warning, no matter how many workers there are."""
    arbiter = SimpleNamespace(WORKERS=dict.fromkeys(others))
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", SimpleNamespace(Arbiter=arbiter))
    async with TestServer(create_app()):
        pass
    assert [record.getMessage()[:43] for record in caplog.records] == [
        "each gunicorn worker has a hub of its own, "
    ] * warnings


async def test_other_servers_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with TestServer(create_app()):
        pass
    assert caplog.text == ""


@pytest.mark.parametrize(("workers", "warnings"), [("1", 0), ("3", 1)])
async def test_under_gunicorn(tmp_path: Path, workers: str, warnings: int) -> None:
    (tmp_path / "app.py").write_text(
        "from webmqconnect_async.hub import create_app\n"
        "async def started(_app):\n"
        "    print('started', flush=True)\n"
        "app = create_app()\n"
        "app.on_startup.append(started)\n"
    )
    options = ["-k", "aiohttp.GunicornWebWorker", "-b", "127.0.0.1:0", "--chdir", str(tmp_path)]
    async with python("-W", "default", "-m", "gunicorn", "-w", workers, *options, "app:app") as process:
        for _ in range(int(workers)):
            await process.said("started")
        ended = await process.stopped(15)
    assert ended.stderr.count("each gunicorn worker has a hub of its own") == warnings
