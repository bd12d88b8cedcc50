"""A proxy between the producers and the hub, with the faults of networks, proxies and brokers that crash.

It forwards requests unchanged and at most once. Of a push, it reads only the number.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Self

from .plan import TIMEOUT, Fault, Plan

PATIENCE = 15 * TIMEOUT
"""Seconds after which a client must have closed a stalled connection."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Dropped(Exception):
    """The client's connection has to be closed without a further response."""


class HubGone(Exception):
    """The hub did not respond: it was down already, or was killed."""


class Proxy:
    """The proxy; `async with` runs it.

    Args:
        plan: which request meets which fault.
    """

    def __init__(self, plan: Plan) -> None:
        self.hub: int | None = None
        """The port of the hub; None while it is down."""
        self.faults: Counter[str] = Counter()
        """How often each fault was applied."""
        self.complaints: list[str] = []
        """Errors of the proxy itself, which fail the run."""
        self.requests = 0
        self._plan = plan
        self._seen: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits: list[tuple[int, asyncio.Event]] = []
        self._refusals = 1
        self._listening: socket.socket | None = None
        # Bound for the whole run, so that no other process gets the port while the hub is down.
        self._reserved = _bound(0)
        self.port: int = self._reserved.getsockname()[1]

    @property
    def url(self) -> str:
        """The URL to push to."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._let_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keep_out()
        for task in self._tasks:
            task.cancel()
        await self.left(PATIENCE)
        self._reserved.close()

    async def reached(self, requests: int) -> None:
        """Wait until this number of requests has arrived."""
        arrived = asyncio.Event()
        self._waits.append((requests, arrived))
        await arrived.wait()

    async def left(self, seconds: float) -> int:
        """Wait for all clients to disconnect and all delayed requests to be forwarded; return how many remain."""
        return len((await asyncio.wait(self._tasks, timeout=seconds))[1]) if self._tasks else 0

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections. Existing connections stay open."""
        self._keep_out()
        try:
            yield
        finally:
            self._let_in()

    # Not an asyncio server: when it is closed, it forgets connections that it has just accepted, without closing them.

    def _let_in(self) -> None:
        self._refusals -= 1
        if not self._refusals:
            self._listening = _bound(self.port)
            self._listening.setblocking(False)
            self._listening.listen(256)
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def _keep_out(self) -> None:
        self._refusals += 1
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            self._start(self._serve(listening.accept()[0]))

    async def _serve(self, connection: socket.socket) -> None:
        """Handle the requests of one connection, one after the other."""
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        upstream = Upstream()
        idle: float | None = None
        try:
            while True:
                async with asyncio.timeout(idle):
                    request = await _message(reader)
                idle = await self._handle(request, reader, writer, upstream)
        except (Dropped, EOFError, OSError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001  # it is reported at the end
            self.complaints.append(f"{type(error).__name__}: {error}")
        finally:
            upstream.close()
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _handle(
        self, request: bytes, reader: StreamReader, writer: StreamWriter, upstream: Upstream
    ) -> float | None:
        """Respond to a request, or apply its fault; return how long the connection may be idle after it."""
        number: int = json.loads(request.partition(b"\r\n\r\n")[2])["number"]
        self._count(number)
        fault, dice = self._plan.drawn(number, self._seen[number])
        if fault is not None:
            self.faults[fault] += 1
        match fault:
            case Fault.REQUEST_LOST:
                _drop(writer, dice)
            case Fault.UNAVAILABLE:
                writer.write(_said(503, f"Retry-After: {dice.choice((0, 0, 0, 1, 60))}"))
                return None
            case Fault.TOO_MANY:
                writer.write(_said(429))
                return None
            case Fault.STALLED:
                await _gone(reader)
                raise Dropped
            case Fault.LATE:
                await _gone(reader)
                await asyncio.sleep(dice.uniform(0, 0.1))  # lets the client's next push overtake this one
        try:
            answer = await upstream.answer(request, self.hub)
        except HubGone as gone:
            answer = self._without_hub(gone, writer, dice)
        match fault:
            case Fault.ANSWER_LOST:
                _drop(writer, dice)
            case Fault.CUT:
                writer.write(answer[: dice.randrange(1, len(answer))])
                raise Dropped
            case Fault.MUTE | Fault.LATE:
                await _gone(reader)
                raise Dropped
            case Fault.TRICKLED:
                for byte in answer:
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0)
            case Fault.BAD_GATEWAY:
                writer.write(_said(502))
            case _:
                writer.write(answer)
        await writer.drain()
        if fault is Fault.REFUSED:
            self._start(self._refuse(dice.uniform(0.02, 0.2)))
            raise Dropped
        return dice.uniform(0, 0.02) if fault is Fault.IDLE_CLOSED else None

    def _without_hub(self, gone: HubGone, writer: StreamWriter, dice: Random) -> bytes:
        """Return the response of a proxy whose broker does not respond. A 503 means that it was not forwarded."""
        outcomes = ("502", "dropped", "503 with Retry-After") if gone.args[0] == "down" else ("502", "dropped")
        outcome = dice.choice(outcomes)
        self.faults[f"hub {gone.args[0]}: {outcome}"] += 1
        if outcome == "dropped":
            _drop(writer, dice)
        return _said(502) if outcome == "502" else _said(503, "Retry-After: 1")

    async def _refuse(self, seconds: float) -> None:
        with suppress(asyncio.CancelledError), self.refusing():
            await asyncio.sleep(seconds)

    def _count(self, number: int) -> None:
        self._seen[number] += 1
        self.requests += 1
        for requests, arrived in self._waits:
            if requests <= self.requests:
                arrived.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Upstream:
    """The connection to the hub for one client's connection, opened when it is needed."""

    def __init__(self) -> None:
        self._streams: tuple[StreamReader, StreamWriter] | None = None

    async def answer(self, request: bytes, port: int | None) -> bytes:
        """Forward a request and return its response.

        Raises:
            HubGone: `down`: the request was not sent; `killed`: it may have arrived.
        """
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            if port is None:
                raise HubGone("down")
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                raise HubGone("down") from None
        reader, writer = self._streams
        try:
            writer.write(request)
            return await _message(reader)
        except (OSError, EOFError):
            self.close()
            raise HubGone("killed") from None

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _message(reader: StreamReader) -> bytes:
    """Return a complete request or response."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1])) if length else head


async def _gone(reader: StreamReader) -> None:
    """Wait until the client has closed its connection."""
    with suppress(ConnectionError):
        try:
            async with asyncio.timeout(PATIENCE):
                while await reader.read(65536):
                    pass
        except TimeoutError:
            raise RuntimeError("a client stays on a connection long after the deadline of its push") from None


def _drop(writer: StreamWriter, dice: Random) -> None:
    """Close the client's connection, by FIN or by RST."""
    if dice.random() < 0.5:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    raise Dropped


def _said(status: int, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} Said\r\n{lines}Content-Length: 0\r\n\r\n".encode()


def _bound(port: int) -> socket.socket:
    """Return a socket on a port of the loopback, which other sockets of this process may share."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
