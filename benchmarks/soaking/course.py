"""One run: starts producers, proxy and hub, kills the hub several times, and judges the reports."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from benchmarks.processes import ROOT

from .plan import TIMEOUT, Plan
from .proxy import Proxy
from .reports import read_journal, read_reports, read_samples
from .steadiness import Steadiness, steadiness
from .verdict import Verdict, judged

_LONGEST = 120.0
"""Seconds that a run may take, plus 10 ms for each push."""

_SPARE_DESCRIPTORS = 16
"""Files of the event loop, the two files of the producers, and sockets that are being closed while others open."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    plan: Plan
    seconds: float
    kills: int
    requests: int
    """Requests that reached the proxy."""
    faults: Mapping[str, int]
    verdict: Verdict
    steady: Steadiness
    failures: list[str]
    """The guarantees that were broken."""


async def run(plan: Plan) -> Outcome:
    """Run a plan to its end, or to its time limit."""
    began = time.monotonic()
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("journal", "reports", "samples", "complaints"):
            (folder / file).touch()
        async with Proxy(plan) as proxy, _hub(folder) as hub, asyncio.TaskGroup() as group:
            proxy.hub = await hub.start()
            killing = group.create_task(_kill(plan, proxy, hub))
            try:
                said, complaints = await _produce(plan, proxy.url, folder)
            finally:
                killing.cancel()
            stayed = await proxy.left(5 * TIMEOUT)
        seconds = time.monotonic() - began
        left: dict[str, int] = json.loads(said or "{}")
        verdict = judged(plan, read_reports(folder / "reports"), list(read_journal(hub.journal)), left)
        most = left.get("descriptors before", 0) + left.get("slots", 0) + _SPARE_DESCRIPTORS
        steady = steadiness(list(read_samples(folder / "samples")), most)
        failures = [*verdict.failures, *steady.failures, *_left_behind(left)]
        if hub.kills != plan.kills:
            failures.append(f"the hub was killed {hub.kills} times in place of {plan.kills}")
        if stayed:
            failures.append(f"{stayed} connections stayed open after all clients were closed")
        for what, words in (("producers", complaints), ("hub", hub.complaints.read_text())):
            failures += [f"the {what} said: {line}" for line in words.splitlines()[-20:]]
        failures += [f"the proxy says: {complaint}" for complaint in proxy.complaints]
    return Outcome(plan, seconds, hub.kills, proxy.requests, dict(proxy.faults), verdict, steady, failures)


class _Hub:
    """The process of the hub, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal"
        self.complaints = folder / "complaints"
        self.kills = 0
        self._process: Process | None = None

    async def start(self) -> int:
        """Start the hub, and return its port."""
        with self.complaints.open("a") as complaints:
            self._process = await _python("hub", str(self.journal), stdin=PIPE, stdout=PIPE, stderr=complaints)
        return int(await self._process.stdout.readline()) if self._process.stdout else 0

    async def kill(self) -> None:
        """Kill the hub without a clean shutdown."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await process.wait()


@asynccontextmanager
async def _hub(folder: Path) -> AsyncIterator[_Hub]:
    hub = _Hub(folder)
    try:
        yield hub
    finally:
        await hub.kill()


async def _kill(plan: Plan, proxy: Proxy, hub: _Hub) -> None:
    """Kill the hub as often as planned, and restart it each time. Every second time, refuse connections meanwhile."""
    for place, requests in enumerate(plan.kills_at()):
        await proxy.reached(requests)
        killed = asyncio.create_task(hub.kill())
        proxy.hub = None
        hub.kills += 1
        await killed
        pause = plan.dice("pause", place).uniform(0.1, 0.5)
        if place % 2:
            await asyncio.sleep(pause)
            proxy.hub = await hub.start()
        else:
            with proxy.refusing():
                await asyncio.sleep(pause)
                proxy.hub = await hub.start()


async def _produce(plan: Plan, url: str, folder: Path) -> tuple[str, str]:
    """Run the producers, and return their output and their error output."""
    process = await _python(
        "producers", url, str(folder), json.dumps(asdict(plan)), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(_LONGEST + plan.pushes * 0.01):
            said, complaints = await process.communicate()
    except TimeoutError:
        return "", "nothing for too long: they were killed"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(), complaints.decode()


def _left_behind(left: Mapping[str, int]) -> list[str]:
    """Return which resources the producers' process still held after all clients were closed."""
    if not left:
        return ["the producers did not come to their end"]
    failures = [f"{left[what]} {what} were left" for what in ("tasks", "threads") if left[what]]
    before, after = left["descriptors before"], left["descriptors after"]
    if before != after:
        failures.append(f"{after} files are open at the end, {before} were at the beginning")
    return failures


async def _python(module: str, *arguments: str, stdin: int, stdout: int, stderr: int | IO[str]) -> Process:
    """Start a module of this folder; warnings are errors there."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", f"benchmarks.soaking.{module}", *arguments),
        cwd=ROOT,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
