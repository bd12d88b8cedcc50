"""`webmq.js` keeps no objects of what has ended. The tests count all objects of the heap, in a simulated page."""

from __future__ import annotations

import pytest

from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V1, V2 = "wamp", "wamp.2.json"

both = pytest.mark.parametrize("protocol", [V1, V2])

# `count` collects garbage, and returns the number of objects, which V8 finds by their prototype chain.
COUNTED = """
    const { queryObjects } = require("v8");
    process.emitWarning = () => {};  // it is experimental
    const count = () => queryObjects(Object, { format: "count" });
    const subscribed = () => (SUBPROTOCOL === "wamp" ? answer(null) : confirm(10));
    const forget = () => {
        states.length = 0;
        sockets.splice(0, sockets.length - 1);
        sockets[0].sent.length = 0;
    };
    const grown = async (round, rounds) => {
        const counts = [];
        for (const times of [100, rounds]) {
            for (let number = 0; number < times; number += 1) {
                await round(number);
                forget();
            }
            await rest();
            counts.push(count());
        }
        return counts[1] - counts[0];
    };
"""
_SLACK = 500
"""The number of objects that Node.js itself may create meanwhile. A leak adds at least one in each of 900 rounds."""


@both
async def test_ten_thousand_reconnects_leave_no_objects_behind(protocol: str) -> None:
    grown = await simulate(
        protocol,
        COUNTED
        + """
        random = 0;
        const mq = start();
        mq.onlost = () => {};
        mq.subscribe("a", () => {});
        return grown(async () => {
            await join();
            await subscribed();
            await lose();
            await pass(0);
        }, 10000);
        """,
    )
    assert isinstance(grown, int)
    assert grown < _SLACK


async def test_ten_thousand_recoveries_leave_no_objects_behind() -> None:
    grown = await simulate(
        V2,
        COUNTED
        + """
        random = 0;
        const mq = start();
        let id = 100;
        mq.subscribe("a", () => {});
        return grown(async (number) => {
            await joinWith({ _newest: id += 1, _history: "h" }, number);
            await confirm(10, { _missed: 1 });
            await say(36, 10, id, {}, [1]);
            await lose();
            await pass(0);
        }, 10000);
        """,
    )
    assert isinstance(grown, int)
    assert grown < _SLACK


@both
async def test_ended_subscriptions_and_pings_leave_no_objects_behind(protocol: str) -> None:
    grown = await simulate(
        protocol,
        COUNTED
        + """
        const mq = start();
        await join();
        return grown(async (number) => {
            const subscription = mq.subscribe(`a${number}`, () => {});
            await subscribed();
            subscription.unsubscribe();
            looked();
            await (SUBPROTOCOL === "wamp" ? say(3, "ping", null) : say(8, 34, 1, {}, "e.no_such_subscription"));
        }, 1000);
        """,
    )
    assert isinstance(grown, int)
    assert grown < _SLACK


async def test_a_closed_page_leaves_no_objects_behind() -> None:
    """`close` frees all objects, even where `addEventListener` has no `signal` option, as in Safari before 15."""
    grown = await simulate(
        V2,
        COUNTED
        + """
        for (const target of [globalThis, document]) {
            const add = target.addEventListener;
            target.addEventListener = (type, listener) => add.call(target, type, listener);
        }
        return grown(async () => {
            const mq = start();
            mq.subscribe("a", () => {});
            await join();
            mq.close();
        }, 1000);
        """,
    )
    assert isinstance(grown, int)
    assert grown < _SLACK
