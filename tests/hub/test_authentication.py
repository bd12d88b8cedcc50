"""WAMP-CRA: who may subscribe to a hub that has subscriber keys, and how a wrong guess is penalized."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
import pytest

from webmqconnect_async.hub import Hub, HubConfig, _websocket
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.auth import CallFailed, Procedures
from webmqconnect_async.hub._wamp1.session import Wamp1Session

from .conftest import PATIENCE, PROCEDURE, HubClient, Peer, Run

KEY, SECRET = "page", "a-secret-of-the-tests"
KEYS: dict[str, str | bytes] = {KEY: SECRET, "żółw": b"\xff\x00bytes"}
SESSION = "1234567890123456"
ERROR = "http://api.wamp.ws/error#"
PERMISSIONS = {"pubsub": [{"uri": "", "prefix": True, "pub": False, "sub": True}], "rpc": []}

CHALLENGE = (
    '{"authid": "nonce-0", "authkey": "page", "sessionid": "1234567890123456", "timestamp": "2011-10-14T16:59:51Z"}'
)
SIGNATURE = "t3W8vynEMcXbLrKnvMeh2/uhgzhq0bDsNkDjpJY2HDA="
"""The signature of the challenge by `openssl dgst -sha256 -hmac`."""


def signature(challenge: object, secret: str | bytes = SECRET) -> str:
    assert isinstance(challenge, str)
    secret = secret if isinstance(secret, bytes) else secret.encode()
    return b64encode(hmac.new(secret, challenge.encode(), hashlib.sha256).digest()).decode()


# The pure part


@pytest.fixture
def procedures() -> Procedures:
    numbers = iter(range(100))
    config = HubConfig(subscriber_keys=KEYS, clock=lambda: 1318611591.0)
    return Procedures(SESSION, config, lambda: f"nonce-{next(numbers)}")


def called(procedures: Procedures, name: str, *arguments: object) -> object:
    """Return the result of a call, or the name of its error, after a "late" if the reply is to be delayed."""
    try:
        return json.loads(procedures.call(PROCEDURE + name, tuple(map(json.dumps, arguments))))
    except CallFailed as failure:
        return ("late " if failure.delayed else "") + failure.uri.removeprefix(ERROR)


def test_the_right_signature_authenticates(procedures: Procedures) -> None:
    assert not procedures.admitted
    assert called(procedures, "authreq", KEY) == CHALLENGE
    assert not procedures.admitted
    assert signature(CHALLENGE) == SIGNATURE
    assert called(procedures, "auth", SIGNATURE) == PERMISSIONS
    assert procedures.admitted


def test_a_key_and_a_secret_may_be_anything(procedures: Procedures) -> None:
    challenge = called(procedures, "authreq", "żółw")
    assert isinstance(challenge, str)
    assert challenge.isascii()
    assert json.loads(challenge)["authkey"] == "żółw"
    assert called(procedures, "auth", signature(challenge, KEYS["żółw"])) == PERMISSIONS


WRONG_SIGNATURES = [
    None,
    "",
    "null",
    "ż",
    "\ud800",
    5,
    True,
    1.5,
    {},
    [SIGNATURE],
    {"signature": SIGNATURE},
    SIGNATURE.rstrip("="),
    SIGNATURE + "=",
    SIGNATURE + "\n",
    SIGNATURE.swapcase(),
    SIGNATURE.replace("+", "-").replace("/", "_"),
    b64decode(SIGNATURE).hex(),
    signature(CHALLENGE, SECRET + "x"),
    signature(CHALLENGE + " "),
    SECRET,
]


@pytest.mark.parametrize("wrong", WRONG_SIGNATURES)
def test_a_wrong_signature_is_refused_and_ends_the_attempt(procedures: Procedures, wrong: object) -> None:
    assert called(procedures, "authreq", KEY) == CHALLENGE
    assert called(procedures, "auth", wrong) == "late invalid-signature"
    for _ in range(2):
        assert called(procedures, "auth", SIGNATURE) == "no-authentication-requested"
        procedures.failure_sent()
    assert not procedures.admitted


def test_a_signature_of_an_earlier_challenge_is_refused(procedures: Procedures) -> None:
    assert called(procedures, "authreq", KEY) == CHALLENGE
    assert called(procedures, "auth", "wrong") == "late invalid-signature"
    procedures.failure_sent()
    second = called(procedures, "authreq", KEY)
    assert second == CHALLENGE.replace("nonce-0", "nonce-1")
    assert called(procedures, "auth", SIGNATURE) == "late invalid-signature"
    procedures.failure_sent()
    assert called(procedures, "auth", signature(called(procedures, "authreq", KEY))) == PERMISSIONS


@pytest.mark.parametrize(
    "key", ["", "other", "PAGE", "page ", "null", "\ud800", 5, 0, False, 1e300, [], {}, [KEY], {KEY: 1}]
)
def test_an_unknown_key_is_refused(procedures: Procedures, key: object) -> None:
    assert called(procedures, "authreq", key) == "late no-such-authkey"
    assert called(procedures, "auth", "x") == "no-authentication-requested"
    assert not procedures.admitted


def test_the_order_of_the_checks(procedures: Procedures) -> None:
    def both(*errors: str) -> None:
        """Check how `auth` and `authreq` reply to arguments that are wrong in every other respect."""
        assert (called(procedures, "auth", 5), called(procedures, "authreq", 5)) == errors

    assert called(procedures, "auth", SIGNATURE) == "no-authentication-requested"
    assert called(procedures, "authreq", None, {"extra": 1}) == "anonymous-auth-forbidden"
    assert called(procedures, "authreq") == "anonymous-auth-forbidden"
    both("no-authentication-requested", "late no-such-authkey")
    both("no-authentication-requested", "authentication-already-requested")
    assert called(procedures, "authreq", KEY) == "authentication-already-requested"
    procedures.failure_sent()
    assert isinstance(challenge := called(procedures, "authreq", KEY), str)
    assert called(procedures, "authreq") == "authentication-already-requested"
    assert called(procedures, "auth") == "late invalid-signature"
    both("no-authentication-requested", "authentication-already-requested")
    assert called(procedures, "auth", signature(challenge)) == "no-authentication-requested"
    procedures.failure_sent()
    assert called(procedures, "auth", signature(called(procedures, "authreq", KEY))) == PERMISSIONS
    both("already-authenticated", "already-authenticated")
    assert called(procedures, "authreq") == "already-authenticated"
    assert called(procedures, "nonsense") == "NoSuchRPCEndpoint"


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ({"a": 1, "ż": ["\ud800"]}, True),
        ({}, True),
        ({"x": "x" * 500}, False),
        (None, False),
        ([1], False),
        ("{", False),
        (5, False),
        ({"authextra": {"salt": "s"}, "authkey": "other"}, True),
    ],
)
def test_the_challenge_contains_a_small_authextra_of_the_client(
    procedures: Procedures, extra: object, kept: bool
) -> None:
    """The challenge contains `authextra` if it is a small object, but none of the hub, which would offer a salt."""
    challenge = called(procedures, "authreq", KEY, extra)
    assert isinstance(challenge, str)
    assert json.loads(challenge) == json.loads(CHALLENGE) | ({"extra": extra} if kept else {})
    assert called(procedures, "auth", signature(challenge)) == PERMISSIONS


# With sessions


@pytest.fixture
def broker() -> Broker:
    return Broker(HubConfig(subscriber_keys=KEYS, allow_publish=True, clock=lambda: 1318611591.0))


def message_of(session: Session) -> list[object]:
    """Return the only message in a session's queue, or nothing if it is empty. The message has less than 64 kB."""
    frame = session.take_nowait()
    message: list[object] = json.loads(frame[2 if frame[1] < 126 else 4 :]) if frame else []
    return message


def opened(broker: Broker) -> Session:
    session = broker.open(Wamp1Session, drop=lambda: pytest.fail("dropped"))
    assert message_of(session)[0] == 0
    return session


def authenticate(broker: Broker, session: Session) -> str:
    """Begin to authenticate, and return the challenge."""
    assert session.receive(json.dumps([2, "1", PROCEDURE + "authreq", KEY])) is None
    _, _, challenge = message_of(session)
    assert isinstance(challenge, str)
    assert session.receive(json.dumps([2, "2", PROCEDURE + "auth", signature(challenge)])) is None
    assert message_of(session)[0] == 3
    return challenge


def test_before_authentication_nothing_is_subscribed_or_published(broker: Broker) -> None:
    stranger, member = opened(broker), opened(broker)
    authenticate(broker, member)
    member.receive('[5,"t"]')
    for text in ('[5,"t"]', '[7,"t",1]', '[7,"t",1,[],[]]', '[6,"t"]', "nonsense"):
        assert stranger.receive(text) is None
    assert broker.deliver(Publication("t", "2")) == 1
    assert (message_of(member), message_of(stranger)) == ([8, "t", 2], [])


def test_prefix_ping_and_echo_need_no_authentication(broker: Broker) -> None:
    stranger = opened(broker)
    stranger.receive(json.dumps([1, "api", PROCEDURE]))
    stranger.receive('[2,"1","api:ping"]')
    assert message_of(stranger) == [3, "1", None]
    stranger.receive('[2,"2","api:echo","x"]')
    assert message_of(stranger) == [3, "2", "x"]


def test_after_authentication_everything_is_as_for_anonymous_subscribers(broker: Broker) -> None:
    session = opened(broker)
    session.receive('[1,"ex","http://example.com/"]')
    authenticate(broker, session)
    session.receive('[5,"ex:t"]')
    assert broker.deliver(Publication("http://example.com/t", "1")) == 1
    assert message_of(session) == [8, "http://example.com/t", 1]
    session.receive('[7,"ex:t",2,false]')
    assert message_of(session) == [8, "http://example.com/t", 2]
    session.receive('[6,"ex:t"]')
    assert broker.deliver(Publication("http://example.com/t", "3")) == 0


def test_challenges_are_unique_and_random(broker: Broker) -> None:
    challenges = []
    for _ in range(100):
        session = opened(broker)
        challenges.append(json.loads(authenticate(broker, session)))
        assert challenges[-1]["sessionid"] == session.id
    nonces = {challenge["authid"] for challenge in challenges}
    assert len(nonces) == 100
    assert all(len(urlsafe_b64decode(nonce + "==")) >= 16 for nonce in nonces)


def test_the_reply_to_a_failure_is_sent_when_the_caller_allows_it(broker: Broker) -> None:
    session = opened(broker)
    answer = session.receive(json.dumps([2, "1", PROCEDURE + "authreq", "unknown"]))
    assert callable(answer)
    assert message_of(session) == []
    session.receive(json.dumps([2, "2", PROCEDURE + "authreq", KEY]))
    assert message_of(session)[:3] == [4, "2", ERROR + "authentication-already-requested"]
    answer()
    assert message_of(session) == [4, "1", ERROR + "no-such-authkey", "no such key"]
    authenticate(broker, session)


# Over the wire


@pytest.fixture
async def hub(run: Run) -> Hub:
    return await run(Hub(port=0, subscriber_keys=KEYS))


async def member(wire: HubClient, hub: Hub, *topics: str) -> Peer:
    """Return a subscriber that has authenticated."""
    peer = await wire.subscriber(hub)
    challenge = (await peer.call("authreq", KEY))[2]
    assert (await peer.call("auth", signature(challenge)))[2] == PERMISSIONS
    await peer.subscribe(*topics)
    return peer


def far_timers() -> int:
    """Return how many timers of the running loop are due in more than a quarter of an hour."""
    loop = asyncio.get_running_loop()
    return sum(timer.when() > loop.time() + 900 and not timer.cancelled() for timer in vars(loop)["_scheduled"])


@pytest.fixture
def penalties(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Delay each failure by the next number of seconds in this list; it is empty when all were used."""
    penalties: list[float] = []
    monkeypatch.setattr(_websocket, "_penalty", lambda: penalties.pop(0))
    yield penalties
    assert penalties == []


async def test_events_reach_authenticated_subscribers(hub: Hub, wire: HubClient) -> None:
    stranger, peer = await wire.subscriber(hub), await member(wire, hub, "t")
    await stranger.subscribe("t")
    await wire.push(hub, "topicuri=t")
    assert await peer.receive() == [8, "t", 1]
    await stranger.heard()


async def test_replies_to_failures_are_delayed(hub: Hub, wire: HubClient, penalties: list[float]) -> None:
    peer = await wire.subscriber(hub)
    penalties += [0.0, 0.0]
    assert (await peer.call("authreq", "unknown"))[2] == ERROR + "no-such-authkey"
    assert (await peer.call("authreq", KEY))[0] == 3
    assert (await peer.call("auth", "wrong"))[2] == ERROR + "invalid-signature"
    challenge = (await peer.call("authreq", KEY))[2]
    assert (await peer.call("auth", signature(challenge)))[2] == PERMISSIONS


async def test_a_delayed_reply_delays_nothing_else(hub: Hub, wire: HubClient, penalties: list[float]) -> None:
    """A delayed reply delays neither other subscribers nor other calls, and another attempt is refused meanwhile."""
    peer, other = await wire.subscriber(hub), await member(wire, hub, "t")
    penalties.append(3600.0)
    await peer.send(2, "late", PROCEDURE + "authreq", "unknown")
    await peer.heard()
    assert far_timers() == 1
    assert (await peer.call("authreq", KEY))[2] == ERROR + "authentication-already-requested"
    assert (await peer.call("auth", "x"))[2] == ERROR + "no-authentication-requested"
    await wire.push(hub, "topicuri=t")
    assert await other.receive() == [8, "t", 1]
    await member(wire, hub)


async def test_a_delayed_reply_is_cancelled_when_its_connection_ends(
    hub: Hub, wire: HubClient, penalties: list[float]
) -> None:
    peer, other = await wire.subscriber(hub), await wire.subscriber(hub)
    penalties += [3600.0, 3600.0]
    for each in (peer, other):
        await each.send(2, "late", PROCEDURE + "authreq", "unknown")
        await each.heard()
    assert far_timers() == 2
    await peer.socket.close()
    async with asyncio.timeout(PATIENCE):
        while far_timers() == 2:
            await other.heard()
    closing = asyncio.create_task(hub.close())
    assert await other.end() == 1001
    await closing
    assert far_timers() == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_penalties_are_random_and_never_small() -> None:
    penalties = [_websocket._penalty() for _ in range(1000)]
    assert len(set(penalties)) > 900
    assert 0.4 <= min(penalties) <= max(penalties) <= 1.2
    assert 0.75 < sum(penalties) / 1000 < 0.85  # at most six standard deviations above or below


async def test_an_unauthenticated_connection_is_closed_after_a_while(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await run(Hub(port=0, subscriber_keys=KEYS, max_connections=2))
    peer = await member(wire, hub, "t")
    with monkeypatch.context() as patched:
        patched.setattr(_websocket, "_JOIN_TIMEOUT", 0.0)
        stranger = await wire.connect(hub.ws_url)
        assert (await stranger.receive())[0] == 0
        message = await stranger.socket.receive(timeout=PATIENCE)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert message.extra == "no HELLO or no authentication within 0 s"
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.WSServerHandshakeError):
                await member(wire, hub)
                break
    await wire.push(hub, "topicuri=t")
    assert await peer.receive() == [8, "t", 1]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_only_unauthenticated_connections_have_a_timeout(
    run: Run, wire: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_websocket, "_JOIN_TIMEOUT", 3600.0)
    anonymous = await wire.connect((await run(Hub(port=0))).ws_url)
    assert (await anonymous.receive())[0] == 0
    assert far_timers() == 0
    hub = await run(Hub(port=0, subscriber_keys=KEYS))
    await member(wire, hub)
    assert far_timers() == 0
    stranger = await wire.subscriber(hub)
    assert far_timers() == 1
    await stranger.call("authreq", KEY)
    await stranger.call("auth", "wrong")
    assert far_timers() == 1


async def test_no_secret_is_stored(
    hub: Hub, wire: HubClient, penalties: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """No secret is stored or shown, not even a wrong guess, which may be right elsewhere."""
    penalties += [0.0, 0.0]
    with caplog.at_level(logging.DEBUG):
        peer = await wire.subscriber(hub)
        answers = [await peer.call("authreq", "a-password-in-the-wrong-field")]
        challenge = (await peer.call("authreq", KEY))[2]
        answers.append(await peer.call("auth", signature(challenge)[1:]))
        challenge = (await peer.call("authreq", KEY))[2]
        answers.append(await peer.call("auth", signature(challenge)))
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [message.rpartition("failed to authenticate: ")[2] for message in logged] == [
        "no such key",
        "wrong signature",
    ]
    texts = caplog.text + repr(answers) + repr(hub) + repr(vars(hub))
    for secret in (SECRET, signature(challenge), signature(challenge)[1:], "a-password", "authid", r"\xff\x00bytes"):
        assert secret not in texts
