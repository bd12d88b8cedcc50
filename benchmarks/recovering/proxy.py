"""A proxy between one subscriber and its hub that breaks connections at random times and in random ways."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import Counter
from random import Random
from typing import Self

from .link import Fault, Link

__all__ = ["Proxy"]

_DRAWN = [fault for fault in Fault if fault is not Fault.CALL]


class Proxy:
    """The proxy; `async with` runs it.

    Args:
        hub: the port of the hub.
        random: the random source of all faults.
    """

    def __init__(self, hub: int, random: Random) -> None:
        self.calm = True
        """Whether new connections stay unbroken."""
        self.session: str | None = None
        """The ID of the latest session that the hub has opened. The subscriber may not have received it yet."""
        self.cuts: Counter[Fault] = Counter()
        self._hub = hub
        self._random = random
        self._refused_until = 0.0
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The URL to subscribe at."""
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ws"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, outage: float = 0) -> None:
        """Cut the connection, and refuse new ones for this number of seconds."""
        self._refused_until = asyncio.get_running_loop().time() + outage
        for link in self._links:
            link.cut(Fault.CALL, reset=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            if loop.time() < self._refused_until:
                raise ConnectionRefusedError
            hub = await asyncio.open_connection("127.0.0.1", self._hub)
        except OSError:  # the proxy refuses connections, or the hub is being restarted
            await reader.read(1)  # Node.js 20 ignores a close before it has sent anything
            writer.transport.abort()
            return
        link = Link((reader, writer), hub, self._welcomed)
        self._links.add(link)
        trouble = None if self.calm else loop.create_task(self._trouble(link))
        try:
            await link.forward()
        finally:
            if trouble is not None:
                trouble.cancel()
            self._links.discard(link)
            link.close()
        if link.fault is not None:
            self.cuts[link.fault] += 1
            if not (self.calm or link.fault is Fault.CALL):
                self._refused_until = loop.time() + self._outage()

    def _welcomed(self, session: str) -> None:
        self.session = session

    def _outage(self) -> float:
        """Return for how many seconds connections are refused after a cut: often 0."""
        return self._random.choice((0, 0, 0, self._random.uniform(0, 0.2), self._random.uniform(0.2, 2)))

    async def _trouble(self, link: Link) -> None:
        """Break a connection in a random way."""
        random = self._random
        fault = random.choice(_DRAWN)
        reset = random.random() < 0.5
        if fault in (Fault.EVENTS, Fault.REQUESTS):
            # Handshake and WELCOME take about 350 bytes, an event takes about 60.
            size = int(random.choice((random.uniform(0, 800), random.uniform(300, 3000))))
            link.limit(fault, size if fault is Fault.EVENTS else size // 3, reset=reset)
            return
        await asyncio.sleep(random.choice((random.uniform(0, 0.1), random.uniform(0, 1), random.uniform(0, 3))))
        match fault:
            case Fault.STALL:
                while random.random() < 0.6:
                    link.stall(True)
                    await asyncio.sleep(random.uniform(0, 1.5))
                    link.stall(False)
                    await asyncio.sleep(random.uniform(0, 0.5))
                link.stall(True)
                await asyncio.sleep(random.uniform(0, 1))
            case Fault.SUBSCRIBER | Fault.HUB:
                link.half_close(fault)
                await asyncio.sleep(random.uniform(0, 0.5))
        link.cut(fault, reset=reset)
