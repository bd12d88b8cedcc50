"""Fixtures: a hub, an HTTP client that sends pushes unchanged, and WAMP subscribers that are controlled by hand."""

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
    """A WAMP v1 subscriber that is controlled message by message."""

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
        """Call a procedure and return the reply, which has to be the next message."""
        await self.send(2, "call", PROCEDURE + procedure, *arguments)
        answer = await self.receive()
        assert answer[:2] in ([3, "call"], [4, "call"]), f"{answer} arrived before the reply"
        return answer

    async def heard(self) -> None:
        """Return when the hub has processed all earlier messages; check that no event has arrived meanwhile."""
        assert await self.call("ping") == [3, "call", None]

    async def subscribe(self, *topics: str) -> None:
        for topic in topics:
            await self.send(5, topic)
        await self.heard()

    async def end(self) -> int | None:
        """Return the close code with which the hub closes the connection."""
        message = await self.socket.receive(timeout=PATIENCE)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR), message
        return self.socket.close_code


class Wamp2Peer(Peer):
    """A WAMP v2 subscriber that is controlled message by message."""

    async def join(self) -> None:
        await self.send(1, "realm1", {"roles": {"subscriber": {}}})
        code, session_id, _ = await self.receive()
        assert code == 2
        self.session_id = str(session_id)

    async def heard(self) -> None:
        """Return when the hub has processed all earlier messages; check that no event has arrived meanwhile."""
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
    """An HTTP client that sends requests to hubs unchanged."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._peers: list[Peer] = []

    async def close(self) -> None:
        """Close all subscribers.

        The session does not, and an open one would cause a warning when it is garbage-collected.
        """
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
        """Push an event, which must be accepted."""
        answer = await self.request("POST", hub, f"/?{query}", body)
        assert (answer.status, answer.text) == (202, "")

    async def connect(
        self, url: str, *, protocols: tuple[str, ...] = ("wamp",), headers: dict[str, str] | None = None
    ) -> Peer:
        """Return a WebSocket from which nothing has been read yet."""
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
        """Return a connection for WAMP v2 on which nothing has been sent yet."""
        socket = await self.session.ws_connect(hub.ws_url, protocols=("wamp.2.json",), headers=headers)
        return self._peer(Wamp2Peer(socket))

    async def wamp2_subscriber(self, hub: Hub, *topics: str, **headers: str) -> Wamp2Peer:
        peer = await self.stranger(hub, **headers)
        await peer.join()
        await peer.subscribe(*topics)
        return peer

    async def refused(self, hub: Hub, *, protocols: tuple[str, ...] = ("wamp",), **headers: str) -> int:
        """Return the status with which the handshake of a WebSocket is refused."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.connect(hub.ws_url, protocols=protocols, headers=headers)
        return caught.value.status


Run = Callable[[Hub], Awaitable[Hub]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Return a function that starts a hub, which is closed at the end of the test."""
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
    """Send bytes over a new connection, and return everything that arrives until the hub closes it."""
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
    """Empty the queue of a session, and return its messages."""
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
