"""WAMP v2 subscribers on a real port: they connect, stay and disconnect, while others use WAMP v1."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import aiohttp
import pytest

from webmqconnect_async.hub import Hub, _websocket
from webmqconnect_async.hub._wamp2.session import Wamp2Session

from .conftest import PATIENCE, HubClient, Peer, Run, Wamp2Peer
from .test_server import deaf_subscriber

TOPIC = "com.example.topic"
KEY, SECRET = "page", "a-secret-of-the-tests"
VIOLATION = "wamp.error.protocol_violation"


async def authenticate(peer: Wamp2Peer, key: str = KEY, secret: str = SECRET) -> list[object]:
    """Reply to the challenge, and return the reply of the hub."""
    await peer.send(1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["wampcra"], "authid": key})
    code, method, extra = await peer.receive()
    assert (code, method) == (4, "wampcra")
    assert isinstance(extra, dict)
    signature = hmac.digest(secret.encode(), extra["challenge"].encode(), hashlib.sha256)
    await peer.send(5, base64.b64encode(signature).decode(), {})
    return await peer.receive()


async def test_the_hub_waits_for_hello(hub: Hub, wire: HubClient) -> None:
    peer = await wire.stranger(hub)
    assert peer.socket.protocol == "wamp.2.json"
    await peer.join()
    assert len(peer.session_id) == 16
    await peer.subscribe(TOPIC)
    await wire.push(hub, f"topicuri={TOPIC}")
    assert (await peer.event())[1] == [[1]]


async def test_who_may_subscribe(run: Run, wire: HubClient) -> None:
    """The rules for `Origin` are those of WAMP v1."""
    hub = await run(Hub(port=0, allow_origins=["https://app.example.com"], max_connections=3))
    for origin in (hub.url, "http://localhost:3000", "https://app.example.com"):
        await wire.wamp2_subscriber(hub, Origin=origin)
    refused = partial(wire.refused, hub, protocols=("wamp.2.json",))
    for origin in ("null", "https://evil.example", "http://app.example.com"):
        assert await refused(Origin=origin) == 403
    assert await refused(Host="rebound.example") == 403
    assert await refused() == 503


async def test_eligible_and_exclude_contain_session_ids_of_both_versions(hub: Hub, wire: HubClient) -> None:
    new, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    await wire.push(hub, f"topicuri={TOPIC}&eligible={new.session_id}")
    await wire.push(hub, f"topicuri={TOPIC}&exclude={new.session_id}", b"2")
    await wire.push(hub, f"topicuri={TOPIC}&eligible={new.session_id},{old.session_id}", b"3")
    await wire.push(hub, f"topicuri={TOPIC}&eligible=", b"4")
    assert [(await new.event())[1] for _ in range(2)] == [[[1]], [[3]]]
    assert [await old.receive() for _ in range(2)] == [[8, TOPIC, 2], [8, TOPIC, 3]]
    await new.heard()
    await old.heard()


async def test_a_subscriber_may_publish_to_both_versions_if_allowed(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_publish=True))
    new, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    await new.send(16, 5, {"acknowledge": True}, TOPIC, ["é"])
    code, request, publication = await new.receive()
    assert (code, request) == (17, 5)
    assert await old.receive() == [8, TOPIC, "é"]
    await old.send(7, TOPIC, [1])
    other, arguments = await new.event()
    assert (other != publication, arguments) == (True, [[[1]]])


async def test_binary_messages_and_pings_are_tolerated(hub: Hub, wire: HubClient) -> None:
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    await peer.socket.send_bytes(b'[6,{},"x"]')
    await peer.socket.ping(b"are you there?")
    await peer.heard()


async def test_a_thousand_subscribers_of_both_versions_get_an_event_each(run: Run, wire: HubClient) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2500:
        pytest.skip("needs 2500 descriptors: ulimit -n 2500")
    hub = await run(Hub(port=0, max_connections=1000))
    kinds = (wire.wamp2_subscriber, wire.subscriber)
    peers: list[Peer] = []
    for start in range(0, 1000, 50):  # the backlog of a listening socket is 128
        peers += await asyncio.gather(*(kinds[number % 2](hub, TOPIC) for number in range(start, start + 50)))
    async with asyncio.timeout(30):
        await wire.push(hub, f"topicuri={TOPIC}", b'"x"')
        got = await asyncio.gather(*(peer.receive() for peer in peers))
        new, old = got[::2], got[1::2]
        assert Counter(map(json.dumps, old)) == {f'[8, "{TOPIC}", "x"]': 500}
        ((event, count),) = Counter(map(json.dumps, new)).items()
        assert (count, json.loads(event)[3:]) == (500, [{}, ["x"]])
        await asyncio.gather(*(peer.heard() for peer in peers))


# Keys


async def test_events_reach_authenticated_subscribers(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, subscriber_keys={KEY: SECRET}))
    member, stranger = await wire.stranger(hub), await wire.stranger(hub)
    welcome = await authenticate(member)
    assert welcome[0] == 2
    await member.subscribe(TOPIC)
    await wire.push(hub, f"topicuri={TOPIC}")
    assert (await member.event())[1] == [[1]]
    await stranger.send(32, 1, {}, TOPIC)
    assert (await stranger.receive())[2] == VIOLATION
    assert await stranger.end() == 1002


@pytest.mark.parametrize(("key", "secret"), [(KEY, "wrong"), ("unknown", SECRET)])
async def test_a_failed_authentication_is_reported_late_and_ends_the_connection(
    run: Run, wire: HubClient, key: str, secret: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    penalties = [0.01]
    monkeypatch.setattr(_websocket, "_penalty", penalties.pop)
    hub = await run(Hub(port=0, subscriber_keys={KEY: SECRET}))
    peer = await wire.stranger(hub)
    with caplog.at_level(logging.DEBUG):
        refused = await authenticate(peer, key, secret)
    assert refused == [3, {"message": "no such key, or a wrong signature"}, "wamp.error.authentication_failed"]
    assert await peer.end() == 1000
    assert penalties == []
    assert SECRET not in caplog.text


async def test_a_delayed_reply_is_cancelled_when_its_connection_ends(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    def penalty() -> float:
        asked.set()
        return 3600.0

    monkeypatch.setattr(_websocket, "_penalty", penalty)
    hub = await run(Hub(port=0, subscriber_keys={KEY: SECRET}))
    peer = await wire.stranger(hub)
    failing = asyncio.create_task(authenticate(peer, secret="wrong"))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    failing.cancel()
    with suppress(asyncio.CancelledError):
        await failing
    await peer.socket.close()
    await hub.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    timers = vars(asyncio.get_running_loop())["_scheduled"]
    assert not [
        timer for timer in timers if timer.when() > 900 + asyncio.get_running_loop().time() and not timer.cancelled()
    ]


@pytest.mark.parametrize("keys", [None, {KEY: SECRET}], ids=["open", "guarded"])
async def test_a_connection_without_hello_is_closed(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str] | None
) -> None:
    """A connection that sends no HELLO is closed, even on a hub without keys."""
    hub = await run(Hub(port=0, subscriber_keys=keys))
    with monkeypatch.context() as patched:
        patched.setattr(_websocket, "_JOIN_TIMEOUT", 0.0)
        stranger = await wire.stranger(hub)
        message = await stranger.socket.receive(timeout=PATIENCE)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert message.extra == "no HELLO or no authentication within 0 s"


async def test_a_connection_with_hello_stays(hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_websocket, "_JOIN_TIMEOUT", 3600.0)
    loop = asyncio.get_running_loop()

    def far_timers() -> int:
        return sum(timer.when() > loop.time() + 900 and not timer.cancelled() for timer in vars(loop)["_scheduled"])

    peer = await wire.stranger(hub)
    await (await wire.subscriber(hub)).heard()  # the hub has accepted the connection by now
    assert far_timers() == 1
    await peer.join()
    await peer.heard()
    assert far_timers() == 0


# The end


@pytest.mark.parametrize(
    "text",
    ["x", "[]", "[99]", '[5,"t"]', '[2,"1","p"]', '[1,"realm1",{}]', '[32,true,{},"t"]', "[" * 5000],
    ids=lambda text: text[:16],
)
async def test_a_protocol_violation_is_reported_and_ends_the_connection(hub: Hub, wire: HubClient, text: str) -> None:
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    await peer.socket.send_str(text)
    code, details, reason = await peer.receive()
    assert (code, reason) == (3, VIOLATION)
    assert isinstance(details, dict)
    assert list(details) == ["message"]
    assert await peer.end() == 1002


async def test_a_refused_connection_gets_the_reason(hub: Hub, wire: HubClient) -> None:
    peer = await wire.stranger(hub)
    await peer.send(1, "realm1", {"authmethods": ["ticket"]})
    assert (await peer.receive())[2] == "wamp.error.no_matching_auth_method"
    assert await peer.end() == 1000


async def test_goodbye_is_sent_after_the_last_event(hub: Hub, wire: HubClient) -> None:
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    await wire.push(hub, f"topicuri={TOPIC}")
    await peer.send(6, {}, "wamp.close.normal")
    assert (await peer.event())[1] == [[1]]
    assert await peer.receive() == [6, {}, "wamp.close.goodbye_and_out"]
    assert await peer.end() == 1000


async def test_a_subscriber_that_disconnects_makes_room(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_connections=1))
    ways: tuple[Callable[[Wamp2Peer], Awaitable[object]], ...] = (
        lambda peer: peer.send(6, {}, "x"),
        lambda peer: peer.socket.send_str("x"),
        lambda peer: peer.socket.close(),
    )
    for leave in ways:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(aiohttp.WSServerHandshakeError):
                    peer = await wire.wamp2_subscriber(hub)
                    break
        await leave(peer)


async def test_a_message_that_is_too_long_ends_the_connection(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_body=10, max_topic=10))
    peer = await wire.wamp2_subscriber(hub)
    await peer.socket.send_str("x" * (_websocket.max_message(hub.config) + 1))
    assert await peer.end() == 1009


async def test_a_closing_hub_sends_goodbye_after_the_last_event(hub: Hub, wire: HubClient) -> None:
    """A closing hub sends GOODBYE, if there is a session, and a close frame."""
    peers = [await wire.wamp2_subscriber(hub, TOPIC) for _ in range(3)]
    old, stranger = await wire.subscriber(hub, TOPIC), await wire.stranger(hub)
    await wire.push(hub, f"topicuri={TOPIC}")
    closing = asyncio.create_task(hub.close())
    for peer in peers:
        assert (await peer.event())[1] == [[1]]
        assert await peer.receive() == [6, {}, "wamp.close.system_shutdown"]
        with suppress(ConnectionError):
            await peer.send(6, {}, "wamp.close.goodbye_and_out")
        assert await peer.end() == 1001
    assert await old.receive() == [8, TOPIC, 1]
    assert (await old.end(), await stranger.end()) == (1001, 1001)
    await closing
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_bug_ends_a_websocket_without_a_message(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await wire.wamp2_subscriber(hub)

    def broken(*_args: object) -> None:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(Wamp2Session, "receive", broken)
    await peer.socket.send_str("[]")
    assert await peer.end() == 1006
    assert [record.getMessage() for record in caplog.records] == ["a request failed"]


async def test_a_subscriber_that_does_not_read_is_dropped_and_delays_no_other(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await run(Hub(port=0, max_queue=100_000))
    peer, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    with await deaf_subscriber(hub, TOPIC, "wamp.2.json") as deaf:
        event = json.dumps("x" * 4000)
        pushed = 0
        async with asyncio.timeout(4 * PATIENCE):
            while "dropped" not in caplog.text:
                await wire.push(hub, f"topicuri={TOPIC}", event.encode())
                pushed += 1
                assert (await peer.event())[1] == [["x" * 4000]]
                assert await old.receive() == [8, TOPIC, "x" * 4000]
            received = 0
            with suppress(ConnectionResetError):
                while part := await asyncio.get_running_loop().sock_recv(deaf, 1 << 16):
                    received += len(part)
    assert received < pushed * 4000
    assert len([record for record in caplog.records if record.name == "webmqconnect_async.hub"]) == 1
