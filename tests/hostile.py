"""A scripted server that does what brokers, proxies and broken networks do to pushes, on a real socket.

Each request is handled by the next step of the script, on any connection. After the last step, every request is
accepted. The server runs in a loop in a thread of its own, so that blocking tests, asynchronous ones and other
processes can use it. It parses only as much HTTP as it needs to find the end of a request, and uses nothing of the
package.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import pytest
import trustme

from .running import in_thread

PATIENCE = 10.0
"""Seconds that a test waits for something that must happen, before it fails."""

AUTHORITY = trustme.CA()
"""The certificate authority of all tests."""
STRANGER = trustme.CA()
"""A certificate authority that no client trusts."""

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of a response with a Content-Length."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} Said\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, byte for byte; the body is empty where the script did not read it."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.line.split(" ")[1]).query, keep_blank_values=True, strict_parsing=True))

    def header(self, name: str) -> str | None:
        for line in self.head.decode().split("\r\n")[1:]:
            said, _, value = line.partition(": ")
            if said.lower() == name.lower():
                return value
        return None


class Peer:
    """One connection, from the point of view of the server."""

    def __init__(self, server: Hostile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self._arrived = b""

    async def speaks(self) -> bool:
        """Wait until data arrives; return False if the client has closed the connection."""
        if not self._arrived and not self.writer.is_closing():
            self._arrived = await self.reader.read(65536)
        return bool(self._arrived) and not self.writer.is_closing()

    async def head(self) -> Recorded:
        """Read and record the head of a request."""
        return self.server.record(Recorded(await self._head()))

    async def request(self) -> Recorded:
        """Read and record a request."""
        head = await self._head()
        length = int(Recorded(head).header("Content-Length") or 0)
        while len(self._arrived) < length:
            await self._more()
        body, self._arrived = self._arrived[:length], self._arrived[length:]
        return self.server.record(Recorded(head, body))

    def pause(self) -> None:
        """Stop reading: from now on, data stays in the kernel."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a server's transport is always a Transport

    async def arrival(self) -> None:
        """While paused, wait until data has arrived."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        # asyncio watches the transport's own descriptor, and does not allow a second reader of it.
        watched = os.dup(self.writer.get_extra_info("socket").fileno())
        loop.add_reader(watched, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client closes the connection, and discard what it sends."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def close(self) -> None:
        self.writer.close()

    def vanish(self) -> None:
        """Close without a TLS close_notify."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._arrived:
            await self._more()
        head, _, self._arrived = self._arrived.partition(b"\r\n\r\n")
        return head

    async def _more(self) -> None:
        chunk = await self.reader.read(65536)
        if not chunk:
            raise ConnectionResetError("the client left in the middle of a request")
        self._arrived += chunk


Step: TypeAlias = Callable[[Peer], Awaitable[None]]


def answer(*parts: bytes) -> Step:
    """Read a request and respond, in as many segments as there are parts; the connection stays open."""

    async def step(peer: Peer) -> None:
        await peer.request()
        for part in parts:
            await peer.send(part)
            await asyncio.sleep(0.01 if len(parts) > 1 else 0)

    return step


def answer_and_close(data: bytes) -> Step:
    """Read a request, respond and close."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        peer.close()

    return step


def answer_and_stall(data: bytes) -> Step:
    """Read a request, send a part of a response, and then nothing more."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await peer.gone()

    return step


def trickle(data: bytes, pause: float) -> Step:
    """Respond byte by byte."""

    async def step(peer: Peer) -> None:
        await peer.request()
        for byte in data:
            await peer.send(bytes([byte]))
            await asyncio.sleep(pause)

    return step


def held(data: bytes = ACCEPTED) -> Step:
    """Respond to a request when the test calls `release`."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await peer.server.released.wait()
        await peer.send(data)

    return step


async def stall(peer: Peer) -> None:
    """Read a request and never respond."""
    await peer.request()
    await peer.gone()


async def stall_at_once(peer: Peer) -> None:
    """Read nothing, and never respond."""
    peer.pause()
    await peer.server.released.wait()


async def stall_unread(peer: Peer) -> None:
    """Read the head of a request but not its body, and never respond."""
    await peer.head()
    peer.pause()
    await peer.server.released.wait()


async def drop_at_once(peer: Peer) -> None:
    """Close the connection before anything is read."""
    peer.close()


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def drop_unread(peer: Peer) -> None:
    """Close when a request has arrived, without reading it, so that the kernel sends RST."""
    peer.pause()
    await peer.arrival()
    peer.close()


async def accept_and_drop_unread(peer: Peer) -> None:
    """Accept a request, and close when the next one arrives."""
    await peer.request()
    peer.pause()
    await peer.send(ACCEPTED)
    await peer.arrival()
    peer.close()


def answer_and_vanish(data: bytes) -> Step:
    """Read a request, send a part of a response, and close without a TLS close_notify."""

    async def step(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        peer.vanish()

    return step


def answer_unread(data: bytes) -> Step:
    """Respond as soon as the head of a request has been read, and close."""

    async def step(peer: Peer) -> None:
        await peer.head()
        await peer.send(data)
        peer.close()

    return step


async def drop_after_head(peer: Peer) -> None:
    await peer.head()
    peer.close()


async def drop_after_body(peer: Peer) -> None:
    await peer.request()
    peer.close()


async def reset_after_head(peer: Peer) -> None:
    await peer.head()
    peer.reset()


async def reset_after_body(peer: Peer) -> None:
    await peer.request()
    peer.reset()


class Hostile:
    """The server; `hostile()` runs one in a thread.

    Args:
        script: a step for each request, in the order in which they come.
        tls: the server's side of TLS; None for plain HTTP.
        before: runs before the TLS handshake of each connection.
        accepted: the response to each request after the last step.
    """

    def __init__(
        self,
        *script: Step,
        tls: ssl.SSLContext | None = None,
        before: Step | None = None,
        accepted: bytes = ACCEPTED,
    ) -> None:
        self.connections = 0
        self.addresses: list[str] = []
        """The client's address of each connection."""
        self.requests: list[Recorded] = []
        self.released = asyncio.Event()
        self._release_at = 0
        self._script = deque(script)
        self._tls = tls
        self._before = before
        self._accept = answer(accepted)
        self._peers: dict[asyncio.Task[None], Peer] = {}
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/push"

    @property
    def open_connections(self) -> int:
        return len(self._peers)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        # CPython 3.13.0 leaks a connection that it has accepted and not handed over yet when the server is closed.
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        for _turn in range(5):  # asyncio needs some turns of its loop to hand it over
            await asyncio.sleep(0)
        self._server.close()
        while self._peers:
            tasks = list(self._peers)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if sys.version_info >= (3, 13):
            self._server.abort_clients()  # connections for which there is no task yet
        await asyncio.sleep(0)  # a transport closes its socket in the next iteration of the loop

    def script(self, *steps: Step) -> None:
        """Set the steps for the next requests."""
        self._script.extend(steps)

    def forget(self) -> None:
        """Discard the rest of the script."""
        self._script.clear()

    def until(self, condition: Callable[[], bool]) -> None:
        """Block until a condition holds, which is checked at each connection and request, and every 20 ms."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                assert time.monotonic() < end, f"{self.connections=}, {len(self.requests)=}"
                self._changed.wait(0.02)

    def release(self) -> None:
        """Send every `held` response, and later ones at once."""
        self._loop.call_soon_threadsafe(self.released.set)

    def release_at(self, requests: int) -> None:
        """Call `release` as soon as this number of requests has arrived."""
        self._release_at = requests

    def drop_all(self, *, reset: bool = False, stop: bool = False) -> None:
        """Close every connection, and with `stop` accept no new one. Return once that is done."""

        async def drop() -> None:
            if stop:
                self._server.close()
            for task, peer in list(self._peers.items()):
                if reset:
                    peer.reset()
                task.cancel()
            if self._peers:
                await asyncio.wait(list(self._peers))

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result(PATIENCE)

    def changed(self) -> None:
        """Make `until` check its condition again."""
        with self._changed:
            self._changed.notify_all()

    def record(self, request: Recorded) -> Recorded:
        self.requests.append(request)
        if len(self.requests) == self._release_at:
            self.released.set()
        self.changed()
        return request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = self._peers[task] = Peer(self, reader, writer)
        self.connections += 1
        self.addresses.append(writer.get_extra_info("peername")[0])
        self.changed()
        try:
            if self._before is not None:
                peer.pause()
                await self._before(peer)
            if self._tls is not None:
                await writer.start_tls(self._tls)
            while not writer.is_closing():
                # The first step may be one that reads nothing; on a connection kept alive, only a request starts a
                # step.
                await (self._script.popleft() if self._script else self._accept)(peer)
                if not await peer.speaks():
                    break
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                if self._tls is None:
                    try:
                        await writer.wait_closed()
                    finally:  # cancelled, while the client does not read the rest
                        writer.transport.abort()
                else:
                    # The close_notify has been sent. asyncio would wait half a minute for the client's, and forever if
                    # there was no handshake.
                    with suppress(AttributeError):  # raised in early releases of Python 3.11 if the handshake has ended
                        writer.transport.abort()
                    await asyncio.sleep(0)
            del self._peers[task]
            self.changed()


@contextmanager
def hostile(
    *script: Step, tls: bool | ssl.SSLContext = False, before: Step | None = None, accepted: bytes = ACCEPTED
) -> Iterator[Hostile]:
    """Run a server with this script.

    Args:
        script: see `Hostile`.
        tls: whether to use TLS with a valid certificate, or the context to use.
        before: see `Hostile`.
        accepted: see `Hostile`.
    """
    context = serving() if tls is True else tls or None
    with in_thread(lambda: Hostile(*script, tls=context, before=before, accepted=accepted)) as server:
        yield server


def bodies(server: Hostile) -> list[bytes]:
    """Return the bodies of all requests that have arrived."""
    return [each.body for each in server.requests]


def serving(
    host: str = "127.0.0.1",
    until: datetime | None = None,
    issuer: trustme.CA = AUTHORITY,
    ask: bool = False,
) -> ssl.SSLContext:
    """Return a server's context.

    Args:
        host: the name in the certificate.
        until: when the certificate expires; None: long after the tests.
        issuer: the certificate authority that signs it.
        ask: whether the client needs a certificate, too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(host, not_after=until).configure_cert(context)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@functools.cache  # loading the system's certificates is slow
def trusting() -> ssl.SSLContext:
    """Return a client's context that trusts the tests' certificate authority, and verifies like the default one."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@contextmanager
def refusing() -> Iterator[str]:
    """Yield the URL of a port where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/push"


@contextmanager
def unreachable() -> Iterator[str]:
    """Yield the URL of a port that accepts no connections, because its backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:
                each.setblocking(False)
                with suppress(BlockingIOError):
                    each.connect(listening.getsockname())
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/push"
        finally:
            for each in waiting:
                each.close()


def resolve(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    """Resolve every name to the addresses of these URLs, in this order."""
    addresses = [(url.hostname, url.port) for url in map(urlsplit, urls)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
