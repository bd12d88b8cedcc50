"""`Subscriber` with brokers whose messages the test chooses, and with real hubs."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from traceback import walk_tb

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub
from webmqconnect_async.signing import Credentials
from webmqconnect_async.subscriber import (
    CannotConnect,
    Event,
    HandshakeRefused,
    KeyRefused,
    Subscriber,
    SubscriberError,
    Subscription,
    TicketRefused,
    TopicRefused,
    _handshake,
    _session,
    _subscriber,
)
from webmqconnect_async.subscriber._session import Session
from webmqconnect_async.tickets import ticket

from ..processes import PATIENCE
from ..walker import walked
from .broker import Peer, Serve, broker, scripts

HUB = {"newest": 10, "history": "h", "any_topic": True}
SECRET = "a-secret-of-the-tests"
LONG = "0123456789abcdefghijklmnopqrstuv"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect without a delay, and refuse keys without a delay."""
    monkeypatch.setattr(_subscriber, "_FIRST_WAIT", 0.0)
    monkeypatch.setattr("webmqconnect_async.hub._websocket._penalty", lambda: 0.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


async def values(events: Subscription, count: int) -> list[object]:
    async with asyncio.timeout(PATIENCE):
        return [(await anext(events)).value for _ in range(count)]


# Recovery


async def test_missed_events_are_recovered() -> None:
    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        assert await peer.subscribed(5, {"_newest": 11}) == ({"_newest": True}, "two words")
        await peer.event(5, 12, "a")

    async def second(peer: Peer) -> None:
        await peer.welcome(18, **HUB | {"newest": 20})
        assert await peer.subscribed(6, {"_missed": 2}) == ({"_after": 12, "_former": [17]}, "two words")
        for id_, value in ((12, "a"), (13, "b"), (21, "c")):
            await peer.event(6, id_, value)
        await peer.gone()

    lost: list[object] = []
    async with (
        broker(scripts(first, second)) as url,
        Subscriber(url, on_lost=lambda *args: lost.append(args)) as subscriber,
        subscriber.subscribe("two words") as events,
    ):
        got = [await anext(events) for _ in range(3)]
    assert got == [Event("two words", value, id_) for value, id_ in (("a", 12), ("b", 13), ("c", 21))]
    assert lost == []


async def test_a_loss_is_reported_between_the_events_once_it_is_confirmed() -> None:
    told: list[object] = []

    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        await peer.subscribed(5)
        await peer.event(5, 12, "before")

    async def second(peer: Peer) -> None:
        """Close the connection before the plain SUBSCRIBE is confirmed."""
        await peer.welcome(18, **HUB | {"newest": 20})
        options, _ = await peer.refuse("webmq.error.history_unavailable", "evicted")
        assert options == {"_after": 12, "_former": [17]}
        assert (await peer.next())[2] == {"_newest": True}

    async def third(peer: Peer) -> None:
        await peer.welcome(19, **HUB | {"newest": 20})
        assert (await peer.subscribed(5, {"_newest": 30}))[0] == {"_newest": True}
        await peer.event(5, 31, "after")
        await peer.gone()

    async with (
        broker(scripts(first, second, third)) as url,
        Subscriber(url, on_lost=lambda *args: told.append(args)) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        await until(lambda: len(events._inbox.items) == 3)
        assert told == []
        assert (await values(events, 1), told) == (["before"], [])
        assert (await values(events, 1), told) == (["after"], [("t", "history_unavailable: evicted")])


@pytest.mark.parametrize("details", [{}, {"newest": 12, "history": "other"}, {"newest": 11, "history": "other"}])
async def test_another_broker_is_a_loss(details: dict[str, object]) -> None:
    """Crossbar.io, a restarted hub, or a hub whose clock was set back cause a loss, regardless of the IDs."""

    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        await peer.subscribed(5)
        await peer.event(5, 12, "before")

    async def second(peer: Peer) -> None:
        await peer.welcome(18, **details)
        assert (await peer.subscribed(5))[0] == ({"_newest": True} if details else {})
        await peer.event(5, 3, "after")
        await peer.gone()

    lost: list[object] = []
    async with (
        broker(scripts(first, second)) as url,
        Subscriber(url, on_lost=lambda topic, why: lost.append(topic)) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        assert (await values(events, 2), lost) == (["before", "after"], ["t"])


async def test_hub_of_2012() -> None:
    """The reply to a CALL confirms a topic, even an error. There are no IDs, so each outage causes a loss."""

    async def serve(peer: Peer) -> None:
        await peer.send(0, "1" * 16, 1, "test")
        for _ in ("authreq", "auth"):
            await peer.send(3, (await peer.next())[1], None)
        assert await peer.next() == [5, "a"]
        await peer.send(4, (await peer.next())[1], "http://api.wamp.ws/error#NoSuchRPCEndpoint", "no")
        assert await peer.next() == [5, "b"]
        await peer.send(3, (await peer.next())[1], None)
        await peer.send(8, "b", "event")

    async def last(peer: Peer) -> None:
        await serve(peer)
        assert await peer.next() == [6, "b"]
        seen.append(True)
        await peer.gone()

    seen: list[bool] = []
    lost: list[str] = []
    async with (
        broker(scripts(serve, last), "wamp") as url,
        Subscriber(url, on_lost=lambda topic, why: lost.append(topic)) as subscriber,
        subscriber.subscribe("a"),
    ):
        async with subscriber.subscribe("b") as events:
            assert [await anext(events) for _ in range(2)] == [Event("b", "event", None)] * 2
            assert lost == ["b"]
        await until(lambda: bool(seen))


async def test_hub_of_2012_that_sends_events_before_it_confirms() -> None:
    """The loss is reported before these events."""
    told: list[object] = []

    def serve(early: list[str], late: list[str]) -> Serve:
        async def script(peer: Peer) -> None:
            await peer.send(0, "1" * 16, 1, "test")
            for _ in ("authreq", "auth"):
                await peer.send(3, (await peer.next())[1], None)
            assert await peer.next() == [5, "a"]
            for event in early:
                await peer.send(8, "a", event)
            await peer.send(3, (await peer.next())[1], None)
            for event in late:
                await peer.send(8, "a", event)
            if early:
                await peer.gone()

        return script

    async with (
        broker(scripts(serve([], ["before"]), serve(["early"], ["late"])), "wamp") as url,
        Subscriber(url, on_lost=lambda topic, why: told.append(why)) as subscriber,
        subscriber.subscribe("a") as events,
    ):
        for _ in range(3):
            told += await values(events, 1)
    assert told == ["before", "the broker keeps no history", "early", "late"]


DEEP = "[" * 100_000 + "]" * 100_000
LONG = "1" * 5_000


@pytest.mark.parametrize("text", [DEEP, LONG])
async def test_event_that_cannot_be_decoded_is_a_loss(text: str) -> None:
    """The event counts as received: it is not requested again, and the topics after it are recovered."""
    told: list[object] = []

    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        for subscription in (1, 2):
            await peer.subscribed(subscription, {"_newest": 11})

    async def second(peer: Peer) -> None:
        await peer.welcome(18, **HUB | {"newest": 20})
        await peer.subscribed(1, {"_missed": 2})
        await peer.event(1, 12, "before")
        await peer.send_text(f" [36 , 1,13, {{}}, [{text}]]")
        await peer.subscribed(2, {"_missed": 0})
        await peer.send_text(f"[36, 3, 14, {{}}, [{text}]]")  # an event of another topic
        await peer.send_text(text)

    async def third(peer: Peer) -> None:
        await peer.welcome(19, **HUB | {"newest": 20})
        assert (await peer.subscribed(1, {"_missed": 0}))[0] == {"_after": 20, "_former": [18]}
        await peer.event(1, 21, "after")
        await peer.gone()

    async with (
        broker(scripts(first, second, third)) as url,
        Subscriber(url, on_lost=lambda topic, why: told.append((topic, why[:27]))) as subscriber,
        subscriber.subscribe("a", "b") as events,
    ):
        for _ in range(2):
            told += await values(events, 1)
    assert told == ["before", ("a", "an event cannot be decoded:"), "after"]


async def test_event_of_wamp_v1_that_cannot_be_decoded_is_a_loss() -> None:
    async def serve(peer: Peer) -> None:
        await peer.send(0, "1" * 16, 1, "test")
        for _ in ("authreq", "auth", "ping"):
            while (call := await peer.next())[0] != 2:
                pass
            await peer.send(3, call[1], None)
        await peer.send_text(f'[8,"\\"\\u20ac",{DEEP}]')
        await peer.send_text(f'[8,"other",{DEEP}]')
        await peer.send_text(f'[8,"\\x",{DEEP}]')
        await peer.send(8, '"\u20ac', "after")
        await peer.gone()

    lost: list[str] = []
    async with (
        broker(serve, "wamp") as url,
        Subscriber(url, on_lost=lambda topic, why: lost.append(why)) as subscriber,
        subscriber.subscribe('"\u20ac') as events,
    ):
        assert await values(events, 1) == ["after"]
    assert [why[:27] for why in lost] == ["an event cannot be decoded:"]


class HistoryHub:
    """A hub with a history. It closes the second connection after this number of messages, not counting WELCOME."""

    def __init__(self, messages: int) -> None:
        self.events: list[tuple[int, str]] = []
        self.connections = 0
        self.allowed = messages
        self.first: Peer | None = None

    async def serve(self, peer: Peer) -> None:
        self.connections += 1
        number = self.connections
        await peer.welcome(number, newest=max((id_ for id_, _ in self.events), default=10), history="h")
        left = itertools.count(self.allowed if number == 2 else 1000, -1)
        topics: list[str] = []
        if number == 1:
            self.first = peer
        while number > 1 or len(topics) < 3:
            if number > 1 and len(topics) == 3:
                await peer.gone()
                return
            _, request, options, topic = await peer.next()
            assert isinstance(options, dict)
            assert isinstance(topic, str)
            topics.append(topic)
            after = options.get("_after")
            missed = [id_ for id_, each in self.events if after is not None and each == topic and id_ > after]
            subscription = "abc".index(topic)
            messages: list[list[object]] = [[33, request, subscription, {"_missed": len(missed)}]]
            messages += [[36, subscription, id_, {}, [id_]] for id_ in missed]
            for message in messages:
                if not next(left):
                    return
                await peer.send(*message)
        self.events += [(id_, "abc"[id_ % 3]) for id_ in range(11, 20)]


@pytest.mark.parametrize("messages", range(13))
async def test_an_outage_after_each_message_of_a_recovery(messages: int) -> None:
    """Three topics have three missed events each, so a recovery has twelve messages. Each event arrives once."""
    hub = HistoryHub(messages)
    lost: list[object] = []
    async with (
        broker(hub.serve) as url,
        Subscriber(url, on_lost=lambda *args: lost.append(args)) as subscriber,
        subscriber.subscribe(*"abc") as events,
    ):
        got = [await asyncio.wait_for(anext(events), PATIENCE) for _ in range(9)]
    assert sorted(event.id or 0 for event in got) == [*range(11, 20)]
    for topic in "abc":
        ids = [event.id or 0 for event in got if event.topic == topic]
        assert ids == sorted(ids)
    assert lost == []
    assert hub.connections == (2 if messages == 12 else 3)


async def test_hub_that_restarts() -> None:
    """With a real hub, a restart causes a loss, and a lost connection does not."""
    lost: list[str] = []
    async with Hub(port=0) as hub:
        port, url = int(hub.url.rpartition(":")[2]), hub.url
        subscriber = await Subscriber(url, on_lost=lambda topic, why: lost.append(topic)).__aenter__()
        events = await subscriber.subscribe("a", "two words").ready()
        async with AsyncClient(url) as client:
            await client.push("a", 1)
            assert await values(events, 1) == [1]
            assert subscriber._session is not None
            await subscriber._session.close()
            await client.push("two words", 2)
            assert (await values(events, 1), lost) == ([2], [])
    async with Hub(port=port) as hub, AsyncClient(url) as client:
        arriving = asyncio.ensure_future(values(events, 1))
        await until(lambda: len(lost) == 2)
        await client.push("a", 3)
        assert await arriving == [3]
        await subscriber.__aexit__(None, None, None)
    assert sorted(lost) == ["a", "two words"]


# Subscriptions


@asynccontextmanager
async def connected(buffer: int = 10) -> AsyncIterator[tuple[Subscriber, AsyncClient]]:
    async with Hub(port=0) as hub, Subscriber(hub.url, buffer=buffer) as subscriber, AsyncClient(hub.url) as client:
        yield subscriber, client


async def test_two_subscriptions_to_a_topic() -> None:
    """The second subscription is ready at once, and the end of one does not affect the other."""
    async with connected() as (subscriber, client):
        first = await subscriber.subscribe("a", "b").ready()
        second = await subscriber.subscribe("a").ready()
        await client.push("a", 1)
        assert await values(first, 1) == await values(second, 1) == [1]
        first.unsubscribe()
        with pytest.raises(StopAsyncIteration):
            await anext(first)
        await client.push("a", 2)
        assert await values(second, 1) == [2]


async def test_unsubscribed_and_subscribed_again() -> None:
    """After unsubscribing and subscribing again at once, an event in transit belongs to the first subscription."""

    async def serve(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        for _ in range(2):
            assert await peer.subscribed(5) == ({"_newest": True}, "a")
            await peer.event(5, 11, 1)
            kind, request, subscription = await peer.next()
            assert (kind, subscription) == (34, 5)
            await peer.event(5, 12, "on its way")
            await peer.send(35, request)
        await peer.subscribed(6)
        await peer.gone()

    async with broker(serve) as url, Subscriber(url) as subscriber:
        for _ in range(2):
            async with subscriber.subscribe("a") as events:
                assert await values(events, 1) == [1]
        async with subscriber.subscribe("b"):
            pass


async def test_a_garbage_collected_subscription_is_closed() -> None:
    """A subscription is closed with its last reference, because its full buffer would block the other subscriptions."""
    async with connected(buffer=1) as (subscriber, client):
        other = await subscriber.subscribe("b").ready()
        confirmed = await subscriber.subscribe("a").ready()
        await client.push("a", 1)
        async for event in confirmed:
            assert event.value == 1
            break
        del confirmed
        gc.collect()
        await client.push_many([("a", number) for number in range(10)])
        await client.push("b", "read")
        assert await values(other, 1) == ["read"]


async def test_refused_topic() -> None:
    async def serve(peer: Peer) -> None:
        await peer.welcome(17)
        await peer.refuse("wamp.error.not_authorized", "one topic too many")
        await peer.subscribed(5)
        await peer.event(5, 1, "goes on")
        await peer.gone()

    async with broker(serve) as url, Subscriber(url) as subscriber:
        refused, good = subscriber.subscribe("a"), subscriber.subscribe("b")
        said = r"^the broker refuses the topic 'a': not_authorized: one topic too many$"
        with pytest.raises(TopicRefused, match=said):
            await refused.ready()
        with pytest.raises(TopicRefused, match=said):
            await anext(refused)
        for topic in ("two words", "a#b", "a..b", "", "\0a"):
            with pytest.raises(TopicRefused, match="not a WAMP URI"):
                await subscriber.subscribe(topic).ready()
        assert await values(good, 1) == ["goes on"]


async def test_refusal_after_the_first_confirmation() -> None:
    """The refusal is a loss, and the subscription continues: the topic is requested again on the next connection."""
    told: list[object] = []

    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        await peer.subscribed(5, {"_newest": 11})

    async def second(peer: Peer) -> None:
        await peer.welcome(18, **HUB | {"newest": 12})
        await peer.refuse("wamp.error.not_authorized", "not any more")
        await peer.subscribed(6, {"_newest": 12})
        await peer.event(6, 13, "meanwhile")

    async def third(peer: Peer) -> None:
        await peer.welcome(19, **HUB | {"newest": 20})
        assert await peer.subscribed(5, {"_missed": 1}) == ({"_after": 11, "_former": [17, 18]}, "a")
        await peer.event(5, 14, "missed")
        await peer.gone()

    async with (
        broker(scripts(first, second, third)) as url,
        Subscriber(url, on_lost=lambda *args: told.append(args)) as subscriber,
        subscriber.subscribe("a") as events,
    ):
        await until(lambda: bool(events._inbox.items))
        other = subscriber.subscribe("b")
        told += await values(other, 1)
        other.unsubscribe()
        told += await values(events, 1)
    assert told == ["meanwhile", ("a", "the broker refuses the topic: not_authorized: not any more"), "missed"]


async def test_history_unavailable_in_response_to_a_plain_subscribe_is_a_refusal() -> None:
    async def serve(peer: Peer) -> None:
        await peer.welcome(17)
        await peer.refuse("webmq.error.history_unavailable", "no")
        await peer.gone()

    async with broker(serve) as url, Subscriber(url) as subscriber:
        with pytest.raises(TopicRefused, match="history_unavailable: no"):
            await asyncio.wait_for(subscriber.subscribe("a").ready(), PATIENCE)


async def test_refused_subscription_that_is_not_read_blocks_no_other() -> None:
    async def serve(peer: Peer) -> None:
        await peer.welcome(17)
        await peer.subscribed(5)
        await peer.event(5, 1, "fills the buffer")
        await peer.refuse("wamp.error.not_authorized")
        assert (await peer.next())[::2] == [34, 5]
        await peer.subscribed(6)
        await peer.event(6, 2, "read")
        await peer.gone()

    async with broker(serve) as url, Subscriber(url, buffer=1) as subscriber:
        refused, good = subscriber.subscribe("a", "b"), subscriber.subscribe("c")
        with pytest.raises(TopicRefused):
            await refused.ready()
        assert await values(good, 1) == ["read"]
        assert await values(refused, 1) == ["fills the buffer"]


@pytest.mark.parametrize("topics", [(), (1,)])
async def test_invalid_topics(topics: tuple[str, ...]) -> None:
    async with connected() as (subscriber, _):
        with pytest.raises(TypeError, match="topics must be strings"):
            subscriber.subscribe(*topics)


async def lossy(peer: Peer) -> None:
    await peer.welcome(17)
    await peer.subscribed(5)
    await peer.event(5, 1, "event")


async def lossless(peer: Peer) -> None:
    await lossy(peer)
    await peer.gone()


async def test_coroutine_of_on_lost_is_awaited_before_the_next_event() -> None:
    """If the coroutine is cancelled, as by a timeout of the iteration, `on_lost` is called again."""
    told: list[object] = []
    loading = asyncio.Event()

    async def load(topic: str, why: str) -> None:
        told.append("load")
        loading.set()
        if told.count("load") == 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        told.append("loaded")

    async with (
        broker(scripts(lossy, lossless)) as url,
        Subscriber(url, on_lost=load) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        told += await values(events, 1)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait_for(loading.wait(), PATIENCE)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        told += await values(events, 1)
    assert told == ["event", "load", "load", "loaded", "event"]


async def test_an_exception_of_on_lost_is_raised_by_the_iterator_only() -> None:
    def fail(topic: str, why: str) -> None:
        raise ZeroDivisionError(why)

    async with (
        broker(scripts(lossy, lossless)) as url,
        Subscriber(url, on_lost=fail) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        assert await values(events, 1) == ["event"]
        with pytest.raises(ZeroDivisionError, match="the broker keeps no history"):
            await values(events, 1)
        assert await values(events, 1) == ["event"]


# Connections


async def test_first_connection_fails() -> None:
    async with Hub(port=0) as hub:
        with pytest.raises(HandshakeRefused):
            await Subscriber(hub.ws_url.removesuffix("/ws")).__aenter__()
        url = hub.url
    with pytest.raises(CannotConnect):
        await Subscriber(url).__aenter__()
    with pytest.raises(SubscriberError, match="use 'async with'"):
        Subscriber(url).subscribe("t")


async def test_refused_key_is_tried_again_after_the_first_connection() -> None:
    states: list[str] = []
    credentials = Credentials("page", SECRET)
    async with Hub(port=0, subscriber_keys={"page": "other"}) as hub:
        url, port = hub.url, int(hub.url.rpartition(":")[2])
        with pytest.raises(KeyRefused):
            await Subscriber(url, credentials).__aenter__()
    async with Hub(port=port, subscriber_keys={"page": SECRET}):
        subscriber = await Subscriber(url, credentials, on_state=lambda *args: states.append(args[1])).__aenter__()
    async with Hub(port=port, subscriber_keys={"page": "other"}):
        await until(lambda: any("refuses the key" in detail for detail in states))
    async with Hub(port=port, subscriber_keys={"page": SECRET}):
        await asyncio.wait_for(subscriber.subscribe("t").ready(), PATIENCE)
        await subscriber.__aexit__(None, None, None)


async def test_no_reconnection() -> None:
    async def serve(peer: Peer) -> None:
        await peer.welcome(17)
        await peer.subscribed(5)
        await peer.event(5, 1, "last")

    async with broker(serve) as url, Subscriber(url, reconnect=False) as subscriber:
        events = subscriber.subscribe("t")
        assert await values(events, 1) == ["last"]
        for _ in range(2):
            with pytest.raises(SubscriberError, match="the connection to the hub broke"):
                await anext(events)
        with pytest.raises(SubscriberError, match="the connection to the hub broke"):
            subscriber.subscribe("t")


async def test_end_of_the_block_ends_iterators_and_tasks() -> None:
    before = asyncio.all_tasks()
    async with connected() as (subscriber, _):
        events = await subscriber.subscribe("t").ready()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert subscriber.session_id is None
    assert asyncio.all_tasks() == before


async def test_a_subscriber_that_is_left_at_once_closes_its_connection() -> None:
    """The connection is closed even if it was not used."""
    async with Hub(port=0) as hub:
        async with Subscriber(hub.url):
            pass
        gc.collect()  # would warn of a connection that was not closed


async def silent(peer: Peer) -> None:
    await peer.welcome(17)
    await peer.subscribed(1)
    await peer.gone()


async def silent_when_asked(peer: Peer) -> None:
    await peer.welcome(17)
    await peer.subscribe()
    await peer.gone()


async def busy_elsewhere(peer: Peer) -> None:
    """Send events, but no reply to the second SUBSCRIBE."""
    await peer.welcome(17)
    await peer.subscribed(1)
    while True:
        await peer.event(1, 1, "flowing")
        await asyncio.sleep(0)


async def short_of_a_missed_event(peer: Peer) -> None:
    await peer.welcome(17, **HUB)
    await peer.subscribed(1, {"_newest": 11})
    await peer.subscribed(2, {"_newest": 11})
    peer.cut()


async def busy_instead_of_the_missed_event(peer: Peer) -> None:
    await peer.welcome(18, **HUB | {"newest": 11})
    await peer.subscribed(1, {"_missed": 0})
    await peer.subscribed(2, {"_missed": 1})
    for id_ in itertools.count(12):
        await peer.event(1, id_, "flowing")
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "serve",
    [[silent], [silent_when_asked], [busy_elsewhere], [short_of_a_missed_event, busy_instead_of_the_missed_event]],
)
async def test_broker_that_has_stopped_replying_is_disconnected(
    serve: list[Serve], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subscriber reconnects even if the broker still sends other events."""
    monkeypatch.setattr(_session, "_SILENCE", 0.05)
    monkeypatch.setattr(_session, "_PATIENCE", 0.05)
    left = asyncio.Event()

    def changed(state: str, detail: str) -> None:
        if detail == "the hub has stopped responding":
            monkeypatch.setattr(_session, "_SILENCE", PATIENCE)
            left.set()

    async def last(peer: Peer) -> None:
        await peer.welcome(19, **HUB)
        for subscription in (1, 2):
            await peer.subscribed(subscription)
        await peer.event(2, 60, "served again")
        await peer.gone()

    async with (
        broker(scripts(*serve, last)) as url,
        Subscriber(url, on_state=changed, buffer=10**9) as subscriber,
    ):
        flowing, served = subscriber.subscribe("a"), subscriber.subscribe("b")
        assert await values(served, 1) == ["served again"]
        assert left.is_set()
        flowing.unsubscribe()


async def test_quiet_subscriber_keeps_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply to a ping has the position of the hub; that of Crossbar.io has not."""
    monkeypatch.setattr(_session, "_SILENCE", 0.05)

    async def first(peer: Peer) -> None:
        await peer.welcome(17, **HUB)
        await peer.subscribed(5, {"_newest": 11})
        for details in ({"_newest": 40}, {}):
            kind, request, subscription = await peer.next()
            assert (kind, subscription) == (34, 2**53)
            await peer.send(8, 34, request, details, "wamp.error.no_such_subscription")
        await peer.next()

    async def second(peer: Peer) -> None:
        await peer.welcome(18, **HUB | {"newest": 50})
        assert (await peer.subscribed(5, {"_missed": 0}))[0] == {"_after": 40, "_former": [17]}
        await peer.event(5, 51, "event")
        await peer.gone()

    async with (
        broker(scripts(first, second)) as url,
        Subscriber(url) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        assert await values(events, 1) == ["event"]


async def test_ping_over_wamp_v1_confirms_no_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_session, "_SILENCE", 0.2)  # a slow machine needs that long to reply to a ping

    async def serve(peer: Peer) -> None:
        await peer.send(0, "1" * 16, 1, "test")
        for _ in ("authreq", "auth"):
            await peer.send(3, (await peer.next())[1], None)
        assert await peer.next() == [5, "a"]
        asked = await peer.next()
        ping = await peer.next()
        assert (ping[0], ping[2]) == (2, asked[2])
        await peer.send(3, ping[1], None)
        await peer.send(8, "a", "before the confirmation")
        assert (await peer.next())[1] == ping[1]
        assert events._inbox.unconfirmed
        await peer.send(3, asked[1], None)
        await peer.gone()

    async with broker(serve, "wamp") as url, Subscriber(url) as subscriber:
        events = subscriber.subscribe("a")
        assert await values(events, 1) == ["before the confirmation"]


async def test_quiet_subscriber_of_a_real_hub_keeps_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_session, "_SILENCE", 0.02)
    async with connected() as (subscriber, client):
        await subscriber.subscribe("quiet").ready()
        receipt = await client.push("other", 1)
        assert receipt.id is not None
        await until(lambda: subscriber._topics._position == receipt.id)


async def test_time_in_which_nothing_is_read_does_not_count_for_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_subscriber, "_KEEP_ALIVE", 0.005)
    monkeypatch.setattr(_session, "_SILENCE", 0.05)
    monkeypatch.setattr(_session, "_PATIENCE", 0.05)
    blocked = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.welcome(17)
        await peer.subscribed(1)
        await peer.event(1, 1, "fills the buffer")
        request, _, _ = await peer.subscribe()
        for _ in range(40):
            await peer.pong()
        blocked.set()
        await peer.send(33, request, 2)
        await peer.event(2, 2, "served")
        await peer.gone()

    states: list[str] = []
    async with (
        broker(serve) as url,
        Subscriber(url, buffer=1, on_state=lambda *args: states.append(args[1])) as subscriber,
    ):
        full, other = subscriber.subscribe("a"), subscriber.subscribe("b")
        await asyncio.wait_for(blocked.wait(), PATIENCE)
        assert await values(full, 1) == ["fills the buffer"]
        assert await values(other, 1) == ["served"]
    assert states == ["17"]


async def test_events_wait_in_the_hub_while_the_consumer_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is kept alive meanwhile, and nothing is lost."""
    heartbeats: list[None] = []
    keep_alive = Session.keep_alive

    async def counted(session: Session) -> None:
        heartbeats.append(None)
        await keep_alive(session)

    monkeypatch.setattr(Session, "keep_alive", counted)
    monkeypatch.setattr(_subscriber, "_KEEP_ALIVE", 0.01)
    monkeypatch.setattr("webmqconnect_async.hub._websocket._HEARTBEAT", 0.05)  # plus 0.025 s for the pong
    states: list[str] = []
    async with (
        Hub(port=0) as hub,
        AsyncClient(hub.url) as client,
        Subscriber(hub.url, buffer=5, on_state=lambda *args: states.append(args[0])) as subscriber,
        subscriber.subscribe("t") as events,
    ):
        await client.push_many([("t", number) for number in range(50)], order_by_topic=True)
        await until(lambda: len(heartbeats) == 20)
        assert len(events._inbox.items) == 5
        # The confirmation arrives after the events.
        await asyncio.wait_for(subscriber.subscribe("other").ready(), PATIENCE)
        assert await values(events, 50) == [*range(50)]
    assert states == ["open"]


async def test_consumer_that_is_too_slow_is_disconnected_and_recovers() -> None:
    """The consumer gets all events later, or is notified of the loss."""
    states: list[str] = []
    lost: list[str] = []
    got: list[object] = []
    async with Hub(port=0, max_body=60_000, max_queue=100_000) as hub, AsyncClient(hub.url) as client:
        async with (
            Subscriber(
                hub.url,
                buffer=5,
                on_state=lambda *args: states.append(args[0]),
                on_lost=lambda topic, why: lost.append(topic),
            ) as subscriber,
            subscriber.subscribe("t") as events,
        ):
            pushes = [("t", [number, "x" * 50_000]) for number in range(300)]
            assert all(outcome.ok for outcome in await client.push_many(pushes, order_by_topic=True))

            async def consume() -> None:
                async for event in events:
                    assert isinstance(event.value, list)
                    got.append(event.value[0])

            consuming = asyncio.ensure_future(consume())
            await until(lambda: bool(lost))
        await consuming
    assert got == [*range(len(got))]
    assert 5 <= len(got) < 300
    assert (states[:3], lost) == (["open", "closed", "open"], ["t"])


# Cancellation and secrets


@pytest.mark.parametrize("by", ["key", "ticket"])
async def test_cancelled_at_any_moment(by: str) -> None:
    """After cancellation, nothing is left behind, and no secret is in the frames."""
    before = asyncio.all_tasks()
    ends = set()
    ticketed = by == "ticket"
    keys: dict[str, str | bytes] = {"page": LONG}
    token = ticket(key="page", secret=LONG, sub="17", topics=["t"])
    credentials, source = (None, lambda: token) if ticketed else (Credentials("page", LONG), None)
    async with Hub(port=0, ticket_keys=keys) if ticketed else Hub(port=0, subscriber_keys=keys) as hub:

        async def use() -> None:
            async with Subscriber(hub.url, credentials, ticket=source) as subscriber, subscriber.subscribe("t"):
                pass

        hub_tasks = asyncio.all_tasks() - before
        for turns in range(60):
            task = asyncio.ensure_future(use())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [end] = await asyncio.gather(task, return_exceptions=True)
            ends.add(type(end))
            if end is not None:
                assert not any(LONG in text or token in text for text in walked(end))
        assert asyncio.CancelledError in ends
    assert asyncio.all_tasks() - hub_tasks == before


async def test_signature_is_in_no_frame_of_a_refusal() -> None:
    signatures: list[str] = []

    async def serve(peer: Peer) -> None:
        await peer.next()
        await peer.send(4, "wampcra", {"challenge": "challenge"})
        signatures.append(str((await peer.next())[1]))
        peer.cut()

    async with broker(serve) as url:
        with pytest.raises(SubscriberError) as caught:
            await Subscriber(f"{url.replace('http', 'ws')}/ws?token=hidden", Credentials("page", SECRET)).__aenter__()
    found = "\n".join(walked(caught.value))
    assert signatures
    for secret in (*signatures, SECRET, "hidden"):
        assert secret not in found


# Tickets


async def give(peer: Peer, tickets: list[object], *response: object) -> None:
    """Let the subscriber authenticate with a ticket, and record the ticket."""
    assert await peer.next() == [1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["ticket"]}]
    await peer.send(4, "ticket", {})
    tickets.append((await peer.next())[1])
    await peer.send(*response)


async def test_each_connection_has_a_new_ticket() -> None:
    """`ticket` may be a plain or a coroutine function. If it fails, it is called again."""
    sent: list[object] = []
    states: list[str] = []
    results: list[object] = ["one", LookupError("no user"), LookupError(), None, "two", "three"]

    def plain() -> str:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[return-value]  # None is wrong on purpose

    async def slow() -> str:
        await asyncio.sleep(0)
        return plain()

    async def first(peer: Peer) -> None:
        await give(peer, sent, 2, 17, {})
        await peer.send(6, {}, "webmq.close.ticket_expired")
        await peer.gone()

    async def second(peer: Peer) -> None:
        await give(peer, sent, 3, {"message": "expired"}, "webmq.error.ticket_expired")
        await peer.gone()

    async def third(peer: Peer) -> None:
        await give(peer, sent, 2, 18, {})
        await peer.gone()

    for source in (plain, slow):
        results[:] = ["one", LookupError("no user"), LookupError(), None, "two", "three"]
        async with (
            broker(scripts(first, second, third)) as url,
            Subscriber(url, ticket=source, on_state=lambda *args: states.append(args[1])),
        ):
            await until(lambda: states[-1:] == ["18"])
        assert (sent, states) == (
            ["one", "two", "three"],
            [
                "17",
                "the broker ended the session (ticket_expired)",
                "no ticket: no user",
                "no ticket: LookupError",
                "no ticket: the ticket must be a string, not NoneType",
                "the broker refuses the ticket: ticket_expired: expired",
                "18",
            ],
        )
        sent.clear()
        states.clear()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("wamp.error.authentication_failed", TicketRefused),
        ("wamp.error.not_authorized", TicketRefused),
        ("webmq.error.ticket_expired", TicketRefused),
        ("wamp.error.no_matching_auth_method", SubscriberError),
    ],
)
async def test_a_refused_ticket_is_not_shown(error: str, kind: type[SubscriberError]) -> None:
    async def serve(peer: Peer) -> None:
        await give(peer, [], 3, {"message": "no"}, error)
        await peer.gone()

    async with broker(serve) as url:
        subscriber = Subscriber(url, ticket=lambda: SECRET)
        with pytest.raises(SubscriberError, match=f"refuses the ticket: {error.rpartition('.')[2]}: no") as caught:
            await subscriber.__aenter__()
    assert type(caught.value) is kind
    assert not [text for text in (*walked(caught.value), repr(vars(subscriber))) if SECRET in text]


async def test_failure_of_the_first_ticket_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception is raised unchanged, with its frames.

    A timeout is an error of the subscriber, without a connection.
    """
    monkeypatch.setattr(_handshake, "_TIMEOUT", 0.01)

    def broken() -> str:
        raise TimeoutError("of the application")

    def cancelled() -> str:
        raise asyncio.CancelledError

    for source, kind, said in (
        (broken, TimeoutError, "of the application"),
        (lambda: asyncio.Future[str](), SubscriberError, "has not returned within"),
        (lambda: SECRET.encode(), TypeError, "the ticket must be a string, not bytes"),
        (cancelled, SubscriberError, "the function ticket was cancelled"),
    ):
        with pytest.raises(kind, match=said) as caught:
            await Subscriber("ws://127.0.0.1:1/ws", ticket=source).__aenter__()  # type: ignore[arg-type]
        assert not [text for text in walked(caught.value) if SECRET in text]
        assert ("broken" in [frame.f_code.co_name for frame, _ in walk_tb(caught.value.__traceback__)]) is (
            source is broken
        )


def test_invalid_ticket() -> None:
    with pytest.raises(ValueError, match="ticket must not be given with credentials"):
        Subscriber("ws://127.0.0.1:1/ws", Credentials("page", SECRET), ticket=lambda: "")
    with pytest.raises(TypeError, match="ticket must be a function") as caught:
        Subscriber("ws://127.0.0.1:1/ws", ticket=SECRET)  # type: ignore[arg-type]
    assert not [text for text in walked(caught.value) if SECRET in text]


async def test_ticket_that_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subscriber joins again with a new ticket and recovers; a topic that the ticket does not cover is refused."""
    monkeypatch.setattr("webmqconnect_async.hub._websocket._CLOCK_CHECK", 0.01)
    now, mine, other = 1_800_000_000.0, "http://example.com/users/17/orders", "http://example.com/users/1/orders"
    lost: list[object] = []

    async def new_ticket() -> str:
        if now > 1_800_000_000:
            await client.push(mine, "missed")
        return ticket(key="users", secret=LONG, sub="17", topics=[mine], now=now)

    async with (
        Hub(port=0, ticket_keys={"users": LONG}, clock=lambda: now) as hub,
        AsyncClient(hub.url) as client,
        Subscriber(hub.url, ticket=new_ticket, on_lost=lambda *args: lost.append(args)) as subscriber,
        subscriber.subscribe(mine) as events,
    ):
        with pytest.raises(TopicRefused, match="the ticket does not cover this topic"):
            await subscriber.subscribe(other).ready()
        await client.push(mine, "first")
        assert await values(events, 1) == ["first"]
        now += 3600
        assert await values(events, 1) == ["missed"]
    assert lost == []
