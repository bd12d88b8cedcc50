"""Redis, several hubs, a proxy between each hub and Redis, and nginx in front of the hubs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.nginx import proxied
from tests.redis_server import RedisServer
from tests.supervisor import HubProcess
from tests.tcp_proxy import TcpProxy

SCRIPT = ("-m", "tests.hub.backplane.hub_process")

_HOST = "proxy_set_header Host $http_host;"  # the hubs share a name that belongs to none of them


@dataclass(frozen=True, slots=True)
class Fleet:
    """The servers that the steps of a course act on.

    Args:
        folder: the folder for files.
        random: the random source.
        redis: Redis with appendonly.
        ways: the proxy between each hub and Redis.
        hubs: all hubs.
        url: the URL of nginx.
        outage: how many seconds an outage takes at most.
    """

    folder: Path
    random: Random
    redis: RedisServer
    ways: Sequence[TcpProxy]
    hubs: Sequence[HubProcess]
    url: str
    outage: float
    hub_locks: Sequence[asyncio.Lock]
    """Held while a hub is down or cut off, so that steps at the same time choose different hubs."""
    redis_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during a step that affects Redis."""
    data_losses: list[tuple[float, float]] = field(default_factory=list)
    """The periods in which Redis lost data, as start and end by `time.monotonic()`."""
    turns: list[int] = field(default_factory=list)
    """The hubs that are killed next, in order."""

    @asynccontextmanager
    async def one_hub(self) -> AsyncIterator[int]:
        """Choose a hub, in turn, and yield its number."""
        if not self.turns:
            self.turns.extend(self.random.sample(range(len(self.hubs)), len(self.hubs)))
        number = self.turns.pop()
        async with self.hub_locks[number]:
            yield number

    @asynccontextmanager
    async def all_hubs(self) -> AsyncIterator[Sequence[HubProcess]]:
        """Wait until no other step affects any hub."""
        async with AsyncExitStack() as stack:
            for lock in self.hub_locks:
                await stack.enter_async_context(lock)
            yield self.hubs

    @contextmanager
    def losing_data(self) -> Iterator[None]:
        """Record that Redis loses data in this block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.data_losses.append((began, time.monotonic()))

    async def settled(self) -> None:
        """Wait until all hubs are ready."""
        await asyncio.gather(*(hub.until_ready() for hub in self.hubs))

    def complaints(self) -> list[str]:
        """Return the warnings and errors in the logs of the hubs."""
        return [complaint for hub in self.hubs for complaint in hub.complaints()]


@asynccontextmanager
async def running(
    folder: Path, random: Random, hubs: int, outage: float, command: Sequence[str] | None = None
) -> AsyncIterator[Fleet]:
    """Run a fleet.

    Args:
        folder: the folder for files.
        random: the random source.
        hubs: the number of hubs.
        outage: how many seconds an outage takes at most.
        command: the arguments of Python that run a hub. `None`: those of the command line.
    """
    async with AsyncExitStack() as stack:
        redis = RedisServer(folder / "redis")
        stack.callback(redis.kill)
        await asyncio.to_thread(redis.start)
        ways = [await stack.enter_async_context(TcpProxy(redis.port)) for _ in range(hubs)]
        processes = [
            HubProcess(f"hub{number}", folder, f"redis://127.0.0.1:{way.port}/0") for number, way in enumerate(ways)
        ]
        for each in processes:
            each.command = command or each.command
            stack.push_async_callback(each.kill)
        await asyncio.gather(*(each.start() for each in processes))
        (folder / "nginx").mkdir()
        url = await stack.enter_async_context(
            proxied(folder / "nginx", *(each.url for each in processes), headers=_HOST)
        )
        yield Fleet(folder, random, redis, ways, processes, url, outage, [asyncio.Lock() for _ in range(hubs)])
