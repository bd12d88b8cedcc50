"""Ctrl-C, SIGTERM and SIGHUP in the middle of a file: pushes in flight get an outcome, no line is lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async._cli.errors import Failure
from webmqconnect_async._cli.push.files import FailedFile, Line, LineReader
from webmqconnect_async._cli.push.jsonl import Events, Records
from webmqconnect_async._cli.push.pusher import LinePusher
from webmqconnect_async._cli.push.rate import RateLimit
from webmqconnect_async.hub import Hub

from ..hostile import ACCEPTED, Hostile, answer, bodies, held, hostile, reply, stall
from ..processes import MODULE, PATIENCE, WITHOUT_UVLOOP, Ended, Process, python
from .conftest import TOPIC, Join, invoke, received

OUTLIVING = (
    "-c",
    "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"  # as under nohup
    "from webmqconnect_async._cli import main; main()",
)

signals_and_loops = [
    pytest.param(signal.SIGINT, MODULE, id="SIGINT-uvloop"),
    pytest.param(signal.SIGTERM, WITHOUT_UVLOOP, id="SIGTERM-asyncio"),
    pytest.param(signal.SIGHUP, MODULE, id="SIGHUP-uvloop"),
]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines"
    file.write_text("".join(f"{number}\n" for number in range(40)))
    return file


async def arrived(server: Hostile, count: int) -> None:
    await asyncio.to_thread(server.until, lambda: len(server.requests) == count)


async def twice(process: Process, number: int) -> Ended:
    """Interrupt the process, and interrupt it again once it has reported the first time."""
    process.signal(number)
    await process.complained("interrupt again to stop waiting")
    return await process.stopped(number)


def records(path: Path) -> list[dict[str, object]]:
    return sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda each: str(each["line"]))


@pytest.mark.parametrize(("number", "command"), signals_and_loops)
async def test_once(number: signal.Signals, command: tuple[str, ...], lines: Path) -> None:
    """After one interrupt, pushes in flight are waited for and counted.

    A run resumed as printed pushes the remaining lines once.
    """
    with hostile(*[answer(ACCEPTED)] * 5, *[held(), held(), held(reply(401))]) as server:
        call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "3")
        async with python(*command, *call) as process:
            await arrived(server, 8)
            process.signal(number)
            waiting = await process.complained("interrupted")
            assert waiting == "interrupted: waiting for 3 pushes in flight; interrupt again to stop waiting"
            server.release()
            ended = await process.ended()
        assert (ended.status, ended.stdout) == (130, "")
        error, summary, where = ended.stderr.splitlines()
        assert "the broker answered 401" in error
        assert summary.startswith("7 pushed, 1 failed in ")
        assert where == "interrupted: continue with --resume-from 9"
        result = await invoke(*call, "--resume-from", where.rpartition(" ")[2])
        assert result.status == 0
        assert result.stderr.startswith("32 pushed, 0 failed in ")
        assert sorted(map(int, bodies(server))) == list(range(40))


@pytest.mark.parametrize(("number", "command"), signals_and_loops[:2])
async def test_twice(number: signal.Signals, command: tuple[str, ...], lines: Path, tmp_path: Path) -> None:
    """After a second interrupt, pushes without a response are cancelled, written as unconfirmed, and counted."""
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
        assert where == "interrupted: continue with --resume-from 9"
    why = "interrupted before the response"
    notes = {"topic": TOPIC, "error": "Unconfirmed", "reason": why, "safe": False, "retryable": False}
    assert records(failed) == [{**notes, "event": event, "line": event + 1} for event in (5, 6, 7)]


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """Make a file of 40 lines and a last one that is not a push. Line 5 has a topic of its own."""
    file = tmp_path / "waiting"
    topics = {number: "other" if number == 5 else "one" for number in range(1, 41)}
    lines = [json.dumps({"topic": topic, "event": number}) for number, topic in topics.items()]
    file.write_text("\n".join([*lines, "nonsense"]))
    return file


NOT_SENT = {**dict.fromkeys([2, 3, 4, *range(6, 41)], "ClientClosed"), 41: "InvalidPush"}


@pytest.fixture
def waiting_lines(waiting: Path) -> Iterator[LineReader]:
    with waiting.open("rb") as file:
        yield LineReader(file.fileno())


@asynccontextmanager
async def running(pusher: LinePusher) -> AsyncIterator[None]:
    """Run a pusher, and wait for its end at the end of the block."""
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(pusher.run())
        yield


async def failures(pusher: LinePusher, count: int) -> None:
    """Wait until `count` lines have failed."""
    while pusher.tally.failed < count:  # noqa: ASYNC110  # there is no event to wait for
        await asyncio.sleep(0)


async def test_once_while_lines_wait_for_their_topic(
    waiting_lines: LineReader, failed: FailedFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines that wait for an earlier one of their topic are not pushed. They are written as safe to push again."""
    with hostile(held(), held(reply(401))) as server:
        pusher = LinePusher(AsyncClient(server.url), waiting_lines, Records(), failed=failed, order_by_topic=True)
        async with running(pusher):
            await arrived(server, 2)
            await failures(pusher, 1)
            pusher.interrupt()
            server.release()
        assert pusher.interrupted
        invalid, notice, error, summary, where = capsys.readouterr().err.splitlines()
        assert "line 41" in invalid
        assert "waiting for 2 pushes in flight" in notice
        assert "the broker answered 401" in error
        assert summary.startswith("1 pushed, 2 failed, 38 interrupted in ")
        assert where == "interrupted: continue with --resume-from 42"
        assert len(server.requests) == 2
        refused = {1: 5, 5: 1}[int(bodies(server)[0])]
        said = {each["line"]: each["error"] for each in records(failed.path)}
        assert said == {**NOT_SENT, 5: "AuthRejected"} if refused == 5 else said[1] == "AuthRejected"
        reasons = [each["reason"] for each in records(failed.path) if each["error"] == "ClientClosed"]
        assert reasons == ["interrupted"] * 38
        result = await invoke("push", server.url, "--jsonl", str(failed.path))
        assert "39 pushed, 1 failed in " in result.stderr
        assert sorted(map(int, bodies(server))) == sorted([*range(1, 41), refused])


async def test_once_without_a_file_of_failures_while_lines_wait(
    waiting_lines: LineReader, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file of failures, the lines that were waiting are printed."""
    with hostile(held(), held()) as server:
        pusher = LinePusher(AsyncClient(server.url), waiting_lines, Records(), order_by_topic=True)
        async with running(pusher):
            await arrived(server, 2)
            await failures(pusher, 1)
            pusher.interrupt()
            server.release()
    *_, summary, which, where = capsys.readouterr().err.splitlines()
    assert summary.startswith("2 pushed, 1 failed, 38 interrupted in ")
    assert which == "interrupted: read and not sent: 2-4, 6-40"
    assert where == "interrupted: continue with --resume-from 42"


async def test_twice_while_lines_wait_for_their_topic(
    waiting_lines: LineReader, failed: FailedFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a second interrupt, sent lines are unconfirmed, and waiting lines are safe to push again."""
    with hostile(stall, stall) as server:
        client = AsyncClient(server.url, timeout=60)
        pusher = LinePusher(client, waiting_lines, Records(), failed=failed, order_by_topic=True)
        async with running(pusher):
            await arrived(server, 2)
            await failures(pusher, 1)
            pusher.interrupt()
            pusher.interrupt()
        printed = capsys.readouterr().err
        assert "0 pushed, 1 failed, 40 interrupted in " in printed
        assert printed.endswith("interrupted: continue with --resume-from 42\n")
        said = {each["line"]: each["error"] for each in records(failed.path)}
        assert said == {**NOT_SENT, 1: "Unconfirmed", 5: "Unconfirmed"}
        result = await invoke("push", server.url, "--jsonl", str(failed.path))
        assert result.status == 1
        assert "38 pushed, 1 failed, 2 skipped in " in result.stderr
        assert sorted(map(int, bodies(server))) == list(range(1, 41))


async def test_twice_without_a_file_of_failures(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file of failures, each cancelled line is printed, no matter how many failures were printed before."""
    with hostile(*[stall] * 30) as server, lines.open("rb") as file:
        client = AsyncClient(server.url, timeout=60, concurrency=30)
        pusher = LinePusher(client, LineReader(file.fileno()), Events(TOPIC, None, None))
        async with running(pusher):
            await arrived(server, 30)
            pusher.interrupt()
            pusher.interrupt()
    printed = capsys.readouterr().err
    named = sorted(int(line.split()[2].rstrip(":")) for line in printed.splitlines() if "error: line" in line)
    assert named == list(range(1, 31))
    assert printed.endswith("interrupted: continue with --resume-from 31\n")


async def test_nohup(lines: Path) -> None:
    """Under nohup, SIGHUP does not interrupt the run."""
    with hostile(held()) as server:
        call = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "1")
        async with python(*OUTLIVING, *call) as process:
            await arrived(server, 1)
            process.signal(signal.SIGHUP)
            server.release()
            ended = await process.ended()
    assert ended.status == 0
    assert ended.stderr.startswith("40 pushed, 0 failed in ")


@pytest.mark.parametrize(("number", "command"), signals_and_loops[:2])
async def test_while_it_waits_for_input(number: signal.Signals, command: tuple[str, ...], hub: Hub, join: Join) -> None:
    """An interrupt ends a run that waits for input at once, not after the next line. An incomplete line is ignored."""
    session = await join(hub)
    arguments = ("push", hub.url, "--jsonl", "-", "--topic", TOPIC, "--concurrency", "1")
    async with python(*command, *arguments) as process:
        # One after another: the second line is read after the first response; the third read means that it was counted.
        await process.type('"first"\nnonsense\n')
        await process.complained("line 2")
        await process.type('nonsense\n"four')
        await process.complained("line 3")
        assert await received(session) == ["first"]
        ended = await process.stopped(number)
    assert ended.status == 130
    summary, where = ended.stderr.splitlines()
    assert summary.startswith("1 pushed, 2 failed in ")
    assert where == "interrupted: continue with --resume-from 4"


async def test_while_it_waits_for_its_rate(server: Hostile, lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt ends a run that waits because of `--rate`.

    The run can be resumed with the line that was to be next.
    """
    with lines.open("rb") as file:
        reader = LineReader(file.fileno())
        client, limit = AsyncClient(server.url), RateLimit(0.001)
        pusher = LinePusher(client, reader, Events(TOPIC, None, None), rate_limit=limit)
        async with running(pusher):
            await arrived(server, 1)
            pusher.interrupt()
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted: continue with --resume-from 2"
    assert bodies(server) == [b"0"]


@pytest.fixture
def reading() -> Iterator[LineReader]:
    """Make a reader of a pipe that holds three lines and stays open."""
    descriptor, writing = os.pipe()
    os.write(writing, b"1\n2\n3\n")
    yield LineReader(descriptor)
    os.close(writing)
    os.close(descriptor)


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[FailedFile]:
    with FailedFile(tmp_path / "failed") as file:
        yield file


async def test_a_cancelled_run_gives_every_line_an_outcome(
    reading: LineReader, failed: FailedFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the task of a run is cancelled, every line has an outcome, too."""
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
    assert capsys.readouterr().err.endswith("interrupted: continue with --resume-from 4\n")


async def test_further_interrupts_change_nothing(reading: LineReader, failed: FailedFile) -> None:
    """Events that were never sent stay safe to push again, and those that were sent do not become so."""
    with hostile(stall) as server:
        client = AsyncClient(server.url, timeout=None)
        pusher = LinePusher(client, reading, Events(TOPIC, None, None), failed=failed, order_by_topic=True)
        task = asyncio.create_task(pusher.run())
        await arrived(server, 1)
        while pusher.next_line < 4:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)
        for _ in range(5):
            pusher.interrupt()
        await task
    said = {each["line"]: (each["error"], each["safe"]) for each in records(failed.path)}
    assert said == {1: ("Unconfirmed", False), 2: ("ClientClosed", True), 3: ("ClientClosed", True)}
    assert (pusher.tally.interrupted, pusher.interrupted) == (3, True)


class Endless(LineReader):
    """A reader that always has another line, which is not a push, and never waits."""

    async def lines(self) -> AsyncGenerator[Line]:
        for number in itertools.count(1):
            yield Line(number, b"nonsense")


async def test_during_many_bad_lines(server: Hostile) -> None:
    """An interrupt is handled during a sequence of bad lines, none of which waits for the network."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    pusher = LinePusher(AsyncClient(server.url), Endless(descriptor), Records())
    asyncio.get_running_loop().call_later(0.01, pusher.interrupt)
    await pusher.run()
    os.close(descriptor)
    assert pusher.interrupted
    assert pusher.tally.failed == pusher.next_line - 1


class ReaderWithEnd(LineReader):
    """A reader with an event that is set when all lines have been read."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.ended = asyncio.Event()

    async def lines(self) -> AsyncGenerator[Line]:
        async for each in super().lines():
            yield each
        self.ended.set()


async def test_after_all_lines_have_been_read(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If all lines have been read, the run waits for its pushes and ends normally, without a line to resume from."""
    with hostile(*[held()] * 40) as server, lines.open("rb") as file:
        reader = ReaderWithEnd(file.fileno())
        pusher = LinePusher(AsyncClient(server.url), reader, Events(TOPIC, None, None))
        task = asyncio.create_task(pusher.run())
        await arrived(server, 40)
        await asyncio.wait_for(reader.ended.wait(), PATIENCE)
        pusher.interrupt()
        server.release()
        await task
    assert (pusher.interrupted, pusher.tally.complete, pusher.tally.pushed) == (False, True, 40)
    waiting, summary = capsys.readouterr().err.splitlines()
    assert waiting.startswith("interrupted: waiting for 40 pushes in flight")
    assert summary.startswith("40 pushed, 0 failed in ")


async def test_lines_that_cannot_be_read(server: Hostile, lines: Path) -> None:
    """If the lines cannot be read, the error says where to resume, as after an interrupt."""
    with lines.open("ab") as written_only:
        pusher = LinePusher(AsyncClient(server.url), LineReader(written_only.fileno()), Records(), first=17)
        with pytest.raises(Failure, match="cannot read the lines: Bad file descriptor; continue with --resume-from 17"):
            await pusher.run()
    assert not pusher.interrupted
