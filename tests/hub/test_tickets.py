"""Subscribers that authenticate with a ticket (WAMP v2): which topics they and other subscribers may read."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import hmac
import json
import logging
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest
from aiohttp import WSMsgType

from webmqconnect_async._core.tickets import Ticket
from webmqconnect_async.hub import Hub, HubConfig, HubOptions, Identity, _application, _log, _websocket
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._fairness import Turns
from webmqconnect_async.hub._log import Log
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._rights import ends_at
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._wamp2.session import Wamp2Session
from webmqconnect_async.hub._websocket import SubscriberSocket
from webmqconnect_async.tickets import ticket

from ..test_tickets import CLAIMS, NOW, SECRET, token
from .conftest import PATIENCE, PROCEDURE, HubClient, Peer, Run, Wamp2Peer, said

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
GOODBYE = [6, {"message": "the ticket expires"}, "webmq.close.ticket_expired"]
UNAUTHORIZED = "wamp.error.not_authorized"


class Clock:
    """The clock of a hub, controlled by the test."""

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
    """Send a ticket; return the reply, WELCOME or ABORT."""
    await peer.send(1, "realm1", {"roles": {"subscriber": {}}, "authmethods": ["ticket"]})
    assert await peer.receive() == [4, "ticket", {}]
    await peer.send(5, text, {})
    return await peer.receive()


async def holder(wire: HubClient, hub: Hub, text: str = "", *topics: str) -> Wamp2Peer:
    """Return a subscriber that has authenticated with a ticket."""
    peer = await wire.stranger(hub)
    reply = await join(peer, text or token())
    assert reply[0] == 2
    await peer.subscribe(*topics)
    return peer


async def authenticate(peer: Peer) -> None:
    """Authenticate with WAMP v1."""
    challenge = (await peer.call("authreq", "page"))[2]
    assert (await peer.call("auth", signed(challenge)))[0] == 3


def signed(challenge: object) -> str:
    assert isinstance(challenge, str)
    return base64.b64encode(hmac.digest(PAGE["page"].encode(), challenge.encode(), hashlib.sha256)).decode()


async def subscribe_reply(peer: Wamp2Peer, topic: str, **options: object) -> list[object]:
    """Subscribe to a topic; return the reply without the IDs."""
    await peer.send(32, 1, options, topic)
    reply = await peer.receive()
    return reply[:1] if reply[0] == 33 else [reply[0], *reply[4:]]


def refused(reason: str) -> list[object]:
    return [8, UNAUTHORIZED, [reason]]


NOT_COVERED = refused("the ticket does not cover this topic")


async def test_a_ticket_joins_as_its_subject(start: Start, wire: HubClient, caplog: pytest.LogCaptureFixture) -> None:
    """The subject of the ticket is the `authid`, even if HELLO has another one.

    Only topics of the ticket can be subscribed.
    """
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
    assert [await subscribe_reply(peer, topic) for topic in (MINE, NEWS, PRIVATE)] == [[33], [33], NOT_COVERED]
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
async def test_topics_are_compared_with_the_ticket_as_text(
    start: Start, wire: HubClient, topics: list[str], topic: str
) -> None:
    """A topic is compared with those of the ticket as text. A `*` in it has no meaning."""
    peer = await holder(wire, await start(), token({**CLAIMS, "topics": topics}))
    assert await subscribe_reply(peer, topic) == NOT_COVERED


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
async def test_an_invalid_ticket_is_refused(
    text: str,
    uri: str,
    delayed: bool,
    start: Start,
    wire: HubClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An invalid ticket is refused, and the reply is delayed if it may be a guess."""
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
    "all": {"subscriber_keys": PAGE, "ticket_keys": {"users": SECRET}, "public": [NEWS]},
}
NEED_TICKET, NEED_KEY = "subscribers of this hub need a ticket", "subscribers of this hub need a key (wampcra)"
NEED_EITHER, NO_TICKETS = "subscribers of this hub need a ticket or a key (wampcra)", "this hub does not accept tickets"


@pytest.mark.parametrize(
    ("kind", "methods", "reply"),
    [
        ("open", [], "anonymous"),
        ("open", ["ticket", "anonymous"], "anonymous"),
        ("open", ["ticket"], NO_TICKETS),
        ("open", ["wampcra"], "this hub has no subscriber keys; join as anonymous"),
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
def test_the_authentication_method(kind: str, methods: list[str], reply: str) -> None:
    """The first of the client's authentication methods that the hub offers is used."""
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


async def test_public_topics(start: Start, wire: HubClient) -> None:
    """Every subscriber may read public topics. Other topics need a ticket that covers them, or a key."""
    hub = await start(public=["http://example.com/public/*"], subscriber_keys=PAGE)
    public, exact = "http://example.com/public/a", "http://example.com/public"
    only = refused("anonymous subscribers may read public topics only")
    peer = await wire.wamp2_subscriber(hub)
    assert [await subscribe_reply(peer, topic) for topic in (public, exact, MINE)] == [[33], only, only]
    peer = await holder(wire, hub)
    assert [await subscribe_reply(peer, topic) for topic in (public, exact, MINE)] == [[33], NOT_COVERED, [33]]
    old = await wire.subscriber(hub, public, MINE)
    for topic in (MINE, public):
        await wire.push(hub, f"topicuri={topic}")
    assert await old.receive() == [8, public, 1]
    await old.heard()
    await authenticate(old)
    await old.subscribe(MINE)
    await wire.push(hub, f"topicuri={MINE}")
    assert await old.receive() == [8, MINE, 1]


def test_wamp1_without_public_topics(caplog: pytest.LogCaptureFixture) -> None:
    """WAMP v1 has no tickets: without subscriber keys and public topics, no topic can be read."""
    caplog.set_level(logging.INFO)
    session = opened(Broker(HubConfig(ticket_keys={"users": SECRET}), (Log(),)), Wamp1Session)
    session.receive(json.dumps([5, MINE]))
    assert (session.admitted, session.subscribed) == (False, set())
    assert caplog.messages[-1].endswith(
        "refused: WAMP v1 has no tickets, and this hub has no public topics; hint: --public TOPIC"
    )


def call(session: Session, name: str, *arguments: object) -> list[object]:
    """Call a procedure with WAMP v1; return the reply, without its delay."""
    reply = session.receive(json.dumps([2, "call", PROCEDURE + name, *arguments]))
    if callable(reply):
        reply()
    return said(session)[-1]


def test_wamp1_anonymous_after_a_wrong_signature() -> None:
    """A subscriber that sends a key, and then authenticates anonymously, does not get the rights of the key."""
    identities: list[Identity] = []

    def hook(identity: Identity, topic: str) -> bool:
        identities.append(identity)
        return True

    for kind in ("keys and public", "all"):
        options: HubOptions = {**KINDS[kind], "may_subscribe": hook}
        session = opened(Broker(HubConfig(**options)), Wamp1Session)
        challenged = call(session, "authreq", "page")
        wrong = call(session, "auth", "wrong")
        anonymous = call(session, "authreq", None)
        assert [reply[0] for reply in (challenged, wrong, anonymous, call(session, "auth", None))] == [3, 4, 3, 3]
        assert (session.authid, session.authrole) == (session.id, "anonymous")
        for topic in (MINE, NEWS):
            session.receive(json.dumps([5, topic]))
        assert session.subscribed == {NEWS}
    assert identities == []


@pytest.mark.parametrize(
    ("kind", "without_key", "with_key"),
    [
        ("keys", "subscribers of this hub need a key", "no such key"),
        ("tickets", f"{NEED_TICKET}, which WAMP v1 does not have", "no such key: this hub has none"),
        ("tickets and public", None, "no such key: this hub has none"),
        ("open", None, "no such key: this hub has none"),
    ],
)
def test_wamp1_authreq(kind: str, without_key: str | None, with_key: str) -> None:
    """The error says which way of authentication the hub accepts instead."""
    for argument, text in ((None, without_key), ("another", with_key)):
        session = opened(Broker(HubConfig(**KINDS[kind])), Wamp1Session)
        assert call(session, "authreq", argument)[3:] == ([] if text is None else [text])


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("keys and public", "page", ["joined", "joined key 'page'", "left"]),
        ("keys", "page", ["joined key 'page'", "left"]),
        ("open", None, ["joined", "left"]),
    ],
)
def test_wamp1_joins_once(kind: str, key: str | None, words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber joins once for each identity, no matter how often it authenticates."""
    caplog.set_level(logging.INFO)
    broker = Broker(HubConfig(**KINDS[kind]), (Log(),))
    session = opened(broker, Wamp1Session)
    challenge = call(session, "authreq", key)[2]
    call(session, "auth", None if challenge is None else signed(challenge))
    for _ in range(3):
        assert call(session, "ping")[0] == 3
    broker.close(session)
    assert [" ".join(re.findall(r"joined|left|key '.*'", line)) for line in caplog.messages] == words


async def test_recovery_with_a_new_ticket(start: Start, wire: HubClient, clock: Clock) -> None:
    """A new ticket recovers the topics that it covers itself, and not those that the old one covered."""
    hub = await start()
    peer = await holder(wire, hub, "", MINE, NEWS)
    newest = _broker(hub).ids.newest
    await peer.socket.close()
    for topic in (MINE, NEWS):
        await wire.push(hub, f"topicuri={topic}")
    clock.now += 3000
    renewed = ticket(key="users", secret=SECRET, sub="17", topics=[NEWS], now=clock.now)
    peer = await holder(wire, hub, renewed)
    assert await subscribe_reply(peer, MINE, _after=newest) == NOT_COVERED
    assert await subscribe_reply(peer, NEWS, _after=newest) == [33]
    assert (await peer.event())[1] == [[1]]
    await peer.heard()
    clock.now += 3600
    expired = refused("the ticket has expired")
    assert [await subscribe_reply(peer, topic, _after=newest) for topic in (NEWS, MINE)] == [expired, expired]


def _broker(hub: Hub) -> Broker:
    assert hub._handlers is not None
    return hub._handlers._broker


# The end of a ticket


def test_sessions_of_tickets_that_expire_together_end_at_different_times() -> None:
    """Sessions of tickets that expire together end at different times, and none outlives its ticket."""
    draw = random.Random(17).random  # noqa: S311
    for valid, spread in ((3600, 30.0), (60, 6.0)):
        expiring = Ticket("users", "17", (MINE,), NOW, NOW + valid, {})
        ends = sorted(ends_at(expiring, draw()) for _ in range(800))
        assert NOW + valid - spread <= ends[0] < ends[-1] <= NOW + valid
        most = max(sum(begin <= end < begin + spread / 30 for end in ends) for begin in ends)
        assert most < 800 / 10


@pytest.mark.parametrize("jump", [56, 80_000])
async def test_a_session_ends_when_its_ticket_expires(
    start: Start, wire: HubClient, clock: Clock, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session ends when its ticket expires, or when the clock jumps past that. No later event is queued for it."""
    monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.01)
    monkeypatch.setattr(_websocket, "ends_at", lambda expiring, _: ends_at(expiring, 0.8))
    hub = await start()
    peer = await holder(wire, hub, token({**CLAIMS, "exp": NOW + 60}), MINE)
    other = await holder(wire, hub, token({**CLAIMS, "exp": NOW + 86_400}), MINE)
    await wire.push(hub, f"topicuri={MINE}")
    clock.now += jump
    assert (await peer.event())[1] == [[1]]
    assert await peer.receive() == GOODBYE
    await wire.push(hub, f"topicuri={MINE}")
    end = await peer.socket.receive()
    assert (end.type, end.data, end.extra) == (WSMsgType.CLOSE, 1000, "the ticket expires")
    for _ in range(2):
        await other.event()


async def test_an_expired_session_that_does_not_read_ends(
    start: Start, wire: HubClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session whose ticket expires ends even if its subscriber does not read."""
    monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.01)
    monkeypatch.setattr(_websocket, "_CLOSE_TIMEOUT", 0.05)
    hub = await start(max_queue=1 << 26)
    await holder(wire, hub, "", MINE)
    broker = _broker(hub)
    [session] = broker.sessions
    while session.queued < 1 << 20:
        broker.deliver(Publication(MINE, json.dumps("x" * 100_000)))
        await asyncio.sleep(0)
    clock.now += 3600
    await until(lambda: not broker.sessions)


async def test_800_tickets_that_expire_together(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """All sessions end before the tickets expire, spread over 30 seconds, and leave nothing behind."""
    monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.0)
    monkeypatch.setattr(_websocket, "_CLOSE_TIMEOUT", PATIENCE)  # without a connection that could be aborted
    config = HubConfig(ticket_keys={"users": SECRET}, clock=clock)
    broker, turns, draw = Broker(config), Turns(), random.Random(17).random  # noqa: S311
    text = token()
    for _ in range(800):
        session = opened(broker)
        for message in ([1, "realm1", {"authmethods": ["ticket"]}], [5, text, {}], [32, 1, {}, MINE]):
            session.receive(json.dumps(message))
        connection = SubscriberSocket(asyncio.Transport(), session, config, turns)
        assert session.ticket is not None
        connection._end_at(ends_at(session.ticket, draw()))
    seconds = []
    for left in (*range(30, 0, -1), 0.001):
        clock.now = NOW + 3600 - left
        for _ in range(2):
            await asyncio.sleep(0)  # all timers have fired
        broker.deliver(Publication(MINE, "1"))
        ended = [session for session in broker.sessions if session.ending is not None]
        for session in ended:
            assert said(session)[-1] == GOODBYE
            broker.close(session)
        seconds.append(len(ended))
    assert sum(seconds) == 800
    assert max(seconds) < 800 / 15
    assert (len(broker), broker.topics) == (0, {})


async def test_publishing_with_a_ticket(start: Start, wire: HubClient) -> None:
    """A ticket also covers the topics that its subscriber may publish to. Public topics are public only for reading."""
    hub = await start(allow_publish=True, public=[NEWS], max_topic=100)
    peer, stranger, old = await holder(wire, hub), await wire.wamp2_subscriber(hub), await wire.subscriber(hub)
    reader = await holder(wire, hub, "", MINE, NEWS)
    await old.send(7, NEWS, 1)
    await old.heard()
    for each, topic, reply in ((peer, PRIVATE, 8), (peer, MINE, 17), (stranger, NEWS, 8), (stranger, MINE, 8)):
        await each.send(16, 1, {"acknowledge": True}, topic)
        assert (await each.receive())[0] == reply
    await reader.event()
    await reader.heard()


# The hook of the application


def allow(identity: Identity, topic: str) -> bool:
    return True


async def allow_later(identity: Identity, topic: str) -> bool:
    await asyncio.sleep(0)
    return True


def returning(answer: object) -> Callable[[Identity, str], object]:
    return lambda identity, topic: answer


async def returning_later(identity: Identity, topic: str) -> object:
    return 1


def raising(identity: Identity, topic: str) -> bool:
    raise TimeoutError("no database")


async def raising_later(identity: Identity, topic: str) -> bool:
    await asyncio.sleep(0)
    raise TimeoutError("no database")


async def cancelled(identity: Identity, topic: str) -> bool:
    raise asyncio.CancelledError


def cancelled_now(identity: Identity, topic: str) -> bool:
    raise asyncio.CancelledError


async def stubborn(identity: Identity, topic: str) -> bool:
    """Continue after cancellation."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return True


RAISED = f"may_subscribe raised TimeoutError for topic '{MINE}'"
CANCELLED = f"may_subscribe raised CancelledError for topic '{MINE}'"


@pytest.mark.parametrize(
    ("hook", "line"),
    [
        (allow, None),
        (allow_later, None),
        (returning(answer=False), ""),
        (returning(None), f"may_subscribe must return a bool, not NoneType, for topic '{MINE}'"),
        (returning("yes"), f"may_subscribe must return a bool, not str, for topic '{MINE}'"),
        (returning_later, f"may_subscribe must return a bool, not int, for topic '{MINE}'"),
        (raising, RAISED),
        (raising_later, RAISED),
        (cancelled, CANCELLED),
        (cancelled_now, CANCELLED),
        (stubborn, f"may_subscribe took more than 0 s for topic '{MINE}'"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
async def test_the_return_value_of_the_hook(
    hook: object,
    line: str | None,
    version: int,
    start: Start,
    wire: HubClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only `True` allows a subscription.

    Anything other than `True` and `False` is logged as an error of the application.
    """
    monkeypatch.setattr(_application, "_TIMEOUT", 0.02)
    monkeypatch.setattr(_application, "_CLEANUP", 0.02)
    hub = await start(may_subscribe=hook, subscriber_keys=PAGE)
    if version == 1:
        old = await wire.subscriber(hub)
        await authenticate(old)
        await old.subscribe(MINE)
        assert _broker(hub).subscribers(MINE) == (line is None)
    else:
        peer = await holder(wire, hub)
        assert await subscribe_reply(peer, MINE) == ([33] if line is None else refused("the application refuses it"))
        await peer.heard()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ([line] if line else [])
    assert all(bool(record.exc_info) is (line in (RAISED, CANCELLED)) for record in errors)
    assert token() not in caplog.text
    assert "stubborn" not in repr(asyncio.all_tasks())


class Slow:
    """Hooks of an application that always take too long."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[bool]] = []
        self.shared = asyncio.get_running_loop().create_future()
        self.released = asyncio.Event()

    async def polite(self, identity: Identity, topic: str) -> bool:
        """Clean up after cancellation."""
        self.tasks.append(asyncio.current_task())  # type: ignore[arg-type]  # the type of this coroutine
        try:
            return await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)

    async def stubborn(self, identity: Identity, topic: str) -> bool:
        self.tasks.append(asyncio.current_task())  # type: ignore[arg-type]  # the type of this coroutine
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await self.released.wait()
        raise TimeoutError

    def sharing(self, identity: Identity, topic: str) -> asyncio.Future[bool]:
        return self.shared


@pytest.mark.parametrize(("kind", "tasks"), [("polite", 3), ("stubborn", 1), ("sharing", 0)])
async def test_a_hook_that_is_too_slow(
    kind: str, tasks: int, run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscriber has one call of the hook at a time, even if the hook continues after cancellation.

    A future that several calls share is not cancelled. An exception that it has later is not logged.
    """
    monkeypatch.setattr(_application, "_TIMEOUT", 0.01)
    monkeypatch.setattr(_application, "_CLEANUP", 0.01)
    slow = Slow()
    hub = await run(Hub(port=0, may_subscribe=getattr(slow, kind)))
    peer = await wire.wamp2_subscriber(hub)
    for request in range(3):
        await peer.send(32, request, {}, MINE)
    for _ in range(3):
        assert (await peer.receive())[4] == UNAUTHORIZED
    assert (len(slow.tasks), slow.shared.cancelled()) == (tasks, False)
    late, again = "took more than 0 s", "is still running for an earlier topic, so it was not called"
    said_ = [late] * 3 if kind == "polite" else [late, again, again]
    assert caplog.messages == [f"may_subscribe {each} for topic '{MINE}'" for each in said_]
    slow.shared.set_result(True)
    if kind == "sharing":
        await peer.subscribe(MINE)
    await peer.socket.close()
    await until(lambda: not _broker(hub).sessions)
    slow.released.set()
    await asyncio.wait([*slow.tasks, slow.shared])
    slow.tasks.clear()
    gc.collect()
    assert len(caplog.messages) == 3


async def test_the_hook_is_not_called_above_a_limit(run: Run, wire: HubClient) -> None:
    """The hook is not called for a subscription that exceeds a limit."""
    asked_: list[str] = []

    def hook(identity: Identity, topic: str) -> bool:
        asked_.append(topic)
        return True

    hub = await run(Hub(port=0, may_subscribe=hook, max_topic=5, max_subscriptions=1))
    peer = await wire.wamp2_subscriber(hub)
    replies = [await subscribe_reply(peer, topic) for topic in ("a" * 6, "a", "b", "a")]
    assert replies == [
        refused("topic length (6) exceeds maximum (5)"),
        [33],
        refused("number or size of its topics exceeds maximum (1 topics, 256 bytes)"),
        [33],
    ]
    assert asked_ == ["a", "a"]


async def test_the_log_of_errors_of_the_hook_is_limited(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of the hook count for the limit of all lines, and have a traceback at most once a second."""
    now = 0.0
    monkeypatch.setattr(_log, "monotonic", lambda: now)
    session = opened(Broker(HubConfig(may_subscribe=raising), (Log(),)))
    session.receive(json.dumps([1, "realm1", {}]))
    for second, lines in ((0.0, 200), (0.5, 0), (1.0, 200)):
        now = second
        caplog.clear()
        for _ in range(300):
            session.receive(json.dumps([32, 1, {}, MINE]))
            session.take_nowait()
        assert len(caplog.records) == lines
        assert [bool(record.exc_info) for record in caplog.records] == ([True] + [False] * 199)[:lines]


async def test_the_arguments_of_the_hook(start: Start, wire: HubClient) -> None:
    """The hook is called for topics that the rules allow and that are not public, and again for a recovery."""
    questions: list[tuple[Identity, str]] = []

    def hook(*question: *tuple[Identity, str]) -> bool:
        questions.append(question)
        with suppress(TypeError):
            question[0].claims["plan"] = "free"  # type: ignore[index]  # it is read-only
        return len(questions) == 1

    hub = await start(may_subscribe=hook, public=[NEWS], subscriber_keys=PAGE)
    peer, stranger = await holder(wire, hub, token({**CLAIMS, "plan": "pro"})), await wire.wamp2_subscriber(hub)
    assert await subscribe_reply(peer, MINE) == [33]
    newest = _broker(hub).ids.newest
    await wire.push(hub, f"topicuri={MINE}")
    await peer.event()
    assert await subscribe_reply(peer, MINE, _after=newest) == refused("the application refuses it")
    assert (await subscribe_reply(peer, NEWS), await subscribe_reply(peer, PRIVATE)) == ([33], NOT_COVERED)
    assert (await subscribe_reply(stranger, NEWS), (await subscribe_reply(stranger, MINE))[0]) == ([33], 8)
    old = await wire.subscriber(hub)
    await authenticate(old)
    await old.subscribe(PRIVATE)
    identity = questions[0][0]
    assert identity == Identity("17", "subscriber", identity.session, "127.0.0.1", {**CLAIMS, "plan": "pro"})
    assert questions[:2] == [(identity, MINE)] * 2
    assert questions[2:] == [(Identity("page", "subscriber", old.session_id, "127.0.0.1"), PRIVATE)]


class Gate:
    """A hook that returns when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, identity: Identity, topic: str) -> bool:
        self.asked.append(topic)
        if topic == MINE:
            self.arrived.set()
            await self.open.wait()
        return True


async def test_later_messages_wait_for_the_hook(run: Run, wire: HubClient) -> None:
    """While the hook runs, later messages of the same subscriber wait, and those of others do not."""
    gate = Gate()
    hub = await run(Hub(port=0, may_subscribe=gate))
    peer, old, other = await wire.wamp2_subscriber(hub), await wire.subscriber(hub), await wire.wamp2_subscriber(hub)
    await peer.send(32, 1, {}, MINE)
    await peer.send(32, 2, {}, NEWS)
    await peer.send(34, 3, 999)
    await old.send(5, MINE)
    await old.send(2, "call", PROCEDURE + "ping")
    await gate.arrived.wait()
    await other.subscribe(NEWS)
    await wire.push(hub, f"topicuri={NEWS}")
    await other.event()
    assert gate.asked == [MINE, MINE, NEWS]
    gate.open.set()
    assert [(await peer.receive())[:3:2] for _ in range(3)] == [[33, 2], [33, 1], [8, 3]]
    assert await old.receive() == [3, "call", None]
    assert _broker(hub).subscribers(MINE) == 2


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)


@pytest.mark.parametrize("end", ["connection lost", "ticket expired", "ticket expires"])
async def test_a_session_that_ends_while_the_hook_runs(
    end: str,
    start: Start,
    wire: HubClient,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A session that ends, or whose ticket expires, while the hook runs is not subscribed."""
    caplog.set_level(logging.INFO)
    if end == "ticket expires":
        monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.01)
        monkeypatch.setattr(_websocket, "ends_at", lambda expiring, _: ends_at(expiring, 1))
    gate = Gate()
    hub = await start(may_subscribe=gate)
    peer = await holder(wire, hub)
    await peer.send(32, 1, {}, MINE)
    await peer.send(32, 2, {}, NEWS)
    await gate.arrived.wait()
    if end == "connection lost":
        assert peer.socket._response.connection is not None
        transport = peer.socket._response.connection.transport
        assert transport is not None
        transport.abort()
        [socket] = hub._handlers._sockets  # type: ignore[union-attr]
        await until(socket._transport.is_closing)
    elif end == "ticket expires":
        clock.now += 3580  # the other ticket is still valid
        assert await peer.receive() == GOODBYE
    else:
        clock.now += 3600
    gate.open.set()
    if end == "ticket expired":
        assert (await peer.receive())[4:] == [UNAUTHORIZED, ["the ticket has expired"]]
    await peer.socket.close()
    await until(lambda: not _broker(hub).sessions)
    assert gate.asked == [MINE]
    assert caplog.messages[-1].endswith(" s, 0 topics")
