"""How `webmq.js` recovers missed events, and how it reports lost ones, in a simulated page."""

from __future__ import annotations

import pytest

from webmqconnect_async.hub._browser import FILES

from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V1, V2 = "wamp", "wamp.2.json"

HUB = '{ _newest: 100, _history: "h", _any_topic: true }'
NEW_HISTORY = "the connection ended, and the hub has restarted"
NO_HISTORY = "the connection ended, and the broker has no history"

SETUP = """
    const events = [], lost = [];
    const keep = (event, topic) => events.push([topic, event]);
    const mq = start();
    mq.onlost = (topic, why) => lost.push([topic, why]);
"""


async def recover(script: str, protocol: str = V2) -> object:
    """Run a script with a page that records its events and losses."""
    return await simulate(protocol, SETUP + script)


# Outages at any moment

CUTS = """
    const results = [];
    for (let cut = 0, more = true; more; cut += 1) {
        const got = { a: [], b: [], c: [] }, pushed = { a: [], b: [], c: [] }, lost = [];
        const hub = new SimulatedHub();
        const push = (...topics) => {
            for (const topic of topics) {
                pushed[topic].push(hub.newest + 1);
                hub.push(topic, hub.newest + 1);
            }
        };
        const mq = start();
        mq.onlost = (...args) => lost.push(args);
        for (const topic of "abc") mq.subscribe(topic, (event) => got[topic].push(event));
        await hub.connect();
        await hub.step();
        BEFORE
        for (let round = 0; round < ROUNDS; round += 1) {
            await lose();
            push("a", "c", "b", "a", "c", "a");
            await elapse();
            await hub.connect();
            more = await hub.step(cut);
            push("c", "a");  // pushed while the page recovers
        }
        await lose();
        push("b", "c");
        await elapse();
        await hub.connect();
        await hub.step();
        push("a", "b", "c");
        await hub.step();
        const same = JSON.stringify(got) === JSON.stringify(pushed);
        results.push(same && lost.length === 0 ? "exact" : [cut, got, pushed, lost]);
        mq.close();
        timers.clear();
    }
    return results;
"""


@pytest.mark.parametrize("script", ["webmq.js", "webmq.min.js"])
@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("before", ["push('a', 'b', 'c'); await hub.step();", ""], ids=["events before", "none before"])
async def test_an_outage_after_any_message_of_a_recovery(script: str, rounds: int, before: str) -> None:
    """Each event of three topics arrives once and in order, and none is reported as lost."""
    results = await simulate(V2, CUTS.replace("BEFORE", before).replace("ROUNDS", str(rounds)), FILES[script].decode())
    assert isinstance(results, list)
    assert len(results) > 10  # WELCOME, three of SUBSCRIBED, and at least six events
    assert results == ["exact"] * len(results)


# The requests of a recovery


async def test_topics_are_subscribed_to_one_after_another() -> None:
    said = await recover(f"""
        console.error = () => {{}};
        for (const topic of "abc") mq.subscribe(topic, keep);
        const asked = [];
        await joinWith({HUB});
        asked.push(subscribes().length);
        await confirm(10, {{ _newest: 105 }});
        asked.push(subscribes().length);
        await refuse("wamp.error.not_authorized", ["no"]);
        asked.push(subscribes().length);
        return [asked, subscribes()];
    """)
    assert said == [[1, 2, 3], [[topic, {"_newest": True}] for topic in "abc"]]


async def test_the_next_topic_waits_for_missed_events() -> None:
    said = await recover(f"""
        for (const topic of "ab") mq.subscribe(topic, keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await rejoin({HUB}, 5);
        const counts = [];
        await confirm(10, {{ _missed: 2 }});
        for (const id of [101, 102]) {{
            counts.push(subscribes().length);
            await say(36, 10, id, {{}}, [id]);
        }}
        return [counts, subscribes(), events];
    """)
    options = {"_after": 100, "_former": [1234]}
    assert said == [[1, 1], [["a", options], ["b", options]], [["a", 101], ["a", 102]]]


async def test_the_floor_is_the_highest_id_of_all() -> None:
    """The floor is the highest ID in WELCOME, in SUBSCRIBED, and in the events of all topics."""
    said = await recover(f"""
        mq.subscribe("a", keep);
        mq.subscribe("b", keep);
        const floors = [];
        await joinWith({HUB});
        await confirm(10, {{ _newest: 110 }});
        await confirm(20, {{ _newest: 120 }});
        const next = async (...options) => {{
            await rejoin({{ _newest: 300, _history: "h", _any_topic: true }}, 5);
            await confirm(10, {{ _missed: 0 }});
            await confirm(20, {{ _missed: 0 }});
            floors.push(subscribes().map(([, {{ _after }}]) => _after));
        }};
        await say(36, 10, 200, {{}}, ["to a"]);
        await next();
        await next();
        await say(36, 99, 400, {{}}, ["to a subscription that has ended"]);
        await lose();
        await elapse();
        await joinWith({{ _newest: 400, _history: "h" }}, 6);
        floors.push(subscribes().map(([, {{ _after }}]) => _after));
        return [floors, lost];
    """)
    assert said == [[[200, 200], [300, 300], [400]], []]


async def test_a_hub_without_a_fourth_element() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await rejoin({HUB}, 5);
        await confirm(10);
        await say(36, 10, 101, {{}}, ["new"]);
        return [mq.subscribe("a", keep).state, events, lost];
    """)
    assert said == ["open", [["a", "new"]], []]


async def test_duplicates_are_dropped() -> None:
    """An event at or below the floor of its own topic is dropped, regardless of other topics."""
    said = await recover(f"""
        mq.subscribe("a", keep);
        mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        for (const [subscription, id] of [[10, 105], [10, 105], [20, 103], [10, 104], [20, 104], [10, 106]]) {{
            await say(36, subscription, id, {{}}, [id]);
        }}
        return events;
    """)
    assert said == [["a", 105], ["b", 103], ["b", 104], ["a", 106]]


async def test_an_incomplete_session_is_a_former_one_and_the_floor_stays() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        const asked = [];
        await joinWith({HUB});
        await confirm(10);
        await rejoin({HUB}, 5);
        await rejoin({{ _newest: 200, _history: "h", _any_topic: true }}, 6);
        await confirm(10, {{ _missed: 2 }});
        await say(36, 10, 150, {{}}, [1]);
        asked.push(subscribes());
        await rejoin({{ _newest: 200, _history: "h", _any_topic: true }}, 7);
        await confirm(10, {{ _missed: 1 }});
        await say(36, 10, 190, {{}}, [2]);
        asked.push(subscribes());
        await rejoin({{ _newest: 200, _history: "h", _any_topic: true }}, 8);
        return [asked, subscribes(), events, lost];
    """)
    assert said == [
        [[["a", {"_after": 100, "_former": [1234, 5]}]], [["a", {"_after": 150, "_former": [1234, 5, 6]}]]],
        [["a", {"_after": 200, "_former": [7]}]],
        [["a", 1], ["a", 2]],
        [],
    ]


async def test_connections_without_a_session_leave_no_trace() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        for (let attempt = 0; attempt < 20; attempt += 1) {{
            await lose();
            await elapse();
            if (attempt < 19) await accept();
        }}
        await joinWith({HUB}, 5);
        return subscribes();
    """)
    assert said == [["a", {"_after": 100, "_former": [1234]}]]


async def test_a_topic_subscribed_during_an_outage() -> None:
    """A topic that the page subscribes to during an outage has nothing to recover and nothing to lose."""
    said = await recover(f"""
        const early = mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await lose();
        const late = mq.subscribe("b", keep);
        await elapse();
        await joinWith({{ _newest: 7, _history: "other", _any_topic: true }}, 5);
        const before = await Promise.all([settled(early.ready), settled(late.ready), lost.length]);
        await confirm(10);
        await confirm(20);
        return [before, await settled(late.ready), subscribes(), lost];
    """)
    plain = {"_newest": True}
    assert said == [["resolved", "pending", 0], "resolved", [["a", plain], ["b", plain]], [["a", NEW_HISTORY]]]


# Losses

WITHOUT_RECOVERY = {
    "another history": ('{ _newest: 500, _history: "other" }', NEW_HISTORY),
    "a clock set back": ('{ _newest: 99, _history: "other" }', NEW_HISTORY),
    "no history": ("{ _any_topic: true }", NO_HISTORY),
    "no details": ("null", NO_HISTORY),
    "Crossbar.io": ("{ roles: { broker: {} }, x_cb_node: 'n' }", NO_HISTORY),
}


@pytest.mark.parametrize("broker", WITHOUT_RECOVERY)
async def test_a_loss_is_reported_when_the_topic_is_confirmed(broker: str) -> None:
    """A loss is reported once and never before, however often the connection is lost until then."""
    welcome, why = WITHOUT_RECOVERY[broker]
    said = await recover(f"""
        const seen = [];
        const subscription = mq.subscribe("a", keep, {{ onlost: (...args) => seen.push(args) }});
        await joinWith({HUB});
        await confirm(10);
        await rejoin({welcome}, 5);
        const options = subscribes();
        await rejoin({welcome}, 6);
        await rejoin({welcome}, 7);
        options.push(...subscribes());
        const before = [seen.length, lost.length, subscription.state];
        await confirm(10);
        const after = [seen.length, lost.length, subscription.state];
        await rejoin({welcome}, 8);
        await confirm(10);
        return [before, after, [seen[0], lost[0]], options.filter(([, each]) => "_after" in each)];
    """)
    assert said == [[0, 0, "pending"], [1, 1, "open"], [["a", why], ["a", why]], []]


async def test_a_hub_that_is_behind() -> None:
    """One of several hubs with the same history may not have delivered yet what the page has received."""
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 120, {{}}, [120]);
        await rejoin({HUB.replace("100", "90")}, 5);
        await refuse("webmq.error.history_unavailable", ["not so far"]);
        await confirm(10);
        for (const id of [110, 120, 121]) await say(36, 10, id, {{}}, [id]);
        const told = lost.map(([, why]) => why);
        await rejoin({HUB.replace("100", "95")}, 6);
        return [subscribes(), events.map(([, event]) => event), told];
    """)
    after = ["a", {"_after": 121, "_former": [5]}]
    assert said == [[after], [120, 121], ["the connection ended, and the history is incomplete: not so far"]]


async def test_a_broker_without_history_loses_events_each_time() -> None:
    said = await recover("""
        mq.subscribe("com.a", keep);
        await joinWith({});
        await confirm(10);
        const counts = [lost.length];
        for (const session of [5, 6, 7]) {
            await rejoin({}, session);
            counts.push(lost.length);
            await confirm(10);
            counts.push(lost.length);
        }
        return [counts, subscribes()];
    """)
    assert said == [[0, 0, 1, 1, 2, 2, 3], [["com.a", {}]]]


async def test_the_ids_of_a_broker_without_history_are_ignored() -> None:
    said = await recover("""
        mq.subscribe("com.a", keep);
        await joinWith({});
        await confirm(10);
        for (const id of [9, 3, 3, 7]) await say(36, 10, id, {}, [id]);
        return events.map(([, event]) => event);
    """)
    assert said == [9, 3, 3, 7]


async def test_floors_are_discarded_with_a_broker_without_history() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await rejoin({{}}, 5);
        await confirm(10);
        await rejoin({HUB}, 6);
        const options = subscribes();
        await confirm(10);
        await say(36, 10, 101, {{}}, [1]);
        await rejoin({HUB.replace("100", "200")}, 7);
        return [options, subscribes(), lost.map(([, why]) => why)];
    """)
    after = ["a", {"_after": 101, "_former": [6]}]
    assert said == [[["a", {"_newest": True}]], [after], [NO_HISTORY, NEW_HISTORY]]


async def test_a_new_history_starts_from_its_newest_id() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({{ _newest: 900, _history: "old" }});
        await confirm(10);
        await say(36, 10, 950, {{}}, [1]);
        await rejoin({HUB}, 5);
        await confirm(10);
        await say(36, 10, 101, {{}}, [2]);
        await rejoin({HUB.replace("100", "101")}, 6);
        return [subscribes(), events.map(([, event]) => event), lost.length];
    """)
    assert said == [[["a", {"_after": 101, "_former": [5]}]], [1, 2], 1]


async def test_history_that_is_unavailable() -> None:
    """The page subscribes to the topic without its history, before the next topic, and then reports the loss."""
    said = await recover(f"""
        mq.subscribe("a", keep);
        mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await rejoin({HUB}, 5);
        await refuse("webmq.error.history_unavailable", ["some have expired"]);
        const before = lost.length;
        await confirm(10, {{ _newest: 130 }});
        const after = lost.length;
        await confirm(20, {{ _missed: 0 }});
        await rejoin({HUB.replace("100", "130")}, 6);
        return [before, after, lost, sockets[1].sent.filter(([type]) => type === 32), subscribes()];
    """)
    recovery = {"_after": 100, "_former": [1234]}
    assert said == [
        0,
        1,
        [["a", "the connection ended, and the history is incomplete: some have expired"]],
        [[32, 1, recovery, "a"], [32, 2, {"_newest": True}, "a"], [32, 3, recovery, "b"]],
        [["a", {"_after": 130, "_former": [5]}]],
    ]


async def test_a_loss_is_reported_after_a_later_confirmation() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await rejoin({HUB}, 5);
        await refuse("webmq.error.history_unavailable", ["too old"]);
        await rejoin({HUB}, 6);
        const before = [lost.length, subscribes()];
        await confirm(10);
        return [before, lost.length];
    """)
    assert said == [[0, [["a", {"_newest": True}]]], 1]


async def test_a_hub_that_refuses_the_history_of_a_plain_subscription() -> None:
    """The page does not repeat the request forever, although such a refusal is invalid."""
    said = await recover(f"""
        const errors = [];
        console.error = (text) => errors.push(text);
        const {{ ready }} = mq.subscribe("a", keep);
        await joinWith({HUB});
        await refuse("webmq.error.history_unavailable");
        return [errors, await settled(ready), subscribes().length];
    """)
    why = "history_unavailable: no reason"
    assert said == [[f"WebMQ: not subscribed to a: {why}"], why, 1]


async def test_more_former_sessions_than_a_hub_accepts() -> None:
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        const former = [];
        for (let session = 1; session <= 16; session += 1) {{
            await rejoin({HUB}, session);
            former.push(subscribes()[0][1]._former.length);
        }}
        await rejoin({HUB}, 17);
        const before = [subscribes(), lost.length];
        await confirm(10);
        return [former, before, lost];
    """)
    why = "the connection ended, and the recovery failed 16 times"
    assert said == [list(range(1, 17)), [[["a", {"_newest": True}]], 0], [["a", why]]]


@pytest.mark.parametrize(
    "answer", ["say(3, sent().at(-1)[1], null)", "say(4, sent().at(-1)[1], 'e#NoSuchRPCEndpoint', 'no')"]
)
async def test_over_wamp_1_a_call_after_the_subscription_confirms_it(answer: str) -> None:
    said = await recover(
        f"""
        const {{ ready }} = mq.subscribe("a", keep);
        mq.subscribe("b", keep);
        const steps = [];
        const step = async () => steps.push([
            sent().filter(([type]) => type === 5).map(([, topic]) => topic).join(), await settled(ready), lost.length,
        ]);
        for (let connection = 0; connection < 3; connection += 1) {{
            await join();
            await step();
            await {answer};
            await step();
            await {answer};
            await step();
            await lose();
            await elapse();
        }}
        return [steps, lost[0], sockets[0].sent.at(-1)];
        """,
        V1,
    )
    assert said == [
        [
            *(["a", "pending", 0], ["a,b", "resolved", 0], ["a,b", "resolved", 0]),
            *(["a", "resolved", 0], ["a,b", "resolved", 1], ["a,b", "resolved", 2]),
            *(["a", "resolved", 2], ["a,b", "resolved", 3], ["a,b", "resolved", 4]),
        ],
        ["a", NO_HISTORY],
        [2, "call", "http://api.wamp.ws/procedure#ping"],
    ]


# The page's subscriptions


async def test_states_of_a_subscription() -> None:
    said = await recover(f"""
        console.error = () => {{}};
        const states = [];
        const good = mq.subscribe("a", keep), bad = mq.subscribe("b", keep);
        const note = async () => {{
            states.push([good.state, bad.state, await settled(good.ready), await settled(bad.ready)]);
        }};
        await note();
        await joinWith({HUB});
        await confirm(10);
        await note();
        await refuse("wamp.error.not_authorized", ["too many topics"]);
        await note();
        await lose();
        await note();
        await elapse();
        await joinWith({HUB}, 5);
        await confirm(10, {{ _missed: 1 }});
        await note();
        await say(36, 10, 101, {{}}, [1]);
        await note();
        await confirm(20);
        await note();
        good.unsubscribe();
        mq.close();
        await note();
        return states;
    """)
    too_many = "not_authorized: too many topics"
    assert said == [
        ["pending", "pending", "pending", "pending"],
        ["open", "pending", "resolved", "pending"],
        ["open", "refused", "resolved", too_many],
        ["pending", "pending", "resolved", too_many],
        ["pending", "pending", "resolved", too_many],
        ["open", "pending", "resolved", too_many],
        ["open", "open", "resolved", too_many],
        ["ended", "ended", "resolved", too_many],
    ]


async def test_a_refusal_that_is_not_awaited_is_not_an_unhandled_rejection() -> None:
    said = await recover(f"""
        const unhandled = [];
        process.on("unhandledRejection", (error) => unhandled.push(error.message));
        console.error = () => {{}};
        mq.subscribe("a", keep);
        mq.subscribe("b", keep).unsubscribe();
        await joinWith({HUB});
        await refuse("wamp.error.not_authorized", ["no"]);
        mq.subscribe("c", keep);
        mq.close();
        await rest();
        await rest();
        return unhandled;
    """)
    assert said == []


async def test_close_rejects_pending_promises() -> None:
    said = await recover("""
        const subscriptions = ["a", "b"].map((topic) => mq.subscribe(topic, keep));
        subscriptions[0].unsubscribe();
        mq.close();
        return Promise.all(subscriptions.map(async ({ ready, state }) => [await settled(ready), state]));
    """)
    assert said == [["unsubscribed", "ended"], ["closed", "ended"]]


async def test_a_page_that_closes_during_a_recovery() -> None:
    said = await recover(f"""
        const subscription = mq.subscribe("a", () => mq.close());
        const other = mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await rejoin({HUB}, 5);
        await confirm(10, {{ _missed: 1 }});
        mq.subscribe("a", keep);  // the page has closed before it is called
        await say(36, 10, 101, {{}}, [1]);
        return [subscription.state, other.state, sent().length, timers.size, events];
    """)
    assert said == ["ended", "ended", 2, 0, []]


async def test_a_page_whose_key_is_refused() -> None:
    said = await recover("""
        const subscription = mq.subscribe("a", keep);
        await join("wamp.error.not_authorized", "not you");
        return [subscription.state, await settled(subscription.ready)];
    """)
    assert said == ["refused", "not_authorized: not you"]


async def test_a_second_subscription_shares_the_first() -> None:
    said = await recover(f"""
        const other = [];
        const one = mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 101, {{}}, [1]);
        const two = mq.subscribe("a", (event) => other.push(event));
        const at_once = await settled(two.ready);
        await say(36, 10, 102, {{}}, [2]);
        one.unsubscribe();
        one.unsubscribe();
        await say(36, 10, 103, {{}}, [3]);
        const before = sent().length;
        two.unsubscribe();
        return [at_once, events, other, subscribes().length, sent().slice(before), one.state, two.state];
    """)
    unsubscribe = [34, 2, 10]
    assert said == ["resolved", [["a", 1], ["a", 2]], [2, 3], 1, [unsubscribe], "ended", "ended"]


async def test_the_same_handler_is_the_same_subscription() -> None:
    said = await recover(f"""
        const one = mq.subscribe("a", keep), two = mq.subscribe("a", keep), other = mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 101, {{}}, [1]);
        one.unsubscribe();
        const three = mq.subscribe("a", keep);
        one.unsubscribe();  // long ended
        return [one === two, one === other, one === three, events.length, three.state];
    """)
    assert said == [True, False, False, 1, "pending"]


async def test_each_open_subscription_is_notified_of_a_loss_and_then_the_page() -> None:
    said = await recover(f"""
        const told = [];
        mq.onlost = (topic) => told.push(`page: ${{topic}}`);
        mq.subscribe("a", () => {{}}, {{ onlost: () => {{ told.push("first"); throw new Error("of the page"); }} }});
        const second = mq.subscribe("a", keep, {{ onlost: () => told.push("second") }});
        const third = mq.subscribe("a", () => {{}}, {{ onlost: () => told.push("third") }});
        second.onlost = () => {{ told.push("second, replaced"); third.unsubscribe(); }};
        await joinWith({HUB});
        await confirm(10);
        await lose();
        mq.subscribe("a", () => {{}}, {{ onlost: () => told.push("was never open") }});
        await elapse();
        await joinWith({{}}, 5);
        await confirm(10);
        return [told, reported];
    """)
    assert said == [["first", "second, replaced", "page: a"], ["of the page"]]


async def test_subscribing_to_a_refused_topic_again_repeats_the_request() -> None:
    said = await recover(f"""
        console.error = () => {{}};
        const one = mq.subscribe("a", keep);
        await joinWith({HUB});
        await refuse("wamp.error.not_authorized", ["no"]);
        const two = mq.subscribe("a", () => {{}});
        await confirm(10);
        return [one.state, await settled(one.ready), await settled(two.ready), subscribes().length];
    """)
    assert said == ["open", "not_authorized: no", "resolved", 2]


async def test_a_topic_refused_after_an_outage_is_lost() -> None:
    """The page is notified, although no subscription is confirmed. A topic that was never open has no loss."""
    said = await recover(f"""
        console.error = () => {{}};
        const own = [];
        const one = mq.subscribe("a", keep, {{ onlost: (...args) => own.push(args) }});
        const two = mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await refuse("wamp.error.not_authorized", ["no"]);
        await rejoin({HUB}, 5);
        await refuse("wamp.error.not_authorized", ["not any more"]);
        await refuse("wamp.error.not_authorized", ["no"]);
        return [one.state, two.state, lost, own];
    """)
    loss = ["a", "refused: not_authorized: not any more"]
    assert said == ["refused", "refused", [loss], [loss]]


async def test_a_topic_that_opens_after_a_refusal_has_lost_events() -> None:
    """`ready` has been rejected: without `onlost`, the page would not load its state."""
    said = await recover(f"""
        console.error = () => {{}};
        mq.subscribe("a", keep).ready.catch((error) => lost.push(error.message));
        await joinWith({HUB});
        await refuse("wamp.error.not_authorized", ["too many"]);
        await rejoin({HUB}, 5);
        lost.push(subscribes().at(-1)[1]);
        await confirm(10);
        await rejoin({HUB}, 6);
        await confirm(10, {{ _missed: 0 }});
        return lost;
    """)
    loss = ["a", "refused: not_authorized: too many"]
    assert said == ["not_authorized: too many", {"_newest": True}, loss]


async def test_the_reply_to_a_ping_moves_the_position() -> None:
    """The reply moves the floor of quiet topics, whose events would else no longer be in the history."""
    said = await recover(f"""
        mq.subscribe("a", keep);
        await joinWith({HUB});
        await confirm(10);
        await pass(30000);
        const [, request] = sent().at(-1);
        await say(8, 34, request, {{ _newest: 900 }}, "wamp.error.no_such_subscription");
        await rejoin({HUB.replace("100", "950")}, 5);
        return subscribes().at(-1)[1];
    """)
    assert said == {"_after": 900, "_former": [1234]}


async def test_unsubscribing_while_missed_events_arrive() -> None:
    """The other missed events are ignored, and the next topic is requested only after them."""
    said = await recover(f"""
        const subscription = mq.subscribe("a", (event, topic) => {{
            keep(event, topic);
            subscription.unsubscribe();
            mq.subscribe("a", keep);
        }});
        mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await rejoin({HUB}, 5);
        await confirm(10, {{ _missed: 3 }});
        const counts = [];
        for (const id of [101, 102, 103]) {{
            await say(36, 10, id, {{}}, [id]);
            counts.push(subscribes().length);
        }}
        await confirm(20, {{ _missed: 0 }});
        await confirm(10, {{ _newest: 103 }});
        await say(36, 10, 104, {{}}, [104]);
        return [counts, events, sent().slice(1), lost];
    """)
    recovery = {"_after": 100, "_former": [1234]}
    assert said == [
        [1, 1, 2],
        [["a", 101], ["a", 104]],
        [[32, 1, recovery, "a"], [34, 2, 10], [32, 3, recovery, "b"], [32, 4, {"_newest": True}, "a"]],
        [],
    ]


async def test_unsubscribing_before_the_reply() -> None:
    said = await recover(f"""
        const one = mq.subscribe("a", keep), two = mq.subscribe("b", keep), three = mq.subscribe("c", keep);
        await joinWith({HUB});
        one.unsubscribe();
        two.unsubscribe();
        await refuse("wamp.error.not_authorized", ["no"]);
        three.unsubscribe();
        await confirm(30);
        await say(36, 30, 101, {{}}, ["too late"]);
        return [sent().slice(1), events, await settled(one.ready)];
    """)
    plain = {"_newest": True}
    assert said == [[[32, 1, plain, "a"], [32, 2, plain, "c"], [34, 3, 30]], [], "unsubscribed"]


async def test_a_broker_that_stops_replying_is_disconnected() -> None:
    """The broker replies neither to the second SUBSCRIBE nor to the ping, or only not to the ping."""
    said = await recover(f"""
        for (const topic of "abc") mq.subscribe(topic, keep);
        const times = [];
        for (const answers of [false, true]) {{
            await joinWith({HUB});
            await confirm(10);
            const began = now;
            await pass(30000);
            if (answers) await say(8, 34, sent().at(-1)[1], {{}}, "wamp.error.no_such_subscription");
            while (mq.state === "open") {{
                await elapse();
                if (answers) await say(8, 34, sent().at(-1)[1], {{}}, "wamp.error.no_such_subscription");
            }}
            times.push([now - began, mq.detail]);
            await elapse();
        }}
        return times;
    """)
    assert said == [[40_000, "the hub does not answer"], [60_000, "the hub does not answer"]]


async def test_a_slow_broker_is_not_disconnected() -> None:
    """Each reply and each missed event restarts the timeout."""
    said = await recover(f"""
        for (const topic of "abcdef") mq.subscribe(topic, keep);
        await joinWith({HUB});
        for (const id of [1, 2, 3, 4, 5, 6]) {{
            await pass(25000);
            await confirm(id);
        }}
        await rejoin({HUB}, 5);
        await confirm(1, {{ _missed: 6 }});
        for (const id of [101, 102, 103, 104, 105, 106]) {{
            await pass(25000);
            await say(36, 1, id, {{}}, [id]);
        }}
        return [mq.state, subscribes().length, sockets.length];
    """)
    assert said == ["open", 2, 2]


# Events that cannot be parsed


async def test_an_event_that_cannot_be_parsed_is_reported_and_counts_as_received() -> None:
    said = await simulate(
        V2,
        f"""
        const events = [];
        const parse = (text) => {{ if (text.includes("bad")) throw new Error("of parse"); return JSON.parse(text); }};
        const mq = start({{ parse }});
        const subscription = mq.subscribe("a", (event) => events.push(event));
        mq.subscribe("b", () => {{}});
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await say(36, 10, 101, {{}}, ["bad"]);
        await rejoin({HUB.replace("100", "105")}, 5);
        const floor = subscribes();
        await confirm(10, {{ _missed: 3 }});
        await say(36, 10, 102, {{}}, ["bad"]);
        sockets.at(-1).onmessage({{ data: " [ 36 , 10 , 103 , {{}}, [NaN]]" }});
        await say(36, 10, 104, {{}}, ["good"]);
        return [floor, events, subscription.state, subscribes().length, mq.state, reported.length, reported[0]];
        """,
    )
    assert said == [[["a", {"_after": 101, "_former": [1234]}]], ["good"], "open", 2, "open", 3, "of parse"]


@pytest.mark.parametrize("result", ["null", "7", "{}", "[36, 10, 101, {}, null]"])
async def test_a_wrong_return_value_of_parse_is_reported(result: str) -> None:
    said = await simulate(
        V2,
        f"""
        const events = [];
        const mq = start({{ parse: () => ({result}) }});
        mq.subscribe("a", (event) => events.push(event));
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 101, {{}}, [1]);
        return [events, reported.length, mq.state];
        """,
    )
    assert said == [[], 1, "open"]


@pytest.mark.parametrize(("protocol", "event"), [(V1, '[8,"a",1]'), (V1, '[8,"a",NaN]'), (V2, "[36,10,101,{},[1]]")])
async def test_an_exception_of_parse_is_reported(protocol: str, event: str) -> None:
    said = await simulate(
        protocol,
        f"""
        const mq = start({{ parse: (text) => {{ JSON.parse(text); throw new SyntaxError("bug"); }} }});
        mq.subscribe("a", () => {{}});
        await join();
        if (SUBPROTOCOL !== "wamp") await confirm(10);
        sockets.at(-1).onmessage({{ data: {event!r} }});
        await rest();
        return [reported.length, mq.state];
        """,
    )
    assert said == [1, "open"]


async def test_a_parse_with_other_number_types_does_not_affect_the_protocol() -> None:
    """Session IDs, floors and subscriptions stay numbers, and only valid JSON is sent."""
    said = await simulate(
        V2,
        f"""
        const events = [];
        const big = (key, value) => typeof value === "number" ? BigInt(value) : value;
        const mq = start({{ parse: (text) => JSON.parse(text, big) }});
        mq.subscribe("a", (event) => events.push(typeof event));
        await joinWith({HUB}, 9007199254740992);
        await confirm(10, {{ _newest: 100 }});
        await say(36, 10, 101, {{}}, [1]);
        const {{ sessionId }} = mq;
        await rejoin({HUB.replace("100", "101")}, 5);
        await confirm(10, {{ _missed: 1 }});
        await say(36, 10, 102, {{}}, [1]);
        return [sessionId, subscribes(), events, reported, mq.subscribe("a", () => {{}}).state];
        """,
    )
    recovery = {"_after": 101, "_former": [2**53]}
    assert said == ["9007199254740992", [["a", recovery]], ["bigint"] * 2, [], "open"]


# The connection


async def test_a_reconnect_can_be_distinguished_from_the_first_connection() -> None:
    said = await recover(f"""
        const opened = [];
        mq.onstate = (...args) => opened.push(args);
        await lose();
        await elapse();
        await joinWith({HUB});
        await rejoin({HUB}, 5);
        return opened.filter(([state]) => state === "open");
    """)
    assert said == [["open", "", False], ["open", "", True]]


@pytest.mark.parametrize("any_topic", [True, False])
async def test_topics_that_are_not_uris(any_topic: bool) -> None:
    """A WebMQ hub accepts any text as a topic, and says so. For other routers, the page refuses it itself."""
    said = await recover(f"""
        const errors = [];
        console.error = (text) => errors.push(text);
        const subscription = mq.subscribe("a b#", keep);
        await joinWith({{ _any_topic: {str(any_topic).lower()} }});
        return [subscribes().length, errors.length, subscription.state, await settled(subscription.ready)];
    """)
    why = "not a URI: whitespace or #"
    assert said == ([1, 0, "pending", "pending"] if any_topic else [0, 1, "refused", why])


async def test_restored_from_the_back_forward_cache() -> None:
    """The page checks that the connection is still alive, or connects at once."""
    said = await recover(f"""
        const restored = (persisted) => {{
            globalEvents.dispatchEvent(Object.assign(new Event("pageshow"), {{ persisted }}));
        }};
        await joinWith({HUB});
        const before = sent().length;
        restored(false);
        const first = sent().length - before;
        restored(true);
        const second = sent().length - before;
        await lose();
        restored(true);
        return [first, second, sockets.length, mq.state];
    """)
    assert said == [0, 1, 2, "connecting"]


async def test_an_environment_without_a_page() -> None:
    """`webmq.js` works in Node.js, which has neither a document, nor a location, nor page events."""
    said = await simulate(
        V2,
        f"""
        for (const name of ["document", "location", "addEventListener", "reportError"]) delete globalThis[name];
        const errors = [];
        console.error = (error) => errors.push(error.message);
        const mq = start();
        mq.subscribe("a", () => {{ throw new Error("of the page"); }});
        await lose();
        await elapse();
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 101, {{}}, [1]);
        mq.close();
        return [states, errors];
        """,
    )
    states = [["closed", "no hub answers at hub.example:8080"], "connecting", "open", "ended"]
    assert said == [states, ["of the page"]]
