"""Standard input, output and error may be closed, as by `<&-`. No file or socket may get their descriptors."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import rich_click as click

from webmqconnect_async import AsyncClient
from webmqconnect_async._cli.stdio import closed_stream
from webmqconnect_async.errors import ConnectFailed
from webmqconnect_async.hub import Hub

from ..hostile import ACCEPTED, Hostile, answer, bodies, held, hostile, reply
from ..processes import FORCED, MODULE, PATIENCE, WITHOUT_UVLOOP, python, webmqconnect
from .conftest import COMMANDS, TOPIC, Join, invoke_here, nothing_but, push_event

ALL = (0, 1, 2)


@pytest.mark.parametrize(
    ("command", "closed"),
    [(MODULE, (0,)), (MODULE, (1,)), (MODULE, (2,)), (MODULE, ALL), (WITHOUT_UVLOOP, ALL)],
    ids=["stdin", "stdout", "stderr", "all", "all-asyncio"],
)
async def test_an_accepted_push_exits_0(
    command: tuple[str, ...], closed: tuple[int, ...], hub: Hub, join: Join
) -> None:
    """An accepted push exits with 0, because the caller would push again otherwise, and the event arrives once."""
    session = await join(hub)
    async with python(*command, "push", hub.url, TOPIC, "17", closed=closed) as process:
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "" if 2 in closed else "accepted\n")
    await nothing_but(session, hub, 17)


async def test_lines_of_a_file(tmp_path: Path) -> None:
    """Lines of a file are pushed.

    The file of failures contains its records, and no output that was meant for a stream.
    """
    lines, failed = tmp_path / "lines", tmp_path / "failed"
    lines.write_text("1\n2\nnonsense\n")
    with hostile(answer(ACCEPTED), answer(reply(401))) as server:
        options = ("--jsonl", str(lines), "--topic", TOPIC, "--failed", str(failed), "--concurrency", "1")
        ended = await webmqconnect("push", server.url, *options, closed=ALL)
        assert bodies(server) == [b"1", b"2"]
    assert (ended.status, ended.stdout, ended.stderr) == (1, "", "")
    assert sorted(json.loads(line)["line"] for line in failed.read_text().splitlines()) == [2, 3]


async def test_lines_of_standard_input(server: Hostile) -> None:
    async with python(*MODULE, "push", server.url, "--jsonl", "-", "--topic", TOPIC, closed=(1, 2)) as process:
        await process.type("1\n2")
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")
    assert sorted(bodies(server)) == [b"1", b"2"]


async def test_reading_lines_from_a_closed_standard_input_is_an_error() -> None:
    """Reading lines from a closed standard input is an error, because a run without lines would look like a success."""
    ended = await webmqconnect("push", "http://127.0.0.1:1", "--jsonl", "-", "--topic", TOPIC, closed=(0,))
    assert (ended.status, ended.stdout) == (2, "")
    assert "standard input is closed" in ended.stderr


async def test_writing_failures_to_a_closed_standard_output_is_an_error(tmp_path: Path) -> None:
    """Writing failures to a closed standard output is an error, because the failures would be lost."""
    (tmp_path / "lines").write_text("1\n")
    options = ("--jsonl", str(tmp_path / "lines"), "--topic", TOPIC, "--failed", "/dev/stdout")
    ended = await webmqconnect("push", "http://127.0.0.1:1", *options, closed=(1,))
    assert ended.status == 2
    assert "standard output is closed" in ended.stderr


@pytest.mark.parametrize(
    ("closed", "path", "stream"),
    [
        ("stdin", "/dev/stdin", "standard input"),
        ("stdin", "/dev/fd/0", "standard input"),
        ("stdin", "/dev/stdout", None),
        ("stdin", "/dev/null", None),
        ("stdout", "/dev/stdout", "standard output"),
        ("stdout", "/dev/fd/1", "standard output"),
        ("stderr", "/dev/stderr", "standard error"),
        ("stderr", "/proc/self/fd/2", "standard error"),
    ],
)
def test_the_path_of_a_closed_stream_is_an_error(
    closed: str, path: str, stream: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, f"__{closed}__", None)
    assert closed_stream(path) == stream


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (name, parameter.opts[0])
        for name, command in COMMANDS.items()
        for parameter in command.params
        if isinstance(parameter.type, click.Path)
    ],
)
def test_every_option_that_names_a_file_is_checked(
    command: str, option: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stdin__", None)
    ended = invoke_here(*command.split(), option, path)
    assert ended.status == 2
    assert f"'{option}': standard input is closed." in ended.stderr


async def test_interrupted_push() -> None:
    with hostile(held()) as server:
        async with python(*MODULE, "push", server.url, TOPIC, "1", closed=ALL) as process:
            await asyncio.to_thread(server.until, lambda: bool(server.requests))
            ended = await process.stopped(signal.SIGINT)
        server.release()
    assert (ended.status, ended.stdout, ended.stderr) == (130, "", "")


# Commands that print


async def test_events_are_printed(hub: Hub) -> None:
    """`listen` prints events as topic, tab and JSON, without colours even if the environment forces them."""
    async with python(*MODULE, "listen", hub.url, TOPIC, "--count", "1", closed=(0,), env=FORCED) as process:
        await process.complained("subscribed to")
        await push_event(hub, 17)
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"{TOPIC}\t17\n", "")


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (("listen", "http://127.0.0.1:1", TOPIC), (1,)),
        (("explain", "http://127.0.0.1:1", TOPIC, "1"), (1,)),
        (("completion", "bash"), ALL),
    ],
    ids=str,
)
async def test_a_command_that_only_prints_needs_standard_output(
    arguments: tuple[str, ...], closed: tuple[int, ...]
) -> None:
    """A command that does nothing but print is refused if standard output is closed."""
    ended = await webmqconnect(*arguments, closed=closed)
    assert (ended.status, ended.stdout) == (2, "")
    assert ("standard output is closed: nothing would be shown." in ended.stderr) is (2 not in closed)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("argument", ["--version", "demo"])
async def test_demo_runs_without_output(argument: str) -> None:
    """`demo` runs without output, because its exit status also says whether its checks passed."""
    ended = await webmqconnect(argument, closed=ALL)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc, which shows what is open")
async def test_hub_serves_without_standard_streams() -> None:
    """The hub serves and prints nothing. None of its sockets has the descriptor of a standard stream."""
    async with Hub(port=0) as hub:
        port = hub.url.rpartition(":")[2]
    async with (
        python(*MODULE, "hub", "--port", port, closed=ALL) as process,
        AsyncClient(f"http://127.0.0.1:{port}") as client,
        asyncio.timeout(PATIENCE),
    ):
        while True:
            try:
                await client.push(TOPIC, 1)
                break
            except ConnectFailed:
                await asyncio.sleep(0.05)
        assert [os.readlink(f"/proc/{process.pid}/fd/{each}") for each in ALL] == [os.devnull] * 3
        ended = await process.stopped(signal.SIGTERM)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "")
