"""A TCP proxy that can be cut off from the server behind it, in the event loop of the test."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Self


class TcpProxy:
    """The proxy; `async with` runs it. It forwards bytes unchanged.

    Args:
        target: the port of the server, on 127.0.0.1.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[StreamWriter] = set()
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def port(self) -> int:
        """The port to connect to, on 127.0.0.1."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Reset all connections, and each new one."""
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Stop forwarding, and close nothing, like a network that drops packets."""
        self._flowing.clear()

    def mend(self) -> None:
        """Forward again. Stalled connections continue with the data that was held back."""
        self._refusing = False
        self._flowing.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            if self._refusing:
                return
            with suppress(OSError):
                theirs = await asyncio.open_connection("127.0.0.1", self.target)
                writers.append(theirs[1])
                self._writers.add(theirs[1])
                ways = [
                    asyncio.ensure_future(self._forward(reader, theirs[1])),
                    asyncio.ensure_future(self._forward(theirs[0], writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            for each in writers:
                each.transport.abort()
                self._writers.discard(each)

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
