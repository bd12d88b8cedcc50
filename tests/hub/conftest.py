"""A hub, pushes to it as they stand on the wire, and subscribers that speak WAMP v1 or v2 by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import pytest
from yarl import URL

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._session import Session

PROCEDURE = "http://api.wamp.ws/procedure#"
PATIENCE = 5.0

PeerT = TypeVar("PeerT", bound="Peer")


class Peer:
    """A subscriber that speaks WAMP v1."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.session_id = ""

    async def receive(self) -> list[object]:
        """Return the next message."""
        message: list[object] = await self.socket.receive_json(timeout=PATIENCE)
        return message

    async def send(self, *fields: object) -> None:
        await self.socket.send_str(json.dumps(fields))

    async def call(self, procedure: str, *arguments: object) -> list[object]:
        """Call a procedure and return the answer, which has to be the next message."""
        await self.send(2, "call", PROCEDURE + procedure, *arguments)
        answer = await self.receive()
        assert answer[:2] in ([3, "call"], [4, "call"]), f"{answer} came before the answer"
        return answer

    async def heard(self) -> None:
        """Return when the hub has done all that was sent before, no event having come since."""
        assert await self.call("ping") == [3, "call", None]

    async def subscribe(self, *topics: str) -> None:
        for topic in topics:
            await self.send(5, topic)
        await self.heard()

    async def end(self) -> int | None:
        """Return the code the hub closes with."""
        message = await self.socket.receive(timeout=PATIENCE)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR), message
        return self.socket.close_code


class Wamp2Peer(Peer):
    """A subscriber that speaks WAMP v2."""

    async def join(self) -> None:
        await self.send(1, "realm1", {"roles": {"subscriber": {}}})
        code, session_id, _ = await self.receive()
        assert code == 2
        self.session_id = str(session_id)

    async def heard(self) -> None:
        """Return when the hub has done all that was sent before, no event having come since."""
        await self.send(66, 1, 0)
        assert (await self.receive())[:3] == [8, 66, 1]

    async def subscribe(self, *topics: str) -> None:
        for topic in topics:
            await self.send(32, 1, {}, topic)
            assert (await self.receive())[:2] == [33, 1]

    async def event(self) -> tuple[int, list[object]]:
        """Return the ID of the next publication and its arguments."""
        code, _, publication, _, *arguments = await self.receive()
        assert code == 36
        assert isinstance(publication, int)
        return publication, arguments


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


class HubClient:
    """A client of hubs that changes nothing of what it is given."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._peers: list[Peer] = []

    async def close(self) -> None:
        """Close all subscribers: a session does not, and one that is left open warns when it is collected."""
        await asyncio.gather(*(peer.socket.close() for peer in self._peers))

    async def request(
        self,
        method: str,
        hub: Hub,
        target: str = "/?topicuri=t",
        body: bytes | AsyncIterator[bytes] = b"1",
        **headers: str,
    ) -> Answer:
        named = {"Content-Type": "application/x-www-form-urlencoded"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(hub.url + target, encoded=True)
        async with self.session.request(method, url, data=body, headers=named) as response:
            return Answer(response.status, await response.text(), dict(response.headers))

    async def push(self, hub: Hub, query: str = "topicuri=t", body: bytes = b"1") -> None:
        """Push an event that has to be accepted."""
        answer = await self.request("POST", hub, f"/?{query}", body)
        assert (answer.status, answer.text) == (202, "")

    async def connect(
        self, url: str, *, protocols: tuple[str, ...] = ("wamp",), headers: dict[str, str] | None = None
    ) -> Peer:
        """Return a subscriber that has not read anything yet."""
        return self._peer(Peer(await self.session.ws_connect(url, protocols=protocols, headers=headers)))

    def _peer(self, peer: PeerT) -> PeerT:
        self._peers.append(peer)
        return peer

    async def subscriber(self, hub: Hub, *topics: str, **headers: str) -> Peer:
        peer = await self.connect(hub.ws_url, headers=headers)
        code, peer.session_id, *_ = await peer.receive()  # type: ignore[assignment]  # a WELCOME, as the next line checks
        assert code == 0
        await peer.subscribe(*topics)
        return peer

    async def stranger(self, hub: Hub, **headers: str) -> Wamp2Peer:
        """Return a connection for WAMP v2 that has not said anything yet."""
        socket = await self.session.ws_connect(hub.ws_url, protocols=("wamp.2.json",), headers=headers)
        return self._peer(Wamp2Peer(socket))

    async def wamp2_subscriber(self, hub: Hub, *topics: str, **headers: str) -> Wamp2Peer:
        peer = await self.stranger(hub, **headers)
        await peer.join()
        await peer.subscribe(*topics)
        return peer

    async def refused(self, hub: Hub, *, protocols: tuple[str, ...] = ("wamp",), **headers: str) -> int:
        """Return the status that a WebSocket's handshake is refused with."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.connect(hub.ws_url, protocols=protocols, headers=headers)
        return caught.value.status


Run = Callable[[Hub], Awaitable[Hub]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Start a hub; it is closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def start(hub: Hub) -> Hub:
            return await stack.enter_async_context(hub)

        yield start


@pytest.fixture
async def hub(run: Run) -> Hub:
    return await run(Hub(port=0))


@pytest.fixture
async def wire() -> AsyncIterator[HubClient]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, skip_auto_headers=("Content-Type",)
    ) as session:
        wire = HubClient(session)
        yield wire
        await wire.close()


async def exchange(hub: Hub, *sent: bytes) -> bytes:
    """Send bytes over a connection of their own and return all that comes back until the hub closes it."""
    url = URL(hub.url)
    assert url.host is not None
    assert url.port is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        async with asyncio.timeout(PATIENCE):
            for part in sent:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def said(session: Session) -> list[list[object]]:
    """Return the messages in a session's queue, emptying it."""
    frames, messages = session.take_nowait(), []
    while frames:
        size, start = frames[1], 2
        if size == 126:
            size, start = int.from_bytes(frames[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(frames[2:10]), 10
        assert frames[0] == 0x81
        messages.append(json.loads(frames[start : start + size]))
        frames = frames[start + size :]
    return messages
