"""`webmq.js` in Chromium, unchanged with both brokers: it subscribes, and its session ID selects it as receiver."""

from __future__ import annotations

import json

import pytest

from webmqconnect_async import AsyncClient, Payload

from ..chromium import Page
from ..hub.pages import ping_reply
from .brokers import KEY, SECRET, Broker

pytestmark = pytest.mark.usefixtures("chromium")


async def subscribe(page: Page, ws_url: str, *topics: str) -> None:
    """Connect the page and let it subscribe. `heard` returns once the subscription is in effect."""
    await page.evaluate(f"""
        globalThis.mq = new WebMQ({json.dumps(ws_url)});
        globalThis.events = [];
        for (const topic of {json.dumps(topics)}) mq.subscribe(topic, (event, topic) => events.push([topic, event]));
    """)
    await page.until("mq.state === 'open'")


async def heard(page: Page, client: AsyncClient, topic: str) -> None:
    """Return once events of the topic arrive. Forget the events that have arrived so far."""
    found = f"events.some(([topic]) => topic === {json.dumps(topic)})"
    while not await page.evaluate(found):
        await client.push(topic, "heard?")
    await page.evaluate("events.length = 0")


async def test_events_arrive_and_the_session_id_selects_the_page(broker: Broker, page: Page, topic: str) -> None:
    async with AsyncClient(broker.open.endpoint, dialect="crossbar") as client:
        await subscribe(page, broker.open.ws_url, topic)
        await heard(page, client, topic)
        session_id = await page.evaluate("mq.sessionId")
        assert isinstance(session_id, str)
        await client.push(topic, "to others", exclude=[session_id])
        await client.push(topic, "to nobody", eligible=[])
        await client.push(topic, {"id": 17, "ü": [None, "😀"]}, eligible=[session_id])
        await client.push(topic, Payload(1, 2, a=3))
        await client.push(topic, "the end")
        pushed = "events.map(([, event]) => event).filter((event) => event !== 'heard?')"  # one may arrive late
        await page.until(f"{pushed}.length >= 3")
        events = await page.evaluate(pushed)
        assert events == [{"id": 17, "ü": [None, "😀"]}, {"args": [1, 2], "kwargs": {"a": 3}}, "the end"]
        await page.evaluate(f"""
            mq.unsubscribe({json.dumps(topic)});
            mq.subscribe({json.dumps(topic + ".b")}, (event) => events.push(event));
            events.length = 0;
        """)
        while not await page.evaluate("events.length"):
            await client.push(topic, "unsubscribed")
            await client.push(f"{topic}.b", "the other")
        assert await page.evaluate("events[0]") == "the other"
        await page.evaluate("mq.close()")
        assert page.problems == []


async def test_an_invalid_topic_does_not_affect_other_topics(broker: Broker, page: Page, topic: str) -> None:
    """`webmq.js` refuses an invalid topic itself, because Crossbar.io would close the connection each time."""
    async with AsyncClient(broker.open.endpoint, dialect="crossbar") as client:
        await page.evaluate("globalThis.closed = 0; undefined")
        await subscribe(page, broker.open.ws_url, "http://example.com/page#orders", "a b", topic)
        await page.evaluate("mq.onstate = () => { closed += 1; }; undefined")
        await heard(page, client, topic)
        assert await page.evaluate("[mq.state, closed]") == ["open", 0]


@pytest.mark.usefixtures("crossbar")
async def test_crossbar_io_responds_to_pings_of_the_page(real: Broker, page: Page, topic: str) -> None:
    await subscribe(page, real.open.ws_url)
    assert await ping_reply(page) == [8, 34, 1, {}, "wamp.error.no_such_subscription"]
    assert await ping_reply(page) == [8, 34, 2, {}, "wamp.error.no_such_subscription"]
    await page.evaluate(f"mq.subscribe({json.dumps(topic)}, (event) => events.push([{json.dumps(topic)}, event]))")
    async with AsyncClient(real.open.endpoint, dialect="crossbar") as client:
        await heard(page, client, topic)
    assert page.problems == []


@pytest.mark.usefixtures("crossbar")
async def test_crossbar_io_loses_the_events_of_each_outage(real: Broker, page: Page, topic: str) -> None:
    await subscribe(page, real.open.ws_url, topic)
    await page.evaluate(
        "globalThis.lost = []; mq.onlost = (...args) => lost.push(args); Math.random = () => 0; undefined"
    )
    async with AsyncClient(real.open.endpoint, dialect="crossbar") as client:
        await heard(page, client, topic)
        for outages in (1, 2):
            await page.evaluate("sockets.at(-1).close()")
            await page.until(f"lost.length === {outages}")
            await heard(page, client, topic)
    why = "the connection ended, and the broker has no history"
    assert await page.evaluate("lost") == [[topic, why]] * 2


@pytest.mark.usefixtures("crossbar")
async def test_a_missing_realm_is_tried_again(real: Broker, page: Page) -> None:
    await page.evaluate(f"globalThis.mq = new WebMQ({json.dumps(real.open.ws_url)}, {{realm: 'elsewhere'}}); undefined")
    await page.until("mq.state === 'closed'")
    assert str(await page.evaluate("mq.detail")).startswith("no_such_realm: ")


@pytest.mark.usefixtures("crossbar")
async def test_a_key_for_a_broker_without_keys_is_refused(real: Broker, page: Page) -> None:
    options = "{key: 'reader', sign: () => 'a signature'}"
    await page.evaluate(f"globalThis.mq = new WebMQ({json.dumps(real.open.ws_url)}, {options}); undefined")
    await page.until("mq.state === 'refused'")
    assert str(await page.evaluate("mq.detail")).startswith("no_auth_method: ")


@pytest.mark.usefixtures("crossbar")
async def test_patterns_at_crossbar_io(real: Broker, page: Page, topic: str) -> None:
    """Each handler of a pattern gets the topic of the event.

    Patterns with empty components do not end the connection.
    """
    await subscribe(page, real.open.ws_url)
    patterns = [("prefix", topic), ("prefix", f"{topic}."), ("wildcard", f"{topic}..c"), ("exact", f"{topic}.b.c")]
    await page.evaluate(f"""
        Promise.all({json.dumps(patterns)}.map(([match, pattern]) => {{
            const keep = (event, topic) => events.push([match, pattern, topic]);
            return mq.subscribe(pattern, keep, {{ match }}).ready;
        }}))
    """)
    async with AsyncClient(real.open.endpoint, dialect="crossbar") as client:
        await client.push(f"{topic}.b.c", 1)
    await page.until("events.length === 4")
    assert sorted(await page.evaluate("events")) == sorted([*each, f"{topic}.b.c"] for each in patterns)  # type: ignore[call-overload]
    wrong = "mq.subscribe('a..b', () => {}, { match: 'prefix' }).ready.catch(({ message }) => message)"
    assert str(await page.evaluate(wrong)).startswith("invalid_uri: ")
    assert await page.evaluate("[mq.state, sockets.length]") == ["open", 1]


async def test_retained_events(broker: Broker, page: Page, topic: str) -> None:
    """Retained events come first after a subscription, and again after a loss, but not after a recovery."""
    async with AsyncClient(broker.open.endpoint, dialect="crossbar") as client:
        await client.push(topic, "kept", options={"retain": True})
        await subscribe(page, broker.open.ws_url)
        await page.evaluate(f"""
            Math.random = () => 0;
            globalThis.subscription = mq.subscribe({json.dumps(topic)}, (event) => events.push(event), {{
                get_retained: true,
            }});
            subscription.ready
        """)
        await page.until("events.length === 1")
        await client.push(topic, "new")
        await page.until("events.length === 2")
        await page.evaluate("sockets.at(-1).close()")
        await page.until("sockets.length === 2 && subscription.state === 'open'")
        await client.push(topic, "the end")
        await page.until("events.at(-1) === 'the end'")
    again = [] if broker.name == "hub" else ["kept"]
    assert await page.evaluate("events") == ["kept", "new", *again, "the end"]


async def test_patterns_at_a_hub(embedded: Broker, page: Page) -> None:
    await subscribe(page, embedded.open.ws_url)
    script = "mq.subscribe('a', () => {}, { match: 'prefix' }).ready.catch(({ message }) => message)"
    assert await page.evaluate(script) == "option_not_allowed: this hub supports only exact matches of topics"


@pytest.mark.usefixtures("crossbar")
@pytest.mark.parametrize(("secret", "state"), [(SECRET, "open"), ("wrong", "refused")])
async def test_a_salted_key_at_crossbar_io(real: Broker, page: Page, secret: str, state: str) -> None:
    door = real.doors["salted"]
    await page.evaluate(f"""
        globalThis.mq = new WebMQ({json.dumps(door.ws_url)}, {{
            key: {json.dumps(KEY)},
            sign: WebMQ.signer({json.dumps(secret)}),
        }});
        undefined
    """)
    await page.until(f"mq.state === {json.dumps(state)}")
