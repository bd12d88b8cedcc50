"""The asynchronous peers. Each imports its package itself, so that one that is not installed stops no other."""

# mypy: disable-error-code="import-not-found"
# The peers are installed in the benchmarks' own venv alone.

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
    """Push with aiohttp as everybody would write it at first: a task an event, and a semaphore."""
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
    """Push with the same call, awaited one at a time by as many tasks as may be in flight."""
    event = load.event
    async with aiohttp.ClientSession() as session:

        async def run(events: int) -> None:
            await by_workers(lambda: _post(session, load, event), events, load.concurrency)

        yield run


def _lean_session() -> aiohttp.ClientSession:
    """Return a session that does nothing that a push does not need: no cookies, no timeouts."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )


@asynccontextmanager
async def inlined(load: Load) -> AsyncIterator[Run]:
    """Push with the fastest loop that we know to write by hand for aiohttp. No timeouts, no retries, no errors told."""
    event = load.event
    base = URL(load.url)
    async with _lean_session() as session:

        async def push() -> None:
            body = json.dumps(event, separators=(",", ":")).encode()
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
async def floor(load: Load) -> AsyncIterator[Run]:
    """Post the same bytes again and again: what aiohttp itself costs."""
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
    """Push with httpx, whose pool gets as many connections as may be in flight."""
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
async def cent(load: Load) -> AsyncIterator[Run]:
    """Publish the same event with cent, to Centrifugo's API: unsigned, for it knows an API key in a header alone."""
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
