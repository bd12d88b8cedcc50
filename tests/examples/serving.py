"""Runs examples that are servers, each with its command, in a process of its own, on a free port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Process, python

EXAMPLES = Path(__file__).parents[2] / "examples"

_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Site:
    """A server that listens."""

    url: str
    """Its URL, without a path: `http://127.0.0.1:43211`."""
    process: Process

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]


@asynccontextmanager
async def serving(*arguments: str, says: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Site]:
    """Run Python with these arguments until the end of the block, and yield once it listens.

    Args:
        arguments: a path to an example, or `-m` and a module.
        says: a text in the line, of stdout or stderr, in which the server prints its URL.
        env: further variables of the environment. PORT and HUB_PORT are 0, a free one, if they are not among them.
    """
    environment = {"PORT": "0", "HUB_PORT": "0", "PYTHONUNBUFFERED": "1", **(env or {})}
    async with python(*arguments, env=environment) as process:
        address = _ADDRESS.search(await _either(process, says))
        assert address is not None, f"no address beside {says!r}"
        yield Site(f"http://{address[0]}", process)


async def _either(process: Process, text: str) -> str:
    """Return the line with the text, from either output."""
    outputs = {asyncio.ensure_future(process.said(text)), asyncio.ensure_future(process.complained(text))}
    waiting, silent = outputs, []
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for output in done:
                if output.exception() is None:
                    return output.result()
                silent.append(str(output.exception()))
    finally:
        for output in waiting:
            output.cancel()
        await asyncio.gather(*outputs, return_exceptions=True)
    raise AssertionError("; ".join(silent))
