"""`/publish`, where the hub accepts Crossbar.io's format, with raw requests and with the clients."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from webmqconnect_async import (
    AsyncClient,
    AuthRejected,
    BadReply,
    Client,
    ClockRejected,
    NotAccepted,
    Overloaded,
    Payload,
    Retry,
    TooLarge,
    testing,
)
from webmqconnect_async.hub import Accepted, Hub, Refused, _aiohttp, create_app
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._publication import Receivers

from .conftest import PATIENCE, Answer, HubClient, Run, exchange

TOPIC = "com.example.topic"
PAGE = "https://app.example.com"
SIGNED_AT = 1318611591.123
SIGNED = (  # the time of vector crossbar-01
    "key=foobar&timestamp=2011-10-14T16%3A59%3A51.123Z&seq=1&nonce=1234567890"
    "&signature=5Py5FHl54Y7wB6A0cX1eIROqCNPeK9MwHEoWR9q4w6o%3D"
)
SIGNED_BODY = b'{"topic":"com.example.topic","args":["Hello, world!"]}'
HEAD = b"Host: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"


async def publish(
    wire: HubClient,
    hub: Hub,
    body: bytes | AsyncIterator[bytes] | object = SIGNED_BODY,
    query: str = "",
    *,
    method: str = "POST",
    **headers: str,
) -> Answer:
    sent = body if isinstance(body, bytes | AsyncIterator) else json.dumps(body).encode()
    named = {"Content_Type": "application/json", **headers}
    return await wire.request(method, hub, f"/publish?{query}" if query else "/publish", sent, **named)


def publication(answer: Answer) -> int:
    """Return the ID of the publication."""
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    said = json.loads(answer.text)
    assert list(said) == ["id"]
    assert isinstance(said["id"], int)
    return said["id"]


def error(answer: Answer) -> str:
    """Return the reason in an error response."""
    said = json.loads(answer.text)
    assert said == {"error": said["error"], "args": [], "kwargs": {}}
    assert isinstance(said["error"], str)
    return said["error"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_event_reaches_subscribers_of_both_wamp_versions(hub: Hub, wire: HubClient, method: str) -> None:
    new, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    answer = await publish(wire, hub, {"topic": TOPIC, "args": [{"ü": 1}]}, method=method)
    assert await new.event() == (publication(answer), [[{"ü": 1}]])
    assert await old.receive() == [8, TOPIC, {"ü": 1}]
    answer = await publish(wire, hub, {"topic": TOPIC, "args": [1], "kwargs": {"a": 2}}, method=method)
    assert await new.event() == (publication(answer), [[1], {"a": 2}])
    assert await old.receive() == [8, TOPIC, {"args": [1], "kwargs": {"a": 2}}]


async def test_a_push_of_the_other_dialect_reaches_both_wamp_versions_too(hub: Hub, wire: HubClient) -> None:
    new, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    await wire.push(hub, f"topicuri={TOPIC}", b' {"n": 1.10} ')
    message = await new.socket.receive_str(timeout=PATIENCE)
    assert message.endswith(',{},[{"n": 1.10}]]')
    assert await old.receive() == [8, TOPIC, {"n": 1.1}]


async def test_a_signed_push_is_accepted_and_a_replay_too(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"foobar": "secret"}, clock=lambda: SIGNED_AT))
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    ids = [publication(await publish(wire, hub, query=SIGNED)) for _ in range(2)]
    assert [await peer.event() for _ in range(2)] == [(each, [["Hello, world!"]]) for each in ids]
    assert ids[0] != ids[1]
    for body, query, status in [(SIGNED_BODY + b" ", SIGNED, 401), (SIGNED_BODY, "", 400)]:
        answer = await publish(wire, hub, body, query)
        assert answer.status == status
        assert error(answer).startswith("REST bridge signature")
    await peer.heard()


@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "said"),
    [
        ("GET", b"", {}, 405, "Method not accepted by the REST bridge. ('GET' not allowed, only POST, PUT)"),
        ("DELETE", b"", {}, 405, "Method not accepted by the REST bridge. ('DELETE' not allowed, only POST, PUT)"),
        (
            "POST",
            b"{}",
            {"Content_Type": "a/b"},
            400,
            "Non-accepted content type. (must be 'application/json', not 'a/b')",
        ),
        ("POST", b"x" * 4097, {}, 413, "Request too long. (4097 is longer than accepted 4096)"),
        ("POST", b"x", {}, 400, "Request body was invalid JSON."),
        ("PUT", b'{"topic":""}', {}, 500, "the topic is not a URI"),
        ("PUT", b'{"topic":"wamp.a"}', {}, 200, "wamp.error.invalid_uri"),
    ],
)
async def test_a_refusal_is_json(
    hub: Hub, wire: HubClient, method: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await publish(wire, hub, body, method=method, **headers)
    assert (answer.status, error(answer)) == (status, said)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ("Allow" in answer.headers) is (status == 405)


async def test_the_refusal_of_head_lists_the_allowed_methods(hub: Hub, wire: HubClient) -> None:
    answer = await publish(wire, hub, b"", method="HEAD")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST, PUT, OPTIONS")


async def test_a_slash_may_follow(hub: Hub, wire: HubClient) -> None:
    """The path may end with a slash, as at Crossbar.io."""
    peer = await wire.subscriber(hub, "com.example.t")
    async with AsyncClient(hub.url + "/publish/", dialect="crossbar") as client:
        await client.push("com.example.t", 1)
    assert await peer.receive() == [8, "com.example.t", 1]


@pytest.mark.parametrize("path", ["/publish/x", "/publish//", "//publish", "/Publish", "/ws/publish"])
async def test_another_path_is_404(hub: Hub, wire: HubClient, path: str) -> None:
    assert (await wire.request("POST", hub, path, SIGNED_BODY, Content_Type="application/json")).status == 404


async def test_a_missing_content_type_means_json(hub: Hub) -> None:
    request = (
        b'POST /publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{"topic":"a"}'
    )
    assert (await exchange(hub, request)).startswith(b"HTTP/1.1 200 ")


# Host and Origin


async def test_a_foreign_host_is_403(hub: Hub, wire: HubClient) -> None:
    for method in ("POST", "PUT", "OPTIONS", "GET"):
        answer = await publish(wire, hub, method=method, Host="rebound.example")
        assert answer.status == 403
        assert "--allow-host" in answer.text


async def test_a_page_pushes_only_if_its_origin_is_listed(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_origins=[PAGE]))
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    for origin in ("null", "http://app.example.com", "https://evil.example", hub.url, "http://localhost:3000"):
        for method in ("POST", "PUT", "OPTIONS"):
            answer = await publish(wire, hub, method=method, Origin=origin)
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    answer = await publish(wire, hub, Origin=PAGE)
    assert (await peer.event())[0] == publication(answer)
    assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (PAGE, "Origin")
    refused = await publish(wire, hub, b"x", Origin=PAGE)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (400, PAGE)


async def test_the_response_to_a_preflight_request_of_a_listed_page(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, allow_origins=[PAGE]))
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    answer = await publish(wire, hub, b"", method="OPTIONS", Origin=PAGE, **asked)
    assert (answer.status, answer.text) == (200, "")
    told = {name: value for name, value in answer.headers.items() if name.startswith(("Access-", "Allow", "Vary"))}
    assert told == {
        "Allow": "POST, PUT, OPTIONS",
        "Access-Control-Allow-Origin": PAGE,
        "Access-Control-Allow-Methods": "POST, PUT, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type, Idempotency-Key",
        "Vary": "Origin",
    }


async def test_an_options_request_without_an_origin_is_accepted(hub: Hub, wire: HubClient) -> None:
    answer = await publish(wire, hub, b"", method="OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (200, "POST, PUT, OPTIONS")
    assert "Access-Control-Allow-Origin" not in answer.headers


# Bodies


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_chunked_bodies_have_the_same_limit(hub: Hub, wire: HubClient) -> None:
    head, tail = b'{"topic":"a","args":["', b'"]}'
    filling = 4096 - len(head) - len(tail)
    publication(await publish(wire, hub, chunks(head, b"x" * filling, tail)))
    answer = await publish(wire, hub, chunks(head, b"x" * filling, b"x", tail))
    assert (answer.status, error(answer)) == (413, "Request too long. (4097 is longer than accepted 4096)")


async def test_an_endless_chunked_body_gets_a_response_before_its_end(hub: Hub) -> None:
    head = b"POST /publish HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(hub.url).port)
    writer.write(head + b"1000\r\n" + b" " * 4096 + b"\r\n1\r\n \r\n")
    answer = await asyncio.wait_for(reader.readuntil(b"accepted 4096)"), PATIENCE)
    assert answer.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_stops_half_way_ends_its_request(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aiohttp, "_BODY_TIMEOUT", 0.05)
    monkeypatch.setattr(_aiohttp, "_LINGERING", 0.05)
    request = b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    assert (await exchange(hub, request)).startswith(b"HTTP/1.1 408 ")


async def test_the_limits_can_be_set(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, max_body=20, max_topic=3))
    assert (await publish(wire, hub, b'{"topic":"abc"}     ')).status == 200
    assert (await publish(wire, hub, b'{"topic":"abc"}      ')).status == 413
    assert error(await publish(wire, hub, b'{"topic":"abcd"}')) == "topic length (4) exceeds maximum (3)"


# The `admit` hook, and bugs


async def test_admit_is_called_for_these_pushes_too(run: Run, wire: HubClient) -> None:
    asked: list[Accepted] = []
    hub = await run(Hub(port=0, admit=asked.append, keys={"foobar": "secret"}, clock=lambda: SIGNED_AT))
    publication(await publish(wire, hub, query=SIGNED))
    assert (await publish(wire, hub)).status == 400
    assert asked == [Accepted(TOPIC, '"Hello, world!"', args='["Hello, world!"]', key="foobar")]


async def test_admit_gets_the_receivers_of_an_event(run: Run, wire: HubClient) -> None:
    asked: list[Accepted] = []
    hub = await run(Hub(port=0, admit=asked.append))
    options = {"eligible": [1], "exclude": [2], "eligible_authid": ["a"], "exclude_authrole": ["b"]}
    await publish(wire, hub, {"topic": TOPIC, "options": options})
    (push,) = asked
    assert (push.eligible, push.exclude) == (frozenset("1"), frozenset("2"))
    assert (push.authid, push.authrole) == (Receivers(frozenset("a")), Receivers(None, frozenset("b")))


async def test_a_push_that_admit_refuses_is_not_forwarded(run: Run, wire: HubClient) -> None:
    refusals = [Refused(503, "later", retry_after=0), Refused(403, "<never>"), None]
    hub = await run(Hub(port=0, admit=lambda _push: refusals.pop(0), allow_origins=[PAGE]))
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    later = await publish(wire, hub, Origin=PAGE)
    assert (later.status, error(later), later.headers["Retry-After"]) == (503, "later", "0")
    assert later.headers["Access-Control-Allow-Origin"] == PAGE
    never = await publish(wire, hub)
    assert (never.status, error(never), "Retry-After" in never.headers) == (403, "<never>", False)
    answer = await publish(wire, hub)
    assert (await peer.event())[0] == publication(answer)


async def test_a_failing_admit_and_a_bug_are_not_shown_to_the_client(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("s3cret")

    hub = await run(Hub(port=0, admit=broken))
    answer = await publish(wire, hub)
    assert (answer.status, error(answer)) == (500, "internal server error")
    monkeypatch.setattr(Broker, "deliver", broken)
    answer = await publish(wire, await run(Hub(port=0)))
    assert (answer.status, answer.text) == (500, "internal server error\n")
    assert [record.getMessage() for record in caplog.records if record.name == "webmqconnect_async.hub"] == [
        *("admit failed: the push is refused", "a request failed")
    ]


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /publish?signature=s3cret HTTP/1.1\r\nContent-Length: x\r\n" + HEAD + b"\r\n1",
        b"POST /publish?signature=s3cret\xff HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"POST /publish?signature=s3cret HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\nzz\r\n",
        b"POST /publish?signature=s3cret&seq=x HTTP/1.1\r\nContent-Length: 1\r\n" + HEAD + b"\r\n1",
    ],
    ids=["content-length", "bytes", "chunk", "refused"],
)
async def test_no_signature_is_stored_or_logged(hub: Hub, caplog: pytest.LogCaptureFixture, request_: bytes) -> None:
    with caplog.at_level(logging.DEBUG, "webmqconnect_async"), caplog.at_level(logging.INFO):
        answer = await exchange(hub, request_)
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert "s3cret" not in caplog.text


async def test_mounted_below_a_prefix(wire: HubClient) -> None:
    site = web.Application()
    site.add_subapp("/hub/", create_app())
    async with TestServer(site, host="127.0.0.1") as running:
        async with AsyncClient(str(running.make_url("/hub/publish")), dialect="crossbar") as client:
            assert (await client.push(TOPIC, 1)).id
        async with wire.session.post(running.make_url("/publish"), data=b"{}") as answer:
            assert answer.status == 404


# With the clients


async def test_a_client_gets_the_publication_id_that_subscribers_get(hub: Hub, wire: HubClient) -> None:
    peer, old = await wire.wamp2_subscriber(hub, TOPIC), await wire.subscriber(hub, TOPIC)
    async with AsyncClient(hub.url + "/publish", dialect="crossbar") as client:
        table: list[tuple[object, list[object], object]] = [
            ("é", [["é"]], "é"),
            (None, [[None]], None),
            (Payload(1, a=[2]), [[1], {"a": [2]}], {"args": [1], "kwargs": {"a": [2]}}),
            (Payload(), [[]], {"args": [], "kwargs": {}}),
        ]
        for event, told, old_told in table:
            receipt = await client.push(TOPIC, event)
            assert (receipt.status, await peer.event()) == (200, (receipt.id, told))
            assert await old.receive() == [8, TOPIC, old_told]
        await client.push(TOPIC, 1, eligible=[])
        await client.push(TOPIC, 2, exclude=[peer.session_id])
        await client.push(TOPIC, 3, eligible=[peer.session_id])
        assert ((await peer.event())[1], await old.receive()) == ([[3]], [8, TOPIC, 2])
        await client.push(TOPIC, 4, options={"eligible_authid": [old.session_id]})
        assert await old.receive() == [8, TOPIC, 4]
        await client.push(TOPIC, 5, options={"exclude_authrole": ["anonymous"]})
    await peer.heard()
    await old.heard()


async def test_a_blocking_client_gets_the_publication_id_that_subscribers_get(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    peer = await wire.wamp2_subscriber(hub, TOPIC)

    def push() -> list[int | None]:
        with Client(hub.url + "/publish", "app", "s3cret", dialect="crossbar") as client:
            return [client.push(TOPIC, 1).id, client.push(TOPIC, Payload(2, "ü")).id]

    first, second = await asyncio.to_thread(push)
    assert [await peer.event(), await peer.event()] == [(first, [[1]]), (second, [[2, "ü"]])]


async def test_many_pushes_have_the_ids_of_their_events(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"schlüssel": "gehëim"}))
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    async with AsyncClient(hub.url + "/publish", "schlüssel", "gehëim", dialect="crossbar") as client:
        outcomes = await client.push_many([(TOPIC, number) for number in range(100)], order_by_topic=True)
    got = [await peer.event() for _ in outcomes]
    assert got == [(outcome.receipt and outcome.receipt.id, [[number]]) for number, outcome in enumerate(outcomes)]


async def test_the_same_credentials_push_with_both_dialects(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"app": "s3cret"}))
    peer = await wire.wamp2_subscriber(hub, TOPIC)
    async with AsyncClient(hub.url, "app", "s3cret") as client:
        receipt = await client.push(TOPIC, 1)
        assert (receipt.status, (await peer.event())) == (202, (receipt.id, [[1]]))
    async with AsyncClient(hub.url + "/publish", "app", "s3cret", dialect="crossbar") as client:
        assert (await client.push(TOPIC, 2)).id == (await peer.event())[0]


async def test_refusals_raise_the_errors_of_the_client(run: Run) -> None:
    """For each class of error that the client can raise, there is a refusal of the hub."""
    refused: list[Refused | None] = [Refused(429, "slower"), Refused(403, "no"), Refused(503, "proxy"), None]
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, admit=lambda _push: refused.pop(0)))
    late = await run(Hub(port=0, keys={"app": "s3cret"}, clock=lambda: SIGNED_AT))
    small = await run(Hub(port=0, max_body=30))
    cases: list[tuple[Hub, tuple[()] | tuple[str, str], type[Exception]]] = [
        (hub, (), AuthRejected),
        (hub, ("app", "wrong"), AuthRejected),
        (hub, ("other", "s3cret"), AuthRejected),
        (late, ("app", "s3cret"), ClockRejected),
        (small, (), TooLarge),
        (hub, ("app", "s3cret"), Overloaded),
        (hub, ("app", "s3cret"), AuthRejected),
        (hub, ("app", "s3cret"), BadReply),
    ]
    for target, credentials, kind in cases:
        async with AsyncClient(
            target.url + "/publish", *credentials, dialect="crossbar", retry=Retry(attempts=1)
        ) as client:
            with pytest.raises(kind) as caught:
                await client.push(TOPIC, 1)
            assert isinstance(caught.value, NotAccepted) is (kind is not BadReply)
    assert refused == [None]


# In test suites


def test_pushes_are_recorded_as_they_were_given() -> None:
    """With either dialect, `pushes` has the event, or a `Payload` if it has other arguments than a single one."""
    with testing.Hub() as hub:
        with Client(hub.url + "/publish", dialect="crossbar") as client:
            client.push(TOPIC, {"n": 1}, eligible=[7], exclude=[8])
            client.push(TOPIC, Payload(1))
            client.push(TOPIC, Payload(1, 2, a=3))
            client.push(TOPIC, Payload())
        with Client(hub.url) as client:
            client.push(TOPIC, {"args": [], "kwargs": {}})
        assert hub.pushes == [
            testing.Pushed(TOPIC, {"n": 1}, eligible=frozenset({"7"}), exclude=frozenset({"8"})),
            testing.Pushed(TOPIC, 1),
            testing.Pushed(TOPIC, Payload(1, 2, a=3)),
            testing.Pushed(TOPIC, Payload()),
            testing.Pushed(TOPIC, {"args": [], "kwargs": {}}),
        ]


def test_a_test_can_wait_for_and_refuse_these_pushes_too() -> None:
    with testing.Hub(keys={"app": "s3cret"}) as hub:
        with Client(hub.url + "/publish", "app", "s3cret", dialect="crossbar") as client:
            hub.refuse_next(403)
            with pytest.raises(AuthRejected, match="refused by the test"):
                client.push(TOPIC, 1)
            client.push(TOPIC, 2)
        assert hub.wait_for(TOPIC) == testing.Pushed(TOPIC, 2, key="app")
