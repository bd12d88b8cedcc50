"""The hub's own short response to a push equals that of aiohttp."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp.test_utils import TestServer

from webmqconnect_async.hub import Hub, create_app
from webmqconnect_async.hub._connection_limits import RequestGuard

from .conftest import PATIENCE, Run
from .raw import connected, head, port_of

FORM = "Content-Type: application/x-www-form-urlencoded"
PUSH = head("POST /?topicuri=t HTTP/1.1", FORM, "Content-Length: 1") + b"1"


def parsed(response: bytes) -> dict[str, str]:
    """Return the status line, and the headers by name, of a response without a body."""
    top, end, body = response.decode().partition("\r\n\r\n")
    assert (end, body) == ("\r\n\r\n", "")
    line, *headers = top.split("\r\n")
    return {"": line} | dict(each.split(": ", 1) for each in headers)


async def test_the_response_is_that_of_aiohttp(run: Run) -> None:
    responses = []
    async with TestServer(create_app()) as mounted:
        for port in (port_of(await run(Hub(port=0))), mounted.port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(PUSH + PUSH)
            responses += [parsed(await reader.readuntil(b"\r\n\r\n")) for _ in range(2)]
            writer.close()
    ids = [int(response.pop("WebMQ-Publication")) for response in responses]
    assert ids[0] < ids[1]
    assert ids[2] < ids[3]
    dates = [response.pop("Date") for response in responses]
    assert all(date.endswith(" GMT") for date in dates)
    assert responses == [responses[-1]] * 4


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (PUSH.replace(b"HTTP/1.1", b"HTTP/1.0"), "HTTP/1.0 202 Accepted"),
        (PUSH.replace(b"Content-Length", b"Connection: close\r\nContent-Length"), "HTTP/1.1 202 Accepted"),
    ],
)
async def test_a_connection_that_is_to_be_closed_is_closed(run: Run, request_: bytes, line: str) -> None:
    hub = await run(Hub(port=0))
    async with connected(hub) as raw:
        await raw.send(request_)
        assert parsed(await raw.ends())[""] == line


async def test_requests_of_a_client_that_reads_no_responses_are_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub stops reading the requests of a client that reads no responses, which would fill the memory otherwise."""
    connections: list[asyncio.Transport] = []
    paused = asyncio.Event()
    connection_made, pause_writing = RequestGuard.connection_made, RequestGuard.pause_writing

    def made(guard: RequestGuard, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connections.append(transport)
        connection_made(guard, transport)

    def pause(guard: RequestGuard) -> None:
        paused.set()
        pause_writing(guard)

    monkeypatch.setattr(RequestGuard, "connection_made", made)
    monkeypatch.setattr(RequestGuard, "pause_writing", pause)
    hub = await run(Hub(port=0))
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", port_of(hub)))
        sending = asyncio.create_task(loop.sock_sendall(deaf, PUSH * 20_000))
        async with asyncio.timeout(PATIENCE):
            await paused.wait()
        [transport] = connections
        for _ in range(3000):
            await asyncio.sleep(0)
        assert transport.get_write_buffer_size() < 70_000
        assert not transport.is_reading()
        sending.cancel()
