"""The limits of a hub's connections: headers, idle connections, file descriptors."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest

from webmqconnect_async.hub import Hub, _aiohttp, _connection_limits, _server

from .conftest import PATIENCE, HubClient, Run
from .raw import Raw, connected, frame, head, ws_head

FORM = "Content-Type: application/x-www-form-urlencoded"
PUSH = head("POST /?topicuri=t HTTP/1.1", FORM, "Content-Length: 1") + b"1"
GET = head("GET /hub.json HTTP/1.1")


async def is_served(raw: Raw, request: bytes) -> bool:
    """Return whether a request over this connection gets a response."""
    try:
        await raw.send(request)
        await raw.answer()
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return True


# Headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Cookie: " + "x" * 32_000], 200),
        (["Cookie: " + "x" * 32_000, "X: " + "x" * 8_000, "Y: " + "x" * 8_000], 200),
        (["Cookie: " + "x" * 33_000], 400),
        (["Cookie2: " + "x" * 9_000], 400),
        (["Cookie: " + "x" * 32_000, "X: " + "x" * 8_000, "Y: " + "x" * 8_000, "Z: " + "x" * 2_000], 400),
        (["Cookie: " + "x" * 30_000] * 2, 400),
    ],
    ids=range(6),
)
async def test_cookies_may_be_longer_than_other_headers(hub: Hub, headers: list[str], status: int) -> None:
    async with connected(hub) as raw:
        await raw.send(head("GET /hub.json HTTP/1.1", *headers))
        assert (await raw.answer())[0] == status


@pytest.mark.parametrize("before", [b"", GET], ids=["first request", "next request"])
async def test_headers_are_not_kept_beyond_their_limit(hub: Hub, before: bytes) -> None:
    """Headers above the limit are discarded even while they are incomplete: 64 headers of 32 KB would take 2 MB."""
    async with connected(hub) as raw:
        if before:
            assert await is_served(raw, before)
        await raw.send(head("GET /hub.json HTTP/1.1").removesuffix(b"\r\n"))
        with suppress(ConnectionError):
            for _ in range(20):
                await raw.send(b"Cookie: " + b"x" * 8_000 + b"\r\n")
        await raw.ends()


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/?topicuri=t", ["Content-Length: 4097", FORM], 400),
        ("/?topicuri=t", ["Content-Length: 1", "Content-Type: text/plain"], 400),
        ("/?topicuri=t", ["Content-Length: 1", FORM, "Origin: https://evil.example"], 403),
        ("/?topicuri=t", ["Content-Length: 1", FORM, "X: " + "x" * 9_000], 400),
        ("/publish", ["Content-Length: 4097"], 413),
        ("/?topicuri=t", ["Content-Length: 1", FORM, "Transfer-Encoding: x"], 400),
    ],
)
async def test_a_refused_request_gets_no_100_continue(hub: Hub, target: str, headers: list[str], status: int) -> None:
    async with connected(hub) as raw:
        await raw.send(head(f"POST {target} HTTP/1.1", "Expect: 100-continue", *headers))
        assert (await raw.answer())[0] == status


async def test_an_unknown_expectation_is_417(hub: Hub) -> None:
    async with connected(hub) as raw:
        await raw.send(head("POST /?topicuri=t HTTP/1.1", "Expect: miracles", FORM, "Content-Length: 1"))
        assert (await raw.answer())[0] == 417


# Idle connections


async def test_an_idle_connection_that_has_pushed_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has pushed stays open, because a webmqconnect of 2012 fails forever once it is closed."""
    monkeypatch.setattr(_aiohttp, "_KEEPALIVE", 0.1)
    hub = await run(Hub(port=0))
    async with connected(hub) as pusher, connected(hub) as other:
        assert await is_served(pusher, PUSH)
        assert await is_served(other, GET)
        assert await other.ends() == b""
        async with connected(hub) as later:
            assert await is_served(later, GET)
            assert await later.ends() == b""
        assert await is_served(pusher, PUSH)


async def test_an_idle_connection_with_only_a_refused_push_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aiohttp, "_KEEPALIVE", 0.1)
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    async with connected(hub) as raw:
        assert await is_served(raw, PUSH)
        assert await raw.ends() == b""


@pytest.mark.parametrize("own", [0.1, 0.2])
async def test_a_connection_that_has_pushed_is_closed_after_keepalive(
    run: Run, monkeypatch: pytest.MonkeyPatch, own: float
) -> None:
    monkeypatch.setattr(_aiohttp, "_KEEPALIVE", 0.1)
    hub = await run(Hub(port=0, keepalive=own))
    async with connected(hub) as raw:
        assert await is_served(raw, PUSH)
        assert await raw.ends() == b""


@pytest.fixture
async def crowded(run: Run, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Run a hub with room for four connections, each of which may be closed while it is idle."""
    monkeypatch.setattr(_server, "_SPARE", 3)
    monkeypatch.setattr(_connection_limits, "_IDLE", 0.0)
    return await run(Hub(port=0, max_connections=1))


async def test_the_connection_that_is_idle_longest_is_closed_for_a_new_one(crowded: Hub) -> None:
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(connected(crowded)) for _ in range(4)]
        for raw in (*raws, raws[0]):
            assert await is_served(raw, PUSH)
        async with connected(crowded) as new:
            assert await is_served(new, PUSH)
            assert await raws[1].ends() == b""
            for raw in (raws[0], raws[2], raws[3]):
                assert await is_served(raw, PUSH)


async def test_a_connection_that_never_pushed_is_closed_first(crowded: Hub) -> None:
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(connected(crowded)) for _ in range(4)]
        for raw, request in zip(raws, (PUSH, PUSH, GET, PUSH), strict=True):
            assert await is_served(raw, request)
        async with connected(crowded) as new:
            assert await is_served(new, PUSH)
            assert await raws[2].ends() == b""
            for raw in (raws[0], raws[1], raws[3]):
                assert await is_served(raw, PUSH)


async def test_subscribers_are_not_closed_for_a_new_connection(crowded: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(crowded, "t")
    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(connected(crowded)) for _ in range(6)]
        assert await is_served(raws[-1], PUSH)
        async with asyncio.timeout(PATIENCE):
            assert await peer.receive() == [8, "t", 1]


async def test_messages_may_be_sent_before_the_response_to_the_handshake(hub: Hub, wire: HubClient) -> None:
    """RFC 6455 requires clients to wait for the response to the handshake, but some do not."""
    async with connected(hub) as raw:
        await raw.send(ws_head() + frame(b'[5,"t"]') + frame(b'[2,"c","http://api.wamp.ws/procedure#ping"]'))
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[3,"c",null]')
        await wire.push(hub)
        async with asyncio.timeout(PATIENCE):
            await raw.reader.readuntil(b'[8,"t",1]')


async def test_a_flood_before_the_response_to_the_handshake_is_refused(hub: Hub) -> None:
    async with connected(hub) as raw:
        await raw.send(ws_head() + frame(b"", 9) * 5_000)
        assert b" 400 " in await raw.reader.readline()
