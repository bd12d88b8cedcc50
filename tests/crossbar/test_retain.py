"""The limits of `retain` that the documentation mentions.

If a test here fails with a later version of Crossbar.io, the documentation may no longer need the sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import aiohttp
import pytest

from webmqconnect_async import AsyncClient, Client, Push

from .brokers import Broker
from .subscribers import Event, Subscriber, subscriber

pytestmark = pytest.mark.usefixtures("crossbar")

SUBSCRIBED, ERROR = 33, 8
RETAIN = {"retain": True}
UNSUBSCRIBE = [34, 2, 1]
"""UNSUBSCRIBE of a subscription that does not exist, to which the reply is an ERROR."""


@pytest.mark.parametrize(
    "options",
    [
        lambda late: {"eligible_authid": ["another"]},
        lambda late: {"eligible_authrole": ["another"]},
        lambda late: {"exclude_authid": [late.authid]},
        lambda late: {"exclude_authrole": [late.authrole]},
    ],
    ids=["eligible_authid", "eligible_authrole", "exclude_authid", "exclude_authrole"],
)
def test_a_later_subscriber_gets_a_retained_event_that_excluded_it(
    options: Callable[[Subscriber], dict[str, object]], real: Broker, topic: str
) -> None:
    with Client(real.open.endpoint, dialect="crossbar") as client, subscriber(real.open.ws_url) as late:
        client.push(topic, "kept", options={"retain": True, **options(late)})
        late.subscribe(topic)
        assert late.event() == Event(topic, ["kept"], retained=True)


async def test_a_later_subscriber_that_is_not_eligible_gets_no_retained_event(real: Broker, topic: str) -> None:
    assert await replies(real, Push(topic, "kept", eligible=[1], options=RETAIN)) == [SUBSCRIBED, ERROR]


async def test_with_exclude_a_later_subscription_gets_no_reply(real: Broker, topic: str) -> None:
    assert await replies(real, Push(topic, "kept", exclude=[1], options=RETAIN)) == [ERROR]


async def replies(real: Broker, push: Push) -> list[object]:
    """Push, subscribe with `get_retained`, and return the types of all replies up to that of a later request."""
    async with (
        AsyncClient(real.open.endpoint, dialect="crossbar") as client,
        aiohttp.ClientSession() as session,
        session.ws_connect(real.open.ws_url, protocols=["wamp.2.json"]) as socket,
    ):
        assert [outcome.ok for outcome in await client.push_many([push])] == [True]
        await socket.send_json([1, "realm1", {"roles": {"subscriber": {}}}])
        await socket.receive_json()
        await socket.send_str(json.dumps([32, 1, {"get_retained": True}, push.topic]))
        await socket.send_str(json.dumps(UNSUBSCRIBE))
        types: list[object] = []
        while types[-1:] != [ERROR]:
            types.append((await socket.receive_json())[0])
        return types
