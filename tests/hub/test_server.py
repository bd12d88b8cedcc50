"""The hub on a real port, over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.hostile import serving, trusting
from webmqconnect_async.hub import Accepted, Hub, Refused, _aiohttp, _server, create_app
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._websocket import max_message
from webmqconnect_async.signing import Credentials, sign

from .conftest import PATIENCE, HubClient, Peer, Run, exchange
from .raw import connected

FORM = "application/x-www-form-urlencoded"
SIGNED = (
    "topicuri=http%3A%2F%2Fexample.com%2Fsimple&appkey=foobar&timestamp=2011-10-14T16%3A59%3A51Z"
    "&signature=Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8%3D"
)
SIGNED_AT = 1318611591.0
HEAD = b"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"


# Pushes


async def test_an_event_reaches_its_subscribers_unchanged(hub: Hub, wire: HubClient) -> None:
    peer, other = await wire.subscriber(hub, "http://example.com/ü"), await wire.subscriber(hub, "http://example.com/u")
    await wire.push(
        hub, "topicuri=" + quote_plus("http://example.com/ü"), ' {"text": "ü&eligible=", "n": 1.10}\n'.encode()
    )
    message = await peer.socket.receive_str(timeout=PATIENCE)
    assert message == '[8,"http://example.com/\\u00fc",{"text": "ü&eligible=", "n": 1.10}]'
    await other.heard()


async def test_a_signed_push_is_accepted_and_a_replay_too(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"foobar": b"secret"}, clock=lambda: SIGNED_AT))
    peer = await wire.subscriber(hub, "http://example.com/simple")
    for _ in range(2):
        await wire.push(hub, SIGNED, b'"Hello, world!"')
        assert await peer.receive() == [8, "http://example.com/simple", "Hello, world!"]


async def test_a_signature_with_the_current_time_is_accepted(run: Run, wire: HubClient) -> None:
    """The default clock of the hub is that of the machine, and a secret may be any text."""
    hub = await run(Hub(port=0, keys={"é": "gehëim"}))
    date = (await wire.request("GET", hub, "/")).headers["Date"]
    timestamp = parsedate_to_datetime(date).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = sign(Credentials("é", "gehëim"), b"t", "é".encode(), timestamp.encode(), b"1")
    await wire.push(hub, f"topicuri=t&appkey=%C3%A9&timestamp={quote_plus(timestamp)}&signature={signature}")


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status", "text"),
    [
        ("PUT", "/", b"1", {}, 405, "HTTP/PUT not allowed"),
        ("OPTIONS", "/", b"", {}, 405, "HTTP/OPTIONS not allowed"),
        ("DELETE", "/?topicuri=t", b"", {}, 405, "HTTP/DELETE not allowed"),
        ("POST", "/", b"1", {}, 400, "missing query parameter 'topicuri'"),
        ("POST", "/?topicuri=t", b"x", {}, 400, "invalid JSON in request body"),
        ("POST", "/?topicuri=t", b"1", {"Content_Type": "a/b"}, 400, "bad or missing content type ('a/b')"),
        ("POST", "/?topicuri=t", b'"' + b"x" * 4095 + b'"', {}, 400, "content length (4097) exceeds maximum (4096)"),
        ("POST", "/?topicuri=" + "t" * 1025, b"1", {}, 400, "topic length (1025) exceeds maximum (1024)"),
        ("POST", "/?" + SIGNED, b"1", {}, 400, "unknown application key 'foobar'"),
    ],
)
async def test_a_refusal_is_plain_text(
    run: Run, wire: HubClient, method: str, target: str, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    hub = await run(Hub(port=0, clock=lambda: SIGNED_AT))
    answer = await wire.request(method, hub, target, body, **headers)
    assert (answer.status, answer.text) == (status, text + "\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["//", "/x", "/%2F", "/hub/", "/ws/", "/static/index.html"])
async def test_another_path_is_404(hub: Hub, path: str) -> None:
    request = f"POST {path}?topicuri=t HTTP/1.1\r\nContent-Length: 1\r\n".encode() + HEAD + b"\r\n1"
    assert (await exchange(hub, request)).startswith(b"HTTP/1.1 404 ")


async def test_an_absolute_target_is_404(hub: Hub) -> None:
    request = b"POST http://localhost/?topicuri=t HTTP/1.1\r\nContent-Length: 1\r\n" + HEAD + b"\r\n1"
    assert (await exchange(hub, request)).startswith(b"HTTP/1.1 404 ")


async def test_a_body_never_overrides_the_query(hub: Hub, wire: HubClient) -> None:
    """The query counts and not the body, which the original hub parsed as a form."""
    peer = await wire.subscriber(hub, "t", "other")
    body = b'"&topicuri=other&eligible=&exclude=&appkey=a&timestamp=b&signature=c&body=1&event=2"'
    await wire.push(hub, "topicuri=t", body)
    assert await peer.receive() == [8, "t", json.loads(body)]


async def test_pushes_over_one_connection_arrive_in_order(hub: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(hub, "t")
    one = (
        b"POST /?topicuri=t HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1\r\n\r\n%%d"
        % FORM.encode()
    )
    last = b"POST /?topicuri=t HTTP/1.1\r\nContent-Length: 1\r\n" + HEAD + b"\r\n9"
    answers = await exchange(hub, b"".join(one % number for number in range(9)) + last)
    assert answers.count(b"HTTP/1.1 202 ") == 10
    assert [(await peer.receive())[2] for _ in range(10)] == list(range(10))


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_chunked_event_is_accepted(hub: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(hub, "t")
    answer = await wire.request("POST", hub, body=chunks(b'"a', b"b", b'c"'))
    assert answer.status == 202
    assert await peer.receive() == [8, "t", "abc"]


async def test_the_limit_of_bodies_applies_without_a_content_length(hub: Hub, wire: HubClient) -> None:
    answer = await wire.request("POST", hub, body=chunks(b'"' + b"x" * 3000, b"x" * 1095, b'"'))
    assert (answer.status, answer.text) == (400, "content length (4097) exceeds maximum (4096)\n")
    answer = await wire.request("POST", hub, body=chunks(b'"' + b"x" * 3000, b"x" * 1094, b'"'))
    assert answer.status == 202


async def test_an_endless_chunked_body_gets_a_response_before_its_end(hub: Hub) -> None:
    head = b"POST /?topicuri=t HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
    writer.write(head + b"1000\r\n" + b" " * 4096 + b"\r\n1\r\n \r\n")
    answer = await asyncio.wait_for(reader.readuntil(b"(4096)\n"), PATIENCE)
    assert answer.startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


async def test_expect_100_continue(hub: Hub) -> None:
    head = b"POST /?topicuri=t HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" + HEAD + b"\r\n"
    async with connected(hub) as raw:
        await raw.send(head)
        async with asyncio.timeout(PATIENCE):
            assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await raw.send(b"1")
        assert await raw.answer() == (202, b"")


async def test_http_1_0(hub: Hub) -> None:
    request = f"POST /?topicuri=t HTTP/1.0\r\nContent-Type: {FORM}\r\nContent-Length: 1\r\n\r\n1".encode()
    assert (await exchange(hub, request)).startswith(b"HTTP/1.0 202 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /?topicuri=t&signature=s3cret HTTP/1.1\r\nContent-Length: x\r\n" + HEAD + b"\r\n1",
        b"POST /?signature=s3cret\xff HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"NONSENSE\r\n\r\n",
        b"POST /?signature=s3cret&x=" + b"x" * 20000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"POST /?signature=s3cret HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\nzz\r\n",
    ],
    ids=["content-length", "bytes", "nonsense", "long", "chunk"],
)
async def test_what_is_not_http_is_refused_and_leaves_nothing_in_the_log(
    hub: Hub, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    with caplog.at_level(logging.DEBUG, "webmqconnect_async"), caplog.at_level(logging.INFO):
        assert (await exchange(hub, request_)).split(b" ")[1] in (b"400", b"414")
    assert caplog.text == ""


async def test_an_incomplete_body_leaves_nothing_in_the_log(
    hub: Hub, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await wire.subscriber(hub, "t")
    for framing, part in [(b"Content-Length: 10", b"1"), (b"Transfer-Encoding: chunked", b"1\r\n1\r\n")]:
        _, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
        writer.write(b"POST /?topicuri=t HTTP/1.1\r\n" + framing + b"\r\n" + HEAD + b"\r\n" + part)
        await writer.drain()
        await peer.heard()  # so the hub is now reading that body
        writer.close()
        await writer.wait_closed()
    broken = b"POST /?topicuri=t HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n1\r\n1\r\n"
    await exchange(hub, broken, b"zz\r\n")
    await peer.heard()
    assert caplog.text == ""


async def test_a_bug_is_not_shown_to_the_client(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(Broker, "deliver", broken)
    asyncio.get_running_loop().set_debug(True)  # in which aiohttp shows tracebacks
    answer = await wire.request("POST", hub, Accept="text/html")
    assert (answer.status, answer.text) == (500, "internal server error\n")
    assert [record.getMessage() for record in caplog.records if record.name == "webmqconnect_async.hub"] == [
        "a request failed"
    ]


async def test_a_bug_ends_a_websocket_without_a_response(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a subscriber's handler closes the connection: an HTTP response is invalid within a WebSocket."""
    peer = await wire.subscriber(hub)

    def broken(*_args: object) -> None:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(Wamp1Session, "receive", broken)
    await peer.socket.send_str("[]")
    assert await peer.end() == 1006
    assert [record.getMessage() for record in caplog.records] == ["a request failed"]


async def test_the_limits_can_be_set(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_body=10, max_topic=3))
    assert (await wire.request("POST", hub, body=b'"12345678"')).status == 202
    assert (await wire.request("POST", hub, body=b'"123456789"')).text == "content length (11) exceeds maximum (10)\n"
    assert (await wire.request("POST", hub, "/?topicuri=four")).text == "topic length (4) exceeds maximum (3)\n"


# Host and Origin


async def test_a_foreign_host_is_403_everywhere(hub: Hub, wire: HubClient) -> None:
    for method, target in [("POST", "/?topicuri=t"), ("GET", "/"), ("GET", "/page.js"), ("PUT", "/"), ("GET", "/ws")]:
        answer = await wire.request(method, hub, target, Host="rebound.example")
        assert answer.status == 403
        assert "--allow-host" in answer.text
    assert await wire.refused(hub, Host="rebound.example", Origin="http://rebound.example") == 403


async def test_an_allowed_host_is_accepted_like_localhost(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_hosts=["hub.example.com"]))
    assert (await wire.request("POST", hub, Host="hub.example.com")).status == 202
    await wire.subscriber(hub, Host="hub.example.com", Origin="https://hub.example.com")


async def test_a_page_pushes_only_if_its_origin_is_listed(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_origins=["https://app.example.com"]))
    for origin in ("null", "http://app.example.com", "https://evil.example", hub.url, "http://localhost:3000"):
        answer = await wire.request("POST", hub, Origin=origin)
        assert answer.status == 403
        assert "--allow-origin" in answer.text
        assert "Access-Control-Allow-Origin" not in answer.headers
    answer = await wire.request("POST", hub, Origin="https://app.example.com")
    assert answer.status == 202
    # Otherwise its script would take an accepted push for a failure, and push again.
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    refused = await wire.request("POST", hub, "/", Origin="https://app.example.com")
    assert refused.status == 400
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


async def test_who_may_subscribe(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_origins=["https://app.example.com"]))
    for origin in (hub.url, "http://localhost:3000", "https://app.example.com"):
        await wire.subscriber(hub, Origin=origin)
    for origin in ("null", "https://evil.example", "http://app.example.com"):
        assert await wire.refused(hub, Origin=origin) == 403


# The `admit` hook


async def test_admit_is_called_only_for_valid_pushes(run: Run, wire: HubClient) -> None:
    """`admit` is called neither for an invalid push nor for an event that a subscriber publishes."""
    asked: list[Accepted] = []
    hub = await run(Hub(port=0, admit=asked.append, allow_publish=True))
    peer, publisher = await wire.subscriber(hub, "t"), await wire.subscriber(hub)
    assert (await wire.request("POST", hub, body=b"x")).status == 400
    await publisher.send(7, "t", 1)
    assert await peer.receive() == [8, "t", 1]
    await wire.push(hub, "topicuri=t&eligible=a,b&exclude=b", b" 2")
    await wire.push(hub, body=b"3")
    assert await peer.receive() == [8, "t", 3]
    restricted = Accepted("t", "2", eligible=frozenset("ab"), exclude=frozenset("b"), key=None)
    assert asked == [restricted, Accepted("t", "3", eligible=None, exclude=frozenset(), key=None)]


async def test_admit_gets_the_key_that_signed(run: Run, wire: HubClient) -> None:
    asked: list[Accepted] = []
    hub = await run(Hub(port=0, admit=asked.append, keys={"foobar": "secret"}, clock=lambda: SIGNED_AT))
    await wire.push(hub, SIGNED, b'"Hello, world!"')
    assert [push.key for push in asked] == ["foobar"]


async def test_a_push_that_admit_refuses_is_not_forwarded(run: Run, wire: HubClient) -> None:
    refusals = [Refused(503, "later", retry_after=0), Refused(403, "<never>"), None]
    hub = await run(Hub(port=0, admit=lambda _push: refusals.pop(0), allow_origins=["https://app.example.com"]))
    peer = await wire.subscriber(hub, "t")
    later = await wire.request("POST", hub, Origin="https://app.example.com")
    assert (later.status, later.text, later.headers["Retry-After"]) == (503, "later\n", "0")
    assert later.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    never = await wire.request("POST", hub)
    assert (never.status, never.text, "Retry-After" in never.headers) == (403, "<never>\n", False)
    assert never.headers["X-Content-Type-Options"] == "nosniff"
    await wire.push(hub, body=b"3")
    assert await peer.receive() == [8, "t", 3]


@pytest.mark.parametrize("error", [RuntimeError, ConnectionError, TimeoutError, web.HTTPNotFound])
async def test_an_error_of_admit_is_a_500_and_nothing_is_forwarded(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    """Any exception of `admit` is a 500, even one by which aiohttp's handlers respond with another status."""

    def admit(push: Accepted) -> None:
        if push.event == "1":
            raise error

    hub = await run(Hub(port=0, admit=admit))
    peer = await wire.subscriber(hub, "t")
    answer = await wire.request("POST", hub)
    assert (answer.status, answer.text) == (500, "internal server error\n")
    await wire.push(hub, body=b"2")
    assert await peer.receive() == [8, "t", 2]
    [record] = [record for record in caplog.records if record.name == "webmqconnect_async.hub"]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "admit failed: the push is refused")
    assert record.exc_info is not None
    assert record.exc_info[0] is error


async def test_a_wrong_return_value_of_admit_forwards_nothing(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, admit=lambda push: push.event == "1" or None))  # type: ignore[arg-type, return-value]  # wrong on purpose
    peer = await wire.subscriber(hub, "t")
    assert (await wire.request("POST", hub)).status == 500
    await wire.push(hub, body=b"2")
    assert await peer.receive() == [8, "t", 2]


# Subscribers


@pytest.mark.parametrize(("protocols", "status"), [((), 400), (("wamp.2.msgpack",), 400), (("WAMP",), 400)])
async def test_the_subprotocol_has_to_be_offered(
    hub: Hub, wire: HubClient, protocols: tuple[str, ...], status: int
) -> None:
    assert await wire.refused(hub, protocols=protocols) == status


async def test_the_subprotocol_may_be_one_of_many(hub: Hub, wire: HubClient) -> None:
    """The first of the client's subprotocols that the hub supports is chosen."""
    for protocols, chosen in [
        (("wamp",), "wamp"),
        (("x", "wamp", "wamp.2.json"), "wamp"),
        (("wamp.2.msgpack", "wamp.2.json", "wamp"), "wamp.2.json"),
    ]:
        peer = await wire.connect(hub.ws_url, protocols=protocols)
        assert peer.socket.protocol == chosen
        if chosen == "wamp.2.json":
            await peer.send(1, "realm1", {"roles": {"subscriber": {}}})
        assert (await peer.receive())[0] == {"wamp": 0, "wamp.2.json": 2}[chosen]


async def test_a_plain_get_of_the_websocket_is_400(hub: Hub, wire: HubClient) -> None:
    assert (await wire.request("GET", hub, "/ws")).status == 400
    assert (await wire.request("GET", hub, "/ws", Sec_WebSocket_Protocol="wamp")).status == 400


async def test_eligible_and_exclude_contain_session_ids(hub: Hub, wire: HubClient) -> None:
    a, b = await wire.subscriber(hub, "t"), await wire.subscriber(hub, "t")
    await wire.push(hub, f"topicuri=t&eligible={a.session_id}")
    await wire.push(hub, f"topicuri=t&exclude={a.session_id}", b"2")
    await wire.push(hub, "topicuri=t&eligible=", b"3")
    assert (await a.receive(), await b.receive()) == ([8, "t", 1], [8, "t", 2])
    await a.heard()
    await b.heard()


async def test_a_curie_in_a_push_is_not_resolved(hub: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(hub)
    await peer.send(1, "ex", "http://example.com/")
    await peer.subscribe("ex:t")
    await wire.push(hub, "topicuri=ex:t")
    await wire.push(hub, "topicuri=http://example.com/t", b"2")
    assert await peer.receive() == [8, "http://example.com/t", 2]


async def test_subscribers_with_and_without_authentication_get_the_same_events(hub: Hub, wire: HubClient) -> None:
    plain, polite = await wire.subscriber(hub, "t"), await wire.subscriber(hub)
    assert await polite.call("authreq", None, None) == [3, "call", None]
    assert (await polite.call("auth", None))[0] == 3
    await polite.subscribe("t")
    await wire.push(hub)
    assert await plain.receive() == await polite.receive() == [8, "t", 1]


async def test_invalid_messages_are_ignored_and_the_connection_stays(hub: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(hub, "t")
    for text in ("", "x", "{}", "[99]", "[5,7]", "[true]", "[" * 5000, '[7,"t",1]'):
        await peer.socket.send_str(text)
    await peer.socket.send_bytes(b'[6,"t"]')
    await peer.socket.ping(b"are you there?")
    await peer.heard()
    await wire.push(hub)
    assert await peer.receive() == [8, "t", 1]


async def test_a_call_without_a_name_ends_the_connection(hub: Hub, wire: HubClient) -> None:
    peer = await wire.subscriber(hub)
    await peer.send(2, 1, "x")
    assert await peer.end() == 1002


async def test_a_message_that_is_too_long_ends_the_connection(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_body=10, max_topic=10))
    peer = await wire.subscriber(hub)
    await peer.socket.send_str("x" * (max_message(hub.config) + 1))
    assert await peer.end() == 1009


async def test_a_subscriber_may_publish_if_allowed(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_publish=True))
    a, b = await wire.subscriber(hub, "t"), await wire.subscriber(hub, "t")
    await a.send(7, "t", {"n": 1})
    assert await b.receive() == [8, "t", {"n": 1}]
    await a.heard()


async def test_the_number_of_subscribers_is_limited_and_one_that_disconnects_makes_room(
    run: Run, wire: HubClient
) -> None:
    hub = await run(Hub(port=0, max_connections=2))
    first, _second = await wire.subscriber(hub), await wire.subscriber(hub)
    assert await wire.refused(hub) == 503
    await first.socket.close()
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.WSServerHandshakeError):
                await wire.subscriber(hub)
                break


async def test_the_limit_of_subscribers_applies_to_simultaneous_handshakes(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_connections=3))
    tried = await asyncio.gather(*(wire.subscriber(hub) for _ in range(20)), return_exceptions=True)
    refused = [error for error in tried if isinstance(error, aiohttp.WSServerHandshakeError) and error.status == 503]
    assert (len(refused), sum(isinstance(peer, Peer) for peer in tried)) == (17, 3)


async def test_the_limit_of_subscriptions(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_subscriptions=1))
    peer = await wire.subscriber(hub, "a", "b")
    await wire.push(hub, "topicuri=b")
    await wire.push(hub, "topicuri=a", b"2")
    assert await peer.receive() == [8, "a", 2]


_MASK = bytes(4)  # a repeated subscription, which changes nothing


async def deaf_subscriber(hub: Hub, topic: str, subprotocol: str = "wamp") -> socket.socket:
    """Subscribe over a socket with a minimal buffer from which nothing is read afterwards."""
    loop = asyncio.get_running_loop()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await loop.sock_connect(deaf, ("127.0.0.1", int(hub.url.rpartition(":")[2])))
    head = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": subprotocol,
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    handshake = "GET /ws HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in head.items()) + "\r\n"
    old = ([[5, topic]], b"webmqconnect_async/")  # what it says, and how it knows that the hub has heard all of that
    new = ([[1, "realm1", {}], [32, 7, {}, topic]], b"[33,7,")
    messages, sign_of_life = {"wamp": old, "wamp.2.json": new}[subprotocol]
    texts = [json.dumps(message).encode() for message in messages]
    frames = b"".join(bytes([0x81, 0x80 | len(text)]) + _MASK + text for text in texts)
    await loop.sock_sendall(deaf, handshake.encode() + frames)
    received = b""
    async with asyncio.timeout(PATIENCE):
        while sign_of_life not in received:
            received += await loop.sock_recv(deaf, 4096)
    return deaf


async def test_a_subscriber_that_does_not_read_is_dropped_and_delays_no_other(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await run(Hub(port=0, max_queue=100_000))
    peer = await wire.subscriber(hub, "t")
    with await deaf_subscriber(hub, "t") as deaf:
        event = json.dumps("x" * 4000)
        pushed = 0
        async with asyncio.timeout(4 * PATIENCE):
            while "dropped" not in caplog.text:
                await wire.push(hub, "topicuri=t", event.encode())
                pushed += 1
                assert await peer.receive() == [8, "t", json.loads(event)]
            await wire.push(hub, "topicuri=t", b'"after"')
            assert await peer.receive() == [8, "t", "after"]
            # The hub has closed the connection: only data in transit still arrives, much less than was pushed.
            received = 0
            with suppress(ConnectionResetError):
                while part := await asyncio.get_running_loop().sock_recv(deaf, 1 << 16):
                    received += len(part)
    assert received < pushed * 4000
    assert len([record for record in caplog.records if record.name == "webmqconnect_async.hub"]) == 1


# Start and end of a hub


async def test_urls(run: Run) -> None:
    hub = Hub(port=0)
    for name in ("url", "ws_url"):
        with pytest.raises(RuntimeError, match="is not running"):
            getattr(hub, name)
    await run(hub)
    port = hub.url.rpartition(":")[2]
    assert (hub.url, hub.ws_url) == (f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws")


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")])  # noqa: S104
async def test_a_url_can_be_connected_to(wire: HubClient, host: str, url: str) -> None:
    hub = Hub(host, 0, keys={"app": "s3cret"})
    try:
        await hub.start()
    except OSError:
        pytest.skip(f"this machine cannot bind to {host}")
    try:
        assert hub.url.startswith(url)
        assert (await wire.request("GET", hub, "/")).status == 200
        await wire.subscriber(hub)
    finally:
        await hub.close()


async def test_a_port_in_use_raises_oserror_and_leaves_nothing_open(hub: Hub) -> None:
    second = Hub(port=int(hub.url.rpartition(":")[2]))
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    with pytest.raises(RuntimeError, match="is not running"):
        _ = second.url


async def test_a_running_hub_cannot_be_started_and_a_closed_one_can(wire: HubClient) -> None:
    hub = Hub(port=0)
    await hub.close()
    for _ in range(2):
        await hub.start()
        with pytest.raises(RuntimeError, match="is already running"):
            await hub.start()
        await wire.push(hub)
        await hub.close()
        await hub.close()
        with pytest.raises(RuntimeError, match="is not running"):
            _ = hub.url


async def test_closing_sends_goodbye_after_the_last_event_and_leaves_no_task(hub: Hub, wire: HubClient) -> None:
    peers = [await wire.subscriber(hub, "t") for _ in range(3)]
    await wire.push(hub)
    closing = asyncio.create_task(hub.close())
    for peer in peers:
        assert await peer.receive() == [8, "t", 1]
        assert await peer.end() == 1001
    await closing
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_sends_all_that_is_queued(run: Run, wire: HubClient) -> None:
    """All queued events are sent, even more than the sockets buffer, if the client reads while the hub closes."""
    hub = await run(Hub(port=0, max_queue=1 << 25, max_body=1 << 20))
    peer = await wire.subscriber(hub, "t")
    for _ in range(8):
        await wire.push(hub, body=b'"%s"' % (b"x" * 1_000_000))
    closing = asyncio.create_task(hub.close())
    for _ in range(8):
        assert await peer.receive() == [8, "t", "x" * 1_000_000]
    assert await peer.end() == 1001
    await closing


async def test_closing_does_not_wait_for_a_subscriber_that_does_not_read(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_queue=1 << 25, max_body=1 << 20))
    with await deaf_subscriber(hub, "t"):
        for _ in range(8):
            await wire.push(hub, body=b'"%s"' % (b"x" * 1_000_000))
        async with asyncio.timeout(PATIENCE):
            await hub.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Mounted


async def test_mounted_below_a_prefix(wire: HubClient) -> None:
    async def index(_request: web.Request) -> web.Response:
        return web.Response(text="the site")

    site = web.Application()
    site.router.add_get("/", index)
    site.add_subapp("/hub/", create_app(keys={"foobar": "secret"}, clock=lambda: SIGNED_AT))
    async with TestServer(site, host="127.0.0.1") as running:
        root = str(running.make_url("/")).rstrip("/")
        peer = await wire.connect(f"{root}/hub/ws")
        await peer.receive()
        await peer.subscribe("http://example.com/simple")
        headers = {"Content-Type": FORM}
        url = URL(f"{root}/hub/?{SIGNED}", encoded=True)
        async with wire.session.post(url, data=b'"Hello, world!"', headers=headers) as answer:
            assert answer.status == 202
        assert await peer.receive() == [8, "http://example.com/simple", "Hello, world!"]
        async with wire.session.post(f"{root}/hub/", data=b"1", headers=headers) as answer:
            assert (answer.status, await answer.text()) == (400, "missing query parameter 'topicuri'\n")
        async with wire.session.get(f"{root}/hub/", headers={"Host": "rebound.example"}) as answer:
            assert answer.status == 403
        async with wire.session.get(f"{root}/") as answer:
            assert await answer.text() == "the site"
        closing = asyncio.create_task(running.close())
        assert await peer.end() == 1001
        await closing


async def test_a_body_that_stops_half_way_ends_its_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that does not arrive completely ends its request, which would hold a connection forever otherwise."""
    caplog.set_level(logging.INFO, "webmqconnect_async.hub")
    monkeypatch.setattr(_aiohttp, "_BODY_TIMEOUT", 0.05)
    monkeypatch.setattr(_aiohttp, "_LINGERING", 0.05)
    hub = await run(Hub(port=0))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rpartition(":")[2]))
    writer.write(
        b"POST /?topicuri=t HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"the body did not arrive in time\n")
    assert [record.getMessage() for record in caplog.records] == [
        "request from 127.0.0.1 refused: the body did not arrive in time"
    ]
    writer.close()


async def test_the_number_of_connections_is_limited_and_one_that_ends_makes_room(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections above the limit are refused, even without a request. Subscribers stay connected."""
    monkeypatch.setattr(_server, "_SPARE", 2)
    hub = await run(Hub(port=0, max_connections=1))
    peer = await wire.subscriber(hub, "t")
    port = int(hub.url.rpartition(":")[2])
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    await peer.heard()
    for _, each in idle:
        each.close()
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.ClientError):
                await wire.push(hub)
                break


async def test_a_reset_by_a_subscriber_that_is_behind_is_not_logged_as_an_error(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that is closed with many unread events, which is common, is not logged as an error."""
    hub = await run(Hub(port=0, max_body=1 << 20, max_queue=1 << 24, max_connections=1))
    deaf = await deaf_subscriber(hub, "t")
    for _ in range(8):
        await wire.push(hub, "topicuri=t", b'"' + b"x" * 900_000 + b'"')
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deaf.close()
    async with asyncio.timeout(PATIENCE):
        while True:  # until the hub has a free place for another subscriber
            with suppress(aiohttp.WSServerHandshakeError):
                await wire.subscriber(hub)
                break
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_reset_of_a_tls_connection_is_not_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """A reset is not an error, although early releases of Python 3.11 cannot abort an ended TLS connection."""
    site = TestServer(create_app(max_connections=1))
    await site.start_server(ssl=serving())
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
            peer = await http.ws_connect(site.make_url("/ws"), protocols=("wamp",), ssl=trusting())
            await peer.receive_str()
            connection = peer._response.connection  # aiohttp has no other way to abort a connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
            while True:  # until the hub has a free place for another subscriber
                with suppress(aiohttp.WSServerHandshakeError):
                    await http.ws_connect(site.make_url("/ws"), protocols=("wamp",), ssl=trusting())
                    break
    finally:
        await site.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
