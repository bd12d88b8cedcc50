"""A failing stderr changes no outcome of a push. A failing stdout is an error of the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from webmqconnect_async.hub import Hub

from ..hostile import Hostile, bodies, held, hostile, reply
from ..processes import MODULE, PATIENCE, Process
from .conftest import TOPIC, push_event

COUNT = 60
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | {"TERM": "xterm"}
"""The environment without PYTHONUNBUFFERED. Python then buffers output, and tries to write the rest again at exit."""


@pytest.fixture
def server() -> Iterator[Hostile]:
    """Run a broker that refuses every push once it is released."""
    with hostile(*[held(reply(401))] * 3, accepted=reply(401)) as server:
        yield server


class Run:
    """A run of `push` with COUNT lines, and its file of failures."""

    def __init__(self, server: Hostile, tmp_path: Path) -> None:
        self.failed = tmp_path / "failed"
        lines = tmp_path / "lines"
        lines.write_text("".join(f"{number}\n" for number in range(COUNT)))
        arguments = ("push", server.url, "--jsonl", lines, "--topic", TOPIC, "--concurrency", "3")
        self.command = [sys.executable, "-W", "error", *MODULE, *map(str, arguments), "--failed", str(self.failed)]
        self._server = server

    async def begin(self, *, before: Sequence[str] = (), **outputs: Any) -> asyncio.subprocess.Process:
        """Start the run, optionally with a command of the shell before it."""
        return await asyncio.create_subprocess_exec(*before, *self.command, env=BUFFERED, **outputs)

    async def is_complete(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the end, and check that every line was pushed and every failure recorded."""
        await asyncio.wait_for(process.wait(), PATIENCE)
        assert process.returncode == 1
        assert sorted(map(int, bodies(self._server))) == list(range(COUNT))
        refused = [json.loads(line)["event"] for line in self.failed.read_text().splitlines()]
        assert sorted(refused) == list(range(COUNT))


async def test_standard_error_on_a_full_disk(server: Hostile, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    server.release()
    with open("/dev/full", "w") as full:
        await run.is_complete(await run.begin(stderr=full))


async def test_the_reader_closes_the_pipe(server: Hostile, tmp_path: Path) -> None:
    """The reader closes the pipe of stdout and stderr before anything is printed, as `2>&1 | head -1` may."""
    run = Run(server, tmp_path)
    reading, writing = os.pipe()
    process = await run.begin(stdout=writing, stderr=writing)
    os.close(writing)
    await asyncio.to_thread(server.until, lambda: len(server.requests) == 3)
    os.close(reading)
    server.release()
    await run.is_complete(process)


async def test_standard_error_is_closed(server: Hostile, tmp_path: Path) -> None:
    run = Run(server, tmp_path)
    server.release()
    await run.is_complete(await run.begin(before=("sh", "-c", 'exec "$@" 2>&-', "sh")))


async def test_full_pipe_that_does_not_block(server: Hostile, tmp_path: Path) -> None:
    """Output to a full non-blocking pipe is written completely, no matter how late it is read."""
    run = Run(server, tmp_path)
    server.release()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = os.write(writing, bytes(1 << 20))
    process = await run.begin(stderr=writing)
    os.close(writing)
    await asyncio.to_thread(server.until, lambda: bool(server.requests))  # the second line may wait for the pipe
    with os.fdopen(reading, "rb") as stream:
        said = (await asyncio.to_thread(stream.read))[filled:].decode()
    await run.is_complete(process)
    assert said.count("error: line") == 20
    assert f"0 pushed, {COUNT} failed in " in said


async def test_the_terminal_is_closed(server: Hostile, tmp_path: Path) -> None:
    """Under nohup, a run with a progress bar continues after its terminal was closed."""
    run = Run(server, tmp_path)
    ours, theirs = os.openpty()

    def outlive() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = await run.begin(stderr=theirs, preexec_fn=outlive)
    os.close(theirs)
    await asyncio.to_thread(server.until, lambda: len(server.requests) == 3)
    os.close(ours)
    server.release()
    await run.is_complete(process)


@pytest.mark.parametrize(("arguments", "status"), [(["push", "--nonsense"], 2), (["--version"], 0)])
async def test_status_of_other_commands(arguments: list[str], status: int) -> None:
    with open("/dev/full", "w") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *MODULE, *arguments), env=BUFFERED, stdout=asyncio.subprocess.DEVNULL, stderr=full
        )
        assert await asyncio.wait_for(process.wait(), PATIENCE) == status


@pytest.mark.parametrize(
    "arguments",
    [("push", "--help"), ("completion", "bash"), ("explain", "http://127.0.0.1:1", "t", "1"), ("hub", "--port", "0")],
    ids=lambda arguments: str(arguments[0]),
)
async def test_standard_output_cannot_be_written(arguments: tuple[str, ...]) -> None:
    """If stdout cannot be written, one line on stderr says so, whether click, rich or the command prints."""
    with open("/dev/full", "w") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *MODULE, *arguments), env=BUFFERED, stdout=full, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 1
    assert stderr == b"error: cannot write to standard output: No space left on device\n"


async def test_the_reader_of_standard_output_closes_it() -> None:
    """If the reader closes stdout, as `| head` does, no error is printed, and the exit status is not Python's 120."""
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *MODULE, "--help"), env=BUFFERED, stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, stderr) == (1, b"")


@pytest.mark.parametrize(("command", "blocking"), [("listen", True), ("hub", False)])
async def test_interrupted_while_it_waits_for_standard_output(command: str, blocking: bool, hub: Hub) -> None:
    """While stdout is a full pipe that nobody reads, the second Ctrl-C ends the process."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = os.write(writing, bytes(1 << 20))
    os.set_blocking(writing, blocking)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ("hub", "--port", str(port)) if command == "hub" else ("listen", hub.url, TOPIC)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *MODULE, *arguments), env=BUFFERED, stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    if command == "listen":
        assert process.stderr is not None
        await process.stderr.readline()
        await push_event(hub, "x")
    else:
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)):  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.01)
    assert await Process(process).pestered(signal.SIGINT) == -signal.SIGINT
    assert len(os.read(reading, 1 << 20)) == filled
    os.close(reading)
