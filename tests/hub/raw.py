"""Connections to a hub byte by byte, to send what no client sends."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from webmqconnect_async.hub import Hub

from .conftest import PATIENCE

__all__ = ["Raw", "closed_with", "connected", "frame", "handshake", "head", "port_of", "ws_head"]

_MASK = b"\x01\x02\x03\x04"


def port_of(hub: Hub) -> int:
    return int(hub.url.rpartition(":")[2])


def head(request_line: str, *headers: str, host: str | None = "localhost") -> bytes:
    """Return the head of a request."""
    lines = [request_line, *([] if host is None else [f"Host: {host}"]), *headers]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n"


class Raw:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ends(self) -> bytes:
        """Return what arrives until the hub closes the connection, which it must."""
        received = bytearray()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while part := await self.reader.read(1 << 16):
                    received += part
        return bytes(received)

    async def answer(self) -> tuple[int, bytes]:
        """Return the status and the body of the next response."""
        async with asyncio.timeout(PATIENCE):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            lengths = [line.partition(": ")[2] for line in lines if line.lower().startswith("content-length: ")]
            return int(lines[0].split()[1]), await self.reader.readexactly(int(lengths[0]) if lengths else 0)


@asynccontextmanager
async def connected(hub: Hub) -> AsyncIterator[Raw]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(hub))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def ws_head(*headers: str, subprotocol: str = "wamp") -> bytes:
    """Return the head of a WebSocket handshake."""
    return head(
        "GET /ws HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Sec-WebSocket-Protocol: {subprotocol}",
        *headers,
    )


async def handshake(raw: Raw, *headers: str, subprotocol: str = "wamp") -> str:
    """Open a WebSocket; return the head of the response."""
    await raw.send(ws_head(*headers, subprotocol=subprotocol))
    async with asyncio.timeout(PATIENCE):
        answer = await raw.reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    return answer.decode()


def frame(payload: bytes, opcode: int = 1, *, first: int = 0x80, masked: bool = True, size: int | None = None) -> bytes:
    """Return a WebSocket frame as clients send it.

    Args:
        payload: unmasked.
        opcode: 1 is text.
        first: the bits of the first byte in addition to the opcode: 0x80 is FIN, 0x40 is RSV1.
        masked: whether the frame is masked, as RFC 6455 requires.
        size: the length in its header; None: the real one.
    """
    length = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if length < 126:
        start = struct.pack("!BB", first | opcode, bit | length)
    elif length < 1 << 16:
        start = struct.pack("!BBH", first | opcode, bit | 126, length)
    else:
        start = struct.pack("!BBQ", first | opcode, bit | 127, length)
    if not masked:
        return start + payload
    return start + _MASK + bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(payload))


async def closed_with(raw: Raw) -> int | None:
    """Return the code of the last frame before the end; None if that is not a close frame."""
    received = await raw.ends()
    code = None
    while received:
        size, start = received[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(received[2:start])
        code = int.from_bytes(received[start : start + 2]) if received[0] == 0x88 else None
        received = received[start + size :]
    return code
