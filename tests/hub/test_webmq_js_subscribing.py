"""What a page can subscribe to with `webmq.js`, and when, in a simulated page."""

from __future__ import annotations

import pytest

from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V1, V2 = "wamp", "wamp.2.json"

both = pytest.mark.parametrize("protocol", [V1, V2])

HUB = '{ _newest: 100, _history: "h", _any_topic: true }'

SETUP = """
    const events = [], lost = [], errors = [];
    console.error = (text) => errors.push(text);
    const keep = (event, topic) => events.push([topic, event]);
    const mq = start();
    mq.onlost = (topic, why) => lost.push([topic, why]);
    const thrown = (call) => { try { call(); } catch (error) { return `${error.name}: ${error.message}`; } };
"""


async def run(script: str, protocol: str = V2) -> object:
    """Run a script with a page that records events, losses and errors."""
    return await simulate(protocol, SETUP + script)


# When it may subscribe


@both
async def test_subscribing_after_close_throws(protocol: str) -> None:
    said = await run(
        """
        await join();
        mq.close();
        return [thrown(() => mq.subscribe("a", keep)), thrown(() => mq.subscribe("a", 7)), sockets.length];
        """,
        protocol,
    )
    assert said == ["Error: not subscribed: closed", "TypeError: handler: not a function", 1]


async def test_subscribing_after_a_refusal_throws() -> None:
    said = await run("""
        await join("wamp.error.not_authorized", "not you");
        const refused = thrown(() => mq.subscribe("a", keep));
        mq.close();
        return [refused, thrown(() => mq.subscribe("a", keep))];
    """)
    assert said == ["Error: not subscribed: not_authorized: not you", "Error: not subscribed: closed"]


@both
async def test_no_handler_is_called_after_a_page_has_closed_within_an_event(protocol: str) -> None:
    said = await run(
        """
        const calls = [];
        mq.subscribe("a", () => { calls.push("first"); mq.close(); });
        const second = mq.subscribe("a", () => calls.push("second"));
        await join();
        await (SUBPROTOCOL === "wamp" ? answer(null) : confirm(10));
        await (SUBPROTOCOL === "wamp" ? say(8, "a", 1) : say(36, 10, 1, {}, [1]));
        return [calls, second.state, timers.size];
        """,
        protocol,
    )
    assert said == [["first"], "ended", 0]


async def test_no_onlost_is_called_after_a_page_has_closed_within_one() -> None:
    said = await run("""
        const told = [];
        mq.onlost = () => told.push("page");
        mq.subscribe("a", keep, { onlost() { told.push("first"); mq.close(); } });
        mq.subscribe("a", () => {}, { onlost() { told.push("second"); } });
        await join();
        await confirm(10);
        await lose();
        await elapse();
        await join();
        await confirm(10);
        return told;
    """)
    assert said == ["first"]


@both
async def test_subscribing_again_to_an_open_topic(protocol: str) -> None:
    """Subscribing again with the same function changes nothing, and with another one adds a handler."""
    said = await run(
        """
        const heard = [], same = () => heard.push("same");
        mq.onstate = (state) => {
            if (state !== "open") return;
            mq.subscribe("a", same);
            mq.subscribe("a", () => heard.push("new"));
        };
        const event = () => (SUBPROTOCOL === "wamp" ? say(8, "a", 1) : say(36, 10, 1, {}, [1]));
        const counts = [];
        for (let connection = 0; connection < 3; connection += 1) {
            await join();
            await (SUBPROTOCOL === "wamp" ? answer(null) : confirm(10));
            await event();
            counts.push(heard.splice(0));
            await lose();
            await elapse();
        }
        return counts;
        """,
        protocol,
    )
    assert said == [["same", "new"], ["same", "new", "new"], ["same", "new", "new", "new"]]


# Patterns


async def test_handlers_of_patterns_get_the_topic_of_each_event() -> None:
    said = await run("""
        for (const match of ["exact", "prefix", "wildcard"]) {
            mq.subscribe("a", (event, topic) => events.push([match, topic, event]), { match });
        }
        await join();
        for (const id of [10, 20, 30]) await confirm(id);
        await say(36, 10, 1, {}, [1]);
        await say(36, 20, 1, { topic: "a.b" }, [1]);
        await say(36, 30, 1, { topic: "a" }, [1], {});
        return [subscribes(), events];
    """)
    assert said == [
        [["a", {}], ["a", {"match": "prefix"}], ["a", {"match": "wildcard"}]],
        [["exact", "a", 1], ["prefix", "a.b", 1], ["wildcard", "a", 1]],
    ]


async def test_unsubscribing_a_pattern_or_all_handlers_of_its_text() -> None:
    said = await run("""
        const exact = mq.subscribe("a", keep), prefix = mq.subscribe("a", keep, { match: "prefix" });
        const same = exact !== prefix && prefix === mq.subscribe("a", keep, { match: "prefix" });
        await join();
        for (const id of [10, 20]) await confirm(id);
        exact.unsubscribe();
        const states = [exact.state, prefix.state];
        mq.subscribe("a", keep);
        await confirm(10);
        mq.unsubscribe("a", keep);
        return [same, states, prefix.state, sent().filter(([type]) => type === 34).map(([, , id]) => id)];
    """)
    assert said == [True, ["ended", "open"], "ended", [10, 20, 10]]


@pytest.mark.parametrize("option", ["match: 'prefix'", "match: 'wildcard'", "get_retained: true"])
async def test_wamp_1_has_neither_patterns_nor_retained_events(option: str) -> None:
    said = await run(
        f"""
        const {{ ready }} = mq.subscribe("a", keep, {{ {option} }});
        const other = mq.subscribe("b", keep, {{ match: "exact", get_retained: false }});
        await join();
        await answer(null);
        return [await settled(ready), errors, other.state, sent().filter(([type]) => type === 5)];
        """,
        V1,
    )
    why = "WAMP v1 has neither match nor get_retained"
    assert said == [why, [f"WebMQ: not subscribed to a: {why}"], "open", [[5, "b"]]]


async def test_a_broker_without_patterns() -> None:
    said = await run("""
        const { ready } = mq.subscribe("a", keep, { match: "prefix" });
        await join();
        await refuse("wamp.error.option_not_allowed", ["this hub supports only exact matches of topics"]);
        return settled(ready);
    """)
    assert said == "option_not_allowed: this hub supports only exact matches of topics"


async def test_patterns_may_have_empty_components() -> None:
    """Patterns may have empty components.

    Other invalid texts are refused, because Crossbar.io would end the connection.
    """
    said = await run("""
        for (const topic of ["", "a.", "a..b", ".", "a b", "a#"]) mq.subscribe(topic, keep, { match: "wildcard" });
        await join();
        for (let id = 10; errors.length < 2; id += 1) await confirm(id);
        return [subscribes().map(([topic]) => topic), errors.length];
    """)
    assert said == [["", "a.", "a..b", "."], 2]


# Retained events


async def test_a_retained_event_below_the_floor_is_delivered() -> None:
    """The event does not move the position: a recovery asks for all events since the subscription."""
    said = await run(f"""
        mq.subscribe("a", keep, {{ get_retained: true }});
        await joinWith({HUB});
        await confirm(10, {{ _newest: 120 }});
        sockets.at(-1).onmessage({{ data: '[36,10,50,{{"retained":true}},["kept"]]' }});
        await say(36, 10, 130, {{}}, ["new"]);
        sockets.at(-1).onmessage({{ data: ' [ 36, 10, 50, {{"retained":true}}, ["kept again"] ]' }});
        await say(36, 10, 130, {{}}, ["a duplicate"]);
        await rejoin({{ _newest: 200, _history: "h", _any_topic: true }}, 5);
        return [sockets[0].sent.at(-1), events, subscribes()];
    """)
    assert said == [
        [32, 1, {"get_retained": True, "_newest": True}, "a"],
        [["a", "kept"], ["a", "new"], ["a", "kept again"]],
        [["a", {"_after": 130, "_former": [1234]}]],
    ]


async def test_a_retained_event_above_the_position_does_not_move_it() -> None:
    said = await run(f"""
        mq.subscribe("a", keep, {{ get_retained: true }});
        await joinWith({HUB});
        await confirm(10);
        await say(36, 10, 900, {{ retained: true }}, ["kept"]);
        await rejoin({HUB}, 5);
        return [events, subscribes()];
    """)
    assert said == [[["a", "kept"]], [["a", {"_after": 100, "_former": [1234]}]]]


async def test_retained_events_are_requested_again_after_a_loss() -> None:
    said = await run(f"""
        mq.subscribe("a", keep, {{ get_retained: true }});
        mq.subscribe("b", keep);
        await joinWith({HUB});
        await confirm(10);
        await confirm(20);
        await rejoin({HUB}, 5);
        await refuse("webmq.error.history_unavailable", ["some have expired"]);
        return subscribes();
    """)
    again = {"get_retained": True, "_newest": True}
    recovery = {"_after": 100, "_former": [1234]}
    assert said == [["a", recovery], ["a", again]]


async def test_a_later_handler_may_request_the_retained_event_before_the_subscription() -> None:
    said = await run("""
        mq.subscribe("a", keep);
        mq.subscribe("a", () => {}, { get_retained: true });
        mq.subscribe("a", () => {});
        await join();
        return subscribes();
    """)
    assert said == [["a", {"get_retained": True}]]


# Pages with old libraries


@both
async def test_an_array_tojson_of_an_old_library(protocol: str) -> None:
    """Prototype.js before 1.7 gives arrays a `toJSON` that returns their JSON, a string."""
    said = await run(
        f"""
        Array.prototype.toJSON = function () {{ return `[${{this.map((each) => JSON.stringify(each))}}]`; }};
        mq.subscribe("a", keep);
        await (SUBPROTOCOL === "wamp" ? join() : joinWith({HUB}));
        await (SUBPROTOCOL === "wamp" ? answer(null) : confirm(10));
        if (SUBPROTOCOL !== "wamp") await rejoin({HUB}, 5);
        delete Array.prototype.toJSON;
        return sockets.map(({{ sent }}) => sent.map((message) => Array.isArray(message) && message.slice(2)));
        """,
        protocol,
    )
    procedure = "http://api.wamp.ws/procedure#"
    hello = [{"roles": {"subscriber": {}}, "authmethods": ["anonymous"]}]
    assert (
        said
        == {
            V1: [[[f"{procedure}authreq", None], [f"{procedure}auth", None], [], [f"{procedure}ping"]]],
            V2: [[hello, [{"_newest": True}, "a"]], [hello, [{"_after": 100, "_former": [1234]}, "a"]]],
        }[protocol]
    )
