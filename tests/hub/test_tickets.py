"""Subscribers that join with a ticket (WAMP v2), and what they, and those beside them, may read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from webmqconnect_async.hub import Hub, HubConfig, HubOptions, _websocket
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._log import Log
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._wamp2.session import Wamp2Session
from webmqconnect_async.tickets import ticket

from ..test_tickets import CLAIMS, NOW, SECRET, token
from .conftest import HubClient, Run, Wamp2Peer, said

MINE, NEWS, PRIVATE = (
    "http://example.com/users/17/orders",
    "http://example.com/news",
    "http://example.com/users/1/orders",
)
PAGE = {"page": "a-secret-of-the-tests"}
FAILED, EXPIRED, NO_METHOD = (
    "wamp.error.authentication_failed",
    "webmq.error.ticket_expired",
    "wamp.error.no_matching_auth_method",
)
UNAUTHORIZED = "wamp.error.not_authorized"


class Clock:
    """The time of a hub."""

    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start: TypeAlias = Callable[..., Awaitable[Hub]]


@pytest.fixture
def start(run: Run, clock: Clock) -> Start:
    """Start a hub with a key for tickets."""

    async def start(**options: object) -> Hub:
        return await run(Hub(port=0, ticket_keys={"users": SECRET}, clock=clock, **options))  # type: ignore[arg-type]

    return start


async def join(peer: Wamp2Peer, text: str) -> list[object]:
    """Send a ticket; return the WELCOME or ABORT."""
    await peer.send(1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["ticket"]})
    assert await peer.receive() == [4, "ticket", {}]
    await peer.send(5, text, {})
    return await peer.receive()


async def holder(wire: HubClient, hub: Hub, text: str = "", *topics: str) -> Wamp2Peer:
    """Return a subscriber with a ticket."""
    peer = await wire.stranger(hub)
    reply = await join(peer, text or token())
    assert reply[0] == 2
    await peer.subscribe(*topics)
    return peer


async def asked(peer: Wamp2Peer, topic: str, **options: object) -> list[object]:
    """Subscribe to a topic; return the reply without the IDs."""
    await peer.send(32, 1, options, topic)
    reply = await peer.receive()
    return reply[:1] if reply[0] == 33 else [reply[0], *reply[4:]]


def refused(reason: str) -> list[object]:
    return [8, UNAUTHORIZED, [reason]]


NOT_COVERED = refused("the ticket does not cover this topic")


async def test_joining(start: Start, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """The subject of the ticket is the `authid`, whatever HELLO says, and nothing but the ticket's topics is sent."""
    caplog.set_level(logging.INFO)
    hub = await start()
    peer = await wire.stranger(hub)
    await peer.send(1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["ticket"], "authid": "admin"})
    assert await peer.receive() == [4, "ticket", {}]
    await peer.send(5, token(), {})
    code, session, details = await peer.receive()
    assert (code, len(str(session))) == (2, 16)
    assert isinstance(details, dict)
    assert [details[name] for name in ("authid", "authrole", "authmethod")] == ["17", "subscriber", "ticket"]
    assert [await asked(peer, topic) for topic in (MINE, NEWS, PRIVATE)] == [[33], [33], NOT_COVERED]
    for topic in (PRIVATE, MINE):
        await wire.push(hub, f"topicuri={topic}")
    assert (await peer.event())[1] == [[1]]
    await peer.heard()
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.endswith("wamp.2.json, ticket of '17', key 'users'") for line in lines)
    assert any(line.endswith(f"refused: topic '{PRIVATE}': the ticket does not cover this topic") for line in lines)


@pytest.mark.parametrize(
    ("topics", "topic"),
    [
        (["http://a/*"], "http://ab"),
        (["http://a/*"], "http://a"),
        (["http://a/*"], "http://A/b"),
        (["http://a/*"], "*"),
        (["http://a/*"], "http://*"),
        (["http://a/b"], "http://a/*"),
        (["http://a/b"], "http://a/b/"),
        (["http://a/b"], "http://a/b "),
        (["http://a/b"], ""),
    ],
)
async def test_tricks(start: Start, wire: HubClient, topics: list[str], topic: str) -> None:
    """A topic is compared with those of the ticket as text. A `*` in it means nothing."""
    peer = await holder(wire, await start(), token({**CLAIMS, "topics": topics}))
    assert await asked(peer, topic) == NOT_COVERED


ATTACKS = {
    "alg none": (token(alg="none"), FAILED, True),
    "another key's signature": (token(secret=SECRET[::-1]), FAILED, True),
    "RS256": (token(alg="RS256"), FAILED, True),
    "unknown key": (token(kid="page"), FAILED, True),
    "no token": ("\ud800 \0 x.y.z", FAILED, True),
    "empty": ("", FAILED, True),
    "no exp": (token({"sub": "17", "topics": [MINE], "iat": NOW}), FAILED, False),
    "duplicate claims": (token(b'{"sub":"17","sub":"1"}'), FAILED, False),
    "topics of a wrong type": (token({**CLAIMS, "topics": "http://a/*"}), FAILED, False),
    "a * for everything": (token({**CLAIMS, "topics": ["*"]}), FAILED, False),
    "not valid yet": (token({**CLAIMS, "nbf": NOW + 31}), FAILED, False),
    "too long": ("x" * 8193, FAILED, False),
    "expired": (token({**CLAIMS, "exp": NOW}), EXPIRED, False),
}


@pytest.mark.parametrize(("text", "uri", "delayed"), ATTACKS.values(), ids=ATTACKS)
async def test_attack(
    text: str,
    uri: str,
    delayed: bool,
    start: Start,
    wire: HubClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A ticket that is not valid is refused, and the reply is delayed if somebody may be guessing."""
    caplog.set_level(logging.INFO)
    penalties: list[float] = []
    monkeypatch.setattr(_websocket, "_penalty", lambda: penalties.append(0.01) or 0.01)  # type: ignore[func-returns-value]
    peer = await wire.stranger(await start(max_body=1, max_topic=1))
    code, details, reason = await join(peer, text)
    assert (code, reason, len(penalties)) == (3, uri, delayed)
    assert isinstance(details, dict)
    assert await peer.end() == 1000
    [record] = [each for each in caplog.records if "refused" in each.message or "failed to" in each.message]
    assert details["message"][:100] in record.getMessage()
    assert (record.levelno == logging.WARNING) is delayed


KINDS: dict[str, HubOptions] = {
    "open": {},
    "keys": {"subscriber_keys": PAGE},
    "tickets": {"ticket_keys": {"users": SECRET}},
    "both": {"subscriber_keys": PAGE, "ticket_keys": {"users": SECRET}},
    "tickets and public": {"ticket_keys": {"users": SECRET}, "public": [NEWS]},
    "keys and public": {"subscriber_keys": PAGE, "public": [NEWS]},
}
NEED_TICKET, NEED_KEY = "subscribers of this hub need a ticket", "subscribers of this hub need a key (wampcra)"
NEED_EITHER, NO_TICKETS = "subscribers of this hub need a ticket or a key (wampcra)", "this hub takes no tickets"


@pytest.mark.parametrize(
    ("kind", "methods", "reply"),
    [
        ("open", [], "anonymous"),
        ("open", ["ticket", "anonymous"], "anonymous"),
        ("open", ["ticket"], NO_TICKETS),
        ("open", ["wampcra"], "subscribers of this hub are anonymous"),
        ("keys", [], NEED_KEY),
        ("keys", ["ticket"], NO_TICKETS),
        ("keys", ["ticket", "wampcra"], "wampcra"),
        ("tickets", [], NEED_TICKET),
        ("tickets", ["anonymous", "wampcra"], NEED_TICKET),
        ("tickets", ["wampcra", "ticket"], "ticket"),
        ("both", [], NEED_EITHER),
        ("both", ["ticket", "wampcra"], "ticket"),
        ("both", ["wampcra", "ticket"], "wampcra"),
        ("tickets and public", [], "anonymous"),
        ("tickets and public", ["ticket", "anonymous"], "ticket"),
        ("tickets and public", ["anonymous", "ticket"], "anonymous"),
        ("tickets and public", ["wampcra"], NEED_TICKET),
        ("keys and public", ["anonymous"], "anonymous"),
        ("keys and public", ["wampcra"], "wampcra"),
    ],
)
def test_method(kind: str, methods: list[str], reply: str) -> None:
    """The first of the client's methods that the hub offers is used."""
    session = opened(Broker(HubConfig(**KINDS[kind])))
    session.receive(json.dumps([1, "realm1", {"authmethods": methods, "authid": "page"}]))
    [[code, *rest]] = said(session)
    match code:
        case 2:
            assert reply == "anonymous"
            assert session.authrole == reply
        case 3:
            assert rest == [{"message": reply}, NO_METHOD]
        case _:
            assert (code, rest[0]) == (4, reply)


def opened(broker: Broker, kind: type[Session] = Wamp2Session) -> Session:
    return broker.open(kind, drop=lambda: pytest.fail("dropped"))


async def test_public(start: Start, wire: HubClient) -> None:
    """Everybody may read public topics. Other topics need a ticket that covers them, or a key."""
    hub = await start(public=["http://example.com/public/*"], subscriber_keys=PAGE)
    public, exact = "http://example.com/public/a", "http://example.com/public"
    only = refused("anonymous subscribers may read public topics only")
    peer = await wire.wamp2_subscriber(hub)
    assert [await asked(peer, topic) for topic in (public, exact, MINE)] == [[33], only, only]
    peer = await holder(wire, hub)
    assert [await asked(peer, topic) for topic in (public, exact, MINE)] == [[33], NOT_COVERED, [33]]
    old = await wire.subscriber(hub, public, MINE)
    for topic in (MINE, public):
        await wire.push(hub, f"topicuri={topic}")
    assert await old.receive() == [8, public, 1]
    await old.heard()
    challenge = (await old.call("authreq", "page"))[2]
    assert isinstance(challenge, str)
    signature = hmac.digest(PAGE["page"].encode(), challenge.encode(), hashlib.sha256)
    assert (await old.call("auth", base64.b64encode(signature).decode()))[0] == 3
    await old.subscribe(MINE)
    await wire.push(hub, f"topicuri={MINE}")
    assert await old.receive() == [8, MINE, 1]


def test_wamp1_without_public_topics(caplog: pytest.LogCaptureFixture) -> None:
    """WAMP v1 has no tickets: without a key, nothing is left to read. The log says so."""
    caplog.set_level(logging.INFO)
    session = opened(Broker(HubConfig(ticket_keys={"users": SECRET}), (Log(),)), Wamp1Session)
    session.receive(json.dumps([5, MINE]))
    assert not session.subscribed
    reason = "anonymous subscribers may read public topics only, and this hub has none"
    assert caplog.messages[-1].endswith(f"refused: topic '{MINE}': {reason}; hint: --public TOPIC")


async def test_recovery(start: Start, wire: HubClient, clock: Clock) -> None:
    """A new ticket recovers what it covers itself, and not what the old one covered."""
    hub = await start()
    peer = await holder(wire, hub, "", MINE, NEWS)
    newest = hub_newest(hub)
    await peer.socket.close()
    for topic in (MINE, NEWS):
        await wire.push(hub, f"topicuri={topic}")
    clock.now += 3000
    renewed = ticket(key="users", secret=SECRET, sub="17", topics=[NEWS], now=clock.now)
    peer = await holder(wire, hub, renewed)
    assert await asked(peer, MINE, _after=newest) == NOT_COVERED
    assert await asked(peer, NEWS, _after=newest) == [33]
    assert (await peer.event())[1] == [[1]]
    await peer.heard()
    clock.now += 3600
    expired = refused("the ticket has expired")
    assert [await asked(peer, topic, _after=newest) for topic in (NEWS, MINE)] == [expired, expired]


def hub_newest(hub: Hub) -> int:
    assert hub._handlers is not None
    return hub._handlers._broker.ids.newest
