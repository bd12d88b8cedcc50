"""`webmqconnect listen` with a server that chooses WAMP v2, as Crossbar.io does.

`tests/crossbar` runs Crossbar.io itself.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from webmqconnect_async import AsyncClient, Payload
from webmqconnect_async.hub import Hub
from webmqconnect_async.signing import Credentials
from webmqconnect_async.subscriber import Subscriber, SubscriberError, _session, _subscriber

from ..subscriber.broker import Peer, broker, scripts
from .conftest import SECRET, invoke, push_event

TOPIC = "com.example.orders"
OTHER = "com.example.news"
CHECK = "; check --subscriber-key and its secret"
KEY = ("--subscriber-key", "page")


@pytest.fixture(autouse=True)
def no_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the delay before wrong keys are refused."""
    monkeypatch.setattr("webmqconnect_async.hub._websocket._penalty", lambda: 0.0)


async def test_both_versions_are_offered() -> None:
    offered: list[str | None] = []

    async def refuse(request: web.Request) -> web.Response:
        offered.append(request.headers.get("Sec-WebSocket-Protocol"))
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/ws", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    result = await invoke("listen", f"http://127.0.0.1:{runner.addresses[0][1]}", TOPIC)
    await runner.cleanup()
    assert (result.status, offered) == (1, ["wamp.2.json,wamp"])


async def test_events_of_a_hub(hub: Hub) -> None:
    async with (
        Subscriber(hub.ws_url, realm="any", reconnect=False) as subscriber,
        subscriber.subscribe(TOPIC, OTHER, TOPIC) as events,
        AsyncClient(hub.url + "/publish", dialect="crossbar") as client,
    ):
        await push_event(hub, {"id": 17}, TOPIC)
        await push_event(hub, "not for it", "com.example.third")
        await client.push(OTHER, [1])
        await client.push(TOPIC, Payload(1, "é", a=2))
        await client.push(TOPIC, Payload(a=2))
        await client.push(TOPIC, "for it alone", eligible=[str(subscriber.session_id)])
        async with asyncio.timeout(5):
            got = [await anext(events) for _ in range(5)]
        assert [(event.topic, event.value) for event in got] == [
            (TOPIC, {"id": 17}),
            (OTHER, [1]),
            (TOPIC, {"args": [1, "é"], "kwargs": {"a": 2}}),
            (TOPIC, {"args": [], "kwargs": {"a": 2}}),
            (TOPIC, "for it alone"),
        ]
        assert all(isinstance(event.id, int) for event in got)
        await hub.close()
        with pytest.raises(SubscriberError, match=r"^the broker ended the session \(system_shutdown\)$"):
            await anext(events)


async def test_a_key() -> None:
    async with (
        Hub(port=0, subscriber_keys={"page": SECRET}) as hub,
        Subscriber(hub.ws_url, Credentials("page", SECRET)) as subscriber,
        subscriber.subscribe(TOPIC) as events,
    ):
        await push_event(hub, 1, TOPIC)
        async with asyncio.timeout(5):
            assert (await anext(events)).value == 1


@pytest.mark.parametrize(
    ("key", "secret", "said"),
    [
        (
            "page",
            "other",
            f"the broker refuses the key 'page': authentication_failed: no such key, or a wrong signature{CHECK}",
        ),
        (
            "no",
            SECRET,
            f"the broker refuses the key 'no': authentication_failed: no such key, or a wrong signature{CHECK}",
        ),
        (None, SECRET, "the broker does not accept anonymous subscribers: give --subscriber-key or --ticket-file"),
    ],
)
async def test_a_key_that_the_hub_refuses(key: str | None, secret: str, said: str) -> None:
    options = ["--subscriber-key", key] if key else []
    async with Hub(port=0, subscriber_keys={"page": SECRET}) as hub:
        result = await invoke("listen", hub.url, TOPIC, *options, env={"WEBMQ_SUBSCRIBER_SECRET": secret})
    assert (result.status, result.stdout, result.stderr) == (1, "", f"error: {said}\n")


async def test_a_key_for_a_hub_without_keys(hub: Hub) -> None:
    """A subscriber that tries to authenticate at a hub without keys is refused instead of joining as anonymous."""
    result = await invoke("listen", hub.url, TOPIC, *KEY, env={"WEBMQ_SUBSCRIBER_SECRET": SECRET})
    said = (
        "the broker refuses the key 'page': no_matching_auth_method: this hub has no subscriber keys; join as anonymous"
    )
    assert (result.status, result.stderr) == (1, f"error: {said}\n")


async def test_a_topic_that_is_not_a_uri(address: str) -> None:
    """A topic that is not a URI is refused by the command, because it would end the session at Crossbar.io."""
    result = await invoke("listen", f"{address}/welcoming", "two words")
    said = "the broker refuses the topic 'two words': not a WAMP URI: it has whitespace, a # or an empty part"
    assert (result.status, result.stderr) == (1, f"error: {said}\n")


ANSWERS: dict[str, object] = {
    "realm": [3, {"message": "no realm"}, "wamp.error.no_such_realm"],
    "method": [3, {}, "wamp.error.no_auth_method"],
    "mute": [3, None, "wamp.error.not_authorized"],
    "hostile": [3, {"message": "\x1b[2J\nbye"}, "com.example.no"],
    "event": [36, 1, 1, {}],
    "text": "welcome",
    "no-challenge": [4, "ticket", {}],
    "no-text": [4, "wampcra", {"challenge": 5}],
}
"""The replies to HELLO, by path."""


async def behave(request: web.Request) -> web.WebSocketResponse:
    """Serve a WebSocket whose behaviour depends on the path.

    By default, it is a broker that sends unrelated messages.
    """
    behaviour = request.match_info["behaviour"]
    socket = web.WebSocketResponse(protocols=("wamp.2.json",))
    await socket.prepare(request)
    async for message in socket:
        match json.loads(message.data):
            case [1, *_]:
                await socket.send_json(ANSWERS.get(behaviour, [2, 17, {}]))
            case [32, request_, _, topic] if behaviour == "chatty":
                await socket.send_str("not JSON")
                answers: list[object] = [
                    {},
                    [35, 9],
                    [33, 99, 7],
                    [8, 32, 99, {}, "wamp.error.x"],
                    [36, 5, 1, {}, ["early, of a subscription that nobody knows"]],
                    [33, request_, 5],
                    [36, 6, 1, {}, ["of another"]],
                    [36, 5, 1, {}],
                    [36, 5, 1, {}, [topic]],
                    [36, 5, 1, {}, ["x"], {}],
                    [36, 5, 1, {}, [], {"a": 1}],
                    [6, {}, "wamp.close.system_shutdown"],
                ]
                for said in answers:
                    await socket.send_json(said)
    return socket


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Return the URL at which `behave` serves."""
    app = web.Application()
    app.router.add_get("/{behaviour}", behave)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("behaviour", "options", "said"),
    [
        ("realm", ("--realm", "realm9"), "the broker has no realm 'realm9'; check --realm"),
        ("realm", (), "the broker has no realm 'realm1'; check --realm"),
        ("method", (), "the broker does not accept anonymous subscribers: give --subscriber-key or --ticket-file"),
        ("method", KEY, "the broker refuses the key 'page': no_auth_method"),
        ("mute", (), "the broker does not accept anonymous subscribers: not_authorized"),
        ("hostile", (), r"the broker does not accept anonymous subscribers: no: \u001b[2J\u000abye"),
        ("event", (), "not a WAMP broker"),
        ("text", (), "not a WAMP broker"),
        ("no-challenge", KEY, "not a WAMP broker"),
        ("no-text", (), "not a WAMP broker"),
        ("no-text", KEY, "the hub sent no challenge: it does not authenticate subscribers"),
        ("welcoming", KEY, "the hub sent no challenge: it does not authenticate subscribers"),
        ("silent", (), "the hub has stopped responding"),
    ],
)
async def test_servers_that_are_not_brokers(
    behaviour: str, options: tuple[str, ...], said: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server that does not behave like a broker causes an error of one line."""
    if behaviour == "silent":
        monkeypatch.setattr(_session, "_SILENCE", 0.2)
        monkeypatch.setattr(_session, "_PATIENCE", 0.2)
    env = {"WEBMQ_SUBSCRIBER_SECRET": SECRET}
    result = await invoke("listen", f"{address}/{behaviour}", TOPIC, "--no-reconnect", *options, env=env)
    assert (result.status, result.stdout) == (1, "")
    assert re.sub(r":\d+", "", result.stderr) == f"error: {said}\n"


async def test_unrelated_messages_of_a_broker_are_ignored(address: str) -> None:
    result = await invoke("listen", f"{address}/chatty", TOPIC, "--no-reconnect")
    events = ['{"args": [], "kwargs": {}}', f'"{TOPIC}"', '"x"', '{"args": [], "kwargs": {"a": 1}}']
    assert result.stdout == "".join(f"{TOPIC}\t{event}\n" for event in events)
    assert result.status == 1
    assert result.stderr.splitlines()[-1] == "error: the broker ended the session (system_shutdown)"


async def test_a_topic_that_is_refused_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a topic is refused after an outage, a line on stderr says so, and the command continues."""
    monkeypatch.setattr(_subscriber, "_FIRST_WAIT", 0.0)

    async def first(peer: Peer) -> None:
        await peer.welcome(17)
        for subscription in (1, 2):
            await peer.subscribed(subscription)
        await peer.event(1, 1, "before")

    async def second(peer: Peer) -> None:
        await peer.welcome(18)
        await peer.refuse("wamp.error.not_authorized", "not any more")
        await peer.subscribed(2)
        await peer.event(2, 2, "after")
        await peer.gone()

    async with broker(scripts(first, second)) as url:
        result = await invoke("listen", url, TOPIC, OTHER, "--count", "2")
    assert (result.status, result.stdout) == (0, f'{TOPIC}\t"before"\n{OTHER}\t"after"\n')
    reason = "the broker refuses the topic: not_authorized: not any more"
    assert f"missed events of {TOPIC}: {reason}\n" in result.stderr
