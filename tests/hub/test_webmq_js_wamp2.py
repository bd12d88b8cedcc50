"""`webmq.js` in Chromium over WAMP v2: with a hub, and with a fake WebSocket that the test controls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.chromium import Page
from webmqconnect_async import AsyncClient, Payload
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._browser import CLASSIC

from .conftest import HubClient, Run
from .pages import ping_reply, watched
from .test_webmq_js import FAKE, START, got, run_script, site

pytestmark = pytest.mark.usefixtures("chromium")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with watched() as page:
        yield page


@pytest.fixture
async def alone(page: Page) -> Page:
    """Return a page in which the test controls timers and WebSockets, with a broker that chooses WAMP v2."""
    await page.evaluate(FAKE.replace('protocol: "wamp"', 'protocol: "wamp.2.json"') + CLASSIC)
    await page.evaluate("""
        globalThis.mq = new WebMQ("http://hub.example:8080");
        globalThis.events = [];
        globalThis.keep = (event, topic) => events.push([topic, event]);
        globalThis.welcome = async () => { sockets.at(-1).onopen(); await say(2, 9007199254740992, {}); sent = []; };
        undefined
    """)
    return page


async def subscribed(page: Page, hub: Hub, wire: HubClient, *topics: str) -> None:
    """Return when events of the topics arrive."""
    await page.until("mq.state === 'open'")
    for topic in topics:
        while not await page.evaluate(f"events.some(([topic]) => topic === {json.dumps(topic)})"):
            await wire.push(hub, f"topicuri={topic}", b'"heard?"')
    await page.evaluate("events.length = 0")


async def test_the_session_id_of_a_page_excludes_it_from_its_own_pushes(hub: Hub, wire: HubClient, page: Page) -> None:
    async with site(hub.url) as other, AsyncClient(f"{hub.url}/publish", dialect="crossbar") as client:
        await page.open(other)
        await page.evaluate(START)
        await subscribed(page, hub, wire, "t")
        assert await page.evaluate("sockets.at(-1).protocol") == "wamp.2.json"
        session_id = await page.evaluate("mq.sessionId")
        assert isinstance(session_id, str)
        await client.push("t", "to others", exclude=[session_id])
        await client.push("t", {"id": 17}, eligible=[session_id])
        await client.push("t", Payload(1, 2, a=3))
        await wire.push(hub, f"topicuri=t&eligible={session_id}", b"[4]")
        await got(page, ["t", {"id": 17}], ["t", {"args": [1, 2], "kwargs": {"a": 3}}], ["t", [4]])
        assert page.problems == []


async def test_it_reconnects_with_its_subscriptions(wire: HubClient, page: Page) -> None:
    async with Hub(port=0) as hub, site(hub.url) as other:
        port = int(hub.url.rpartition(":")[2])
        await page.open(other)
        await page.evaluate(START)
        await subscribed(page, hub, wire, "t")
        await hub.close()
        await page.until("mq.state === 'closed'")
        await page.evaluate("mq.subscribe('u', keep)")
        async with Hub(port=port) as again:
            await subscribed(page, again, wire, "t", "u")


async def test_a_hub_replies_to_pings(hub: Hub, page: Page) -> None:
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate(START)
        await page.until("mq.state === 'open'")
        answer = cast(list[object], await ping_reply(page))
        position = hub.config.clock()
        assert answer[:3] + answer[4:] == [8, 34, 2, "wamp.error.no_such_subscription", ["no such subscription"]]
        assert 0 < cast(dict[str, int], answer[3])["_newest"] >> 11 <= position * 1000


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ("{key: 'reader', sign: WebMQ.signer('s3cret')}", "open"),
        ("{key: 'reader', sign: WebMQ.signer('wrong')}", "refused: authentication_failed"),
        ("{key: 'nobody', sign: WebMQ.signer('s3cret')}", "refused: authentication_failed"),
        ("{}", "refused: no_matching_auth_method"),
    ],
)
async def test_authentication(run: Run, page: Page, options: str, outcome: str) -> None:
    hub = await run(Hub(port=0, subscriber_keys={"reader": "s3cret"}))
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate(f"globalThis.options = {options};" + START)
        await page.until("['open', 'refused'].includes(mq.state)")
        said = await page.evaluate("`${mq.state}: ${mq.detail}`")
        assert str(said).startswith(outcome)


# With a fake WebSocket


async def test_the_messages_before_the_session_is_open(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        mq.subscribe("t", keep);
        sockets[0].onopen();
        const before = mq.state;
        await say(2, 9007199254740992, {});
        return [before, mq.state, mq.sessionId, sent];
        """,
    )
    hello = [1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["anonymous"]}]
    assert said == ["connecting", "open", "9007199254740992", [hello, [32, 1, {}, "t"]]]


async def test_it_signs_the_challenge_of_the_given_realm(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        const mine = new WebMQ("ws://hub.example", { key: "k", sign: (text) => text.repeat(11), realm: "other" });
        sockets.at(-1).onopen();
        await say(4, "wampcra", { challenge: "this" });
        await say(2, 5, {});
        return [mine.state, sent];
        """,
    )
    hello = [1, "other", {"roles": {"subscriber": {}}, "authmethods": ["wampcra"], "authid": "k"}]
    assert said == ["open", [hello, [5, "this" * 11, {}]]]


async def test_a_silent_broker_is_pinged_with_a_message_that_every_broker_replies_to(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        mq.subscribe("t", keep);
        await welcome();
        const spans = [elapse()];
        const ping = sent.at(-1);
        await say(8, 34, ping[1], {}, "wamp.error.no_such_subscription");
        await say(33, 1, 10);
        await say(36, 10, 1, {}, ["to t"]);
        spans.push(elapse(), elapse());
        return [spans, ping, mq.state, events];
        """,
    )
    assert said == [[30000, 30000, 10000], [34, 2, 2**53], "closed", [["t", "to t"]]]


async def test_events_are_assigned_by_the_id_of_their_subscription(alone: Page) -> None:
    events = await run_script(
        alone,
        """
        mq.subscribe("t", keep);
        mq.subscribe("u", keep);
        await welcome();
        await say(33, 1, 10);
        await say(33, 2, 20);
        await say(36, 10, 1, {}, ["to t"]);
        await say(36, 20, 2, {}, ["to u"]);
        await say(36, 30, 3, {}, ["to nobody"]);
        await say(36, 10, 4, {});
        await say(36, 10, 5, {}, [], { a: 1 });
        await say(36, 10, 6, {}, [1], { a: 1 });
        return events;
        """,
    )
    assert events == [
        ["t", "to t"],
        ["u", "to u"],
        ["t", {"args": [], "kwargs": {}}],
        ["t", {"args": [], "kwargs": {"a": 1}}],
        ["t", {"args": [1], "kwargs": {"a": 1}}],
    ]


async def test_unsubscribing_waits_for_the_subscription(alone: Page) -> None:
    """The ID of the subscription, which UNSUBSCRIBE contains, is unknown before the reply of the broker."""
    said = await run_script(
        alone,
        """
        await welcome();
        mq.subscribe("t", keep);
        mq.unsubscribe("t");
        mq.subscribe("u", keep);
        mq.unsubscribe("u");
        mq.subscribe("u", keep);
        await say(33, 1, 10);
        await say(33, 3, 20);
        mq.subscribe("t", keep);
        await say(36, 10, 1, {}, ["of a subscription that has ended"]);
        await say(33, 4, 11);
        await say(36, 11, 2, {}, ["to t"]);
        await say(36, 20, 3, {}, ["to u"]);
        return [sent, events];
        """,
    )
    assert said == [
        [[32, 1, {}, "t"], [34, 2, 10], [32, 3, {}, "u"], [32, 4, {}, "t"]],
        [["t", "to t"], ["u", "to u"]],
    ]


async def test_a_refused_subscription_is_reported_and_may_be_repeated(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        const errors = [];
        console.error = (text) => errors.push(text);
        await welcome();
        mq.subscribe("a.b", keep);
        await say(8, 34, 1, {}, "wamp.error.no_such_subscription", ["of something else"]);
        await say(8, 32, 1, {}, "wamp.error.not_authorized", ["no"]);
        mq.unsubscribe("a.b");
        mq.subscribe("a.b", keep);
        return [errors, sent, mq.state];
        """,
    )
    assert said == [
        ["WebMQ: not subscribed to a.b: not_authorized: no"],
        [[32, 1, {}, "a.b"], [32, 2, {}, "a.b"]],
        "open",
    ]


async def test_unknown_messages_are_ignored(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        await welcome();
        const unknown = [[36], [33], [8], [8, 32], [35, 1], [70, 1], [2], [4, "wampcra", {}]];
        for (const message of unknown) await say(...message);
        return [sent, mq.state, reported];
        """,
    )
    assert said == [[], "open", []]


async def test_a_topic_that_is_not_a_uri_is_refused_by_the_page(alone: Page) -> None:
    """The page refuses such a topic itself, because Crossbar.io would end the connection."""
    said = await run_script(
        alone,
        """
        const errors = [];
        console.error = (text) => errors.push(text.split(": ")[1]);
        const bad = ["a#b", "a b", "\\0a", "\\x1ca", "\\u00a0", "\\x85"];
        const good = ["a", "http://example.com/orders?x=1", "ü.☃", "", "a..b"];
        for (const topic of bad) mq.subscribe(topic, keep);
        await welcome();
        for (const topic of good) {
            mq.subscribe(topic, keep);
            await say(33, sent.at(-1)[1], sent.length);
        }
        return [errors.length, sent.map(([, , , topic]) => topic).join() === good.join(), mq.state];
        """,
    )
    assert said == [6, True, "open"]
