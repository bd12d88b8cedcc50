"""`webmq.js` in Chromium over WAMP v1: with real hubs, and with a fake WebSocket that the test controls."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html import escape
from itertools import count
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.chromium import Page
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._browser import CLASSIC

from .conftest import HubClient, Run
from .pages import heard, ping_reply, watched

pytestmark = pytest.mark.usefixtures("chromium")


WAMP1_ALONE = """
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) { super(url, protocols.filter((each) => each === "wamp")); }
};
"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Return a page whose WebSockets offer only WAMP v1."""
    async with watched() as page:
        await page.before_scripts(WAMP1_ALONE)
        yield page


@pytest.fixture
async def page_of_both() -> AsyncIterator[Page]:
    """Return a page whose WebSockets offer both versions of WAMP."""
    async with watched() as page:
        yield page


@asynccontextmanager
async def site(hub_url: str) -> AsyncIterator[str]:
    """Serve a page and a worker that load a hub's script, on another port than the hub; yield their origin."""

    async def index(_request: web.Request) -> web.Response:
        script = f'<script src="{escape(hub_url)}/webmq.js"></script>'
        return web.Response(
            text=f'<title>another site</title><link rel="icon" href="data:,">{script}', content_type="text/html"
        )

    async def worker(_request: web.Request) -> web.Response:
        return web.Response(
            text=f"""
                importScripts("{hub_url}/webmq.js");
                const mq = new WebMQ("{hub_url}");
                mq.subscribe("t", (event, topic) => postMessage([topic, event]));
                mq.onstate = (state) => postMessage(state);
            """,
            content_type="text/javascript",
        )

    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/worker.js", worker)
    async with TestServer(app, host="127.0.0.1") as running:
        yield str(running.make_url("")).rstrip("/")


START = """
globalThis.mq = new WebMQ(undefined, globalThis.options);
globalThis.states = [mq.state];
globalThis.details = [];
globalThis.events = [];
globalThis.keep = (event, topic) => events.push([topic, event]);
mq.onstate = (state, detail) => { states.push(state); if (detail) details.push(detail); };
mq.subscribe("t", keep);
undefined
"""


async def in_state(page: Page, state: str) -> None:
    await page.until(f"mq.state === {json.dumps(state)}")
    if state == "open":
        await heard(page)


async def got(page: Page, *events: object) -> None:
    """Wait for this number of events, and check them; each is [topic, event]."""
    await page.until(f"events.length >= {len(events)}")
    assert await page.evaluate("events") == list(events)


# With a hub


async def test_a_page_of_another_port_subscribes(hub: Hub, wire: HubClient, page: Page) -> None:
    """By default, a page subscribes to the hub that serves the script, even from another port."""
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate(START)
        assert await page.evaluate("mq.url") == hub.ws_url
        await in_state(page, "open")
        session_id = await page.evaluate("mq.sessionId")
        await wire.push(hub, f"topicuri=t&exclude={session_id}", b'"to others"')
        await wire.push(hub, f"topicuri=t&eligible={session_id}", b'{"id": 17}')
        await wire.push(hub, "topicuri=other")
        await got(page, ["t", {"id": 17}])
        assert await page.evaluate("states") == ["connecting", "open"]
        await page.evaluate("mq.close()")
        assert await page.evaluate("[mq.state, mq.sessionId, states.at(-1)]") == ["ended", None, "ended"]
        assert page.problems == []


async def test_a_page_of_a_foreign_origin_is_refused(hub: Hub, wire: HubClient) -> None:
    """The browser gives no reason for the failure, so `detail` names the likely ones."""
    async with site(hub.url) as other, watched() as page:
        foreign = other.replace("127.0.0.1", "foreign.example")
        await page.open(foreign)
        await page.evaluate(START)
        await page.until("details.length > 0")
        await wire.push(hub)
        assert await page.evaluate("states.slice(0, 2)") == ["connecting", "closed"]
        assert await page.evaluate("[details[0], events]") == [
            f"no hub answers at {hub.url.removeprefix('http://')}"
            f", or it does not allow pages of {foreign} (see its log)",
            [],
        ]


async def test_a_page_of_a_listed_origin_subscribes(run: Run, wire: HubClient) -> None:
    async with watched() as page, site("http://unused") as other:
        await page.before_scripts(WAMP1_ALONE)
        origin = other.replace("127.0.0.1", "listed.example")
        hub = await run(Hub(port=0, allow_origins=[origin]))
        await page.open(f"{origin}/worker.js")  # a page without a script
        await page.evaluate(CLASSIC + START.replace("undefined, ", f"{json.dumps(hub.ws_url)}, "))
        await in_state(page, "open")
        await wire.push(hub)
        await got(page, ["t", 1])


async def test_a_worker_subscribes(hub: Hub, wire: HubClient, page: Page) -> None:
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate("""
            globalThis.said = [];
            globalThis.worker = new Worker("worker.js");
            worker.onmessage = ({ data }) => said.push(data);
            undefined
        """)
        await page.until("said.includes('open')")
        while await page.evaluate("said.length") == 1:  # another thread is not notified when the hub has subscribed it
            await wire.push(hub)
        assert await page.evaluate("said.slice(0, 2)") == ["open", ["t", 1]]


async def test_it_reconnects_with_its_subscriptions(wire: HubClient, page: Page) -> None:
    async with Hub(port=0) as hub, site(hub.url) as other:
        port = int(hub.url.rpartition(":")[2])
        await page.open(other)
        await page.evaluate(START)
        await in_state(page, "open")
        before = await page.evaluate("mq.sessionId")
        await hub.close()
        await in_state(page, "closed")
        await page.evaluate("mq.subscribe('while closed', keep)")
        async with Hub(port=port) as again:
            await in_state(page, "open")
            assert await page.evaluate("mq.sessionId") != before
            await wire.push(again, "topicuri=t")
            await wire.push(again, "topicuri=while+closed")
            await got(page, ["t", 1], ["while closed", 1])
        assert await page.evaluate("details[0]") == "the connection ended (1001)"


async def test_unsubscribing(hub: Hub, wire: HubClient, page: Page) -> None:
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate(START + "; mq.subscribe('u', keep)")
        await in_state(page, "open")
        await page.evaluate("mq.unsubscribe('t')")
        await heard(page)
        await wire.push(hub, "topicuri=t")
        await wire.push(hub, "topicuri=u")
        await got(page, ["u", 1])


async def test_a_hub_replies_to_pings(hub: Hub, page: Page) -> None:
    async with site(hub.url) as other:
        await page.open(other)
        await page.evaluate(START)
        await in_state(page, "open")
        assert await ping_reply(page) == [3, "ping", None]


# Authentication with a hub


async def signing_in(page: Page, other: str, options: str) -> None:
    await page.open(other)
    await page.evaluate(f"globalThis.options = {options};" + START)


async def test_the_right_secret_subscribes(run: Run, wire: HubClient, page: Page) -> None:
    hub = await run(Hub(port=0, subscriber_keys={"reader": "gehéim"}))
    async with site(hub.url) as other:
        await signing_in(page, other, "{key: 'reader', sign: WebMQ.signer('gehéim')}")
        await in_state(page, "open")
        await wire.push(hub)
        await got(page, ["t", 1])
        assert "geh" not in str(await page.evaluate("JSON.stringify(mq)"))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("{key: 'reader', sign: WebMQ.signer('wrong')}", "invalid-signature"),
        ("{key: 'reader', sign: () => '='.repeat(44)}", "invalid-signature"),
        ("{key: 'nobody', sign: WebMQ.signer('s3cret')}", "no-such-authkey"),
        ("{}", "anonymous-auth-forbidden"),
    ],
)
async def test_a_refusal_is_final(run: Run, wire: HubClient, page: Page, options: str, error: str) -> None:
    hub = await run(Hub(port=0, subscriber_keys={"reader": "s3cret"}))
    async with site(hub.url) as other:
        await signing_in(page, other, options)
        await in_state(page, "refused")
        assert str(await page.evaluate("mq.detail")).startswith(f"{error}: ")
        await wire.push(hub)
        await page.evaluate("dispatchEvent(new Event('online'))")
        assert await page.evaluate("[states, events, sockets.length]") == [["connecting", "refused"], [], 1]


async def test_a_failing_sign_is_called_again(run: Run, wire: HubClient, page: Page) -> None:
    """A failing `sign` is called again at the next attempt, because the signing server may be available then."""
    hub = await run(Hub(port=0, subscriber_keys={"reader": "s3cret"}))
    async with site(hub.url) as other:
        await signing_in(
            page,
            other,
            """{key: 'reader', sign: (challenge) => {
                if (sockets.length === 1) throw new Error('no server');
                return WebMQ.signer('s3cret')(challenge);
            }}""",
        )
        await in_state(page, "open")
        await wire.push(hub)
        await got(page, ["t", 1])
        assert await page.evaluate("details") == ["not authenticated: no server"]


# With brokers that misbehave


@asynccontextmanager
async def broker(protocol: str, serve: Callable[[web.WebSocketResponse, int], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve a page with the script, and handle its WebSockets with a function of socket and number; yield its URL."""
    numbers = count(1)

    async def index(_request: web.Request) -> web.Response:
        text = '<title>a site</title><link rel="icon" href="data:,"><script src="webmq.js"></script>'
        return web.Response(text=text, content_type="text/html")

    async def script(_request: web.Request) -> web.Response:
        return web.Response(text=CLASSIC, content_type="text/javascript")

    async def subscriber(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(protocol,))
        await socket.prepare(request)
        await serve(socket, next(numbers))
        return socket

    app = web.Application()
    app.add_routes([web.get("/", index), web.get("/webmq.js", script), web.get("/ws", subscriber)])
    async with TestServer(app, host="127.0.0.1") as running:
        yield str(running.make_url("/"))


RECORD_WAITS = """
Math.random = () => 1 / 128;
globalThis.waits = [];  // those before it connects again: the test itself waits 10 ms, all others are of seconds
const real = setTimeout;
globalThis.setTimeout = (call, wait) => {
  if (wait < 1000 && wait !== 10) waits.push(128 * wait);
  return real(call, wait);
};
"""


@pytest.mark.parametrize("protocol", ["wamp", "wamp.2.json"])
async def test_a_broker_that_closes_open_sessions_is_not_flooded(page_of_both: Page, protocol: str) -> None:
    page = page_of_both

    async def hang_up(socket: web.WebSocketResponse, _number: int) -> None:
        if protocol == "wamp":
            await socket.send_json([0, "1234", 1, "a hub"])
        async for message in socket:
            match json.loads(message.data):
                case [1, *_]:
                    await socket.send_json([2, 1234, {}])
                case [2, call_id, *_]:
                    await socket.send_json([3, call_id, None])
                case [5 | 32, *_]:  # the page is open, and subscribes
                    await socket.close(code=1011)

    async with broker(protocol, hang_up) as url:
        await page.open(url)
        await page.evaluate(RECORD_WAITS + START)
        await page.until("waits.length >= 8")
        assert await page.evaluate("waits.slice(0, 8)") == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        assert "open" in str(await page.evaluate("states"))


async def test_the_page_waits_for_a_router_that_restarts(page_of_both: Page) -> None:
    """The router first has no realm, then sends GOODBYE without closing the connection, then refuses the page."""
    page = page_of_both
    answered = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.receive()
        match number:
            case 1:
                await socket.send_json([3, {"message": "not yet"}, "wamp.error.no_such_realm"])
            case 2:
                await socket.send_json([2, 1234, {}])
                await socket.receive()
                await socket.send_json([6, {}, "wamp.close.system_shutdown"])
                answered.append((await socket.receive()).data)
                answered.append((await socket.receive()).type)
            case 3:
                await socket.send_json([3, {"message": "who is that?"}, "wamp.error.not_authorized"])
            case _:
                await socket.send_json([2, 1234, {}])
                await socket.receive()
                await socket.receive()

    async with broker("wamp.2.json", serve) as url:
        await page.open(url)
        await page.evaluate(RECORD_WAITS + START)
        await page.until("states.filter((state) => state === 'open').length === 2")
        again = ["closed", "connecting"]
        assert await page.evaluate("states") == ["connecting", *again, "open", *again, *again, "open"]
        assert await page.evaluate("details") == [
            "no_such_realm: not yet",
            "system_shutdown: no reason",
            "not_authorized: who is that?",
        ]
        assert answered == ['[6,{},"wamp.close.goodbye_and_out"]', WSMsgType.CLOSE]
        assert page.problems == []
        await page.evaluate("mq.close()")


# With a fake WebSocket

FAKE = """
globalThis.sent = [];
globalThis.timers = new Map();  // that run, by their IDs
globalThis.timerIds = 0;
globalThis.setTimeout = (call, wait) => { timers.set(++timerIds, { call, wait }); return timerIds; };
globalThis.clearTimeout = (id) => timers.delete(id);
globalThis.waits = () => [...timers.values()].map(({ wait }) => wait);
/** Lets the time of the only timer come; returns how long it took. */
globalThis.elapse = () => {
  if (timers.size !== 1) throw new Error(`${timers.size} timers`);
  const [[id, { call, wait }]] = timers;
  timers.delete(id);
  call();
  return wait;
};
globalThis.random = 1;
Math.random = () => random;
globalThis.sockets = [];
globalThis.WebSocket = class {
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, protocol: "wamp", closed: 0 });
    sockets.push(this);
  }
  send(text) { sent.push(JSON.parse(text)); }
  close() { this.closed += 1; }
};
/** Lets pass whatever waits for promises. */
globalThis.rest = () => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = done;
  port2.postMessage(null);
});
globalThis.say = (...message) => { sockets.at(-1).onmessage({ data: JSON.stringify(message) }); return rest(); };
globalThis.welcome = async () => {
  sockets.at(-1).onopen();
  await say(0, "1234", 1, "a hub");
  await say(3, sent.at(-1)[1], null);
  await say(3, sent.at(-1)[1], {});
  sent = [];
};
globalThis.lose = (code = 1006, reason = "") => sockets.at(-1).onclose({ code, reason });
globalThis.reportError = (error) => reported.push(error.message);
globalThis.reported = [];
"""


@pytest.fixture
async def alone(page: Page) -> Page:
    """Return a page in which the test controls the timers and the WebSockets of `webmq.js`."""
    await page.evaluate(FAKE + CLASSIC)
    await page.evaluate("globalThis.mq = new WebMQ('http://hub.example:8080'); undefined")
    return page


async def run_script(page: Page, script: str) -> object:
    return await page.evaluate(f"(async () => {{ {script} }})()")


async def test_the_detail_of_a_lost_connection(alone: Page) -> None:
    details = await run_script(
        alone,
        """
        const details = [];
        mq.onstate = (state, detail) => { if (state === "closed") details.push(detail); };
        lose();
        elapse();
        await welcome();
        lose(1001, "going away");
        elapse();
        lose();
        return details;
        """,
    )
    assert details == [
        "no hub answers at hub.example:8080, or it does not allow pages of null (see its log)",
        "the connection ended (1001 going away)",
        "no hub answers at hub.example:8080",
    ]


SEEN_AGAIN = 'document.dispatchEvent(new Event("visibilitychange"))'
HIDDEN = 'Object.defineProperty(document, "hidden", { value: true })'
ONLINE_AGAIN = 'dispatchEvent(new Event("online"))'


@pytest.mark.parametrize("again", [ONLINE_AGAIN, SEEN_AGAIN])
async def test_a_page_that_becomes_online_or_visible_does_not_wait(alone: Page, again: str) -> None:
    """The page connects at once, or checks that the connection is alive."""
    said = await run_script(
        alone,
        f"""
        lose();
        const before = sockets.length;
        {again};
        const after = sockets.length;
        {again};  // it is connecting already
        await welcome();
        {again};
        return [before, after, sockets.length, sent, waits()];
        """,
    )
    assert said == [1, 2, 2, [PING], [10000]]


async def test_a_page_that_becomes_hidden_keeps_waiting(alone: Page) -> None:
    said = await run_script(
        alone,
        f"""
        {HIDDEN};
        lose();
        {SEEN_AGAIN};
        return [sockets.length, mq.state];
        """,
    )
    assert said == [1, "closed"]


PING = [2, "ping", "http://api.wamp.ws/procedure#ping"]


@pytest.mark.parametrize("reached", ["", "sockets[0].onopen();", 'sockets[0].onopen(); await say(0, "1", 1, "a hub");'])
async def test_a_hub_that_sends_no_welcome_in_time_is_tried_again(alone: Page, reached: str) -> None:
    said = await run_script(
        alone,
        f"""
        const states = [];
        mq.onstate = (state, detail) => states.push([state, detail]);
        {reached}
        const patience = elapse();
        return [patience, sockets[0].closed, sockets[0].onmessage, elapse(), sockets.length, states];
        """,
    )
    states = [["closed", "no welcome by hub.example:8080 within 10 s"], ["connecting", ""]]
    assert said == [10000, 1, {}, 500, 2, states]


async def test_a_silent_hub_is_pinged_and_disconnected_without_a_reply(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        const details = [];
        mq.onstate = (state, detail) => details.push(detail);
        await welcome();
        const spans = [elapse()];
        await say(3, "ping", null);
        spans.push(elapse(), elapse());
        return [spans, sent, mq.state, mq.sessionId, details.at(-1), sockets[0].closed, waits()];
        """,
    )
    detail = "the hub does not answer"
    assert said == [[30000, 30000, 10000], [PING, PING], "closed", None, detail, 1, [500]]


async def test_any_message_of_the_hub_counts_as_a_sign_of_life(alone: Page) -> None:
    """Each message restarts the wait, including unknown messages and errors."""
    said = await run_script(
        alone,
        """
        await welcome();
        const timer = () => [...timers.keys()][0];
        const seen = [timer()];
        for (const message of [[8, "t", 1], [99], [4, "ping", "http://api.wamp.ws/error#NoSuchRPCEndpoint", "no"]]) {
            await say(...message);
            seen.push(timer());
        }
        sockets[0].onmessage({ data: "{" });
        seen.push(timer());
        return [new Set(seen).size, waits(), sent, mq.state];
        """,
    )
    assert said == [5, [30000], [], "open"]


async def test_nothing_happens_after_close(alone: Page) -> None:
    ended = await run_script(
        alone,
        """
        const states = [];
        mq.onstate = (state) => states.push(state);
        await welcome();
        lose();
        mq.close();
        mq.close();
        dispatchEvent(new Event("online"));
        document.dispatchEvent(new Event("visibilitychange"));
        return [states, sockets.length, waits()];
        """,
    )
    assert ended == [["open", "closed", "ended"], 1, []]


@pytest.mark.parametrize("begun", ["", "sockets[0].onopen();", "await welcome();", "await welcome(); elapse();"])
async def test_close_at_any_time_leaves_no_timer(alone: Page, begun: str) -> None:
    assert await run_script(alone, f"{begun} mq.close(); return [waits(), sockets[0].closed];") == [[], 1]


async def test_close_removes_the_listeners_of_the_page(alone: Page) -> None:
    """`close` removes its listeners from the page, so that the garbage collector can free the object."""
    left = await run_script(
        alone,
        """
        const listeners = new Set();
        for (const target of [globalThis, document]) {
            target.addEventListener = (type, listener) => listeners.add(listener);
            target.removeEventListener = (type, listener) => listeners.delete(listener);
        }
        const mine = new WebMQ("ws://hub.example");
        const before = listeners.size;
        mine.close();
        return [before, listeners.size];
        """,
    )
    assert left == [3, 0]


async def test_close_directly_after_the_last_message_is_final(alone: Page) -> None:
    """The message is processed in a microtask, and the page may call `close` before that."""
    ended = await run_script(
        alone,
        """
        sockets[0].onopen();
        await say(0, "1234", 1, "a hub");
        await say(3, sent.at(-1)[1], null);
        const answered = say(3, sent.at(-1)[1], {});
        mq.close();
        await answered;
        return [mq.state, mq.sessionId, waits()];
        """,
    )
    assert ended == ["ended", None, []]


@pytest.mark.parametrize("outcome", ['signed("the signature")', 'failed(new Error("no server"))'])
async def test_close_during_sign_is_final(alone: Page, outcome: str) -> None:
    ended = await run_script(
        alone,
        f"""
        let signed, failed;
        const sign = () => new Promise((...settle) => {{ [signed, failed] = settle; }});
        const mq = new WebMQ("ws://hub.example", {{ key: "k", sign }});
        sockets.at(-1).onopen();
        await say(0, "1234", 1, "a hub");
        await say(3, sent.at(-1)[1], "the challenge");
        mq.close();
        {outcome};
        await rest();
        return [mq.state, mq.sessionId, sockets.at(-1).closed];
        """,
    )
    assert ended == ["ended", None, 1]


async def test_events_are_parsed_with_the_option_parse(alone: Page) -> None:
    got = await run_script(
        alone,
        """
        const got = [];
        const parse = (text) => JSON.parse(text, (key, value) => value === 2 ** 53 + 2 ? "exactly" : value);
        const mine = new WebMQ("ws://hub.example", { parse });
        mine.subscribe("t", (event) => got.push(event));
        await welcome();
        sockets.at(-1).onmessage({ data: '[8,"t",{"id":9007199254740994}]' });
        return [got, mine.state];
        """,
    )
    assert got == [[{"id": "exactly"}], "open"]


async def test_it_authenticates_anonymously_and_then_subscribes(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        const socket = sockets.at(-1);
        mq.subscribe("t", () => {});
        socket.onopen();
        await say(0, "1234", 1, "a hub");
        await say(3, sent.at(-1)[1], null);
        const before = mq.state;
        await say(3, sent.at(-1)[1], {"rpc": [], "pubsub": []});
        return [socket.protocols, sent.map(([type, id, ...rest]) => type === 2 ? rest : [type, id]), before, mq.state];
        """,
    )
    procedure = "http://api.wamp.ws/procedure#"
    assert said == [
        ["wamp.2.json", "wamp"],
        [[f"{procedure}authreq", None], [f"{procedure}auth", None], [5, "t"], [f"{procedure}ping"]],
        "connecting",
        "open",
    ]


async def test_it_works_with_a_hub_without_authentication(alone: Page) -> None:
    state = await run_script(
        alone,
        """
        sockets[0].onopen();
        await say(0, "1234", 1, "a hub");
        await say(4, sent.at(-1)[1], "http://api.wamp.ws/error#NoSuchRPCEndpoint", "no such procedure");
        return [mq.state, mq.sessionId];
        """,
    )
    assert state == ["open", "1234"]


async def test_the_signature_of_the_challenge(alone: Page) -> None:
    """The signature is the HMAC-SHA256 of UTF-8 text, in padded base64 with the standard alphabet."""
    secret, challenge = "gehéim", '{"nonce": "ü€"}'
    expected = base64.b64encode(hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).digest()).decode()
    await alone.open(Path(__file__).with_name("simulation.js").as_uri())  # about:blank has no WebCrypto
    await alone.evaluate(CLASSIC)
    assert await alone.evaluate(f"WebMQ.signer({json.dumps(secret)})({json.dumps(challenge)})") == expected
    assert "/" in expected or "+" in expected


async def test_unknown_messages_are_ignored(alone: Page) -> None:
    got = await run_script(
        alone,
        """
        const got = [];
        mq.subscribe("t", (event) => got.push(event));
        await welcome();
        for (const data of ["", "{", "null", "8", "{}", "[]", '["8","t",1]', '[9,"t",1]', '[3,"nobody asked",1]',
                            '[4,"7","e","d"]', '[8,"other",1]', '[8]', new Blob([])]) sockets[0].onmessage({ data });
        await say(8, "t", "known");
        return [got, mq.state, reported];
        """,
    )
    assert got == [["known"], "open", []]


async def test_a_handler_that_throws_stops_no_other(alone: Page) -> None:
    got = await run_script(
        alone,
        """
        const got = [];
        mq.subscribe("t", () => { throw new Error("of the first"); });
        mq.subscribe("t", (event, topic) => got.push([topic, event]));
        mq.onstate = () => { throw new Error("of onstate"); };
        await welcome();
        await say(8, "t", 1);
        await say(8, "t", 2);
        return [got, reported];
        """,
    )
    assert got == [[["t", 1], ["t", 2]], ["of onstate", "of the first", "of the first"]]


async def test_a_topic_is_subscribed_once_for_all_its_handlers(alone: Page) -> None:
    said = await run_script(
        alone,
        """
        const got = [];
        const [one, two] = [() => got.push(1), () => got.push(2)];
        await welcome();
        mq.subscribe("t", one);
        mq.subscribe("t", one);
        mq.subscribe("t", two);
        await say(3, sent.at(-1)[1], null);
        await say(8, "t", null);
        mq.unsubscribe("t", one);
        mq.unsubscribe("t", one);
        await say(8, "t", null);
        mq.unsubscribe("t", two);
        mq.unsubscribe("t");
        await say(8, "t", null);
        mq.subscribe("t", one);
        mq.subscribe("t", two);
        mq.unsubscribe("t");
        return [got, sent.filter(([type]) => type !== 2)];
        """,
    )
    assert said == [[1, 2, 2], [[5, "t"], [6, "t"], [5, "t"], [6, "t"]]]


async def test_handlers_are_added_and_removed_while_an_event_is_delivered(alone: Page) -> None:
    """A removed handler is not called, and a new one gets the next event."""
    got = await run_script(
        alone,
        """
        const got = [];
        const second = () => got.push("second");
        const third = () => got.push("third");
        mq.subscribe("t", () => { mq.unsubscribe("t", second); mq.subscribe("t", third); });
        mq.subscribe("t", second);
        await welcome();
        await say(8, "t", 1);
        const first = [...got];
        await say(8, "t", 2);
        return [first, got];
        """,
    )
    assert got == [[], ["third"]]


SOCKET_URLS = {
    "http://hub.example": "ws://hub.example/ws",
    "https://hub.example/": "wss://hub.example/ws",
    "http://hub.example:8080/some/hub/": "ws://hub.example:8080/some/hub/ws",
    "http://hub.example/ws": "ws://hub.example/ws",
    "ws://hub.example/any/path": "ws://hub.example/any/path",
    "wss://hub.example/?token=1": "wss://hub.example/?token=1",
}


async def test_the_url_of_the_websocket(alone: Page) -> None:
    found = await alone.evaluate(f"{json.dumps(list(SOCKET_URLS))}.map((url) => new WebMQ(url).url)")
    assert found == list(SOCKET_URLS.values())


WRONG = {
    "new WebMQ()": "url",  # the script has no URL
    "new WebMQ('')": "url",
    "new WebMQ('http://')": "url",
    "new WebMQ('ftp://hub.example/')": "url",
    "new WebMQ('http://user@hub.example/')": "url",
    "new WebMQ('http://hub.example/#part')": "url",
    "new WebMQ('http://hub.example/', {key: 'k'})": "key, sign",
    "new WebMQ('http://hub.example/', {sign: () => ''})": "key, sign",
    "new WebMQ('http://hub.example/', {key: 'k', sign: 's3cret'})": "sign",
    "new WebMQ('http://hub.example/', {key: 'k', sign: () => '', ticket: () => 's3cret'})": "key, sign",
    "new WebMQ('http://hub.example/', {ticket: 's3cret'})": "ticket",
    "new WebMQ('http://hub.example/', {parse: null})": "parse",
    "WebMQ.signer('')": "secret",
    "WebMQ.signer()": "secret",
    "mq.subscribe(7, () => {})": "topic",
    "mq.subscribe('t')": "handler",
    "mq.subscribe('t', () => {}, {onlost: 1})": "onlost",
    "mq.subscribe('t', () => {}, {match: 'regex'})": "match",
}


async def test_the_error_of_a_wrong_argument_names_it(alone: Page) -> None:
    for script, argument in WRONG.items():
        error = await alone.evaluate(f"(() => {{ try {{ {script} }} catch (error) {{ return String(error); }} }})()")
        assert str(error).startswith(f"TypeError: {argument}: "), script
        assert "s3cret" not in str(error)
    assert await alone.evaluate("sockets.length") == 1
