"""When `webmq.js` reconnects, and its delays, in a simulated page with brokers that misbehave."""

from __future__ import annotations

import pytest

from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V1, V2 = "wamp", "wamp.2.json"

both = pytest.mark.parametrize("protocol", [V1, V2])

# The delays


@both
async def test_the_delay_grows_with_a_broker_that_closes_open_sessions(protocol: str) -> None:
    said = await simulate(
        protocol,
        """
        const mq = start();
        mq.subscribe("t", () => {});
        const waits = [];
        for (let attempt = 0; attempt < 9; attempt += 1) {
            await join();
            await lose(1011);
            waits.push(await elapse());
        }
        random = 0.25;
        await lose();
        waits.push(await elapse());
        return [waits, sockets.length];
        """,
    )
    assert said == [[500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 7500], 11]


@both
@pytest.mark.parametrize(
    ("before", "held", "wait"),
    [
        (1, 10_000, 500),
        (1, 9_999, 1_000),
        (5, 10_000, 500),  # after a delay of 8 s
        (6, 15_999, 30_000),  # after a delay of 16 s
        (6, 16_000, 500),
    ],
)
async def test_the_delay_is_reset_after_a_lasting_connection(protocol: str, before: int, held: int, wait: int) -> None:
    """The delay is reset after a connection of at least 10 s that also lasted as long as the delay before it."""
    said = await simulate(
        protocol,
        f"""
        start();
        for (let attempt = 0; attempt < {before}; attempt += 1) {{
            await lose();
            await elapse();
        }}
        await join();
        await pass({held});
        await lose(1001);
        return await elapse();
        """,
    )
    assert said == wait


@both
async def test_a_connection_that_becomes_silent_counts_as_lasting(protocol: str) -> None:
    said = await simulate(
        protocol,
        """
        start();
        for (const cause of ["lost", "lost", "lost"]) { await lose(); await elapse(); }
        await join();
        await pass(40000);
        return [states.at(-1), await elapse()];
        """,
    )
    assert said == [["closed", "the hub does not answer"], 500]


NOT_LET_IN = {
    "closes at once": "await lose();",
    "closes before it has joined": "await accept(); await lose(1008, 'not in time');",
    "says nothing": "await pass(10000);",
    "says nothing more": "await accept(); await pass(10000);",
}


@both
@pytest.mark.parametrize("does", NOT_LET_IN)
async def test_the_delay_grows_with_a_broker_that_refuses_sessions(protocol: str, does: str) -> None:
    said = await simulate(
        protocol,
        f"""
        start();
        const waits = [];
        for (let attempt = 0; attempt < 8; attempt += 1) {{
            {NOT_LET_IN[does]}
            waits.push(await elapse());
        }}
        await join();
        return [waits, states.at(-1)];
        """,
    )
    assert said == [[500, 1000, 2000, 4000, 8000, 16000, 30000, 30000], "open"]


async def test_a_broker_that_chooses_no_protocol_is_tried_again() -> None:
    said = await simulate(
        "",
        """
        start();
        const waits = [];
        for (let attempt = 0; attempt < 3; attempt += 1) {
            await accept();
            waits.push(await elapse());
        }
        return [states[0], waits, sockets.map(({ closed, onmessage }) => [closed, onmessage ?? null]).slice(0, 3)];
        """,
    )
    detail = "hub.example:8080 does not speak WAMP"
    assert said == [["closed", detail], [500, 1000, 2000], [[1, None]] * 3]


# What shortens a delay

COMES_BACK = pytest.mark.parametrize("comes_back", ["online", "looked"])


@both
@COMES_BACK
async def test_a_shortened_delay_counts_as_a_delay(protocol: str, comes_back: str) -> None:
    said = await simulate(
        protocol,
        f"""
        start();
        await lose();
        await pass(100);
        {comes_back}();
        const connected = sockets.length;
        await join();
        await lose();
        return [connected, await elapse()];
        """,
    )
    assert said == [2, 1000]


@both
async def test_many_page_events_shorten_a_delay_once_in_ten_seconds(protocol: str) -> None:
    """There are 100 page events per second, and a broker that accepts the page and disconnects it."""
    said = await simulate(
        protocol,
        """
        start();
        const connected = [];
        while (now < 60000) {
            if (states.at(-1) === "connecting" || now === 0) {
                connected.push(now);
                await join();
                await lose();
            }
            online();
            looked();
            await pass(10);
        }
        return connected;
        """,
    )
    assert said == [0, 10, 1010, 3010, 7010, 10000, 20000, 30000, 40000, 50000]


async def test_a_second_page_event_within_ten_seconds_counts_later() -> None:
    """When a computer wakes up, its page becomes visible first, and is online a moment later."""
    said = await simulate(
        V1,
        """
        start();
        for (let attempt = 0; attempt < 8; attempt += 1) { await lose(); await elapse(); }
        await lose();
        looked();
        await lose();
        await pass(2000);
        online();
        online();
        return [await elapse(), states.at(-1)];
        """,
    )
    assert said == [8000, "connecting"]


async def test_no_page_event_makes_a_delay_longer() -> None:
    said = await simulate(
        V1,
        """
        start();
        await lose();
        online();
        await lose();
        online();
        return await elapse();
        """,
    )
    assert said == 1000


@pytest.mark.parametrize(("protocol", "first"), [(V1, 2), (V2, 1)])
async def test_many_page_events_cause_one_ping(protocol: str, first: int) -> None:
    """The page neither sends more than one ping at a time, nor waits longer for the reply."""
    said = await simulate(
        protocol,
        """
        start();
        await join();
        const before = sent().length;
        while (states.at(-1) === "open" && now < 60000) {
            online();
            looked();
            await pass(100);
        }
        return [now, sockets[0].sent.length - before, states.at(-1), before];
        """,
    )
    assert said == [10_000, 1, ["closed", "the hub does not answer"], first]


# Environments


@both
async def test_a_failed_handshake_without_a_close_event(protocol: str) -> None:
    """The WebSocket of undici, in Node.js 20, fires only `error`; browsers fire `close` after it."""
    said = await simulate(
        protocol,
        """
        start();
        const socket = sockets.at(-1);
        socket.onerror({});
        socket.onclose?.({ code: 1006, reason: "" });
        const wait = await elapse();
        return [states, wait, sockets.length];
        """,
    )
    unreachable = "no hub answers at hub.example:8080, or it does not allow pages of http://page.example (see its log)"
    assert said == [[["closed", unreachable], "connecting"], 500, 2]


@both
async def test_an_error_of_an_open_connection_is_handled_at_its_close_event(protocol: str) -> None:
    said = await simulate(
        protocol,
        """
        start();
        await join();
        sockets.at(-1).onerror({});
        await lose(1006);
        return states;
        """,
    )
    assert said == ["open", ["closed", "the connection ended (1006)"]]


async def test_a_websocket_class_may_be_an_option() -> None:
    said = await simulate(
        V2,
        """
        const Given = class extends WebSocket {};
        delete globalThis.WebSocket;
        const mq = start({ WebSocket: Given });
        await join();
        await lose();
        await elapse();
        return [states, sockets.every((socket) => socket instanceof Given), sockets.length];
        """,
    )
    assert said == [["open", ["closed", "the connection ended (1006)"], "connecting"], True, 2]


async def test_an_environment_without_websockets() -> None:
    said = await simulate(
        V2,
        """
        delete globalThis.WebSocket;
        try { start(); } catch (error) { return [error.name, error.message]; }
        """,
    )
    assert said == ["TypeError", "WebSocket: not a function"]


async def test_an_environment_without_events_and_cryptography() -> None:
    """`webmq.js` works without them, for example on a server that renders pages with a fake document."""
    said = await simulate(
        V2,
        """
        for (const name of ["addEventListener", "location", "crypto", "reportError"]) {
            Object.defineProperty(globalThis, name, { value: undefined });
        }
        globalThis.document = {};
        const mq = start();
        await join();
        mq.close();
        return states;
        """,
    )
    assert said == ["open", "ended"]
