"""The progress of a run: a bar that is removed at the end on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from webmqconnect_async._cli.push.progress import Tally, ranges, summary

from ..hostile import ACCEPTED, answer, held, hostile, reply
from ..processes import FORCED, MODULE, PATIENCE, python
from .conftest import TOPIC


@pytest.mark.parametrize(
    ("tally", "seconds", "said"),
    [
        (Tally(12345, 2), 3.1, "12,345 pushed, 2 failed in 3.1 s (3,982/s)"),
        (Tally(), 0.0, "0 pushed, 0 failed in 0.0 s (0.0/s)"),
        (Tally(3), 2000.0, "3 pushed, 0 failed in 2,000.0 s (0.0/s)"),
        (Tally(10, 1, 1000, 50), 2.0, "10 pushed, 1 failed, 1,000 skipped, 50 interrupted in 2.0 s (5.0/s)"),
    ],
)
def test_summary(tally: Tally, seconds: float, said: str) -> None:
    assert summary(tally.counts(), seconds) == said


@pytest.mark.parametrize("tally", [Tally(1, 1), Tally(1, 0, 1), Tally(1, 0, 0, 1)])
def test_a_run_is_complete_only_without_skipped_and_cancelled_lines(tally: Tally) -> None:
    """A run with lines that were skipped or cancelled is not complete, like one with failures."""
    assert not tally.complete
    assert Tally(1).complete


@pytest.mark.parametrize(
    ("numbers", "said"), [([], ""), ([7], "7"), ([3, 9, 5, 8, 7, 6], "3, 5-9"), ([1, 2, 4, 5], "1-2, 4-5")]
)
def test_ranges(numbers: list[int], said: str) -> None:
    assert ranges(numbers) == said


class Terminal:
    """The controlling side of a pseudo-terminal, and the process that writes to it."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self.screen = ""
        """The output so far, including control characters."""

    async def shows(self, pattern: str) -> None:
        """Wait until the output matches the pattern."""
        while not re.search(pattern, self.screen):
            chunk = await asyncio.wait_for(asyncio.to_thread(os.read, self._descriptor, 65536), PATIENCE)
            self.screen += chunk.decode()

    async def type(self, data: bytes) -> None:
        """Write to the process's stdin, which is a pipe."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def ended(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await asyncio.wait_for(self._process.wait(), PATIENCE)


@asynccontextmanager
async def terminal(*arguments: str, columns: int = 100, term: str = "xterm-256color") -> AsyncIterator[Terminal]:
    """Run the command line with a terminal as its stderr."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *MODULE, *arguments),
        stdin=pipe,
        stderr=theirs,
        env=environment | {"TERM": term},
    )
    try:
        yield Terminal(ours, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(theirs)
        os.close(ours)


async def test_bar(tmp_path: Path) -> None:
    """The bar shows share, counts, rate and time left, with failures above it. At the end only the summary is left."""
    lines = tmp_path / "lines"
    lines.write_text("12345678\n" * 10)
    with hostile(*[answer(ACCEPTED)] * 3, answer(reply(401)), held()) as server:
        arguments = ("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, "--concurrency", "1")
        async with terminal(*arguments, columns=60) as shown:
            # The fifth line is pushed and has no response yet: the bar does not wait for one.
            await shown.shows(r" 50%.*3 pushed.*1 failed.*/s.*left")
            failure, frame = shown.screen.index("line 4: the broker answered 401"), shown.screen.rindex(" 50%")
            assert failure < frame
            assert not re.search(r"\[(?:bold|green|cyan|dim)", shown.screen), "markup is interpreted"
            assert "━" in shown.screen
            assert "\x1b[?25l" in shown.screen
            # No frame is longer than a line, minus room for the ^C that a terminal appends.
            plain = re.sub(r"\x1b\[[0-9;?]*[a-ln-z]|\x1b\[[0-9;]*m", "", shown.screen)
            frames = [frame for frame in re.split(r"\r|\n|\x1b\[2K", plain) if "%" in frame]
            assert frames
            assert max(map(len, frames)) <= 60
            assert max(len(frame.rstrip()) for frame in frames) <= 57
            server.release()
            await shown.shows(r"9 pushed, 1 failed in [^\n]*/s\)[^\n]*\n")
            assert await shown.ended() == 1
    after = shown.screen.rpartition("left")[2]
    assert "\x1b[2K" in after, "the bar is not removed"
    assert "\x1b[?25h" in after, "the cursor is not shown again"
    assert "━" not in after


async def test_the_bar_of_a_pipe_shows_no_share(tmp_path: Path) -> None:
    """The size of a pipe is unknown, so the bar shows counts without a share."""
    with hostile(answer(ACCEPTED), held()) as server:
        async with terminal("push", server.url, "--jsonl", "-", "--topic", TOPIC) as shown:
            await shown.type(b"1\n2\n")
            await shown.shows("1 pushed.*0 failed.*/s")
            server.release()
            assert await shown.ended() == 0
            await shown.shows("2 pushed, 0 failed in ")
    assert "%" not in shown.screen
    assert "left" not in shown.screen


async def test_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("1\nnonsense\n")
    with hostile() as server:
        async with terminal("push", server.url, "--jsonl", str(lines), "--topic", TOPIC, term="dumb") as shown:
            await shown.shows("1 pushed, 1 failed in .*\n")
            assert await shown.ended() == 1
    assert "\x1b" not in shown.screen
    assert "%" not in shown.screen


async def test_piped_output_has_no_bar(tmp_path: Path) -> None:
    """Piped output has no bar and no control characters, even if colours are forced; those of a line are escaped."""
    lines = tmp_path / "lines"
    lines.write_text('1\n{"\x1b[31m\n2\n')
    with hostile(held()) as server:
        server.release_at(2)
        async with python(
            *(*MODULE, "push", server.url, "--jsonl", str(lines), "--topic", TOPIC),
            env={"TERM": "xterm", **FORCED},
        ) as process:
            ended = await process.ended()
    assert (ended.status, ended.stdout) == (1, "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ended.stderr)
    error, summary = ended.stderr.splitlines()
    assert error.startswith("error: line 2: not JSON: ")
    assert summary.startswith("2 pushed, 1 failed in ")
