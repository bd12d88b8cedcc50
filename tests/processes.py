"""Runs commands in a process of their own. Tests wait for their output, never for time to pass."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

PATIENCE = 60.0
_OURS = ("WEBMQ_", "FORCE_COLOR", "NO_COLOR", "COLUMNS")
"""Prefixes of variables that a process gets only if its test sets them."""

MODULE = ("-m", "webmqconnect_async")
WITHOUT_UVLOOP = ("-c", "import sys; sys.modules['uvloop'] = None; from webmqconnect_async._cli import main; main()")
FORCED = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "PY_COLORS": "1", "GITHUB_ACTIONS": "true", "CI": "true"}
"""Variables that make rich or rich-click colour their output."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The status of a process that has ended, and its output that was not read before."""

    status: int
    stdout: str
    stderr: str


class Process:
    """A running process. Its output is UTF-8."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def said(self, text: str) -> str:
        """Return the next line of stdout that contains the text."""
        return await _line_with(text, self._process.stdout)

    async def complained(self, text: str) -> str:
        """Return the next line of stderr that contains the text."""
        return await _line_with(text, self._process.stderr)

    async def type(self, text: str) -> None:
        """Write to stdin, which stays open."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> Ended:
        """Close stdin and wait for the end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        stdout, stderr = await asyncio.wait_for(self._process.communicate(), PATIENCE)
        assert self._process.returncode is not None
        return Ended(self._process.returncode, stdout.decode(), stderr.decode())

    async def stopped(self, number: int) -> Ended:
        """Send a signal, leave stdin open, and wait for the end."""
        self.signal(number)
        await asyncio.wait_for(self._process.wait(), PATIENCE)
        return await self.ended()

    async def pestered(self, number: int) -> int:
        """Send a signal repeatedly until the process ends, because Python handles two pending ones as one.

        Return the status.
        """
        async with asyncio.timeout(PATIENCE):
            while self._process.returncode is None:
                self.signal(number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 0.02)
        return self._process.returncode

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def python(
    *arguments: str, env: Mapping[str, str] | None = None, closed: Iterable[int] = ()
) -> AsyncIterator[Process]:
    """Run Python with these arguments; warnings are errors, and stdin, stdout and stderr are pipes unless closed."""
    pipe = asyncio.subprocess.PIPE
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    command = [sys.executable, "-W", "error", *arguments]
    if closing := " ".join(f"{descriptor}>&-" for descriptor in closed):
        command = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
    process = Process(
        await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment | dict(env or {}),
        )
    )
    try:
        yield process
    finally:
        await process.kill()


async def webmqconnect(*arguments: str, env: Mapping[str, str] | None = None, closed: Iterable[int] = ()) -> Ended:
    """Run the command line to its end."""
    async with python(*MODULE, *arguments, env=env, closed=closed) as process:
        return await process.ended()


async def _line_with(text: str, stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    passed = []
    while line := await asyncio.wait_for(stream.readline(), PATIENCE):
        passed.append(line.decode().rstrip("\n"))
        if text in passed[-1]:
            return passed[-1]
    raise AssertionError(f"{text!r} was not said, only {passed}")
