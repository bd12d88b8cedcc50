"""Subscribers of WAMP v2 that count the events of a broker, to which another process pushes.

python -m benchmarks.listeners ENDPOINT WS_URL N    prints a line once N have subscribed, counts at the end of stdin
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast
from urllib.parse import urlsplit

from webmqconnect_async import AsyncClient

from .load import KEY, SECRET, TOPIC

LONGEST = 60.0
"""Seconds after which subscribers must have received all events."""
END = "the end"

_HELLO = [1, "realm1", {"roles": {"subscriber": {}}}]
_SUBSCRIBE = [32, 1, {}, TOPIC]


class LeanWebSocket(asyncio.Protocol):
    """A WebSocket for subscribers that only count: a full client would cost more than the broker.

    Args:
        authority: host and port of the broker.
        subprotocol: the version of WAMP.
    """

    def __init__(self, authority: str, subprotocol: str) -> None:
        self.ready = asyncio.Event()
        """Set once the subscriber has subscribed, or the connection is lost."""
        self._authority = authority
        self._subprotocol = subprotocol
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {self._authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: d2VibXFjb25uZWN0X2FzeQ==\r\n"
            f"Sec-WebSocket-Protocol: {self._subprotocol}\r\n\r\n".encode()
        )

    def connection_lost(self, _error: Exception | None) -> None:
        """Release the tasks that wait for `ready`."""
        self.ready.set()

    def send(self, message: list[object]) -> None:
        """Send a short message."""
        text = json.dumps(message).encode()
        if self._transport is not None:
            # A final frame of text, masked with zeros.
            self._transport.write(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)

    def close(self) -> None:
        """Abort the connection."""
        if self._transport is not None:
            self._transport.abort()


class LeanSubscriber(LeanWebSocket):
    """A subscriber of WAMP v2, which sends HELLO.

    Args:
        authority: host and port of the broker.
    """

    def __init__(self, authority: str) -> None:
        super().__init__(authority, "wamp.2.json")
        self._said = bytearray()
        self._open = False

    def data_received(self, data: bytes) -> None:
        """Parse the frames."""
        said = self._said
        said += data
        if not self._open:
            _, blank, rest = said.partition(b"\r\n\r\n")
            if not blank:
                return
            said[:] = rest
            self._open = True
            self.send(_HELLO)
        at = 0
        while (end := _frame_end(said, at)) is not None:
            self.frame(said[at:end])
            at = end
        del said[:at]

    def frame(self, frame: bytearray) -> None:
        """Process a frame, which holds one message."""


class RecoveringSubscriber(LeanSubscriber):
    """A subscriber of WAMP v2 that counts events.

    Args:
        authority: host and port of the hub.
        topic: the topic to subscribe to.
        after: the ID after which it has missed events; `None`: subscribe without recovery.
    """

    def __init__(self, authority: str, topic: str, after: int | None = None) -> None:
        super().__init__(authority)
        self.newest = 0
        """The ID of the newest event at WELCOME."""
        self.got = 0
        self.complete = asyncio.Event()
        """Set once all missed events have arrived, or, without recovery, the first event."""
        self._topic, self._after = topic, after
        self._expected = 1

    def frame(self, frame: bytearray) -> None:
        """Subscribe after WELCOME, and count events."""
        kind = re.search(rb"\[(\d+),", frame)
        if kind is None:
            return
        if kind[1] == b"36":
            self.got += 1
            if self.got >= self._expected:
                self.complete.set()
        elif kind[1] == b"2":
            newest = re.search(rb'"_newest":(\d+)', frame)
            self.newest = int(newest[1]) if newest else 0
            self.send([32, 1, {} if self._after is None else {"_after": self._after}, self._topic])
        elif kind[1] == b"33":
            missed = re.search(rb'"_missed":(\d+)', frame)
            self._expected = int(missed[1]) if missed else 1
            self.ready.set()
        else:
            raise RuntimeError(frame.decode(errors="replace"))


async def connect(url: str, topic: str, after: int | None = None) -> RecoveringSubscriber:
    """Connect a subscriber to a hub."""
    address = urlsplit(url)
    create = asyncio.get_running_loop().create_connection
    _, subscriber = await create(
        lambda: RecoveringSubscriber(address.netloc, topic, after), address.hostname or "", address.port or 80
    )
    return subscriber


class _Listener(LeanSubscriber):
    """A subscriber that counts the events of the topic."""

    def __init__(self, authority: str) -> None:
        super().__init__(authority)
        self.got = 0
        self.complete = asyncio.Event()

    def frame(self, frame: bytearray) -> None:
        """Subscribe after WELCOME, and count events."""
        if b"[36," in frame[:10]:
            if END.encode() in frame:
                self.complete.set()
            else:
                self.got += 1
        elif b"[2," in frame[:10]:
            self.send(_SUBSCRIBE)
        elif b"[33," in frame[:10]:
            self.ready.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Release the tasks that wait for this subscriber."""
        super().connection_lost(error)
        self.complete.set()


def _frame_end(said: bytearray, at: int) -> int | None:
    """Return where a server's frame ends; `None` if it is not complete yet."""
    if len(said) < at + 4:
        return None
    length = said[at + 1]
    if length == 127:
        raise ValueError("a frame of more than 64 kB")
    end = at + 4 + int.from_bytes(said[at + 2 : at + 4]) if length == 126 else at + 2 + length
    return end if end <= len(said) else None


async def listen(endpoint: str, ws_url: str, number: int, subscribed: asyncio.Event, done: asyncio.Event) -> list[int]:
    """Subscribe and set `subscribed`. Once `done` is set, wait for all events that were pushed before.

    Returns:
        The number of events that each subscriber received.
    """
    address = urlsplit(ws_url)
    create = asyncio.get_running_loop().create_connection
    listeners = []
    # The first push is signed even where that is not required: the response to a refused push can be a 200.
    async with AsyncClient(endpoint, KEY, SECRET, dialect="crossbar") as client:
        await client.push(TOPIC, END)
        for _ in range(number):
            _, listener = await create(lambda: _Listener(address.netloc), address.hostname or "", address.port or 80)
            listeners.append(listener)
            async with asyncio.timeout(LONGEST):
                await listener.ready.wait()
        subscribed.set()
        await done.wait()
        await client.push(TOPIC, END)
    async with asyncio.timeout(LONGEST):
        for listener in listeners:
            await listener.complete.wait()
            listener.close()
    return [listener.got for listener in listeners]


async def _attend(endpoint: str, ws_url: str, number: str) -> None:
    subscribed, done = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen(endpoint, ws_url, int(number), subscribed, done))
        await subscribed.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        done.set()
    print(json.dumps(listening.result()))


if __name__ == "__main__":
    import uvloop

    uvloop.run(_attend(*sys.argv[1:]))
