"""WAMP v2 sessions without a socket: authentication, messages, and events that reach both WAMP versions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from itertools import count, pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async.hub import HubConfig
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._log import Log
from webmqconnect_async.hub._publication import Publication, Receivers
from webmqconnect_async.hub._pushes.verdicts import Refused
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._wamp2.auth import Challenged, Joined, Joining, Refusal
from webmqconnect_async.hub._wamp2.messages import Hello
from webmqconnect_async.hub._wamp2.session import Wamp2Session
from webmqconnect_async.hub._websocket import PROTOCOLS

from .conftest import said

KEY, SECRET = "page", "a-secret-of-the-tests"
CHALLENGED_AT = 1318611591.0
HELLO = '[1,"realm1",{"roles":{"subscriber":{}}}]'
VIOLATION = "wamp.error.protocol_violation"
TOPIC = "com.example.topic"


def answer(challenge: str, secret: str = SECRET) -> str:
    """Return the reply to a challenge, computed with the standard library only."""
    return base64.b64encode(hmac.digest(secret.encode(), challenge.encode(), hashlib.sha256)).decode()


def opened(broker: Broker) -> Session:
    """Return a WAMP v2 session on which nothing has been sent yet."""
    return broker.open(Wamp2Session, drop=lambda: pytest.fail("dropped"))


def joined(broker: Broker) -> Session:
    """Return an anonymous WAMP v2 session whose WELCOME has been read."""
    session = opened(broker)
    assert ask(session, HELLO)[0] == 2
    return session


def old(broker: Broker) -> Session:
    """Return a WAMP v1 session whose WELCOME has been read."""
    session = broker.open(Wamp1Session, drop=lambda: pytest.fail("dropped"))
    assert said(session)[0][0] == 0
    return session


def ask(session: Session, *message: object) -> list[object]:
    """Send a message, given as text or as its fields, and return the only reply; an empty list if there is none."""
    text = message[0] if isinstance(message[0], str) else json.dumps(message)
    assert session.receive(text) is None
    answers = said(session)
    assert len(answers) <= 1
    return answers[0] if answers else []


def subscribed(session: Session, topic: str = TOPIC) -> int:
    """Subscribe and return the ID of the subscription."""
    if session.subprotocol == "wamp":
        assert ask(session, 5, topic) == []
        return 0
    kind, request, subscription = ask(session, 32, 7, {}, topic)
    assert (kind, request) == (33, 7)
    assert isinstance(subscription, int)
    return subscription


@pytest.fixture
def broker() -> Broker:
    return Broker(HubConfig(allow_publish=True))


@pytest.fixture
def guarded() -> Broker:
    """Return a broker that requires a key."""
    return Broker(HubConfig(subscriber_keys={KEY: SECRET}, clock=lambda: CHALLENGED_AT), (Log(),))


# HELLO and authentication


def test_the_hub_sends_nothing_before_hello(broker: Broker) -> None:
    session = opened(broker)
    assert (said(session), session.admitted, session.ending) == ([], False, None)


@pytest.mark.parametrize("details", [{}, {"authmethods": []}, {"authmethods": ["wampcra", "anonymous"], "authid": "x"}])
@pytest.mark.parametrize("realm", ["realm1", "com.example.ü", ""])
def test_an_anonymous_client_is_accepted_in_any_realm(broker: Broker, realm: str, details: object) -> None:
    session = opened(broker)
    kind, session_id, welcome = ask(session, 1, realm, details)
    assert (kind, str(session_id), session.admitted) == (2, session.id, True)
    assert isinstance(welcome, dict)
    assert welcome.pop("roles")["broker"]["features"].keys() == {
        *("subscriber_blackwhite_listing", "publisher_exclusion", "event_retention")
    }
    extensions = {name: welcome.pop(name) for name in ("_any_topic", "_newest", "_history")}
    assert extensions == {"_any_topic": True, "_newest": broker.ids.newest, "_history": broker.history_id}
    assert welcome == {"realm": realm, "authid": session.id, "authrole": "anonymous", "authmethod": "anonymous"}


def test_a_client_that_tries_to_authenticate_does_not_join_as_anonymous(broker: Broker) -> None:
    session = opened(broker)
    reply = ask(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": KEY})
    assert reply == [
        3,
        {"message": "this hub has no subscriber keys; join as anonymous"},
        "wamp.error.no_matching_auth_method",
    ]
    assert (session.ending, session.admitted) == ((1000, ""), False)


@pytest.mark.parametrize(
    "details",
    [{}, {"authmethods": ["anonymous"]}, {"authmethods": ["scram"], "authid": KEY}, {"authmethods": ["wampcra"]}],
)
def test_a_hub_with_keys_requires_a_key(guarded: Broker, details: object) -> None:
    session = opened(guarded)
    reply = ask(session, 1, "realm1", details)
    said_ = "subscribers of this hub need a key (wampcra)"
    assert reply == [3, {"message": said_}, "wamp.error.no_matching_auth_method"]
    assert (session.ending, session.admitted) == ((1000, ""), False)


def challenged(session: Session, key: str = KEY) -> str:
    """Return the challenge."""
    kind, method, extra = ask(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": key})
    assert (kind, method) == (4, "wampcra")
    assert isinstance(extra, dict)
    assert list(extra) == ["challenge"]
    assert isinstance(extra["challenge"], str)
    return extra["challenge"]


def test_the_right_signature_opens_the_session(guarded: Broker) -> None:
    session = opened(guarded)
    challenge = challenged(session)
    assert not session.admitted
    received = json.loads(challenge)
    assert len(base64.urlsafe_b64decode(received.pop("nonce") + "==")) >= 16
    assert received == {
        "authid": KEY,
        "authrole": "subscriber",
        "authmethod": "wampcra",
        "authprovider": "static",
        "session": int(session.id),
        "timestamp": "2011-10-14T16:59:51Z",
    }
    kind, session_id, welcome = ask(session, 5, answer(challenge), {})
    assert (kind, str(session_id)) == (2, session.id)
    assert isinstance(welcome, dict)
    assert (welcome["authid"], welcome["authrole"], welcome["authmethod"]) == (KEY, "subscriber", "wampcra")
    assert (session.admitted, session.authid, session.authrole) == (True, KEY, "subscriber")


@pytest.mark.parametrize(
    ("key", "sign"),
    [
        (KEY, lambda challenge: answer(challenge, "another")),
        (KEY, lambda challenge: answer(challenge)[:-1]),
        (KEY, lambda challenge: "é\ud800"),
        (KEY, lambda challenge: ""),
        ("unknown", answer),
        ("unknown", lambda challenge: ""),
        ("", lambda challenge: "x"),
        ("\ud800", lambda challenge: "x"),
    ],
)
def test_a_wrong_signature_and_an_unknown_key_get_the_same_delayed_reply(
    guarded: Broker, key: str, sign: Callable[[str], str]
) -> None:
    session = opened(guarded)
    challenge = challenged(session, key)
    assert json.loads(challenge)["authid"] == key
    assert json.loads(challenge).keys() == json.loads(challenged(opened(guarded))).keys()
    late = session.receive(json.dumps([5, sign(challenge), {}]))
    assert callable(late)
    assert (said(session), session.ending, session.admitted) == ([], None, False)
    late()
    refused = [3, {"message": "no such key, or a wrong signature"}, "wamp.error.authentication_failed"]
    assert (said(session), session.ending, session.admitted) == ([refused], (1000, ""), False)


@pytest.mark.parametrize(
    "second", ["right", [1, "realm1", {"authmethods": ["wampcra"], "authid": KEY}], [3, {}, "x"], []]
)
def test_nothing_shortens_a_delayed_reply(guarded: Broker, second: list[object] | str) -> None:
    """No message shortens the delay, because guessing would be fast otherwise: no correct signature, HELLO or ABORT."""
    session = opened(guarded)
    challenge = challenged(session)
    late = session.receive('[5,"wrong",{}]')
    assert callable(late)
    message = [5, answer(challenge), {}] if second == "right" else second
    assert session.receive(json.dumps(message)) is None
    assert (said(session), session.ending) == ([], None)
    late()
    (reply,) = said(session)
    assert (reply[0], reply[2], session.admitted) == (3, "wamp.error.authentication_failed", False)
    assert session.ending == (1000, "")


def test_a_challenge_is_valid_for_one_session(guarded: Broker) -> None:
    """A reply that was intercepted opens no other session."""
    first, second = opened(guarded), opened(guarded)
    overheard = answer(challenged(first))
    assert answer(challenged(second)) != overheard
    assert second.receive(json.dumps([5, overheard, {}])) is not None
    assert ask(first, 5, overheard, {})[0] == 2
    assert ask(first, 5, overheard, {})[2] == VIOLATION


def test_a_challenge_is_valid_until_the_first_reply(guarded: Broker) -> None:
    session = opened(guarded)
    challenged(session)
    reply = ask(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": KEY})
    assert (reply[2], session.ending) == (VIOLATION, (1002, ""))


def test_challenges_are_unique(guarded: Broker) -> None:
    assert len({json.loads(challenged(opened(guarded)))["nonce"] for _ in range(100)}) == 100


def test_a_client_may_abort_after_the_challenge(guarded: Broker) -> None:
    session = opened(guarded)
    challenged(session)
    assert ask(session, 3, {}, "wamp.close.normal") == []
    assert session.ending == (1000, "")


@pytest.mark.parametrize(
    "text",
    [
        *('[32,1,{},"t"]', "[34,1,1]", '[16,1,{},"t"]', '[48,1,{},"p"]', '[6,{},"x"]', '[5,"x",{}]'),
        *("x", "[]", "[99]", "[2,1,{}]", '[1,"realm1"]', '[5,"t"]', '[2,"1","p"]'),
    ],
)
def test_a_message_before_hello_ends_the_connection(broker: Broker, guarded: Broker, text: str) -> None:
    for each in (broker, guarded):
        session = opened(each)
        reply = ask(session, text)
        assert (reply[0], reply[2]) == (3, VIOLATION)
        assert (session.ending, session.admitted, session.subscribed) == ((1002, ""), False, set())


def test_an_abort_before_hello_gets_no_reply(broker: Broker) -> None:
    session = opened(broker)
    assert ask(session, 3, {}, "wamp.close.normal") == []
    assert session.ending == (1000, "")


def joining_with(keys: dict[str, str], nonce: Callable[[], str] = lambda: "x") -> Joining:
    return Joining("7", HubConfig(subscriber_keys=keys, clock=lambda: CHALLENGED_AT), nonce)


def test_joining_step_by_step() -> None:
    nonces = map(str, count())
    joining = joining_with({KEY: SECRET}, nonce=lambda: next(nonces))
    assert joining.authenticate("") is None
    challenge = joining.hello(Hello("r", ("wampcra",), KEY))
    assert isinstance(challenge, Challenged)
    assert joining.hello(Hello("r", ("wampcra",), KEY)) is None
    assert joining.authenticate(answer(challenge.extra["challenge"])) == Joined("r", "wampcra", KEY)
    assert joining.authenticate(answer(challenge.extra["challenge"])) is None
    anonymous = joining_with({})
    assert anonymous.hello(Hello("r", (), None)) == Joined("r", "anonymous")
    assert isinstance(anonymous.hello(Hello("r", ("wampcra",), KEY)), Refusal)


def test_no_secret_is_stored(guarded: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        good, bad = opened(guarded), opened(guarded)
        right, wrong = answer(challenged(good)), answer(challenged(bad), "a-password")
        ask(good, 5, right, {})
        late = bad.receive(json.dumps([5, wrong, {}]))
        assert callable(late)
        late()
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert logged == [f"subscriber {bad.id} at ? failed to authenticate: no such key, or a wrong signature"]
    joining = joining_with({KEY: SECRET})
    shown = caplog.text + repr(said(bad)) + repr(good) + repr(bad) + repr(joining)
    for secret in (SECRET, right, wrong, "a-password"):
        assert secret not in shown


# Topics


def test_subscribing_and_unsubscribing(broker: Broker) -> None:
    session = joined(broker)
    subscription = subscribed(session)
    assert ask(session, 32, 8, {"match": "exact"}, TOPIC) == [33, 8, subscription]
    assert broker.deliver(Publication(TOPIC, "1")) == 1
    assert said(session) == [[36, subscription, broker.ids.newest, {}, [1]]]
    assert ask(session, 34, 9, subscription) == [35, 9]
    assert broker.deliver(Publication(TOPIC, "2")) == 0
    assert ask(session, 34, 10, subscription)[::4] == [8, "wamp.error.no_such_subscription"]
    assert (said(session), session.subscribed, broker._topics) == ([], set(), {})


def test_all_subscriptions_to_a_topic_have_the_same_id(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    old_one = old(broker)
    subscribed(old_one)
    assert subscribed(a) == subscribed(b) == subscribed(a)
    assert subscribed(a, "other") not in (subscribed(a), 0)


def test_a_session_cannot_end_the_subscription_of_another(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    subscription = subscribed(a)
    assert ask(b, 34, 1, subscription)[4] == "wamp.error.no_such_subscription"
    assert broker.deliver(Publication(TOPIC, "1")) == 1


def test_a_topic_without_subscribers_gets_a_new_id(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    first = subscribed(a)
    assert ask(a, 34, 1, first) == [35, 1]
    assert subscribed(b) != first
    assert ask(a, 34, 1, first)[4] == "wamp.error.no_such_subscription"


@pytest.mark.parametrize("match", ["prefix", "wildcard", "Exact", "", None, 5, ["exact"]])
def test_only_exact_matching_is_supported(broker: Broker, match: object) -> None:
    session = joined(broker)
    reply = ask(session, 32, 1, {"match": match}, "com.example.")
    assert reply == [8, 32, 1, {}, "wamp.error.option_not_allowed", ["this hub supports only exact matches of topics"]]
    assert session.subscribed == set()


@pytest.mark.parametrize("topic", ["", "a b", "a..b", "a#", ".a", "a.", "\n"])
def test_any_text_is_a_topic(broker: Broker, topic: str) -> None:
    """Any text is a topic, as in WAMP v1, so that a page can prefer v2. WELCOME says so."""
    session = joined(broker)
    subscription = subscribed(session, topic)
    broker.deliver(Publication(topic, "1"))
    assert said(session) == [[36, subscription, broker.ids.newest, {}, [1]]]


def test_the_limits_of_topics() -> None:
    broker = Broker(HubConfig(max_subscriptions=2, max_topic=10))
    session = joined(broker)
    first = subscribed(session, "a")
    subscribed(session, "b" * 10)
    for topic in ("c", "d" * 11):
        error, reason = ask(session, 32, 1, {}, topic)[4:]
        assert (error, "exceeds maximum" in str(reason)) == ("wamp.error.not_authorized", True)
    assert subscribed(session, "a") == first
    assert ask(session, 34, 1, first) == [35, 1]
    subscribed(session, "c")
    assert session.subscribed == {"b" * 10, "c"}


def test_a_closed_session_leaves_no_subscriptions(broker: Broker) -> None:
    session, other, old_one = joined(broker), joined(broker), old(broker)
    for each in (session, other, old_one):
        subscribed(each)
    broker.close(session)
    assert broker.deliver(Publication(TOPIC, "1")) == 2
    broker.close(other)
    assert broker.deliver(Publication(TOPIC, "1")) == 1
    broker.close(old_one)
    assert (broker.deliver(Publication(TOPIC, "1")), len(broker), broker._topics) == (0, 0, {})


# One event for both WAMP versions


def test_an_event_reaches_both_wamp_versions(broker: Broker) -> None:
    new, newer, old_one, stranger = joined(broker), joined(broker), old(broker), joined(broker)
    subscription = subscribed(new)
    for each in (newer, old_one):
        subscribed(each)
    assert broker.deliver(Publication(TOPIC, '{"n": 1.10}')) == 3
    assert new._queue[0] is newer._queue[0]
    (event,) = said(new)
    assert event[:2] == [36, subscription]
    assert isinstance(event[2], int)
    assert 1 <= event[2] <= 2**53
    assert event[3:] == [{}, [{"n": 1.1}]]
    assert (said(newer), said(old_one), said(stranger)) == ([event], [[8, TOPIC, {"n": 1.1}]], [])


def test_ids_of_events_increase(broker: Broker) -> None:
    session = joined(broker)
    subscribed(session)
    for _ in range(100):
        broker.deliver(Publication(TOPIC, "1"))
    ids = [cast(int, event[2]) for event in said(session)]
    assert all(earlier < later for earlier, later in pairwise(ids))
    assert ids[-1] == broker.ids.newest < 2**53


@pytest.mark.parametrize(
    ("args", "kwargs", "new", "old_"),
    [
        ([1], {}, [[1]], 1),
        ([], {}, [[]], {"args": [], "kwargs": {}}),
        ([1, "ü"], {}, [[1, "ü"]], {"args": [1, "ü"], "kwargs": {}}),
        ([1], {"a": 2}, [[1], {"a": 2}], {"args": [1], "kwargs": {"a": 2}}),
        ([], {"a": 2}, [[], {"a": 2}], {"args": [], "kwargs": {"a": 2}}),
    ],
)
def test_the_form_of_an_event_in_each_wamp_version(
    broker: Broker, args: list[object], kwargs: dict[str, object], new: list[object], old_: object
) -> None:
    """WAMP v1 has only single values, so several arguments become an object."""
    publisher, subscriber, old_one = joined(broker), joined(broker), old(broker)
    for each in (subscriber, old_one):
        subscribed(each)
    assert ask(publisher, 16, 1, {}, TOPIC, args, kwargs) == []
    assert [event[4:] for event in said(subscriber)] == [new]
    assert said(old_one) == [[8, TOPIC, old_]]


def test_session_ids_select_sessions_of_both_versions(broker: Broker) -> None:
    new, old_one, third = joined(broker), old(broker), joined(broker)
    everybody = [new, old_one, third]
    for each in everybody:
        subscribed(each)
    a, b = new.id, old_one.id
    for eligible, exclude, receivers in [
        (None, set[str](), everybody),
        ({a, b}, set(), [new, old_one]),
        (None, {a, b}, [third]),
        ({a, b}, {a}, [old_one]),
        ({b}, set(), [old_one]),
        (set(), set(), []),
        ({"unknown"}, set(), []),
    ]:
        only = None if eligible is None else frozenset(eligible)
        assert broker.deliver(Publication(TOPIC, "1", only, frozenset(exclude))) == len(receivers)
        assert [each for each in everybody if said(each)] == receivers


def test_session_ids_of_wamp_v2_are_integers(broker: Broker) -> None:
    new, old_one, publisher = joined(broker), old(broker), joined(broker)
    for each in (new, old_one, publisher):
        subscribed(each)
    ask(publisher, 16, 1, {"eligible": [int(old_one.id), int(publisher.id)]}, TOPIC, [1])
    assert [each for each in (new, old_one, publisher) if said(each)] == [old_one]
    publisher.receive(json.dumps([16, 1, {"exclude": [int(old_one.id)], "exclude_me": False}, TOPIC, [1]]))
    assert [each for each in (new, old_one, publisher) if said(each)] == [new, publisher]
    ask(old_one, 7, TOPIC, 1, [], [new.id])
    assert [each for each in (new, old_one, publisher) if said(each)] == [new]


def test_authid_and_authrole_select_subscribers() -> None:
    """Authids and authroles select subscribers: anonymous ones by their session IDs, others by their keys."""
    broker = Broker(HubConfig(subscriber_keys={"a": SECRET, "b": SECRET}))
    new, old_one = opened(broker), old(broker)
    ask(new, 5, answer(challenged(new, "a")), {})
    challenge = ask(old_one, 2, "1", "http://api.wamp.ws/procedure#authreq", "b")[2]
    assert isinstance(challenge, str)
    ask(old_one, 2, "2", "http://api.wamp.ws/procedure#auth", answer(challenge))
    anonymous = Broker(HubConfig())
    alice, bob = joined(anonymous), old(anonymous)
    for hub, a, b, names, role in [
        (broker, new, old_one, ["a", "b"], "subscriber"),
        (anonymous, alice, bob, [alice.id, bob.id], "anonymous"),
    ]:
        subscribed(a)
        subscribed(b)
        for authid, authrole, receivers in [
            (Receivers(frozenset(names[:1])), None, [a]),
            (Receivers(frozenset(names)), None, [a, b]),
            (Receivers(exclude=frozenset(names[:1])), None, [b]),
            (Receivers(frozenset(names), frozenset(names[1:])), None, [a]),
            (Receivers(frozenset({"unknown"})), None, []),
            (None, Receivers(frozenset({role})), [a, b]),
            (None, Receivers(frozenset({"another"})), []),
            (None, Receivers(exclude=frozenset({role})), []),
            (Receivers(frozenset(names[:1])), Receivers(exclude=frozenset({"another"})), [a]),
        ]:
            publication = Publication(TOPIC, "1", authid=authid, authrole=authrole)
            assert hub.deliver(publication) == len(receivers)
            assert [each for each in (a, b) if said(each)] == receivers
        assert hub.deliver(Publication(TOPIC, "1", frozenset({b.id}), authid=Receivers(frozenset(names[:1])))) == 0


def test_a_full_queue_drops_only_its_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(max_queue=10_000), (Log(),))
    dropped: list[str] = []
    slow = broker.open(Wamp2Session, drop=lambda: dropped.append("slow"))
    ask(slow, HELLO)
    quick, old_one = joined(broker), old(broker)
    for each in (slow, quick, old_one):
        subscribed(each)
    for number in range(100):
        broker.deliver(Publication(TOPIC, json.dumps([number, "x" * 200])))
        assert [event[4] for event in said(quick)] == [[[number, "x" * 200]]]
        assert said(old_one) == [[8, TOPIC, [number, "x" * 200]]]
    assert dropped == ["slow"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert slow.take_nowait() == b""


# Publishing


def test_publishing_with_and_without_acknowledgement(broker: Broker) -> None:
    publisher, subscriber = joined(broker), joined(broker)
    subscribed(subscriber)
    subscribed(publisher)
    assert ask(publisher, 16, 1, {}, TOPIC, [1]) == []
    kind, request, publication = ask(publisher, 16, 2, {"acknowledge": True}, TOPIC, [2])
    assert (kind, request) == (17, 2)
    first, second = said(subscriber)
    assert (first[4], second[4], second[2]) == ([1], [2], publication)
    assert first[2] != publication


@pytest.mark.parametrize(("status", "error"), [(503, "webmq.error.not_published"), (502, "webmq.error.unconfirmed")])
def test_publishing_while_the_engine_fails(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, status: int, error: str
) -> None:
    monkeypatch.setattr(broker.engine, "publish", lambda _: Refused(status, "away"))
    publisher = joined(broker)
    assert ask(publisher, 16, 1, {}, TOPIC, [1]) == []
    assert ask(publisher, 16, 2, {"acknowledge": True}, TOPIC, [2]) == [8, 16, 2, {}, error, ["away"]]


def test_an_event_without_subscribers_is_published(broker: Broker) -> None:
    assert ask(joined(broker), 16, 2, {"acknowledge": True}, TOPIC)[:2] == [17, 2]


def test_empty_lists_of_receivers_are_ignored(broker: Broker) -> None:
    """Empty lists in a PUBLISH are ignored, as by Crossbar.io: all subscribers of the topic get the event."""
    publisher, subscriber = joined(broker), joined(broker)
    subscribed(subscriber)
    names = ("eligible", "exclude", "eligible_authid", "eligible_authrole")
    ask(publisher, 16, 1, {name: [] for name in names}, TOPIC, [1])
    assert len(said(subscriber)) == 1
    for nobody in ({"eligible": [0]}, {"eligible_authid": [""]}, {"eligible_authrole": ["x"]}):
        ask(publisher, 16, 1, nobody, TOPIC, [1])
    assert said(subscriber) == []


@pytest.mark.parametrize("topic", ["a b", "", "wamp.topic", "#"])
def test_an_event_of_an_invalid_topic_is_refused(broker: Broker, topic: str) -> None:
    session = joined(broker)
    assert ask(session, 16, 1, {}, topic) == []
    assert ask(session, 16, 2, {"acknowledge": True}, topic)[:5] == [8, 16, 2, {}, "wamp.error.invalid_uri"]


def test_subscribers_may_not_publish_by_default() -> None:
    broker = Broker(HubConfig())
    publisher, subscriber = joined(broker), joined(broker)
    subscribed(subscriber)
    assert ask(publisher, 16, 1, {}, TOPIC, [1]) == []
    reply = ask(publisher, 16, 2, {"acknowledge": True}, TOPIC, [1])
    assert reply == [8, 16, 2, {}, "wamp.error.not_authorized", ["subscribers of this hub may not publish"]]
    assert said(subscriber) == []


# Remote procedure calls, which the hub does not support, and the end of a session


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ([48, 1, {}, "p"], "wamp.error.no_such_procedure"),
        ([48, 1, {}, "http://api.wamp.ws/procedure#ping", [1], {}], "wamp.error.no_such_procedure"),
        ([64, 1, {}, "p"], "wamp.error.not_authorized"),
        ([66, 1, 7], "wamp.error.no_such_registration"),
    ],
)
def test_registering_and_calling_procedures_is_refused(broker: Broker, message: list[object], error: str) -> None:
    session = joined(broker)
    said_ = ["this hub has no procedures"]
    assert ask(session, *message) == [8, message[0], 1, {}, error, said_]
    assert session.ending is None


@pytest.mark.parametrize("text", ["[49,1,{}]", "[70,1,{}]", '[8,68,1,{},"wamp.error.x"]'])
def test_messages_about_a_call_that_has_ended_are_ignored(broker: Broker, text: str) -> None:
    session = joined(broker)
    assert ask(session, text) == []
    assert session.ending is None
    subscribed(session)


@pytest.mark.parametrize(
    "text",
    [HELLO, '[5,"x",{}]', "x", "[]", "{}", "[99]", '[32,true,{},"t"]', '[32.0,1,{},"t"]', '[5,"t"]', "[36,1,1,{}]"],
)
def test_a_message_that_no_client_may_send_ends_the_connection(broker: Broker, text: str) -> None:
    session = joined(broker)
    subscribed(session)
    reply = ask(session, text)
    assert (reply[0], reply[2], session.ending) == (3, VIOLATION, (1002, ""))
    broker.deliver(Publication(TOPIC, "1"))
    assert (said(session), session.ended) == ([], True)


def test_goodbye_is_the_last_message_in_both_directions(broker: Broker) -> None:
    session = joined(broker)
    subscribed(session)
    broker.deliver(Publication(TOPIC, "1"))
    session.receive('[6,{},"wamp.close.normal"]')
    assert not session.ended
    broker.deliver(Publication(TOPIC, "2"))
    event, goodbye = said(session)
    assert (event[4], goodbye) == ([1], [6, {}, "wamp.close.goodbye_and_out"])
    assert (session.ending, session.ended) == ((1000, ""), True)


def test_an_abort_gets_no_reply(broker: Broker) -> None:
    session = joined(broker)
    assert ask(session, 3, {"message": "you make no sense"}, VIOLATION) == []
    assert session.ending == (1000, "")


def test_a_closing_hub_sends_goodbye_or_abort_where_the_protocol_allows(broker: Broker) -> None:
    stranger, member, old_one = opened(broker), joined(broker), old(broker)
    for each in (stranger, member, old_one):
        each.leave("wamp.close.system_shutdown")
    assert (said(stranger), said(old_one)) == ([], [])
    assert said(member) == [[6, {}, "wamp.close.system_shutdown"]]


# Arbitrary messages

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([TOPIC, "t", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
codes_1, codes_2 = st.integers(0, 9), st.sampled_from([1, 3, 5, 6, 8, 16, 32, 34, 48, 49, 64, 66, 70, 99])
options = st.dictionaries(st.sampled_from(["match", "eligible", "exclude", "acknowledge", "exclude_me"]), json_values)
procedures = st.sampled_from([f"http://api.wamp.ws/procedure#{name}" for name in ("ping", "echo", "authreq", "auth")])
likely_2 = st.one_of(
    st.tuples(st.just(32), st.integers(1, 9), options, st.sampled_from([TOPIC, "t"])),
    st.tuples(st.just(34), st.integers(1, 9), st.integers(1, 3)),
    st.tuples(st.just(16), st.integers(1, 9), options, st.just(TOPIC), st.lists(json_values, max_size=3)),
)
likely_1 = st.one_of(
    st.tuples(st.sampled_from([5, 6]), st.just(TOPIC)),
    st.tuples(st.just(7), st.just(TOPIC), json_values, json_values),
    st.tuples(st.just(2), st.text(), procedures, json_values),
)


def conversation(codes: st.SearchStrategy[int], likely: st.SearchStrategy[object]) -> st.SearchStrategy[list[str]]:
    message = likely | st.tuples(codes, st.lists(json_values, max_size=5)).map(lambda each: [each[0], *each[1]])
    return st.lists(st.text(st.characters()) | message.map(json.dumps), max_size=12)


@pytest.mark.parametrize("keys", [{}, {KEY: SECRET}], ids=["open", "guarded"])
@given(messages=st.data())
def test_arbitrary_messages_break_nothing(keys: dict[str, str], messages: st.DataObject) -> None:
    """No session raises an error, and its queue holds only complete messages of valid JSON, within its limit."""
    config = HubConfig(subscriber_keys=keys, allow_publish=True, max_queue=5_000, max_subscriptions=3)
    for subprotocol, kind, talk in [
        ("wamp", Wamp1Session, conversation(codes_1, likely_1)),
        ("wamp.2.json", Wamp2Session, conversation(codes_2, likely_2)),
    ]:
        broker = Broker(config)
        dropped: list[bool] = []
        session = broker.open(PROTOCOLS[subprotocol], drop=lambda: dropped.append(True))  # noqa: B023  # called within this turn
        assert type(session) is kind
        if subprotocol == "wamp.2.json" and not keys:
            session.receive(HELLO)
        for text in messages.draw(talk):
            if session.ending is not None:
                break  # as the connection does it
            late = session.receive(text)
            if callable(late):
                late()
            assert session.queued <= 5_000 or len(session._queue) == 1
            assert len(session.subscribed) <= 3
        assert not (keys and session.admitted)
        assert all(isinstance(message, list) for message in said(session))
        assert len(dropped) <= 1
        broker.close(session)
        assert (len(broker), broker._topics) == (0, {})


def test_the_broker_has_sessions_of_both_versions() -> None:
    assert tuple(PROTOCOLS) == ("wamp", "wamp.2.json")
