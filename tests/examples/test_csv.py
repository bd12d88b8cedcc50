"""`examples/csv_prices.py` in a process of its own: every row is pushed, or written to a file with the reason."""

from __future__ import annotations

import asyncio
import csv
import json
import runpy
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.examples.boards import named
from tests.examples.serving import EXAMPLES
from tests.hostile import ACCEPTED, Hostile, answer, held, reply
from tests.processes import PATIENCE, Ended, python
from tests.running import stopped
from webmqconnect_async.testing import Hub

ROWS = list(csv.DictReader((EXAMPLES / "prices.csv").read_text("utf-8").splitlines()))


async def push(file: Path, env: Mapping[str, str]) -> Ended:
    async with python(str(EXAMPLES / "csv_prices.py"), str(file), env=env) as process:
        return await process.ended()


def written(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def until_written(file: Path) -> None:
    """Return once the file has a row below the heading, which must be before the file is closed."""
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or file.read_text("utf-8").count("\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return Path(shutil.copy(EXAMPLES / "prices.csv", tmp_path))


async def test_every_row_is_pushed(hub: Hub, prices: Path) -> None:
    """The other columns of a row are its event. No file of failures is left."""
    ended = await push(prices, named(hub))
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"{len(ROWS)} pushed\n", "")
    sent = [(row["topic"], {"price": row["price"], "currency": row["currency"]}) for row in ROWS]
    assert sorted(((pushed.topic, pushed.event) for pushed in hub.pushes), key=str) == sorted(sent, key=str)
    assert names(prices.parent) == ["prices.csv"]


@pytest.fixture
def prices_of_excel(prices: Path) -> Path:
    """Return a file that begins with a byte order mark."""
    prices.write_bytes(b"\xef\xbb\xbf" + prices.read_bytes())
    return prices


async def test_a_file_written_by_excel_is_read(hub: Hub, prices_of_excel: Path) -> None:
    ended = await push(prices_of_excel, named(hub))
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"{len(ROWS)} pushed\n", "")


async def test_rows_of_a_topic_wait_for_each_other(server: Hostile, prices: Path) -> None:
    """While the first row of each topic is in flight, no second one is pushed. All arrive in order."""
    topics = list(dict.fromkeys(row["topic"] for row in ROWS))
    server.script(*[held()] * len(topics))
    server.release_at(len(topics))
    assert (await push(prices, {"WEBMQ_ENDPOINT": server.url})).status == 0
    got = [(request.query["topicuri"], json.loads(request.body)["price"]) for request in server.requests]
    assert sorted(topic for topic, _ in got[: len(topics)]) == sorted(topics)
    for topic in topics:
        sent = [row["price"] for row in ROWS if row["topic"] == topic]
        assert [price for about, price in got if about == topic] == sent


async def test_failed_rows_are_written_and_can_be_pushed_again(hub: Hub, tmp_path: Path) -> None:
    """One row is too large, and one may have been accepted. The file distinguishes them."""
    file = tmp_path / "prices.csv"
    file.write_text(f"topic,price\nhttp://example.com/a,{'1' * 5000}\nhttp://example.com/b,ü\n", encoding="utf-8")
    hub.refuse_next(500)
    ended = await push(file, named(hub))
    assert (ended.status, ended.stderr) == (1, "")
    counts, see = ended.stdout.splitlines()[:-1], ended.stdout.splitlines()[-1]
    assert sorted(counts) == [
        "1 not pushed, and safe to push again",
        "1 perhaps pushed: push again only where a duplicate does no harm",
    ]
    failed = tmp_path / "prices.failed.csv"
    assert see.startswith(f"see {failed}; the last reason: the broker answered ")
    rows = {row["topic"]: row for row in written(failed)}
    assert list(rows["http://example.com/a"]) == ["topic", "price", "verdict", "reason"]
    assert "4096" in rows["http://example.com/a"]["reason"]
    assert rows["http://example.com/b"]["verdict"].startswith("perhaps pushed")
    assert "signature" not in failed.read_text(encoding="utf-8")

    ended = await push(failed, named(hub))
    assert ended.status == 1
    assert [(pushed.topic, pushed.event) for pushed in hub.pushes] == [("http://example.com/b", {"price": "ü"})]
    (row,) = written(tmp_path / "prices.failed.failed.csv")
    assert list(row) == ["topic", "price", "verdict", "reason"]


async def test_without_a_broker_all_rows_are_written(hub: Hub, prices: Path) -> None:
    async with stopped(hub):
        ended = await push(prices, named(hub))
    assert (ended.status, ended.stderr) == (1, "")
    count, see = ended.stdout.splitlines()
    assert count == f"{len(ROWS)} not pushed, and safe to push again"
    assert "cannot connect to 127.0.0.1" in see
    failed = written(prices.with_suffix(".failed.csv"))
    assert sorted((row["topic"], row["price"]) for row in failed) == sorted(
        (row["topic"], row["price"]) for row in ROWS
    )


async def test_a_file_without_topics_is_refused(hub: Hub, tmp_path: Path) -> None:
    """A file without topics is refused. The file of earlier failures remains, and no other file is created."""
    file = tmp_path / "prices.csv"
    file.write_text("symbol,price\nACME,1\n", encoding="utf-8")
    failed = tmp_path / "prices.failed.csv"
    failed.write_text("of the run before", encoding="utf-8")
    ended = await push(file, named(hub))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == "the first line has no column 'topic'\n"
    assert failed.read_text(encoding="utf-8") == "of the run before"
    assert names(tmp_path) == ["prices.csv", "prices.failed.csv"]


async def test_a_missing_file_is_named(hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "none.csv"
    ended = await push(file, named(hub))
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == f"[Errno 2] No such file or directory: '{file}'\n"
    assert names(tmp_path) == []


async def test_a_run_without_failures_removes_the_file_of_an_earlier_run(hub: Hub, prices: Path) -> None:
    hub.refuse_next(400)
    assert (await push(prices, named(hub))).status == 1
    assert prices.with_suffix(".failed.csv").exists()
    assert (await push(prices, named(hub))).status == 0
    assert names(prices.parent) == ["prices.csv"]


async def test_ctrl_c_prints_the_counts_and_keeps_the_failures_so_far(server: Hostile, tmp_path: Path) -> None:
    """Ctrl-C prints the counts. The failures so far are written next to those of the previous run."""
    server.script(answer(ACCEPTED), answer(reply(400)), held())
    file, failed = tmp_path / "prices.csv", tmp_path / "prices.failed.csv"
    file.write_text(
        "topic,price\n" + "".join(f"http://example.com/a,{price}\n" for price in range(5)), encoding="utf-8"
    )
    part = tmp_path / "prices.failed.csv.part"
    failed.write_text("of the run before", encoding="utf-8")
    async with python(str(EXAMPLES / "csv_prices.py"), str(file), env={"WEBMQ_ENDPOINT": server.url}) as process:
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 3)
        await asyncio.to_thread(until_written, part)
        ended = await process.stopped(signal.SIGINT)
    assert (ended.status, ended.stderr) == (130, "")
    *counts, last = ended.stdout.splitlines()
    assert sorted(counts) == ["1 not pushed, and safe to push again", "1 pushed"]
    assert str(part) in last
    assert [row["price"] for row in written(part)] == ["1"]
    assert failed.read_text(encoding="utf-8") == "of the run before"


async def test_an_unreadable_file_prints_the_counts_and_keeps_the_failures_so_far(hub: Hub, tmp_path: Path) -> None:
    """A file with invalid UTF-8 in a later line also prints the counts and keeps the failures so far."""
    file = tmp_path / "prices.csv"
    start = b"topic,price\n" + b"http://example.com/a,1\n" * 1000
    file.write_bytes(start + b"http://example.com/a,\xff\n")
    hub.refuse_next(400)
    ended = await push(file, named(hub))
    assert ended.status == 1
    assert "can't decode byte 0xff" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "1 not pushed, and safe to push again" in ended.stdout
    assert len(written(tmp_path / "prices.failed.csv.part")) == 1


async def test_a_long_file_is_read_only_as_fast_as_it_is_pushed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is read only as fast as it is pushed, so little of it is in memory at a time."""
    for name, value in named(hub).items():
        monkeypatch.setenv(name, value)
    lead = []

    def lines() -> Iterator[str]:
        yield "topic,price\n"
        for number in range(2000):
            lead.append(number - len(hub.pushes))
            yield f"http://example.com/prices/{number % 100},{number}\n"

    example = runpy.run_path(str(EXAMPLES / "csv_prices.py"))
    with (tmp_path / "failed.csv").open("w") as failed:
        assert await example["push_rows"](csv.DictReader(lines()), failed) is None
    assert len(hub.pushes) == 2000
    assert max(lead) < 500
