"""Misuses of the public names. Both type-checkers report each line that ends in `# error`, and no other line.

Nothing here runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from webmqconnect_async import AsyncClient, Client, InvalidPush, Outcome, Push, Retry, session_id, to_json
from webmqconnect_async.hub import Hub
from webmqconnect_async.outbox import insert
from webmqconnect_async.signing import Credentials, sign
from webmqconnect_async.subscriber import Subscriber
from webmqconnect_async.testing import Hub as TestHub

Client()  # error
AsyncClient()  # error
Client("http://127.0.0.1", pushEndpoint="http://127.0.0.1")  # error
AsyncClient(pushEndpoint="http://127.0.0.1")  # error
AsyncClient("http://127.0.0.1", dialect="mqtt")  # error
AsyncClient("http://127.0.0.1", concurency=3)  # error
Client("http://127.0.0.1", session=None)  # error
Client("http://127.0.0.1", retry=3)  # error
Client("http://127.0.0.1", max_request_head="16384")  # error
Client("http://127.0.0.1", dumps=5)  # error
Client.from_env(auth_key="app")  # error
Retry(attempts="3")  # error
Client("http://127.0.0.1", dumps=to_json("event"))  # error
session_id(17)  # error
session_id("17", "mqtt")  # error


async def pushes(client: AsyncClient, sync: Client) -> None:
    await client.push("t")  # error
    await client.push(5, 1)  # error
    await client.push("t", 1, eligible=5)  # error
    await client.push("t", 1, timeout="5")  # error
    await client.push_many([1, 2])  # error
    await client.push_many([InvalidPush("no")])  # error
    await client.push_many([("t", 1, 2)])  # error
    await client.push_many([(1, "t")])  # error
    sync.push_many([InvalidPush("no")])  # error
    sync.push_many(arriving())  # error
    await sync.push("t", 1)  # error
    with client:  # error
        pass


async def arriving() -> AsyncIterator[Push]:
    yield Push("t", 1)


def outcomes(outcome: Outcome) -> None:
    print(outcome.receipt.status)  # error
    print(outcome.push.topic)  # error
    print(outcome.error.attempts)  # error
    outcome.index = 3  # error
    if outcome.ok is False:
        print(outcome.receipt.status)  # error
    if outcome.error is None:
        raise outcome.error  # error


def others() -> None:
    Hub(prot=8080)  # error
    TestHub(keys=["app"])  # error
    Subscriber()  # error
    Subscriber("ws://127.0.0.1", "app", "s3cret")  # error
    Subscriber("ws://127.0.0.1", on_lost=lambda topic: None)  # error
    Subscriber("ws://127.0.0.1").subscribe(5)  # error
    sign(Credentials("app", "s3cret"), "text")  # error
    insert("t", 1, style="pyformat")  # error
