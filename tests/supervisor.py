"""Runs hubs as processes, which can be killed and started again on the same port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import aiohttp

from .processes import MODULE, PATIENCE
from .redis_server import free_port

_ROOT = Path(__file__).parents[1]
_SIGNS = ("Traceback", "Exception ignored", "was never retrieved", "never awaited", "Unclosed")
"""Texts that the log of a hub without bugs does not contain."""


class HubExited(Exception):
    """The hub ended before it was ready. The message has its status and its output."""


class HubProcess:
    """A hub as a process. `async with` runs it.

    Args:
        name: the name of its log.
        folder: the folder for its log.
        backplane: the URL of Redis for the hub. `None`: it has no backplane.
        options: further options of the command line.
    """

    def __init__(self, name: str, folder: Path, backplane: str | None, options: Sequence[str] = ()) -> None:
        self.name = name
        self.port = free_port()
        self.command: Sequence[str] = (*MODULE, "hub")
        """The arguments of Python that run a hub, before the options `--port` and `--backplane`."""
        self.starts = 0
        self._log = folder / f"{name}.log"
        self._options = [*(("--backplane", backplane) if backplane else ()), *options]
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The output of all processes of this hub."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether the process runs. The hub may not be ready yet."""
        return self._process is not None and self._process.returncode is None

    def complaints(self) -> list[str]:
        """Return the lines of the log that show a bug, with the lines around the first."""
        lines = self.log.splitlines()
        found = [number for number, line in enumerate(lines) if any(sign in line for sign in _SIGNS)]
        shown = "\n".join(lines[max(0, found[0] - 2) : found[0] + 30]) if found else ""
        return [f"{self.name}: {len(found)} complaints in its log, the first:\n{shown}"] if found else []

    async def start(self) -> None:
        """Start the hub, and return when /readyz reports that it is ready.

        Raises:
            HubExited: it has ended instead.
        """
        assert not self.running
        before = len(self.log)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEBMQ_")}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", *self.command, "--port", str(self.port), *self._options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=_ROOT,
            )
        self.starts += 1
        async with asyncio.timeout(PATIENCE):
            while not await self.ready():
                if self._process.returncode is not None:
                    raise HubExited(f"status {self._process.returncode}: {self.log[before:]}")
                await asyncio.sleep(0.02)

    async def start_again_and_again(self) -> None:
        """Start the hub until it keeps running, as a supervisor does: without Redis, a hub ends at once."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.start()
                except HubExited:
                    await asyncio.sleep(0.2)

    async def kill(self) -> None:
        """End the process by SIGKILL, if it is running."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End the process by SIGTERM, and return its status."""
        return await self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Suspend the process (SIGSTOP): it keeps its connections and does not respond."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the process (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def ready(self) -> bool:
        """Request /readyz once."""
        with suppress(aiohttp.ClientError, TimeoutError):
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{self.url}/readyz") as response:
                return response.status == 200
        return False

    async def until_ready(self) -> None:
        """Wait until /readyz reports that the hub is ready.

        Raises:
            HubExited: it has ended instead.
            TimeoutError: it is not ready.
        """
        async with asyncio.timeout(PATIENCE):
            while not await self.ready():
                if not self.running:
                    raise HubExited(f"{self.name} has ended by itself: {self.log[-2000:]}")
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.kill()

    async def _end(self, number: int) -> int:
        process = self._process
        if process is None:
            return 0
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            return await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
