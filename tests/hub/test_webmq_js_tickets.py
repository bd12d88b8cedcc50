"""Pages that authenticate with a ticket: `webmq.js` in a simulated page, and in Node.js with a real hub."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub, _websocket
from webmqconnect_async.hub._browser import CLASSIC

from ..test_tickets import CLAIMS, NOW, SECRET, token
from .conftest import PATIENCE
from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V2 = "wamp.2.json"

TICKETS = """
    let asked = 0, answers = [];
    const ticket = async () => (answers.shift() ?? (() => `ticket ${asked}`))(asked += 1);
    const challenged = async () => {
        await accept();
        await say(4, "ticket", {});
    };
"""


async def tickets(script: str) -> object:
    """Run a script with an option `ticket` that returns or throws each of `answers` in turn."""
    return await simulate(V2, TICKETS + script)


async def test_each_connection_has_a_new_ticket() -> None:
    """`ticket` is called before the WebSocket is opened, which offers only WAMP v2."""
    said = await tickets("""
        start({ ticket });
        const before = sockets.length;
        await rest();
        await challenged();
        await say(2, 1234, {});
        const first = sent();
        await lose(1001);
        await elapse();
        await challenged();
        return [before, first, sent()[1], sockets.map(({ protocols }) => protocols), asked, states];
    """)
    hello = [1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["ticket"]}]
    states = ["open", ["closed", "the connection ended (1001)"], "connecting"]
    assert said == [0, [hello, [5, "ticket 1", {}]], [5, "ticket 2", {}], [[V2], [V2]], 2, states]


async def test_ticket_is_called_again_after_a_failure() -> None:
    """`ticket` throws, or returns something other than text, and then the WebSocket cannot be opened."""
    said = await tickets("""
        const Opens = WebSocket;
        answers = [() => { throw new Error("401"); }, () => { throw "no server"; }, () => null, () => ({}), () => "t"];
        const mq = start({ ticket, WebSocket: function (...args) {
            if (asked === 5) throw new Error("not from https");
            return new Opens(...args);
        } });
        const waits = [];
        for (let number = 0; number < 5; number += 1) {
            await rest();
            waits.push(await elapse());
        }
        await rest();
        await challenged();
        const closed = states.filter(([state]) => state === "closed");
        return [closed.map(([, detail]) => detail), waits, sockets.length, sent()];
    """)
    why = ["401", "no server", "ticket: not a string", "ticket: not a string", "not from https"]
    assert isinstance(said, list)
    assert said[:3] == [[f"not authenticated: {each}" for each in why], [500, 1000, 2000, 4000, 8000], 1]
    assert said[3][1] == [5, "ticket 6", {}]


async def test_a_ticket_that_arrives_too_late_is_not_used() -> None:
    """A ticket is not used if it arrives after 10 seconds, or after `close()`."""
    said = await tickets("""
        const late = [];
        answers = [1, 2, 3].map(() => () => new Promise((resolve) => late.push(resolve)));
        const mq = start({ ticket });
        await rest();
        const waits = [await elapse(), await elapse()];
        await rest();
        late[0]("late");
        await rest();
        const opened = sockets.length;
        late[1]("in time");
        await rest();
        await challenged();
        const used = sent()[1];
        await lose();
        await elapse();
        await rest();
        mq.close();
        late[2]("too late");
        await rest();
        return [waits, states[0], opened, used, sockets.length, states.at(-1), timers.size];
    """)
    assert said == [[10000, 500], ["closed", "no ticket within 10 s"], 0, [5, "in time", {}], 1, "ended", 0]


FAILED, EXPIRED = "wamp.error.authentication_failed", "webmq.error.ticket_expired"
REFUSED = [
    # the error, whether the page was open before, the state after it
    (FAILED, False, "refused"),
    ("wamp.error.no_matching_auth_method", False, "refused"),
    (EXPIRED, False, "closed"),
    (FAILED, True, "closed"),
    (EXPIRED, True, "closed"),
]


async def test_a_refused_ticket() -> None:
    """The refusal is final before the first "open", unless the ticket has only expired."""
    said = await tickets(f"""
        const said = [];
        for (const [uri, open] of {json.dumps(REFUSED)}) {{
            const mq = start({{ ticket }});
            await rest();
            if (open) {{
                await challenged();
                await say(2, 1234, {{}});
                await lose();
                await elapse();
                await rest();
            }}
            await challenged();
            await say(3, {{ message: "not this one" }}, uri);
            const before = asked, {{ state, detail }} = mq;
            await pass(60000);
            said.push([state, detail, asked > before]);
            mq.close();
        }}
        return said;
    """)
    assert said == [[state, f"{uri.rpartition('.')[2]}: not this one", state == "closed"] for uri, _, state in REFUSED]


PROGRAM = """
const [, , hub, tickets] = process.argv;
Math.random = () => 0;
const say = (...what) => console.log(JSON.stringify(what));
const ticket = async () => (await fetch(tickets)).text();
const mq = new WebMQ(hub, { ticket });
mq.onstate = (state, detail, reconnected) => say(state, detail, reconnected);
mq.onlost = (topic, why) => say("lost", topic, why);
mq.subscribe("http://example.com/users/17/orders", (event) => say("event", event)).ready.then(() => say("ready"));
mq.subscribe("http://example.com/users/1/orders", () => {}).ready.catch(({ message }) => say("not ready", message));
console.error = () => {};
"""


async def test_a_ticket_that_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page requests another ticket, reconnects, and recovers the events pushed meanwhile."""
    monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.01)
    now = float(NOW)
    topic = "http://example.com/users/17/orders"

    async def give(_request: web.Request) -> web.Response:
        if now > NOW:
            await client.push(topic, "missed")
        return web.Response(text=token({**CLAIMS, "iat": int(now), "exp": int(now) + 3600}))

    app = web.Application()
    app.router.add_get("/ticket", give)
    async with (
        Hub(port=0, ticket_keys={"users": SECRET}, clock=lambda: now) as hub,
        AsyncClient(hub.url) as client,
        TestServer(app, host="127.0.0.1") as server,
    ):
        node = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", "-", hub.url, str(server.make_url("/ticket")), stdin=PIPE, stdout=PIPE
        )
        assert node.stdin is not None
        assert node.stdout is not None
        try:
            node.stdin.write((CLASSIC + PROGRAM).encode())
            node.stdin.close()
            said: list[object] = []
            while len(said) < 8:
                said.append(json.loads(await asyncio.wait_for(node.stdout.readline(), PATIENCE)))
                if len(said) == 3:
                    await client.push(topic, "first")
                elif len(said) == 4:
                    now += 3600
        finally:
            node.kill()
            await node.wait()
    assert said == [
        ["open", "", False],
        ["ready"],
        ["not ready", "not_authorized: the ticket does not cover this topic"],
        ["event", "first"],
        ["closed", "ticket_expired: the ticket expires", False],
        ["connecting", "", False],
        ["open", "", True],
        ["event", "missed"],
    ]
