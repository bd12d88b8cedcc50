"""Ctrl-C and SIGTERM in the middle of a file: what is in flight gets its outcome, and no line is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.cli.failures import Failure
from webmqconnect_async.cli.files import FailedFile, LineReader
from webmqconnect_async.cli.jsonl import Events, Records
from webmqconnect_async.cli.lines import LinePusher
from webmqconnect_async.hub import Hub

from ..hostile import ACCEPTED, Hostile, answer, bodies, held, hostile, reply, stall
from ..processes import MODULE, PATIENCE, Ended, Process, python
from .conftest import TOPIC, Join, invoke, received

WITHOUT_UVLOOP = ("-c", "import sys; sys.modules['uvloop'] = None; from webmqconnect_async.cli import main; main()")

both_signals = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
both_loops = pytest.mark.parametrize("command", [MODULE, WITHOUT_UVLOOP], ids=["uvloop", "asyncio"])


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines"
    file.write_text("".join(f"{number}\n" for number in range(40)))
    return file


async def arrived(server: Hostile, count: int) -> None:
    await asyncio.to_thread(server.until, lambda: len(server.requests) == count)


async def twice(process: Process, number: int) -> Ended:
    """Interrupt, and again when the first time has been heard."""
    process.signal(number)
    await process.complained("interrupt again to give them up")
    return await process.stopped(number)


def records(path: Path) -> list[dict[str, object]]:
    return sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda each: str(each["line"]))


@both_signals
@both_loops
async def test_once(number: signal.Signals, command: tuple[str, ...], lines: Path) -> None:
    """What is in flight is waited for, and counted; the next run goes on with what it says, each line once."""
    with hostile(*[answer(ACCEPTED)] * 5, *[held(), held(), held(reply(401))]) as server:
        call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "3")
        async with python(*command, *call) as process:
            await arrived(server, 8)
            process.signal(number)
            waiting = await process.complained("interrupted")
            assert waiting == "interrupted: waiting for the 3 in flight; interrupt again to give them up"
            server.release()
            ended = await process.ended()
        assert (ended.status, ended.stdout) == (130, "")
        error, summary, where = ended.stderr.splitlines()
        assert "the broker answered 401" in error
        assert summary.startswith("7 pushed, 1 failed in ")
        assert where == "interrupted: go on with --resume-from 9"
        result = await invoke(*call, "--resume-from", where.rpartition(" ")[2])
        assert result.status == 0
        assert result.stderr.startswith("32 pushed, 0 failed in ")
        assert sorted(map(int, bodies(server))) == list(range(40))


@both_signals
@both_loops
async def test_twice(number: signal.Signals, command: tuple[str, ...], lines: Path, tmp_path: Path) -> None:
    """What has no answer is given up at once, written as unconfirmed, and counted."""
    failed = tmp_path / "failed"
    with hostile(*[answer(ACCEPTED)] * 5, *[stall] * 35) as server:
        call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "3", "--timeout", "60")
        async with python(*command, *call, "--failed", str(failed)) as process:
            await arrived(server, 8)
            ended = await twice(process, number)
        assert ended.status == 130
        *errors, summary, where = ended.stderr.splitlines()
        assert len(errors) == 3
        assert summary.startswith("5 pushed, 0 failed, 3 interrupted in ")
        assert where == "interrupted: go on with --resume-from 9"
    why = "interrupted before there was an answer"
    notes = {"topic": TOPIC, "error": "Unconfirmed", "reason": why, "safe": False}
    assert records(failed) == [{**notes, "event": event, "line": event + 1} for event in (5, 6, 7)]


async def test_twice_while_lines_wait_for_their_topic(lines: Path, tmp_path: Path) -> None:
    """What was read, and never sent, is safe to push again."""
    failed = tmp_path / "failed"
    with lines.open("a") as file:
        file.write("nonsense\n")
    with hostile(stall) as server:
        call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--order-by-topic", "--timeout", "60")
        async with python(*MODULE, *call, "--failed", str(failed)) as process:
            await arrived(server, 1)
            await process.complained("line 41")
            ended = await twice(process, signal.SIGINT)
        assert ended.status == 130
        assert "interrupted; nothing was sent" in ended.stderr
        assert "0 pushed, 1 failed, 40 interrupted in " in ended.stderr
        assert ended.stderr.endswith("interrupted: go on with --resume-from 42\n")
        assert {each["line"]: each["error"] for each in records(failed)} == {
            1: "Unconfirmed",
            **dict.fromkeys(range(2, 41), "ClientClosed"),
            41: "InvalidPush",
        }
        result = await invoke("push", server.url, "--jsonl", str(failed))
        assert result.status == 1
        assert "39 pushed, 1 failed, 1 left out in " in result.stderr
        assert sorted(map(int, bodies(server))) == list(range(40))


@both_signals
@both_loops
async def test_while_it_waits_for_input(number: signal.Signals, command: tuple[str, ...], hub: Hub, join: Join) -> None:
    """It ends at once, not at the next line; a line that has only begun is none yet."""
    session = await join(hub)
    arguments = ("push", hub.url, "--jsonl", "-", "--topic", TOPIC, "--concurrency", "1")
    async with python(*command, *arguments) as process:
        # One after another: the second line is read when the first has its answer, and has been counted at the third.
        await process.type('"first"\nnonsense\n')
        await process.complained("line 2")
        await process.type('nonsense\n"four')
        await process.complained("line 3")
        assert await received(session) == ["first"]
        ended = await process.stopped(number)
    assert ended.status == 130
    summary, where = ended.stderr.splitlines()
    assert summary.startswith("1 pushed, 2 failed in ")
    assert where == "interrupted: go on with --resume-from 4"


async def test_while_it_waits_for_its_turn(server: Hostile, lines: Path) -> None:
    """However slow the pace is. The line that was to come next is the one to go on with."""
    arguments = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--rate", "0.001")
    async with python(*MODULE, *arguments) as process:
        await arrived(server, 1)
        ended = await process.stopped(signal.SIGINT)
    assert ended.status == 130
    assert ended.stderr.splitlines()[-1] == "interrupted: go on with --resume-from 2"
    assert bodies(server) == [b"0"]


@pytest.fixture
def reading() -> Iterator[LineReader]:
    """Make a reader of a pipe that holds three lines and does not end."""
    descriptor, writing = os.pipe()
    os.write(writing, b"1\n2\n3\n")
    yield LineReader(descriptor)
    os.close(writing)
    os.close(descriptor)


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[FailedFile]:
    with FailedFile(tmp_path / "failed") as file:
        yield file


async def test_cancelled(reading: LineReader, failed: FailedFile, capsys: pytest.CaptureFixture[str]) -> None:
    """What else ends it leaves no line without an outcome, either."""
    with hostile(stall, stall, stall) as server:
        pusher = LinePusher(AsyncClient(server.url), reading, Events(TOPIC, None, None), failed=failed)
        task = asyncio.create_task(pusher.run())
        await arrived(server, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    written = [(each["line"], each["error"]) for each in records(failed.path)]
    assert written == [(line, "Unconfirmed") for line in (1, 2, 3)]
    assert pusher.tally.interrupted == 3
    assert capsys.readouterr().err.endswith("interrupted: go on with --resume-from 4\n")


async def test_the_third_time_there_is_nothing_left(reading: LineReader) -> None:
    """Then it is for the caller to cancel."""
    with hostile(stall, stall, stall) as server:
        pusher = LinePusher(AsyncClient(server.url, timeout=None), reading, Events(TOPIC, None, None))
        task = asyncio.create_task(pusher.run())
        await arrived(server, 3)
        assert [pusher.interrupt() for _ in range(4)] == [True, True, False, False]
        await task
    assert pusher.tally.interrupted == 3


class ToItsEnd(LineReader):
    """Tells when all is read."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.ended = asyncio.Event()

    async def lines(self) -> AsyncGenerator[tuple[int, bytes]]:
        async for each in super().lines():
            yield each
        self.ended.set()


async def test_when_all_is_read(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to go on with, and the run ends like any other."""
    with hostile(*[held()] * 40) as server, lines.open("rb") as file:
        reader = ToItsEnd(file.fileno())
        pusher = LinePusher(AsyncClient(server.url), reader, Events(TOPIC, None, None))
        task = asyncio.create_task(pusher.run())
        await arrived(server, 40)
        await asyncio.wait_for(reader.ended.wait(), PATIENCE)
        assert pusher.interrupt()
        server.release()
        await task
    assert (pusher.interrupted, pusher.tally.complete, pusher.tally.pushed) == (False, True, 40)
    waiting, summary = capsys.readouterr().err.splitlines()
    assert waiting.startswith("interrupted: waiting for the 40 in flight")
    assert summary.startswith("40 pushed, 0 failed in ")


async def test_lines_that_cannot_be_read(server: Hostile, lines: Path) -> None:
    """No interruption, but there, too, it is said where to go on."""
    with lines.open("ab") as written_only:
        pusher = LinePusher(AsyncClient(server.url), LineReader(written_only.fileno()), Records(), first=17)
        with pytest.raises(Failure, match="cannot read the lines: Bad file descriptor; go on with --resume-from 17"):
            await pusher.run()
    assert not pusher.interrupted
