"""The console: who may open it, what it shows, and that its pushes follow the rules of the hub."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import prometheus_client  # noqa: F401  # its import reads /proc, which would block the event loop
import pytest
from aiohttp.test_utils import TestServer

from webmqconnect_async.hub import Hub, HubConfig, Refused, _console, _websocket, create_app
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._console import Console, Watcher
from webmqconnect_async.hub._observer import Observer
from webmqconnect_async.hub._publication import Publication

from .conftest import PATIENCE, HubClient, Run, said

TOKEN = "token-of-the-console"
PROTOCOLS = ("webmq.console",)

Said = dict[str, Any]


class Watching:
    """A client that has opened the console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.state: Said = {}
        """The first message of the hub."""

    async def next(self, name: str) -> Said:
        """Return the next message with a member of this name."""
        async with asyncio.timeout(PATIENCE):
            while name not in (message := await self.socket.receive_json()):
                pass
        return cast(Said, message)

    async def push(self, body: str, **query: str) -> dict[str, object]:
        """Push an event and return the result."""
        await self.socket.send_str(f"{urlencode(query)}\n{body}")
        return cast(dict[str, object], (await self.next("pushed"))["pushed"])


@asynccontextmanager
async def console(wire: HubClient, hub: Hub, *, token: str = TOKEN, **headers: str) -> AsyncIterator[Watching]:
    """Open the console."""
    url = f"{hub.ws_url.removesuffix('/ws')}/console"
    async with wire.session.ws_connect(url, protocols=PROTOCOLS, headers=headers) as socket:
        await socket.send_str(token)
        watching = Watching(socket)
        watching.state = await watching.next("totals")
        yield watching


async def closed_with(wire: HubClient, hub: Hub, *messages: str, target: str = "/console") -> int | None:
    """Return the code with which the hub closes the console after these messages."""
    url = f"{hub.ws_url.removesuffix('/ws')}{target}"
    async with wire.session.ws_connect(url, protocols=PROTOCOLS) as socket:
        for message in messages:
            await socket.send_str(message)
        closed = await socket.receive(timeout=PATIENCE)
        assert closed.type is aiohttp.WSMsgType.CLOSE
        return socket.close_code


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_console, "_TICK", 0.01)


@pytest.fixture
async def hub(run: Run) -> Hub:
    return await run(Hub(port=0, console_token=TOKEN))


# Who may open it


async def test_the_console_is_off_by_default(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0))
    assert (await wire.request("GET", hub, "/console")).status == 404
    async with (
        TestServer(create_app(), host="127.0.0.1") as server,
        wire.session.get(server.make_url("/console")) as it,
    ):
        assert it.status == 404


@pytest.mark.parametrize("target", ["/console", f"/console?token={TOKEN}", f"/console?console={TOKEN}"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"console={TOKEN}"}])
async def test_http_has_no_console(hub: Hub, wire: HubClient, target: str, headers: dict[str, str]) -> None:
    """The console is not served over HTTP: proxies log a token in a query, and other pages' requests have cookies."""
    answer = await wire.request("GET", hub, target, b"", **headers)
    assert (answer.status, TOKEN in answer.text) == (401, False)


@pytest.mark.parametrize("token", ["wrong", "", TOKEN + "x", TOKEN[:-1], "ü", TOKEN.upper(), "\0"])
async def test_a_wrong_token_closes_the_console(
    hub: Hub, wire: HubClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    assert await closed_with(wire, hub, token, target=f"/console?console={TOKEN}") == 4401


async def test_a_wrong_token_is_logged_without_its_value(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    with caplog.at_level(logging.WARNING, "webmqconnect_async.hub"):
        assert await closed_with(wire, hub, "a-wrong-guess") == 4401
    [message] = caplog.messages
    assert message.startswith("request from 127.0.0.1 failed to authenticate: wrong token of the console")
    assert "a-wrong-guess" not in message
    assert TOKEN not in message


async def test_one_guess_per_connection(hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one token per connection is checked: the reply is delayed, and a right token after it changes nothing."""
    delays: list[float] = []
    monkeypatch.setattr(_websocket, "_penalty", lambda: delays.append(0.0) or 0.0)  # type: ignore[func-returns-value]
    assert await closed_with(wire, hub, "wrong", TOKEN) == 4401
    assert delays == [0.0]


async def test_a_token_may_be_any_text(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, console_token="ü" * 16))
    async with console(wire, hub, token="ü" * 16) as watching:
        assert watching.state["topics"] == []


def test_a_token_that_is_not_ascii_raises_no_error() -> None:
    """Tokens are compared as bytes: the error of `compare_digest` for text would have the token in its frame."""
    config = HubConfig(console_token="\ud800" * 16)
    assert Console(Broker(config), lambda push: push).accepts("\ud800" * 16, "?")
    assert not Console(Broker(config), lambda push: push).accepts("\ud801" * 16, "?")


@pytest.mark.parametrize("own", [True, False])
async def test_only_the_page_of_the_hub_may_open_the_console(hub: Hub, wire: HubClient, own: bool) -> None:
    """Only the hub's own page may open the console. On loopback, pages of other servers may only subscribe."""
    if own:
        async with console(wire, hub, Origin=hub.url) as watching:
            assert watching.state["topics"] == []
        return
    for origin in ("http://127.0.0.1:1", "http://localhost", "https://shop.example.com", "null", "file://", "http://"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with console(wire, hub, Origin=origin):
                pass
        assert caught.value.status == 403


async def test_an_allowed_origin_may_not_open_the_console(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN, allow_origins=["https://shop.example.com"]))
    answer = await wire.request("GET", hub, "/console", Origin="https://shop.example.com")
    assert (answer.status, answer.text) == (
        403,
        "origin 'https://shop.example.com' may not open the console, only the hub's own page may\n",
    )


async def test_the_number_of_connections_without_a_token_is_limited(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection replaces the one that has been silent longest, so that nobody can keep the owner out."""
    monkeypatch.setattr(_console, "_MAX_STRANGERS", 2)
    url = f"{hub.url}/console"
    async with (
        wire.session.ws_connect(url, protocols=PROTOCOLS) as first,
        wire.session.ws_connect(url, protocols=PROTOCOLS),
        console(wire, hub),
    ):
        async with asyncio.timeout(PATIENCE):
            assert (await first.receive()).type is aiohttp.WSMsgType.CLOSE
        assert first.close_code == 1013


async def test_the_number_of_simultaneous_guesses_is_limited(
    hub: Hub, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_console, "_MAX_STRANGERS", 1)
    monkeypatch.setattr(_websocket, "_penalty", lambda: PATIENCE)
    url = f"{hub.url}/console"
    async with wire.session.ws_connect(url, protocols=PROTOCOLS) as guessing:
        await guessing.send_str("a guess")
        await guessing.ping()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await wire.session.ws_connect(url, protocols=PROTOCOLS)


async def test_a_wrong_token_is_counted(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN, metrics="127.0.0.1:0"))
    assert await closed_with(wire, hub, "wrong") == 4401
    assert hub.metrics_url is not None
    async with wire.session.get(hub.metrics_url) as response:
        assert 'failed_authentications_total{kind="request"} 1.0' in await response.text()


async def test_the_number_of_open_consoles_is_limited(hub: Hub, wire: HubClient) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(console(wire, hub))
        assert await closed_with(wire, hub, TOKEN) == 1013
    async with console(wire, hub):
        pass


async def test_the_console_is_closed_with_the_hub(wire: HubClient) -> None:
    async with Hub(port=0, console_token=TOKEN) as hub, console(wire, hub) as watching:
        closing = asyncio.create_task(hub.close())
        async with asyncio.timeout(PATIENCE):
            while (await watching.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert watching.socket.close_code == 1001
        await closing


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (b"0123456789abcdef", "console_token must be a string or None, not bytes"),
        ("0123456789abcde", "console_token must have at least 16 characters"),
        ("", "console_token must have at least 16 characters"),
    ],
)
def test_an_invalid_token_is_refused(token: str, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{error}$"):
        Hub(console_token=token)


def test_no_repr_shows_the_token() -> None:
    hub = Hub(port=0, console_token=TOKEN)
    for shown in (hub, vars(hub), hub.config, Console(Broker(hub.config), lambda push: push)):
        assert TOKEN not in repr(shown)


# What the console shows


async def test_events_are_shown_with_their_receivers(hub: Hub, wire: HubClient) -> None:
    await wire.subscriber(hub, "http://example.com/orders")
    async with console(wire, hub) as watching:
        await wire.push(hub, "topicuri=http://example.com/orders", b'{"id": 12345678901234567890}')
        message = await watching.next("events")
        [[at, *event]] = message["events"]
        assert event == ["http://example.com/orders", '{"id": 12345678901234567890}', 0, 1, None]
        assert isinstance(at, int)
        assert message["skipped"] == 0
        await wire.push(hub, "topicuri=http://example.com/order")
        [[_, *event]] = (await watching.next("events"))["events"]
        assert event == ["http://example.com/order", "1", 0, 0, None]
        rows = [(name, *more) for name, *more, _, _ in (await watching.next("topics"))["topics"]]
        assert rows == [("http://example.com/order", 0, 1), ("http://example.com/orders", 1, 1)]


async def test_a_long_event_is_shortened_and_marked_as_such(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN))
    async with console(wire, hub) as watching:
        await wire.push(hub, body=b'"' + b"x" * 1998 + b'"')
        [[_, _, text, left_out, *_]] = (await watching.next("events"))["events"]
        assert (text, left_out) == ('"' + "x" * 999, 1000)


async def test_a_subscriber_is_shown(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN))
    peer = await wire.wamp2_subscriber(hub, "a")
    async with console(wire, hub) as watching:
        [[session_id, key, protocol, address, since, queued, count, topics]] = watching.state["subscribers"]
        assert (session_id, key, protocol, address) == (peer.session_id, None, "wamp.2.json", "127.0.0.1")
        assert (queued, count, topics) == (0, 1, ["a"])
        assert isinstance(since, int)
        assert watching.state["totals"] == {"topics": 1, "subscribers": 1, "refusals": 0}
        await peer.socket.close()
        while (state := await watching.next("subscribers"))["subscribers"]:
            pass
        assert state["totals"] == {"topics": 0, "subscribers": 0, "refusals": 0}


async def test_earlier_and_new_refusals_are_shown(run: Run, wire: HubClient) -> None:
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, console_token=TOKEN))
    refused = await wire.refused(hub, Origin="https://shop.example.com")
    assert refused == 403
    async with console(wire, hub) as watching:
        remedy = "--allow-origin https://shop.example.com"
        said = "origin 'https://shop.example.com' may not subscribe"
        [[_, *refusal]] = watching.state["refusals"]
        assert refusal[:6] == ["subscriber", said, remedy, "127.0.0.1", 403, False]
        await wire.request("POST", hub, "/?topicuri=t")
        [[_, *refusal]] = (await watching.next("refusals"))["refusals"]
        assert refusal[:2] == ["push", "not authorized (this hub takes signed pushes only)"]
        assert refusal[3:6] == ["127.0.0.1", 401, False]


# Limits


class Feed:
    """A console with one watcher and without a network. Tests decide when it sends."""

    def __init__(self) -> None:
        config = HubConfig(console_token=TOKEN)
        observers: list[Observer] = []
        self.broker = Broker(config, observers)
        self.console = Console(self.broker, lambda push: push)
        observers.append(self.console)
        self.drops = 0
        self.watcher = self.watch()

    def watch(self) -> Watcher:
        watcher = self.console.open(self._drop, "?")
        assert isinstance(watcher, Watcher)
        watcher.receive(TOKEN)
        watcher.take_nowait()
        return watcher

    def _drop(self) -> None:
        self.drops += 1

    def publish(self, topic: str = "t", event: str = "1") -> None:
        self.broker.deliver(Publication(topic, event))

    def tick(self) -> list[Said]:
        """Return the messages that the watcher is sent."""
        timer = self.console._timer
        assert timer is not None
        timer.cancel()
        self.console._tick()
        return cast(list[Said], said(self.watcher))


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    feed = Feed()
    yield feed
    feed.console.close(feed.watcher)


async def test_many_events_are_sampled_and_counted(feed: Feed) -> None:
    for _ in range(120):
        feed.publish()
    [message] = feed.tick()
    assert (len(message["events"]), message["skipped"]) == (50, 70)
    feed.publish()
    [message] = feed.tick()
    assert (len(message["events"]), message["skipped"]) == (1, 0)
    assert feed.tick() == []


async def test_large_events_are_sampled(feed: Feed) -> None:
    for _ in range(50):
        feed.publish("t" * 1000, json.dumps("x" * 4000))
    [message] = feed.tick()
    assert (len(message["events"]), message["skipped"]) == (15, 35)


def state(messages: list[Said]) -> Said:
    [found] = [message for message in messages if "topics" in message]
    return found


async def test_the_number_of_topics_is_limited(feed: Feed) -> None:
    for number in range(1000):
        feed.publish(str(number))
    assert len(feed.console._activity) == 200
    messages = [message for _ in range(10) for message in feed.tick()]
    assert [row[0] for row in state(messages)["topics"]] == [str(number) for number in range(999, 799, -1)]
    for number in range(200):
        feed.publish(f"{number:1000}")
    messages = [message for _ in range(10) for message in feed.tick()]
    assert len(state(messages)["topics"]) == 30


async def test_a_second_watcher_gets_nothing_twice(feed: Feed) -> None:
    feed.console.dropped(feed.watcher, "slow", "1")
    feed.publish()
    second = feed.console.open(lambda: None, "?")
    second.receive(TOKEN)
    [first] = cast(list[Said], said(second))
    assert len(first["refusals"]) == 1
    [message] = cast(list[Said], said(feed.watcher))
    assert (len(message["refusals"]), len(message["events"])) == (1, 1)
    assert feed.tick() == []
    assert said(second) == []
    feed.console.close(second)


async def test_the_number_of_refusals_is_limited(feed: Feed) -> None:
    session = feed.watcher
    for number in range(1000):
        feed.console.dropped(session, "slow", str(number))
    [message] = feed.tick()
    assert len(message["refusals"]) == 50
    assert message["refusals"][-1][2] == "dropped: 999"
    assert feed.tick() == []


async def test_a_slow_watcher_is_dropped(feed: Feed) -> None:
    """A slow watcher is disconnected: its queue is limited like a subscriber's. Another one gets everything."""
    slow, feed.watcher = feed.watcher, feed.watch()
    ticks = 0
    while not feed.drops:
        for _ in range(30):
            feed.publish("t", json.dumps("x" * 900))
        assert len(feed.tick()[0]["events"]) == 30
        assert slow.queued <= 1 << 20
        ticks += 1
        assert ticks < 100
    assert slow.queued == 0
    feed.publish()
    assert [len(message["events"]) for message in feed.tick() if "events" in message] == [1]
    feed.console.close(slow)


async def test_nothing_is_stored_while_no_console_is_open(feed: Feed) -> None:
    feed.publish()
    feed.console.close(feed.watcher)
    feed.publish()
    assert (feed.console._events, feed.console._activity, feed.console._timer) == ([], {}, None)
    feed.watcher = feed.watch()
    assert feed.tick() == []


async def test_a_watcher_is_not_counted_as_a_receiver(feed: Feed) -> None:
    with pytest.raises(NotImplementedError):
        feed.watcher.event(Publication("t", "1"), 1, 1)


# The push form


async def test_a_push_reaches_its_receivers(hub: Hub, wire: HubClient) -> None:
    first, second = [await wire.subscriber(hub, "t") for _ in range(2)]
    async with console(wire, hub) as watching:
        assert await watching.push('{"n":\n1.0}', topicuri="t") == {"topic": "t", "receivers": 2}
        assert await watching.push("2", topicuri="t", exclude=first.session_id) == {"topic": "t", "receivers": 1}
        assert await watching.push("3", topicuri="t", eligible="") == {"topic": "t", "receivers": 0}
    assert await first.receive() == [8, "t", {"n": 1.0}]
    assert [await second.receive() for _ in range(2)] == [[8, "t", {"n": 1.0}], [8, "t", 2]]
    await first.heard()


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("topicuri=t", "{"),
        ("topicuri=t", "NaN"),
        ("topicuri=t", ""),
        ("topicuri=t", "'x'"),
        ("topicuri=t", json.dumps("x" * 4096)),
        ("topicuri=" + "t" * 1025, "1"),
        ("", "1"),
        ("topicuri=t&topicuri=u", "1"),
        ("topicuri=%ff", "1"),
        ("topicuri=t&appkey=app", "1"),
        ("topicuri=t&appkey=app&signature=x&timestamp=2011-10-14T16:59:51Z", "1"),
        ("topicuri=refuse-it", "1"),
    ],
)
async def test_the_console_refuses_the_pushes_that_the_hub_refuses(
    run: Run, wire: HubClient, query: str, body: str
) -> None:
    def admit(push: Publication) -> Refused | None:
        return Refused(429, "not now") if push.topic == "refuse-it" else None

    hub = await run(Hub(port=0, console_token=TOKEN, admit=admit))
    answer = await wire.request("POST", hub, f"/?{query}", body.encode())
    assert answer.status >= 400
    async with console(wire, hub) as watching:
        await watching.socket.send_str(f"{query}\n{body}")
        pushed = cast(dict[str, object], (await watching.next("pushed"))["pushed"])
        assert (pushed["status"], pushed["reason"]) == (answer.status, answer.text.removesuffix("\n"))
        [[_, what, reason, *_]] = (await watching.next("refusals"))["refusals"]
        assert (what, reason) == ("push", pushed["reason"])


async def test_the_token_replaces_a_signature(run: Run, wire: HubClient) -> None:
    keys: list[str | None] = []
    admit: Callable[..., None] = lambda push: keys.append(push.key)  # noqa: E731
    hub = await run(Hub(port=0, keys={"app": "s3cret"}, console_token=TOKEN, admit=admit))
    async with console(wire, hub) as watching:
        assert await watching.push("1", topicuri="t") == {"topic": "t", "receivers": 0}
    assert keys == [None]
