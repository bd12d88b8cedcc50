"""The examples run as their docstrings say, against a real hub, and the page that caused an event gets no echo."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.cli.subscriber import Event, Subscriber, subscriber
from webmqconnect_async.hub import Hub

from .processes import Process, python

EXAMPLES = Path(__file__).parents[1] / "examples"
CHAT = "http://example.com/chat"
ORDERS = "http://example.com/orders"
MESSAGE = {"author": "alice", "text": "tea & cake; [b]free[/b]"}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub(port=0, keys={"app": "s3cret"}) as hub:
        yield hub


def settings(hub: Hub) -> dict[str, str]:
    return {"WEBMQ_ENDPOINT": hub.url, "WEBMQ_AUTH_KEY": "app", "WEBMQ_AUTH_SECRET": "s3cret"}


async def payloads(session: Subscriber, hub: Hub) -> list[object]:
    """Return all that a subscriber has got until now."""
    marker = Event(CHAT, "the end")
    async with AsyncClient(hub.url, "app", "s3cret") as client:
        await client.push(marker.topic, marker.payload, eligible=[session.session_id])
    got = []
    async with asyncio.timeout(10):
        while (event := await session.next_event()) != marker:
            got.append(event.payload)
    return got


async def test_plain(hub: Hub) -> None:
    """One event and a hundred arrive, in order."""
    async with subscriber(hub.ws_url, ORDERS, CHAT) as session:
        async with python(str(EXAMPLES / "plain.py"), env=settings(hub)) as process:
            ended = await process.ended()
        assert (ended.status, ended.stdout, ended.stderr) == (0, "100 of 100 pushed\n", "")
        first, *rest = await payloads(session, hub)
    assert first == {"id": 0, "state": "new"}
    assert rest == [{"id": number, "state": "paid"} for number in range(1, 101)]


async def test_plain_refused(hub: Hub) -> None:
    """What becomes of a push that is not taken is printed, not raised."""
    env = settings(hub) | {"WEBMQ_AUTH_SECRET": "another"}
    async with python(str(EXAMPLES / "plain.py"), env=env) as process:
        ended = await process.ended()
    assert ended.status == 0
    assert ended.stdout.startswith("not pushed, and safe to push again: the broker answered 401")
    assert ended.stdout.endswith("0 of 100 pushed\n")


async def url_of(process: Process, said: str) -> str:
    """Return the address of a web server, which tells it on either of its outputs."""
    line = await (process.complained(said) if said.startswith("Uvicorn") else process.said(said))
    return str(re.findall(r"http://[\w.:]+", line)[0])


async def test_fastapi_app(hub: Hub) -> None:
    """The others get the message, the sender named in the header does not."""
    arguments = ("-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0", "fastapi_app:app")
    async with python(*arguments, env=settings(hub)) as process:
        url = await url_of(process, "Uvicorn running on") + "/messages"
        async with (
            subscriber(hub.ws_url, CHAT) as sender,
            subscriber(hub.ws_url, CHAT) as other,
            aiohttp.ClientSession() as http,
        ):
            async with http.post(url, json=MESSAGE, headers={"X-WebMQ-Session": sender.session_id}) as answer:
                assert answer.status == 202
            assert await payloads(sender, hub) == []
            assert await payloads(other, hub) == [MESSAGE]
            async with http.post(url, json=MESSAGE) as answer:
                assert answer.status == 202
            assert await payloads(sender, hub) == [MESSAGE]
            for message, session, status in (
                ({"author": "alice"}, "1", 422),
                (MESSAGE, "1,2", 422),
                (MESSAGE | {"text": "x" * 5000}, "1", 502),
            ):
                async with http.post(url, json=message, headers={"X-WebMQ-Session": session}) as answer:
                    assert answer.status == status


async def test_aiohttp_app(hub: Hub) -> None:
    """The others get the message, the sender named in the JSON does not."""
    env = settings(hub) | {"PORT": "0", "PYTHONUNBUFFERED": "1"}
    async with python(str(EXAMPLES / "aiohttp_app.py"), env=env) as process:
        url = await url_of(process, "Running on") + "/messages"
        async with (
            subscriber(hub.ws_url, CHAT) as sender,
            subscriber(hub.ws_url, CHAT) as other,
            aiohttp.ClientSession() as http,
        ):
            async with http.post(url, json=MESSAGE | {"session": sender.session_id}) as answer:
                assert answer.status == 202
            assert await payloads(sender, hub) == []
            assert await payloads(other, hub) == [MESSAGE]
            async with http.post(url, json=MESSAGE) as answer:
                assert answer.status == 202
            assert await payloads(sender, hub) == [MESSAGE]
            for message, status in (
                ({"author": "alice"}, 400),
                ([1], 400),
                (MESSAGE | {"session": "1,2"}, 400),
                (MESSAGE | {"text": "x" * 5000}, 502),
            ):
                async with http.post(url, json=message) as answer:
                    assert answer.status == status


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(example: Path) -> None:
    """An example is read in a minute."""
    assert len(example.read_text().splitlines()) < 60
