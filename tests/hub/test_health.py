"""Health and readiness of a hub, and how it closes."""

from __future__ import annotations

import asyncio

import pytest

from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._websocket import SubscriberSocket

from .conftest import HubClient, Run, exchange
from .test_server import deaf_subscriber


@pytest.mark.parametrize("host", ["10.1.2.3:8080", "kube-probe.example.com", "x y"])
async def test_probes_may_use_any_host(hub: Hub, host: str) -> None:
    for path, said in ("/healthz", b"ok"), ("/readyz", b"ready"):
        answer = await exchange(hub, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n" + said + b"\n")


async def test_a_draining_hub_serves_and_is_not_ready(hub: Hub, wire: HubClient) -> None:
    peer = await wire.wamp2_subscriber(hub, "t")
    draining = asyncio.create_task(hub.drain(60))
    await asyncio.sleep(0)
    assert (await wire.request("GET", hub, "/readyz")).status == 503
    assert (await wire.request("GET", hub, "/healthz")).status == 200
    await wire.push(hub)
    assert (await peer.event())[1] == [[1]]
    draining.cancel()


async def test_the_listener_is_closed_before_subscribers_are_disconnected(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener is closed before subscribers are disconnected, because they would reconnect to the same hub."""
    refused = []
    leave = SubscriberSocket.leave
    host, port = hub.url.removeprefix("http://").split(":")

    async def connect(socket: SubscriberSocket) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
        refused.append(True)
        await leave(socket)

    monkeypatch.setattr(SubscriberSocket, "leave", connect)
    peer = await wire.wamp2_subscriber(hub, "t")
    closing = asyncio.create_task(hub.close())
    assert await peer.receive() == [6, {}, "wamp.close.system_shutdown"]
    assert await peer.end() == 1001
    await closing
    assert refused == [True]


async def test_grace_ends_a_request_in_progress(run: Run) -> None:
    """The grace of closing ends a request whose body does not arrive, which would otherwise have 10 seconds."""
    hub = await run(Hub(port=0, grace=0.02))
    host, port = hub.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /?topicuri=t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")  # the handler waits for the body
    async with asyncio.timeout(5):
        await hub.close()
        await reader.read()
    writer.close()


async def test_grace_ends_a_subscriber_that_does_not_read(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection of a subscriber that does not read is aborted when the grace is over."""
    hub = await run(Hub(port=0, grace=0.02, max_body=1_000_000, max_queue=8_000_000))
    aborted = []
    abort = SubscriberSocket.abort

    def noting(socket: SubscriberSocket) -> None:
        aborted.append(socket)
        abort(socket)

    monkeypatch.setattr(SubscriberSocket, "abort", noting)
    with await deaf_subscriber(hub, "t"):
        for _ in range(5):
            await wire.push(hub, body=b'"%s"' % (b"x" * 900_000))
        await hub.close()
    assert len(aborted) == 1
