"""Hubs that detect a data loss of Redis at the same time begin the same new history."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.supervisor import HubProcess

from .conftest import HubClient

pytestmark = pytest.mark.usefixtures("redis")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def history_of(wire: HubClient, hub: HubProcess) -> object:
    """Return the ID of the history that a hub sends to its subscribers."""
    async with wire.session.ws_connect(f"{hub.url}/ws", protocols=("wamp.2.json",)) as socket:
        await socket.send_json([1, "realm1", {"roles": {"subscriber": {}}}])
        _, _, details = await socket.receive_json(timeout=5)
        return details["_history"]


@pytest.mark.parametrize("number", range(5))
async def test_all_hubs_have_the_same_history(tmp_path: Path, wire: HubClient, number: int) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path / "redis"))
        hubs = [HubProcess(f"hub{number}", tmp_path, server.url) for number in range(3)]
        for hub in hubs:
            await stack.enter_async_context(hub)
        copy = server.copy(tmp_path / "copy")
        for hub in hubs:
            async with wire.session.post(f"{hub.url}/?topicuri=t", data=b"1", headers=FORM) as response:
                assert response.status == 202
        await asyncio.to_thread(server.restore, copy)
        await asyncio.gather(*(hub.until_ready() for hub in hubs))
        with server.client() as client:
            real = client.get("webmq:history")
        assert isinstance(real, bytes)
        assert [await history_of(wire, hub) for hub in hubs] == [real.decode()] * 3
