"""The proxy of the tests that can be cut off from its server."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from .tcp_proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """Return a proxy in front of a server that sends back what it gets."""

    async def echo(reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def exchanged(streams: tuple[StreamReader, StreamWriter], data: bytes) -> bytes:
    streams[1].write(data)
    return await streams[0].read(100)


async def ended(streams: tuple[StreamReader, StreamWriter]) -> bool:
    """Wait for the end of a connection, by FIN or by RST. Return whether nothing came before."""
    with suppress(ConnectionResetError):
        return await streams[0].read(100) == b""
    return True


async def test_cut_and_mended(proxy: TcpProxy) -> None:
    streams = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await exchanged(streams, b"1") == b"1"
    proxy.cut()
    assert await ended(streams)
    others = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ended(others)
    proxy.mend()
    latest = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await exchanged(latest, b"2") == b"2"
    for each in (streams, others, latest):
        each[1].close()


async def test_stalled_and_mended(proxy: TcpProxy) -> None:
    streams = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await exchanged(streams, b"1") == b"1"
    proxy.stall()
    streams[1].write(b"2")
    late = await asyncio.open_connection("127.0.0.1", proxy.port)
    late[1].write(b"3")
    waiting = [asyncio.ensure_future(each[0].read(100)) for each in (streams, late)]
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert done == set()
    proxy.mend()
    assert await asyncio.gather(*waiting) == [b"2", b"3"]
    for each in (streams, late):
        each[1].close()
