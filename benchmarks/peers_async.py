"""Other asynchronous clients. Each imports its own package, so that the others work without it."""

# mypy: disable-error-code="import-not-found"
# Only the benchmarks' own venv has all peers.

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from .load import HEADERS, TOPIC, Load, Run, by_workers, check, signed_params, signed_query


async def _post(session: aiohttp.ClientSession, load: Load, event: object) -> None:
    body = json.dumps(event).encode()
    async with session.post(load.url, params=signed_params(body), data=body, headers=HEADERS) as reply:
        check(reply.status)


@asynccontextmanager
async def naive(load: Load) -> AsyncIterator[Run]:
    """Push with aiohttp as most people would write it at first: a task per event, and a semaphore.

    The session has aiohttp's default limit of 100 connections. At concurrency 1,000, a higher limit makes it no faster.
    """
    event = load.event
    async with aiohttp.ClientSession() as session:
        slots = asyncio.Semaphore(load.concurrency)

        async def push() -> None:
            async with slots:
                await _post(session, load, event)

        async def run(events: int) -> None:
            await asyncio.gather(*(push() for _ in range(events)))

        yield run


@asynccontextmanager
async def naive_awaited(load: Load) -> AsyncIterator[Run]:
    """Push with the same call as `naive`, awaited one after another in `concurrency` tasks."""
    event = load.event
    async with aiohttp.ClientSession() as session:

        async def run(events: int) -> None:
            await by_workers(lambda: _post(session, load, event), events, load.concurrency)

        yield run


def _lean_session() -> aiohttp.ClientSession:
    """Return a session that does only what a push needs: no cookies, no timeouts."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )


@asynccontextmanager
async def inlined(load: Load) -> AsyncIterator[Run]:
    """Push with the fastest loop for aiohttp that we can write by hand: no timeouts, no retries, no outcomes."""
    event = load.event
    encode = json.JSONEncoder(separators=(",", ":")).encode
    base = URL(load.url)
    async with _lean_session() as session:

        async def push() -> None:
            body = encode(event).encode()
            url = URL.build(
                scheme="http", host=base.host or "", port=base.port, path="/",
                query_string=signed_query(body), encoded=True,
            )  # fmt: skip  # one call
            reply = await session.post(url, data=body, headers=HEADERS, allow_redirects=False)
            if not reply.closed:
                await reply.read()
            check(reply.status)

        async def run(events: int) -> None:
            await by_workers(push, events, load.concurrency)

        yield run


@asynccontextmanager
async def constant(load: Load) -> AsyncIterator[Run]:
    """Post the same URL and body each time, to measure the cost of aiohttp itself."""
    body = json.dumps(load.event, separators=(",", ":")).encode()
    url = URL(f"{load.url}/?{signed_query(body)}", encoded=True)
    async with _lean_session() as session:

        async def push() -> None:
            reply = await session.post(url, data=body, headers=HEADERS, allow_redirects=False)
            if not reply.closed:
                await reply.read()
            check(reply.status)

        async def run(events: int) -> None:
            await by_workers(push, events, load.concurrency)

        yield run


@asynccontextmanager
async def httpx(load: Load) -> AsyncIterator[Run]:
    """Push with httpx, whose pool has up to `concurrency` connections."""
    from httpx import AsyncClient, Limits

    event = load.event
    limits = Limits(max_connections=load.concurrency, max_keepalive_connections=load.concurrency)
    async with AsyncClient(limits=limits, headers=HEADERS) as client:

        async def push() -> None:
            body = json.dumps(event).encode()
            reply = await client.post(load.url, params=signed_params(body), content=body)
            check(reply.status_code)

        async def run(events: int) -> None:
            await by_workers(push, events, load.concurrency)

        yield run


@asynccontextmanager
async def pyreqwest(load: Load) -> AsyncIterator[Run]:
    """Push with pyreqwest, which is written in Rust, and the leanest signing. No timeouts."""
    from pyreqwest.client import ClientBuilder

    event = load.event
    encode = json.JSONEncoder(separators=(",", ":")).encode
    async with ClientBuilder().default_headers(HEADERS).no_proxy().follow_redirects(False).build() as client:

        async def push() -> None:
            body = encode(event).encode()
            reply = await client.post(f"{load.url}/?{signed_query(body)}").body_bytes(body).build().send()
            check(reply.status)

        async def run(events: int) -> None:
            await by_workers(push, events, load.concurrency)

        yield run


@asynccontextmanager
async def cent(load: Load) -> AsyncIterator[Run]:
    """Publish the same event with cent, to Centrifugo's API. A header with an API key authenticates it."""
    from cent import AsyncClient, PublishRequest

    event = load.event
    client = AsyncClient(f"{load.url}/api", "key")

    async def push() -> None:
        await client.publish(PublishRequest(channel=TOPIC, data=event))

    async def run(events: int) -> None:
        await by_workers(push, events, load.concurrency)

    try:
        yield run
    finally:
        await client.close()
