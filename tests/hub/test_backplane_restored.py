"""Hubs that find at the same time that Redis has lost data agree on the history that begins then."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from tests.redis_server import RedisServer
from tests.supervisor import HubProcess
from tests.tcp_proxy import TcpProxy

from .conftest import HubClient

pytestmark = pytest.mark.usefixtures("redis")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def history_of(wire: HubClient, hub: HubProcess) -> object:
    """Return the ID of the history that a hub tells its subscribers."""
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


class PatientProxy(TcpProxy):
    """Forwards no reply to INFO that a server gives while it loads its data before it has loaded them."""

    held = 0

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if b"loading:1" in data:
                self.held += 1
                await asyncio.to_thread(self._wait)
            writer.write(data)

    def _wait(self) -> None:
        with redis.Redis(port=self.target) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.BusyLoadingError:
                    time.sleep(0.01)


async def test_a_server_that_loads_its_data(tmp_path: Path, wire: HubClient) -> None:
    """Meanwhile Redis 7 responds to INFO, with `loading:1` and `aof_enabled:0`. It is durable all the same."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path / "redis"))
        with server.client() as client:
            client.eval("for i = 1, 300000 do redis.call('SET', 'other' .. i, i) end", 0)
        way = await stack.enter_async_context(PatientProxy(server.port))
        hub = await stack.enter_async_context(HubProcess("hub", tmp_path, f"redis://127.0.0.1:{way.port}/0"))
        before = await history_of(wire, hub)
        for _ in range(5):
            await asyncio.to_thread(server.restart)
            await hub.until_ready()
        assert way.held > 0
        assert await history_of(wire, hub) == before
