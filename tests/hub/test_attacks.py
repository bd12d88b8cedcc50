"""Attacks by pages of other origins, and by requests that two servers may parse differently."""

from __future__ import annotations

import gzip
import logging
from urllib.parse import quote

import pytest

from webmqconnect_async.hub import Hub, _page, _remedies, _websocket
from webmqconnect_async.hub._host_and_origin import Gate

from .conftest import HubClient, Run
from .raw import connected, head

FORM = "application/x-www-form-urlencoded"
TAKES_PUSHES = ["/?topicuri=t", "/publish"]
REBOUND = [
    "rebound.example",
    "localhost.rebound.example",
    "127.0.0.1.rebound.example",
    "rebound.example:80",
    "localhost@rebound.example",
    "2130706433",
    "0.0.0.0",  # noqa: S104  # an address that browsers once treated as this machine
    "[2001:db8::1]",
    "",
]


# Pages of other origins


@pytest.mark.parametrize("host", REBOUND)
async def test_every_path_refuses_a_foreign_host(hub: Hub, wire: HubClient, host: str) -> None:
    """Every path refuses a foreign `Host`, the only sign of DNS rebinding: such a page has the hub's own origin."""
    peer = await wire.subscriber(hub, "t")
    origin = f"http://{host}"
    paths = ["/", "/publish", "/ws", "/hub.json", *_page.ASSETS]
    for path in paths:
        answer = await wire.request("GET", hub, path, b"", Host=host, Origin=origin, Sec_WebSocket_Protocol="wamp")
        assert answer.status == 403, path
        assert "not allowed" in answer.text
    for path in TAKES_PUSHES:
        for method in ("POST", "PUT", "OPTIONS"):
            assert (await wire.request(method, hub, path, b'{"topic": "t"}', Host=host)).status == 403
    assert await wire.refused(hub, Host=host, Origin=origin) == 403
    await peer.heard()


def test_text_that_resembles_an_address_is_refused_as_a_host() -> None:
    """A hub that is open to other machines accepts any IP address as `Host`, but no text that resembles one."""
    gate = Gate("0.0.0.0", [], [])  # noqa: S104  # nothing is bound
    assert gate.host("[::ffff:127]") is None
    for host in ("[::ffff:127.]", "[127.0.0.1]", "[127.0.0.1]x", "[::1", "::1]", "[::1%25lo]", "[]", "1.2.3", "0x7f.1"):
        assert gate.host(host) is not None, host


@pytest.mark.parametrize(
    "origin",
    ["null", "https://evil.example", "http://localhost.evil.example", "file://", "https://localhost@evil.example", ""],
)
async def test_no_foreign_page_pushes_or_subscribes(hub: Hub, wire: HubClient, origin: str) -> None:
    peer = await wire.subscriber(hub, "t")
    for target in TAKES_PUSHES:
        for method in ("POST", "PUT", "OPTIONS") if target == "/publish" else ("POST",):
            answer = await wire.request(method, hub, target, b'{"topic": "t"}', Origin=origin)
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert await wire.refused(hub, Origin=origin) == 403
    await peer.heard()


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", FORM])
async def test_a_form_of_a_foreign_page_cannot_push(hub: Hub, wire: HubClient, kind: str) -> None:
    """A form of a foreign page is refused. Browsers post it without a preflight request, but with an `Origin`."""
    peer = await wire.subscriber(hub, "t")
    for target in TAKES_PUSHES:
        for origin in ("https://evil.example", "null"):
            answer = await wire.request("POST", hub, target, b'{"topic": "t"}', Content_Type=kind, Origin=origin)
            assert answer.status == 403
        if kind != FORM or target == "/publish":  # a push of a client; every browser sends an Origin
            answer = await wire.request("POST", hub, target, b'{"topic": "t"}', Content_Type=kind)
            assert answer.status == 400
    await peer.heard()


async def test_a_preflight_request_of_a_foreign_page_is_refused(hub: Hub, wire: HubClient) -> None:
    for target in TAKES_PUSHES:
        answer = await wire.request(
            "OPTIONS", hub, target, b"", Origin="https://evil.example", Access_Control_Request_Method="POST"
        )
        assert answer.status in (403, 405)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


# Requests that can be parsed in two ways

_PUSH = (
    head("POST /?topicuri=smuggled HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 1", "Connection: close") + b"1"
)


def _push(*headers: str, version: str = "1.1") -> bytes:
    return head(f"POST /?topicuri=t HTTP/{version}", f"Content-Type: {FORM}", *headers)


_CHUNK = b"1\r\n1\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(_push("Content-Length: 1", "Content-Length: 2") + b"12", id="two lengths"),
        pytest.param(_push("Content-Length: 1", "Content-Length: 1") + b"1", id="one length twice"),
        pytest.param(_push("Content-Length: 1, 1") + b"1", id="list of lengths"),
        pytest.param(_push("Content-Length: +1") + b"1", id="signed length"),
        pytest.param(_push("Content-Length: 0x1") + b"1", id="hexadecimal length"),
        pytest.param(_push(f"Content-Length: {'9' * 30}") + b"1", id="length beyond 64 bits"),
        pytest.param(_push("Content-Length: 1", "Transfer-Encoding: chunked") + _CHUNK, id="length and chunks"),
        pytest.param(_push("Transfer-Encoding: chunked", "Content-Length: 1") + _CHUNK, id="chunks and length"),
        pytest.param(_push("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + _CHUNK, id="chunked twice"),
        pytest.param(_push("Transfer-Encoding: chunked, identity") + _CHUNK, id="not chunked in the end"),
        pytest.param(_push("Transfer-Encoding: xchunked") + _CHUNK, id="unknown coding"),
        pytest.param(_push("Transfer-Encoding:\r\n chunked") + _CHUNK, id="coding in a folded line"),
        pytest.param(_push("X: a\r\n b", "Content-Length: 1") + b"1", id="folded line"),
        pytest.param(_push("Content-Length : 1") + b"1", id="space before the colon"),
        pytest.param(_push("X: a\rContent-Length: 1") + b"1", id="bare CR"),
        pytest.param(_push("X: a\nContent-Length: 1") + b"1", id="bare LF"),
        pytest.param(_push("X: a\0", "Content-Length: 1") + b"1", id="NUL"),
        pytest.param(_push("Host: evil.example", "Content-Length: 1") + b"1", id="two hosts"),
        pytest.param(head("POST /?topicuri=t HTTP/1.1", host=None), id="no host"),
        pytest.param(b"POST /?topicuri=t HTTP/1.1\nHost: localhost\n\n", id="lines end in LF"),
        pytest.param(_push("Transfer-Encoding: chunked") + b"-1\r\n1\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(_push("Transfer-Encoding: chunked") + b"1 \r\n1\r\n0\r\n\r\n", id="space after a chunk's size"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
        pytest.param(head("GET / HTTP/9.9"), id="unknown version"),
    ],
)
async def test_an_ambiguous_request_is_refused_with_all_that_follow(hub: Hub, wire: HubClient, request_: bytes) -> None:
    peer = await wire.subscriber(hub, "t", "smuggled")
    async with connected(hub) as raw:
        await raw.send(request_ + _PUSH)
        answers = await raw.ends()
    assert b" 400 Bad Request" in answers.partition(b"\r\n")[0]
    assert b" 202 " not in answers
    await peer.heard()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("POST http://localhost/?topicuri=t HTTP/1.1", "Content-Length: 0"), b" 404 "),
        (head("GET http://evil.example/ HTTP/1.1"), b" 404 "),
        (head("CONNECT evil.example:443 HTTP/1.1"), b" 404 "),
        (head("CONNECT / HTTP/1.1"), b" 404 "),
        (head("OPTIONS * HTTP/1.1"), b" 404 "),
        (head("GET //evil.example/ HTTP/1.1"), b" 404 "),
        (head("GET /../../etc/passwd HTTP/1.1"), b" 404 "),
        (head("GET /%2e%2e/page.py HTTP/1.1"), b" 404 "),
        (head("GET /x\udcff HTTP/1.1"), b" 400 "),
        (b"GET /\r\n\r\n", b" 505 "),
        (head("GET / HTTP/0.9"), b" 505 "),
        (head("GET / HTTP/2.0"), b" 505 "),
        (head("POST /?topicuri=t HTTP/0.9", f"Content-Type: {FORM}", "Content-Length: 1") + b"1", b" 505 "),
        (head("GET / HTTP/1.1", "Expect: the unexpected"), b" 417 "),
        (head("GET / HTTP/1.1", 'If-None-Match: "\udcff,,,W/"*'), b" 200 "),
        (head("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: wamp", "Upgrade: h2c", "Connection: Upgrade"), b" 400 "),
    ],
    ids=lambda value: repr(value[:40]),
)
async def test_requests_for_proxies_are_refused(hub: Hub, wire: HubClient, request_: bytes, status: bytes) -> None:
    peer = await wire.subscriber(hub, "t")
    async with connected(hub) as raw:
        await raw.send(request_)
        assert status in await raw.reader.readline()
    await peer.heard()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_compressed_body_is_refused(hub: Hub, wire: HubClient, coding: str) -> None:
    """A compressed body is refused: it might be a zip bomb, and the signature is for the bytes as sent."""
    bomb = gzip.compress(b'"' + b"x" * 2_000_000 + b'"')
    for target in TAKES_PUSHES:
        kind = FORM if target != "/publish" else "application/json"
        answer = await wire.request("POST", hub, target, bomb, Content_Encoding=coding, Content_Type=kind)
        assert answer.status == 400


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("GET / HTTP/1.1", *(f"X-{number}: 1" for number in range(63))), b" 200 "),
        (head("GET / HTTP/1.1", *(f"X-{number}: 1" for number in range(65))), b" 400 "),
        (head("GET / HTTP/1.1", "X: " + "x" * 8000), b" 200 "),
        (head("GET / HTTP/1.1", "X: " + "x" * 8200), b" 400 "),
        (head("GET / HTTP/1.1", "x" * 8200 + ": 1"), b" 400 "),
        (head("GET /?" + "x" * 16_000 + " HTTP/1.1"), b" 200 "),
        (head("GET /?" + "x" * 16_400 + " HTTP/1.1"), b" 414 "),
        (_push("Transfer-Encoding: chunked") + b"1\r\n1\r\n0\r\n" + b"X: 1\r\n" * 200 + b"\r\n", b" 400 "),
    ],
    ids=range(8),
)
async def test_the_limits_on_a_head(hub: Hub, request_: bytes, status: bytes) -> None:
    async with connected(hub) as raw:
        await raw.send(request_)
        assert status in await raw.reader.readline()


@pytest.mark.parametrize(
    "request_",
    [
        head("POST /?topicuri=t HTTP/1.1", "Expect: 100-continue"),
        head("POST /nowhere HTTP/1.1", "Expect: \udcff"),
        head("GET /ws HTTP/1.1", "Sec-WebSocket-Protocol: \udcff", "Sec-WebSocket-Key: \udcff"),
        head("GET /\udcff HTTP/1.1"),
        b"\xff\xff\xff\xff\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of a TLS handshake
    ],
)
async def test_malformed_requests_and_lost_connections_are_not_logged(
    hub: Hub, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    """The log has no messages of aiohttp about malformed requests or about clients that disconnect early."""
    for _ in range(3):
        async with connected(hub) as raw:
            raw.writer.write(request_)
            raw.writer.write_eof()
            await raw.ends()
    assert caplog.text == ""


# Guesses of keys


@pytest.mark.parametrize(
    ("target", "body", "status", "remedy"),
    [
        ("/?topicuri=t&appkey=app&timestamp=2011-10-14T16:59:51Z&signature=a-guess", b"1", 401, "SIGNATURE"),
        ("/?topicuri=t&appkey=a-guess&timestamp=2011-10-14T16:59:51Z&signature=x", b"1", 400, "KEY"),
        ("/publish?key=app&timestamp=2011-10-14T16:59:51.0Z&seq=1&nonce=1&signature=a-guess", b"{}", 401, "SIGNATURE"),
        ("/publish?key=a-guess&timestamp=2011-10-14T16:59:51.0Z&seq=1&nonce=1&signature=x", b"{}", 401, "KEY"),
    ],
)
async def test_a_wrong_signature_is_logged_with_the_address_and_without_the_guess(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture, target: str, body: bytes, status: int, remedy: str
) -> None:
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, clock=lambda: 1318611591.0))
    kind = "application/json" if target.startswith("/publish") else FORM
    answer = await wire.request("POST", hub, quote(target, safe="/?&=-"), body, Content_Type=kind)
    assert answer.status == status
    [record] = [record for record in caplog.records if record.name.startswith("webmqconnect_async")]
    assert record.levelno == logging.WARNING
    hint = getattr(_remedies, remedy)
    said = f"push from 127.0.0.1 failed to authenticate: wrong key or signature; hint: {hint}"
    assert record.getMessage() == said
    assert "a-guess" not in caplog.text


async def test_a_signed_push_to_a_hub_without_keys(run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """The hint in the log names an option that helps: `--key` does not take the name of a key."""
    hub = await run(Hub(port=0, clock=lambda: 1318611591.0))
    target = "/?topicuri=t&appkey=app&timestamp=2011-10-14T16:59:51Z&signature=x"
    assert (await wire.request("POST", hub, target, b"1", Content_Type=FORM)).status == 400
    assert caplog.messages[-1].endswith(f"hint: {_remedies.NO_KEY}")


async def test_a_mistake_is_not_a_warning(run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong clock, a missing signature and an incomplete one are not logged as warnings."""
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    for query in ("", "&appkey=app&timestamp=2011-10-14T16%3A59%3A51Z&signature=x", "&appkey=app"):
        assert (await wire.request("POST", hub, f"/?topicuri=t{query}")).status in (400, 401)
    assert not [record for record in caplog.records if record.name.startswith("webmqconnect_async")]


@pytest.mark.parametrize("subprotocol", ["wamp", "wamp.2.json"])
async def test_a_wrong_signature_of_a_subscriber_is_logged_with_its_address(
    run: Run, wire: HubClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, subprotocol: str
) -> None:
    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    hub = await run(Hub(port=0, subscriber_keys={"page": "s3cret"}))
    if subprotocol == "wamp":
        peer = await wire.subscriber(hub)
        assert (await peer.call("authreq", "page"))[0] == 3
        assert (await peer.call("auth", "a-guess"))[0] == 4
    else:
        stranger = await wire.stranger(hub)
        await stranger.send(1, "realm", {"authmethods": ["wampcra"], "authid": "page"})
        assert (await stranger.receive())[0] == 4
        await stranger.send(5, "a-guess", {})
        assert (await stranger.receive())[0] == 3
    [record] = [record for record in caplog.records if record.name.startswith("webmqconnect_async")]
    assert record.levelno == logging.WARNING
    assert " at 127.0.0.1 failed to authenticate: " in record.getMessage()
    assert "a-guess" not in caplog.text
