"""The short response to a push: what aiohttp would write."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from webmqconnect_async.hub import Hub, create_app

from .conftest import Run
from .raw import connected, head, port_of

FORM = "Content-Type: application/x-www-form-urlencoded"
PUSH = head("POST /?topicuri=t HTTP/1.1", FORM, "Content-Length: 1") + b"1"


def told(response: bytes) -> dict[str, str]:
    """Return the status line, and the headers by name, of a response without a body."""
    top, end, body = response.decode().partition("\r\n\r\n")
    assert (end, body) == ("\r\n\r\n", "")
    line, *headers = top.split("\r\n")
    return {"": line} | dict(each.split(": ", 1) for each in headers)


async def test_it_is_what_aiohttp_would_write(run: Run) -> None:
    responses = []
    async with TestServer(create_app()) as mounted:
        for port in (port_of(await run(Hub(port=0))), mounted.port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(PUSH + PUSH)
            responses += [told(await reader.readuntil(b"\r\n\r\n")) for _ in range(2)]
            writer.close()
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
        assert told(await raw.ends())[""] == line
