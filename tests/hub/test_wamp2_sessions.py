"""WAMP v2 subscribers without a socket: how they join, what they may say, and what reaches both kinds at once."""

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
    """Return what answers a challenge, computed by the standard library alone."""
    return base64.b64encode(hmac.digest(secret.encode(), challenge.encode(), hashlib.sha256)).decode()


def opened(broker: Broker) -> Session:
    """Return a WAMP v2 session that has not said anything yet."""
    return broker.open(Wamp2Session, drop=lambda: pytest.fail("dropped"))


def joined(broker: Broker) -> Session:
    """Return an anonymous WAMP v2 session whose WELCOME has been read."""
    session = opened(broker)
    assert told(session, HELLO)[0] == 2
    return session


def old(broker: Broker) -> Session:
    """Return a WAMP v1 session whose WELCOME has been read."""
    session = broker.open(Wamp1Session, drop=lambda: pytest.fail("dropped"))
    assert said(session)[0][0] == 0
    return session


def told(session: Session, *message: object) -> list[object]:
    """Return the one message that answers another, given as text or as its fields; nothing where none does."""
    text = message[0] if isinstance(message[0], str) else json.dumps(message)
    assert session.receive(text) is None
    answers = said(session)
    assert len(answers) <= 1
    return answers[0] if answers else []


def subscribed(session: Session, topic: str = TOPIC) -> int:
    """Subscribe and return the ID of the subscription."""
    if session.subprotocol == "wamp":
        assert told(session, 5, topic) == []
        return 0
    kind, request, subscription = told(session, 32, 7, {}, topic)
    assert (kind, request) == (33, 7)
    assert isinstance(subscription, int)
    return subscription


@pytest.fixture
def broker() -> Broker:
    return Broker(HubConfig(allow_publish=True))


@pytest.fixture
def guarded() -> Broker:
    """Return a hub's sessions that want a key."""
    return Broker(HubConfig(subscriber_keys={KEY: SECRET}, clock=lambda: CHALLENGED_AT), (Log(),))


# Joining


def test_a_session_says_nothing_before_hello(broker: Broker) -> None:
    session = opened(broker)
    assert (said(session), session.admitted, session.ending) == ([], False, None)


@pytest.mark.parametrize("details", [{}, {"authmethods": []}, {"authmethods": ["wampcra", "anonymous"], "authid": "x"}])
@pytest.mark.parametrize("realm", ["realm1", "com.example.ü", ""])
def test_an_anonymous_client_is_welcome_in_any_realm(broker: Broker, realm: str, details: object) -> None:
    session = opened(broker)
    kind, session_id, welcome = told(session, 1, realm, details)
    assert (kind, str(session_id), session.admitted) == (2, session.id, True)
    assert isinstance(welcome, dict)
    assert welcome.pop("roles")["broker"]["features"].keys() == {
        *("subscriber_blackwhite_listing", "publisher_exclusion", "event_retention")
    }
    extensions = {name: welcome.pop(name) for name in ("_any_topic", "_newest", "_history")}
    assert extensions == {"_any_topic": True, "_newest": broker.ids.newest, "_history": broker.history_id}
    assert welcome == {"realm": realm, "authid": session.id, "authrole": "anonymous", "authmethod": "anonymous"}


def test_who_wants_to_authenticate_is_not_let_in_as_anybody(broker: Broker) -> None:
    session = opened(broker)
    reply = told(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": KEY})
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
def test_a_key_is_demanded_where_there_are_keys(guarded: Broker, details: object) -> None:
    session = opened(guarded)
    reply = told(session, 1, "realm1", details)
    said_ = "subscribers of this hub need a key (wampcra)"
    assert reply == [3, {"message": said_}, "wamp.error.no_matching_auth_method"]
    assert (session.ending, session.admitted) == ((1000, ""), False)


def challenged(session: Session, key: str = KEY) -> str:
    """Return the challenge."""
    kind, method, extra = told(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": key})
    assert (kind, method) == (4, "wampcra")
    assert isinstance(extra, dict)
    assert list(extra) == ["challenge"]
    assert isinstance(extra["challenge"], str)
    return extra["challenge"]


def test_the_right_answer_opens_the_session(guarded: Broker) -> None:
    session = opened(guarded)
    challenge = challenged(session)
    assert not session.admitted
    told_ = json.loads(challenge)
    assert len(base64.urlsafe_b64decode(told_.pop("nonce") + "==")) >= 16
    assert told_ == {
        "authid": KEY,
        "authrole": "subscriber",
        "authmethod": "wampcra",
        "authprovider": "static",
        "session": int(session.id),
        "timestamp": "2011-10-14T16:59:51Z",
    }
    kind, session_id, welcome = told(session, 5, answer(challenge), {})
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
def test_a_wrong_answer_and_an_unknown_key_are_told_alike_and_late(
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
def test_nothing_brings_a_late_answer_forward(guarded: Broker, second: list[object] | str) -> None:
    """No message shortens the delay, because guessing would be quick: no correct signature, HELLO or ABORT."""
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


def test_a_challenge_is_good_for_one_session(guarded: Broker) -> None:
    """An answer that was overheard opens nothing."""
    first, second = opened(guarded), opened(guarded)
    overheard = answer(challenged(first))
    assert answer(challenged(second)) != overheard
    assert second.receive(json.dumps([5, overheard, {}])) is not None
    assert told(first, 5, overheard, {})[0] == 2
    assert told(first, 5, overheard, {})[2] == VIOLATION


def test_a_challenge_stands_until_it_is_answered(guarded: Broker) -> None:
    session = opened(guarded)
    challenged(session)
    reply = told(session, 1, "realm1", {"authmethods": ["wampcra"], "authid": KEY})
    assert (reply[2], session.ending) == (VIOLATION, (1002, ""))


def test_no_challenge_comes_twice(guarded: Broker) -> None:
    assert len({json.loads(challenged(opened(guarded)))["nonce"] for _ in range(100)}) == 100


def test_a_client_may_give_up_when_challenged(guarded: Broker) -> None:
    session = opened(guarded)
    challenged(session)
    assert told(session, 3, {}, "wamp.close.normal") == []
    assert session.ending == (1000, "")


@pytest.mark.parametrize(
    "text",
    [
        *('[32,1,{},"t"]', "[34,1,1]", '[16,1,{},"t"]', '[48,1,{},"p"]', '[6,{},"x"]', '[5,"x",{}]'),
        *("x", "[]", "[99]", "[2,1,{}]", '[1,"realm1"]', '[5,"t"]', '[2,"1","p"]'),
    ],
)
def test_what_comes_before_hello_ends_the_connection(broker: Broker, guarded: Broker, text: str) -> None:
    for each in (broker, guarded):
        session = opened(each)
        reply = told(session, text)
        assert (reply[0], reply[2]) == (3, VIOLATION)
        assert (session.ending, session.admitted, session.subscribed) == ((1002, ""), False, set())


def test_who_gives_up_before_hello_is_not_answered(broker: Broker) -> None:
    session = opened(broker)
    assert told(session, 3, {}, "wamp.close.normal") == []
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


def test_no_secret_is_left_behind(guarded: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        good, bad = opened(guarded), opened(guarded)
        right, wrong = answer(challenged(good)), answer(challenged(bad), "a-password")
        told(good, 5, right, {})
        late = bad.receive(json.dumps([5, wrong, {}]))
        assert callable(late)
        late()
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert logged == [f"subscriber {bad.id} at ? failed to authenticate: no such key, or a wrong signature"]
    joining = joining_with({KEY: SECRET})
    told_ = caplog.text + repr(said(bad)) + repr(good) + repr(bad) + repr(joining)
    for secret in (SECRET, right, wrong, "a-password"):
        assert secret not in told_


# Topics


def test_subscribing_and_unsubscribing(broker: Broker) -> None:
    session = joined(broker)
    subscription = subscribed(session)
    assert told(session, 32, 8, {"match": "exact"}, TOPIC) == [33, 8, subscription]
    assert broker.deliver(Publication(TOPIC, "1")) == 1
    assert said(session) == [[36, subscription, broker.ids.newest, {}, [1]]]
    assert told(session, 34, 9, subscription) == [35, 9]
    assert broker.deliver(Publication(TOPIC, "2")) == 0
    assert told(session, 34, 10, subscription)[::4] == [8, "wamp.error.no_such_subscription"]
    assert (said(session), session.subscribed, broker._topics) == ([], set(), {})


def test_a_topic_has_one_id_for_all_who_subscribe(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    old_one = old(broker)
    subscribed(old_one)
    assert subscribed(a) == subscribed(b) == subscribed(a)
    assert subscribed(a, "other") not in (subscribed(a), 0)


def test_the_subscription_of_another_is_not_to_be_ended(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    subscription = subscribed(a)
    assert told(b, 34, 1, subscription)[4] == "wamp.error.no_such_subscription"
    assert broker.deliver(Publication(TOPIC, "1")) == 1


def test_a_topic_that_was_left_by_all_begins_anew(broker: Broker) -> None:
    a, b = joined(broker), joined(broker)
    first = subscribed(a)
    assert told(a, 34, 1, first) == [35, 1]
    assert subscribed(b) != first
    assert told(a, 34, 1, first)[4] == "wamp.error.no_such_subscription"


@pytest.mark.parametrize("match", ["prefix", "wildcard", "Exact", "", None, 5, ["exact"]])
def test_topics_are_compared_exactly_or_not_at_all(broker: Broker, match: object) -> None:
    session = joined(broker)
    reply = told(session, 32, 1, {"match": match}, "com.example.")
    assert reply == [8, 32, 1, {}, "wamp.error.option_not_allowed", ["this hub supports only exact matches of topics"]]
    assert session.subscribed == set()


@pytest.mark.parametrize("topic", ["", "a b", "a..b", "a#", ".a", "a.", "\n"])
def test_any_text_is_a_topic(broker: Broker, topic: str) -> None:
    """As in WAMP v1, so that a page can prefer v2. WELCOME says so."""
    session = joined(broker)
    subscription = subscribed(session, topic)
    broker.deliver(Publication(topic, "1"))
    assert said(session) == [[36, subscription, broker.ids.newest, {}, [1]]]


def test_the_caps_on_topics() -> None:
    broker = Broker(HubConfig(max_subscriptions=2, max_topic=10))
    session = joined(broker)
    first = subscribed(session, "a")
    subscribed(session, "b" * 10)
    for topic in ("c", "d" * 11):
        error, reason = told(session, 32, 1, {}, topic)[4:]
        assert (error, "exceeds maximum" in str(reason)) == ("wamp.error.not_authorized", True)
    assert subscribed(session, "a") == first
    assert told(session, 34, 1, first) == [35, 1]
    subscribed(session, "c")
    assert session.subscribed == {"b" * 10, "c"}


def test_a_closed_session_leaves_nothing(broker: Broker) -> None:
    session, other, old_one = joined(broker), joined(broker), old(broker)
    for each in (session, other, old_one):
        subscribed(each)
    broker.close(session)
    assert broker.deliver(Publication(TOPIC, "1")) == 2
    broker.close(other)
    assert broker.deliver(Publication(TOPIC, "1")) == 1
    broker.close(old_one)
    assert (broker.deliver(Publication(TOPIC, "1")), len(broker), broker._topics) == (0, 0, {})


# One event for both kinds


def test_one_event_reaches_both_kinds(broker: Broker) -> None:
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
def test_what_each_kind_is_told(
    broker: Broker, args: list[object], kwargs: dict[str, object], new: list[object], old_: object
) -> None:
    """WAMP v1 has single values alone."""
    publisher, subscriber, old_one = joined(broker), joined(broker), old(broker)
    for each in (subscriber, old_one):
        subscribed(each)
    assert told(publisher, 16, 1, {}, TOPIC, args, kwargs) == []
    assert [event[4:] for event in said(subscriber)] == [new]
    assert said(old_one) == [[8, TOPIC, old_]]


def test_one_id_names_a_session_for_both_kinds(broker: Broker) -> None:
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


def test_a_session_is_named_by_integers_from_wamp_v2(broker: Broker) -> None:
    new, old_one, publisher = joined(broker), old(broker), joined(broker)
    for each in (new, old_one, publisher):
        subscribed(each)
    told(publisher, 16, 1, {"eligible": [int(old_one.id), int(publisher.id)]}, TOPIC, [1])
    assert [each for each in (new, old_one, publisher) if said(each)] == [old_one]
    publisher.receive(json.dumps([16, 1, {"exclude": [int(old_one.id)], "exclude_me": False}, TOPIC, [1]]))
    assert [each for each in (new, old_one, publisher) if said(each)] == [new, publisher]
    told(old_one, 7, TOPIC, 1, [], [new.id])
    assert [each for each in (new, old_one, publisher) if said(each)] == [new]


def test_who_authenticated_is_named_by_key_and_role() -> None:
    """Once as anonymous broker, which have no other name than their own; once by their keys, on both kinds."""
    broker = Broker(HubConfig(subscriber_keys={"a": SECRET, "b": SECRET}))
    new, old_one = opened(broker), old(broker)
    told(new, 5, answer(challenged(new, "a")), {})
    challenge = told(old_one, 2, "1", "http://api.wamp.ws/procedure#authreq", "b")[2]
    assert isinstance(challenge, str)
    told(old_one, 2, "2", "http://api.wamp.ws/procedure#auth", answer(challenge))
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


def test_a_full_queue_drops_its_subscriber_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(max_queue=10_000), (Log(),))
    dropped: list[str] = []
    slow = broker.open(Wamp2Session, drop=lambda: dropped.append("slow"))
    told(slow, HELLO)
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
    assert told(publisher, 16, 1, {}, TOPIC, [1]) == []
    kind, request, publication = told(publisher, 16, 2, {"acknowledge": True}, TOPIC, [2])
    assert (kind, request) == (17, 2)
    first, second = said(subscriber)
    assert (first[4], second[4], second[2]) == ([1], [2], publication)
    assert first[2] != publication


@pytest.mark.parametrize(("status", "error"), [(503, "webmq.error.not_published"), (502, "webmq.error.unconfirmed")])
def test_publishing_while_the_engine_cannot(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, status: int, error: str
) -> None:
    monkeypatch.setattr(broker.engine, "publish", lambda _: Refused(status, "away"))
    publisher = joined(broker)
    assert told(publisher, 16, 1, {}, TOPIC, [1]) == []
    assert told(publisher, 16, 2, {"acknowledge": True}, TOPIC, [2]) == [8, 16, 2, {}, error, ["away"]]


def test_what_nobody_hears_is_published_all_the_same(broker: Broker) -> None:
    assert told(joined(broker), 16, 2, {"acknowledge": True}, TOPIC)[:2] == [17, 2]


def test_empty_lists_name_nobody_in_particular(broker: Broker) -> None:
    """As with Crossbar.io, empty lists in a PUBLISH are ignored: all subscribers of the topic get the event."""
    publisher, subscriber = joined(broker), joined(broker)
    subscribed(subscriber)
    names = ("eligible", "exclude", "eligible_authid", "eligible_authrole")
    told(publisher, 16, 1, {name: [] for name in names}, TOPIC, [1])
    assert len(said(subscriber)) == 1
    for nobody in ({"eligible": [0]}, {"eligible_authid": [""]}, {"eligible_authrole": ["x"]}):
        told(publisher, 16, 1, nobody, TOPIC, [1])
    assert said(subscriber) == []


@pytest.mark.parametrize("topic", ["a b", "", "wamp.topic", "#"])
def test_a_topic_that_is_none_is_not_published_to(broker: Broker, topic: str) -> None:
    session = joined(broker)
    assert told(session, 16, 1, {}, topic) == []
    assert told(session, 16, 2, {"acknowledge": True}, topic)[:5] == [8, 16, 2, {}, "wamp.error.invalid_uri"]


def test_nothing_is_published_unless_allowed() -> None:
    broker = Broker(HubConfig())
    publisher, subscriber = joined(broker), joined(broker)
    subscribed(subscriber)
    assert told(publisher, 16, 1, {}, TOPIC, [1]) == []
    reply = told(publisher, 16, 2, {"acknowledge": True}, TOPIC, [1])
    assert reply == [8, 16, 2, {}, "wamp.error.not_authorized", ["subscribers of this hub may not publish"]]
    assert said(subscriber) == []


# What a router with callees would do, and the end


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ([48, 1, {}, "p"], "wamp.error.no_such_procedure"),
        ([48, 1, {}, "http://api.wamp.ws/procedure#ping", [1], {}], "wamp.error.no_such_procedure"),
        ([64, 1, {}, "p"], "wamp.error.not_authorized"),
        ([66, 1, 7], "wamp.error.no_such_registration"),
    ],
)
def test_nobody_registers_or_calls_procedures(broker: Broker, message: list[object], error: str) -> None:
    session = joined(broker)
    said_ = ["this hub has no procedures"]
    assert told(session, *message) == [8, message[0], 1, {}, error, said_]
    assert session.ending is None


@pytest.mark.parametrize("text", ["[49,1,{}]", "[70,1,{}]", '[8,68,1,{},"wamp.error.x"]'])
def test_what_is_about_a_call_that_has_ended_is_ignored(broker: Broker, text: str) -> None:
    session = joined(broker)
    assert told(session, text) == []
    assert session.ending is None
    subscribed(session)


@pytest.mark.parametrize(
    "text",
    [HELLO, '[5,"x",{}]', "x", "[]", "{}", "[99]", '[32,true,{},"t"]', '[32.0,1,{},"t"]', '[5,"t"]', "[36,1,1,{}]"],
)
def test_what_no_client_may_say_ends_the_connection(broker: Broker, text: str) -> None:
    session = joined(broker)
    subscribed(session)
    reply = told(session, text)
    assert (reply[0], reply[2], session.ending) == (3, VIOLATION, (1002, ""))
    broker.deliver(Publication(TOPIC, "1"))
    assert (said(session), session.ended) == ([], True)


def test_goodbye_is_answered_and_the_last_word(broker: Broker) -> None:
    session = joined(broker)
    subscribed(session)
    broker.deliver(Publication(TOPIC, "1"))
    session.receive('[6,{},"wamp.close.normal"]')
    assert not session.ended
    broker.deliver(Publication(TOPIC, "2"))
    event, goodbye = said(session)
    assert (event[4], goodbye) == ([1], [6, {}, "wamp.close.goodbye_and_out"])
    assert (session.ending, session.ended) == ((1000, ""), True)


def test_an_abort_is_not_answered(broker: Broker) -> None:
    session = joined(broker)
    assert told(session, 3, {"message": "you make no sense"}, VIOLATION) == []
    assert session.ending == (1000, "")


def test_a_hub_that_goes_says_so_where_the_protocol_has_a_word(broker: Broker) -> None:
    stranger, member, old_one = opened(broker), joined(broker), old(broker)
    for each in (stranger, member, old_one):
        each.leave("wamp.close.system_shutdown")
    assert (said(stranger), said(old_one)) == ([], [])
    assert said(member) == [[6, {}, "wamp.close.system_shutdown"]]


# Whatever may be said

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
def test_whatever_is_said_nothing_breaks(keys: dict[str, str], messages: st.DataObject) -> None:
    """Neither kind raises, and all that a queue holds is whole messages of JSON, within its bounds."""
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
                break  # as the connection does
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


def test_both_kinds_are_there() -> None:
    assert tuple(PROTOCOLS) == ("wamp", "wamp.2.json")
