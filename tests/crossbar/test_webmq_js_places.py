"""The same `webmq.js` script in a page, in a worker and in Node.js, with hubs and with Crossbar.io."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub._browser import CLASSIC

from ..chromium import Page
from .brokers import Broker

Until = Callable[[str], Awaitable[None]]
"""Returns once the script has called `say` with this text."""

# The script reports its progress with `say(text)`, and drops its first connection when an event arrives.
_SUBSCRIBER = """
const opened = [], Real = WebSocket;
WebSocket = class extends Real {
  constructor(url, protocols) {
    super(url, protocols.filter((each) => PROTOCOLS.includes(each)));
    opened.push(this);
  }
};
Math.random = () => 0;
const mq = new WebMQ(URL_);
mq.onstate = (state, detail, reconnected) => {
  if (state === "open") say(`open ${opened.at(-1).protocol} ${reconnected}`);
};
const subscription = mq.subscribe(TOPIC, (event, topic) => {
  if (opened.length === 1) {
    say(`${topic}: ${JSON.stringify(event)}`);
    opened[0].close();
  } else {
    say(`again: ${JSON.stringify(event)}`);
    mq.close();
    say(mq.state);
  }
}, { onlost: () => say("lost") });
subscription.ready.then(() => say("subscribed"));
"""
_PATIENCE = 30.0


@asynccontextmanager
async def in_page(page: Page, script: str) -> AsyncIterator[Until]:
    """Run the subscriber in the page."""

    async def until(text: str) -> None:
        await page.until(f"said.includes({json.dumps(text)})")

    await page.evaluate(f"globalThis.said = []; globalThis.say = (text) => said.push(text); {script}; undefined")
    yield until


@asynccontextmanager
async def in_worker(page: Page, script: str) -> AsyncIterator[Until]:
    """Run the subscriber in a worker of the page."""

    async def until(text: str) -> None:
        await page.until(f"said.includes({json.dumps(text)})")

    source = f"const say = postMessage; {CLASSIC}\n{script}"
    await page.evaluate(f"""
        globalThis.said = [];
        globalThis.worker = new Worker(URL.createObjectURL(new Blob([{json.dumps(source)}])));
        worker.onmessage = ({{ data }}) => said.push(data);
        undefined
    """)
    yield until


@asynccontextmanager
async def in_node(_page: Page, script: str) -> AsyncIterator[Until]:
    """Run the subscriber in Node.js. The process must exit once the subscriber is closed."""
    options = ("--no-warnings", "--experimental-websocket", "-")
    node = await asyncio.create_subprocess_exec("node", *options, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert node.stdin is not None
    assert node.stdout is not None
    assert node.stderr is not None
    stdout = node.stdout
    said: list[str] = []

    async def until(text: str) -> None:
        while text not in said:
            line = await stdout.readline()
            assert line, said
            said.append(line.decode().rstrip("\n"))

    try:
        async with asyncio.timeout(_PATIENCE):
            node.stdin.write(f"const say = (text) => console.log(text); {CLASSIC}\n{script}".encode())
            node.stdin.close()
            yield until
            assert await node.wait() == 0
            assert await node.stderr.read() == b""
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()


Place = Callable[[Page, str], AbstractAsyncContextManager[Until]]


@pytest.mark.usefixtures("chromium", "node")
@pytest.mark.parametrize("place", [in_page, in_worker, in_node])
@pytest.mark.parametrize(
    ("name", "protocol"), [("embedded", "wamp"), ("embedded", "wamp.2.json"), ("real", "wamp.2.json")]
)
async def test_a_subscriber_in_each_place(
    request: pytest.FixtureRequest, name: str, protocol: str, place: Place, page: Page, topic: str
) -> None:
    """The script subscribes, gets an event, loses its connection, gets another event, and ends."""
    broker: Broker = request.getfixturevalue(name)
    constants = {"URL_": broker.open.ws_url, "TOPIC": topic, "PROTOCOLS": [protocol]}
    script = "".join(f"const {key} = {json.dumps(value)};\n" for key, value in constants.items()) + _SUBSCRIBER
    async with AsyncClient(broker.open.endpoint, dialect="crossbar") as client, place(page, script) as until:
        await until(f"open {protocol} false")
        await until("subscribed")
        await client.push(topic, {"id": 17, "ü": [None, "😀"]})
        await until(f'{topic}: {{"id":17,"ü":[null,"😀"]}}')
        await until(f"open {protocol} true")
        if (name, protocol) != ("embedded", "wamp.2.json"):
            await until("lost")
        await client.push(topic, 2)
        await until("again: 2")
        await until("ended")
    assert page.problems == []
