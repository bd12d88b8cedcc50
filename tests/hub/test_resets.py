"""Clients that reset their connection at any moment, as reloaded pages do, leave nothing in the log."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

import pytest
import uvloop

from webmqconnect_async.hub import Hub

from .raw import frame, head, port_of, ws_head

PUSH = head("POST /?topicuri=t HTTP/1.1", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1")
MOMENTS = 8
"""Iterations of the event loop in which a reset is tried."""


async def _peer(port: int, sent: bytes, then: bytes, turns: int, *, reset: bool) -> None:
    """Send, wait for some iterations of the loop, send the rest, and disconnect without reading."""
    with socket.socket() as peer:
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
        peer.send(sent)
        for _ in range(turns):
            await asyncio.sleep(0)
        peer.send(then)
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _resets() -> None:
    subscribe = frame(b'[5,"t"]') + frame(b"", 9)
    async with Hub(port=0) as hub:
        port = port_of(hub)
        for sent, then in (
            (ws_head(), b""),
            (ws_head(), subscribe),
            (ws_head(subprotocol="wamp.2.json"), frame(b'[1,"realm1",{}]')),
            (ws_head(), subscribe + frame(b"\x03\xe8", 8)),
            (ws_head()[:-9], b""),
            (PUSH, b""),
            (PUSH, b"1"),
        ):
            for turns in range(MOMENTS):
                for reset in (True, False):
                    await _peer(port, sent, then, turns, reset=reset)
                    await asyncio.sleep(0)
        # And some that disconnect while the hub is closing.
        leaving = [
            asyncio.create_task(_peer(port, ws_head(), subscribe, turns, reset=True)) for turns in range(2 * MOMENTS)
        ]
        for _ in range(MOMENTS):
            await asyncio.sleep(0)
    await asyncio.gather(*leaving, return_exceptions=True)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_reset_leaves_nothing_in_the_log(run: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(_resets())
    assert caplog.text == ""
