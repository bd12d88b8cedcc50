"""`webmqconnect listen` and `push --dialect crossbar` work alike with the hub and with Crossbar.io."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from brokers import crossbar
from webmqconnect_async import AsyncClient, Payload

from ..processes import MODULE, python, webmqconnect
from .brokers import KEY, SECRET, Broker, Door

SUBSCRIBER = {"WEBMQ_SUBSCRIBER_SECRET": "a-secret-of-the-tests"}


async def test_events_are_printed(broker: Broker, topic: str) -> None:
    door = broker.open
    async with python(*MODULE, "listen", door.ws_url, topic, "--count", "3") as process:
        await process.complained("subscribed to")
        async with AsyncClient(door.endpoint, dialect="crossbar") as client:
            for event in ({"id": 17, "name": "Żółw"}, Payload(1, "é", a=[2]), Payload()):
                await client.push(topic, event)
        ended = await process.ended()
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        f'{topic}\t{{"id": 17, "name": "Żółw"}}',
        f'{topic}\t{{"args": [1, "é"], "kwargs": {{"a": [2]}}}}',
        f'{topic}\t{{"args": [], "kwargs": {{}}}}',
    ]


@pytest.mark.usefixtures("crossbar")
async def test_a_missing_realm(real: Broker, topic: str) -> None:
    ended = await webmqconnect("listen", "--realm", "realm9", real.open.ws_url, topic)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == "error: the broker has no realm 'realm9'; check --realm\n"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Broker]:
    """Run a Crossbar.io at which every subscriber must authenticate."""
    config: dict[str, Any] = json.loads(crossbar.EXAMPLE.read_text())
    (worker,) = config["workers"]
    (transport,) = worker["transports"]
    users = {"page": {"secret": SUBSCRIBER["WEBMQ_SUBSCRIBER_SECRET"], "role": "anonymous"}}
    transport["paths"]["ws"]["auth"] = {"wampcra": {"type": "static", "users": users}}
    with crossbar.node(config) as node:
        authority = f"127.0.0.1:{node.port}"
        door = Door(f"http://{authority}/publish-unsigned", f"ws://{authority}/ws")
        yield Broker("Crossbar.io", {"open": door})


@pytest.mark.usefixtures("crossbar")
async def test_a_key(guarded: Broker, topic: str) -> None:
    door = guarded.open
    command = (*MODULE, "listen", door.ws_url, topic, "--count", "1", "--subscriber-key", "page")
    async with python(*command, env=SUBSCRIBER) as process:
        await process.complained("subscribed to")
        async with AsyncClient(door.endpoint, dialect="crossbar") as client:
            await client.push(topic, 1)
        ended = await process.ended()
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"{topic}\t1\n", "")


@pytest.mark.usefixtures("crossbar")
@pytest.mark.parametrize(
    ("options", "secret", "said"),
    [
        ((), "", "the broker does not accept anonymous subscribers: give --subscriber-key"),
        (("--subscriber-key", "page"), "wrong", "the broker refuses the key 'page': "),
        (("--subscriber-key", "other"), SUBSCRIBER["WEBMQ_SUBSCRIBER_SECRET"], "the broker refuses the key 'other': "),
    ],
    ids=["anonymous", "wrong secret", "unknown key"],
)
async def test_subscribers_that_are_refused(
    options: tuple[str, ...], secret: str, said: str, guarded: Broker, topic: str
) -> None:
    env = {"WEBMQ_SUBSCRIBER_SECRET": secret}
    ended = await webmqconnect("listen", guarded.open.ws_url, topic, *options, env=env)
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(f"error: {said}")


async def test_an_event_is_pushed(broker: Broker, topic: str) -> None:
    env = {"WEBMQ_AUTH_SECRET": SECRET}
    async with python(*MODULE, "listen", broker.signed.ws_url, topic, "--count", "3") as process:
        await process.complained("subscribed to")
        push = ("push", "--dialect", "crossbar", "--key", KEY, broker.signed.endpoint)
        ended = await webmqconnect(*push, topic, '{"é": 1}', env=env)
        assert (ended.status, ended.stderr) == (0, "accepted\n")
        async with python(*MODULE, *push, "--topic", topic, "--jsonl", "-", "--order-by-topic", env=env) as lines:
            await lines.type('1\n"two"\n')
            assert (await lines.ended()).status == 0
        heard = await process.ended()
    assert heard.stdout.splitlines() == [f'{topic}\t{{"é": 1}}', f"{topic}\t1", f'{topic}\t"two"']


async def test_a_push_that_is_refused(broker: Broker, topic: str) -> None:
    env = {"WEBMQ_AUTH_SECRET": "wrong"}
    push = ("push", "--dialect", "crossbar", "--key", KEY, broker.signed.endpoint, topic, "1")
    ended = await webmqconnect(*push, env=env)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: the broker answered 401: REST bridge signature secret not valid.")
