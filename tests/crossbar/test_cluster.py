"""Crossbar.io as a cluster of two nodes: who receives an event pushed at each node, without losses or duplicates."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from brokers.crossbar_cluster import Cluster
from webmqconnect_async import AsyncClient, Client, Payload, Push

from ..processes import MODULE, python, webmqconnect
from ..snippets import PAGES, commands, fences
from .brokers import KEY
from .receivers import ROWS, Effect, Probe, Row
from .subscribers import PATIENCE, Event, Subscriber, subscriber

pytestmark = [pytest.mark.usefixtures("crossbar"), pytest.mark.timeout(300)]

PAGE = PAGES / "how-to" / "crossbar.md"
END = "the end"
WELCOME, CHALLENGE = 2, 4
"""Types of WAMP v2 messages."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sides:
    """Subscribers of both nodes, and clients that push for them."""

    cluster: Cluster
    near: Subscriber
    """A subscriber of the first node."""
    far: Subscriber
    """A subscriber of the second node."""
    watcher: Subscriber
    """Another subscriber of the second node."""
    at_near: Client
    at_far: Client

    def link(self, topic: str) -> None:
        """Return once near and far, which subscribe to the topic, receive the events pushed at either node."""
        while not self.far.receives(0.1):
            self.at_near.push(topic, "linked?")
        while not self.near.receives(0.1):
            self.at_far.push(topic, "linked?")

    def subscribe_far(self, topic: str, match: str) -> None:
        """Subscribe at the far node, and return once the link has forwarded the subscription, if it forwards it.

        The link forwards subscriptions in order, so a later one that has arrived shows that this one has, too.
        """
        self.far.subscribe(topic, match)
        self.cross()

    def cross(self) -> None:
        """Return once an event has crossed the link, and so everything that was sent over it before."""
        probe = f"com.link{next(_numbers)}.probe"
        self.watcher.subscribe(probe)
        while not self.watcher.receives(0.1):
            self.at_near.push(probe, "linked?")

    def heard(self, topic: str) -> tuple[list[Event], list[Event]]:
        """Return the events that near and far have received of those pushed at the near node so far."""
        mark = f"mark {next(_numbers)}"
        crossing = f"com.link{next(_numbers)}.mark"
        self.watcher.subscribe(crossing)
        while not self.watcher.receives(0.1):
            self.at_near.push(crossing, mark)
        self.at_near.push(topic, END, eligible=[self.near.session_id])
        self.at_far.push(topic, END, eligible=[self.far.session_id])
        return self.near.events_until(END), self.far.events_until(END)


@pytest.fixture(scope="module")
def sides(cluster: Cluster) -> Iterator[Sides]:
    with ExitStack() as stack:
        near, far, watcher = (
            stack.enter_context(subscriber(member.ws_url)) for member in (cluster.first, cluster.second, cluster.second)
        )
        clients = (
            stack.enter_context(Client(endpoint, KEY, cluster.secret, dialect="crossbar"))
            for endpoint in cluster.endpoints
        )
        yield Sides(cluster, near, far, watcher, *clients)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_the_receivers_of_a_push(row: Row, sides: Sides) -> None:
    """The receivers of a push are those in the documentation's table."""
    effects = {effect_of(probe, row, sides) for probe in row.probes} - {Effect.HOLDS}
    assert effects == ({row.router} if sides.cluster.kind == "router" else {row.equal}) - {Effect.HOLDS}


def effect_of(probe: Probe, row: Row, sides: Sides) -> Effect:
    """Push at the near node, and return the effect on subscribers of the far node."""
    topic = f"com.row{next(_numbers)}.event"
    sides.near.subscribe(*row.pattern(topic))  # not to the topic itself, whose events the link would forward to all
    if not row.late:
        sides.subscribe_far(*row.pattern(topic))
    sides.at_near.push(topic, probe.event, **probe.receivers(sides.near, sides.far))
    if row.late:
        sides.cross()  # a node may still be delivering an event that it has accepted
        sides.subscribe_far(*row.pattern(topic))
    near, far = sides.heard(topic)
    sent = probe.event if isinstance(probe.event, Payload) else Payload(probe.event)
    args, kwargs = list(sent.args), dict(sent.kwargs)
    assert near == [Event(topic, args, kwargs)] * probe.near
    if far == [Event(topic, args, kwargs, retained=row.late)] * probe.far:
        return Effect.HOLDS
    if not far:
        return Effect.LOST
    assert far in ([Event(topic, args, kwargs)], [Event(topic, args, {"more": 2})])
    return Effect.CHANGED if probe.far else Effect.LEAKED


def test_all_pushes_at_both_nodes_arrive_once_and_in_order(sides: Sides) -> None:
    """Subscribers of both nodes get 300 events with keywords from each node, once and in order."""
    topic = f"com.many{next(_numbers)}.event"
    sides.near.subscribe(topic)
    sides.far.subscribe(topic)
    sides.link(topic)

    async def push(publisher: str, endpoint: str) -> None:
        events = (Push(topic, Payload(number, publisher=publisher, note="é")) for number in range(300))
        async with AsyncClient(endpoint, KEY, sides.cluster.secret, dialect="crossbar") as client:
            outcomes = await client.push_many(events, order_by_topic=True)
        assert all(outcome.ok for outcome in outcomes)

    async def push_at_both() -> None:
        await asyncio.gather(*map(push, ("one", "other"), sides.cluster.endpoints))

    asyncio.run(push_at_both())
    sent = {
        publisher: [Event(topic, [number], {"publisher": publisher, "note": "é"}) for number in range(300)]
        for publisher in ("one", "other")
    }
    for events in sides.heard(topic):
        assert {name: [event for event in events if event.kwargs.get("publisher") == name] for name in sent} == sent


def test_a_link_keeps_forwarding_a_topic_after_its_last_subscriber_has_left(sides: Sides) -> None:
    """A link keeps forwarding a topic after its last subscriber has left.

    A pattern subscriber of the other equal node gets nothing unless there was once a subscription to the topic itself.
    """
    family = f"com.kept{next(_numbers)}"
    topic = f"{family}.event"
    sides.far.subscribe(family, "prefix")
    with subscriber(sides.cluster.first.ws_url) as gone:
        gone.subscribe(topic)
        while not sides.far.receives(0.1):
            sides.at_near.push(topic, "linked?")
    sides.near.subscribe(family, "prefix")
    sides.at_near.push(topic, "kept")
    _, far = sides.heard(topic)
    assert far[-1] == Event(topic, ["kept"])


async def test_only_equal_nodes_require_a_signature_at_the_port_for_other_nodes(cluster: Cluster) -> None:
    """A router accepts a proxy's public key without a signature, as any authid. An equal node requires a signature."""
    name = cluster.second.folder.name
    (key,) = re.findall("^public-key-ed25519: (.+)$", (cluster.second.folder / "key.pub").read_text(), re.MULTILINE)
    if cluster.kind == "router":
        claims = {"proxy_realm": "realm1", "proxy_authid": "anybody", "proxy_authrole": "trusted"}
        method = "cryptosign-proxy"
    else:
        claims, method = {}, "cryptosign"
    details = {"authmethods": [method], "authid": name, "authextra": {"pubkey": key, **claims}}
    hello = json.dumps([1, "realm1", {"roles": {"subscriber": {}}, **details}])
    if cluster.kind == "router":
        welcome = await asyncio.to_thread(reply_over_rawsocket, cluster.first.link_port, hello)
        assert (welcome[0], welcome[2]["authrole"]) == (WELCOME, "trusted")
    else:
        url = f"ws://127.0.0.1:{cluster.first.link_port}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["wamp.2.json"]) as link:
            await link.send_str(hello)
            assert (await link.receive_json())[0] == CHALLENGE


def reply_over_rawsocket(port: int, message: str) -> Any:
    """Return the reply to a JSON message over RawSocket, where each message begins with its length in four bytes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"\x7f\xf1\0\0" + struct.pack(">I", len(message)) + message.encode())
        assert answers.read(4)[:2] == b"\x7f\xf1"
        (length,) = struct.unpack(">I", answers.read(4))
        return json.loads(answers.read(length))


async def test_a_page_learns_the_names_of_its_proxy_and_router(cluster: Cluster) -> None:
    """WELCOME contains the session's proxy and router. A page that asks for another role does not get it."""
    hello = [1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["anonymous"], "authrole": "trusted"}]
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(cluster.second.ws_url, protocols=["wamp.2.json"]) as link,
    ):
        await link.send_json(hello)
        kind, _, details = await link.receive_json()
    assert (kind, details["authrole"]) == (WELCOME, "anonymous")
    assert {"x_cb_pid", "x_cb_peer", "x_cb_proxy_pid", "x_cb_proxy_peer"} <= set(details["authextra"])


async def test_the_commands_of_the_documentation(cluster: Cluster) -> None:
    """The commands of the documentation work: an event that is pushed at one node arrives at the other."""
    shell = "".join(fence.text for fence in fences(PAGE) if fence.language == "sh")
    assert f"crossbar start --cbdir cluster/{cluster.first.folder.name}\n" in shell or cluster.kind == "router"
    (variable,) = re.findall(r"^WEBMQ_AUTH_SECRET_FILE=(\S+) webmqconnect push", shell, re.MULTILINE)
    real = {"8080": str(cluster.first.port), "8081": str(cluster.second.port), variable: str(cluster.folder / "secret")}

    def typed(name: str) -> list[str]:
        (command,) = [command for command in commands(shell) if command[0] == name]
        return [re.sub("|".join(real), lambda found: real[found[0]], word) for word in command]

    async with python(*MODULE, *typed("listen"), "--count", "1") as listening:
        await listening.complained("subscribed to")
        ended = asyncio.ensure_future(listening.ended())
        while not ended.done():  # until the link forwards the topic
            pushed = await webmqconnect(*typed("push"), env={"WEBMQ_AUTH_SECRET_FILE": real[variable]})
            assert (pushed.status, pushed.stderr) == (0, "accepted\n")
        assert (await ended).stdout == 'http://example.com/orders\t{"id": 17}\n'
