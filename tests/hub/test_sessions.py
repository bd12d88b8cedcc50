"""The broker and WAMP v1 sessions without a socket: receivers, messages, and full queues."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc

import pytest

from webmqconnect_async import _version
from webmqconnect_async.hub import HubConfig
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._frames import text_frame
from webmqconnect_async.hub._log import Log
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp1.session import Wamp1Session

from .conftest import said

PROCEDURE = "http://api.wamp.ws/procedure#"
ERROR = "http://api.wamp.ws/error#"


def opened(broker: Broker) -> Session:
    """Return a session whose WELCOME has been read."""
    session = broker.open(Wamp1Session, drop=lambda: pytest.fail("dropped"))
    session.take_nowait()
    return session


def call(broker: Broker, session: Session, procedure: str, *arguments: object) -> list[object]:
    session.receive(json.dumps([2, "id", procedure, *arguments]))
    (answer,) = said(session)
    assert answer[1] == "id"
    return [answer[0], *answer[2:3]]


@pytest.fixture
def broker() -> Broker:
    return Broker(HubConfig())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_is_valid_by_rfc_6455(size: int) -> None:
    head = {0: b"\x81\x00", 1: b"\x81\x01", 125: b"\x81\x7d", 126: b"\x81\x7e\x00\x7e", 65535: b"\x81\x7e\xff\xff"}
    assert text_frame("x" * size) == head.get(size, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00") + b"x" * size


def test_a_frame_counts_bytes_and_not_characters() -> None:
    assert text_frame("ü") == b"\x81\x02\xc3\xbc"


def test_welcome_comes_first(broker: Broker) -> None:
    session = broker.open(Wamp1Session, drop=lambda: None)
    assert said(session) == [[0, session.id, 1, f"webmqconnect_async/{_version.__version__}"]]


def test_a_session_id_is_16_digits_that_javascript_can_hold(broker: Broker) -> None:
    ids = {opened(broker).id for _ in range(100)}
    assert len(ids) == 100
    assert all(10**15 <= int(session_id) <= 2**53 and len(session_id) == 16 for session_id in ids)


def test_a_session_id_in_use_is_not_assigned_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([7, 7, 8])
    monkeypatch.setattr("secrets.randbelow", lambda _: next(numbers))
    assert [opened(broker).id, opened(broker).id] == ["1000000000000007", "1000000000000008"]


def test_receivers_are_subscribers_and_eligible_without_exclude(broker: Broker) -> None:
    a, b, c, stranger = (opened(broker) for _ in range(4))
    for session in (a, b, c):
        session.receive('[5,"t"]')
    nobody: frozenset[str] = frozenset()
    for eligible, exclude, receivers in [
        (None, nobody, [a, b, c]),
        (nobody, nobody, []),
        (frozenset({a.id, stranger.id, "unknown"}), nobody, [a]),
        (frozenset({"unknown"}), nobody, []),
        (None, frozenset({a.id, "unknown"}), [b, c]),
        (frozenset({a.id, b.id}), frozenset({b.id}), [a]),
        (frozenset({a.id}), frozenset({a.id}), []),
    ]:
        assert broker.deliver(Publication("t", "1", eligible, exclude)) == len(receivers)
        got = [session for session in (a, b, c, stranger) if said(session) == [[8, "t", 1]]]
        assert got == receivers


def test_all_receivers_share_the_same_frame(broker: Broker) -> None:
    a, b = opened(broker), opened(broker)
    for session in (a, b):
        session.receive('[5,"t"]')
    broker.deliver(Publication("t", '"event"'))
    assert a._queue[0] is b._queue[0]


@pytest.mark.parametrize("topic", ["", "http://example.com/ü€😀", "a b\r\n\0", '"],[', "http://EXAMPLE.com"])
def test_topics_are_compared_without_normalization(broker: Broker, topic: str) -> None:
    session = opened(broker)
    session.receive(json.dumps([5, topic]))
    assert broker.deliver(Publication(topic, "1")) == 1
    assert broker.deliver(Publication(topic + "/", "1")) == 0
    assert broker.deliver(Publication("http://example.com", "1")) == 0
    assert said(session) == [[8, topic, 1]]


def test_subscribing_twice_delivers_once_and_unsubscribing_ends_it(broker: Broker) -> None:
    session = opened(broker)
    session.receive('[5,"t"]')
    session.receive('[5,"t"]')
    assert broker.deliver(Publication("t", "1")) == 1
    session.receive('[6,"t"]')
    session.receive('[6,"t"]')
    assert broker.deliver(Publication("t", "2")) == 0
    assert said(session) == [[8, "t", 1]]


def test_a_closed_session_gets_no_events_and_leaves_no_subscriptions(broker: Broker) -> None:
    session, other = opened(broker), opened(broker)
    for topic in ("a", "b"):
        session.receive(json.dumps([5, topic]))
    other.receive('[5,"a"]')
    broker.close(session)
    assert (broker.deliver(Publication("a", "1")), broker.deliver(Publication("b", "1")), len(broker)) == (
        1,
        0,
        1,
    )
    assert list(broker._topics) == ["a"]


def test_a_curie_is_resolved_once_its_prefix_is_defined(broker: Broker) -> None:
    session = opened(broker)
    session.receive('[5,"ex:a"]')
    session.receive('[1,"ex","http://example.com/"]')
    session.receive('[5,"ex:b"]')
    session.receive('[5,"other:b"]')
    delivered = [
        broker.deliver(Publication(topic, "1")) for topic in ("ex:a", "ex:b", "http://example.com/b", "other:b")
    ]
    assert delivered == [1, 0, 1, 1]
    assert said(session) == [[8, "ex:a", 1], [8, "http://example.com/b", 1], [8, "other:b", 1]]
    session.receive('[6,"ex:b"]')
    assert broker.deliver(Publication("http://example.com/b", "1")) == 0


def test_a_prefix_belongs_to_its_session_and_may_be_replaced(broker: Broker) -> None:
    a, b = opened(broker), opened(broker)
    a.receive('[1,"ex","http://one/"]')
    a.receive('[1,"ex","http://two/"]')
    for session in (a, b):
        session.receive('[5,"ex:t"]')
    assert (broker.deliver(Publication("http://two/t", "1")), broker.deliver(Publication("ex:t", "1"))) == (1, 1)
    assert (said(a), said(b)) == ([[8, "http://two/t", 1]], [[8, "ex:t", 1]])


def test_ping_and_echo(broker: Broker) -> None:
    session = opened(broker)
    assert call(broker, session, PROCEDURE + "ping") == [3, None]
    assert call(broker, session, PROCEDURE + "echo", {"a": [1.5, "ü"]}) == [3, {"a": [1.5, "ü"]}]
    assert call(broker, session, PROCEDURE + "echo") == [3, None]
    session.receive(json.dumps([1, "api", PROCEDURE]))
    assert call(broker, session, "api:echo", 1) == [3, 1]


@pytest.mark.parametrize(
    "procedure",
    ["", "ping", PROCEDURE, PROCEDURE + "x", "http://api.testsuite.wamp.ws/autobahn/testee/control#dispatch"],
)
def test_no_other_procedure_exists(broker: Broker, procedure: str) -> None:
    assert call(broker, opened(broker), procedure, "topic", "event") == [4, ERROR + "NoSuchRPCEndpoint"]


@pytest.mark.parametrize("may_publish", [False, True])
def test_an_anonymous_subscriber_may_authenticate(may_publish: bool) -> None:
    broker = Broker(HubConfig(allow_publish=may_publish))
    session = opened(broker)
    assert call(broker, session, PROCEDURE + "authreq", None, None) == [3, None]
    permissions = {"pubsub": [{"uri": "", "prefix": True, "pub": may_publish, "sub": True}], "rpc": []}
    assert call(broker, session, PROCEDURE + "auth", None) == [3, permissions]
    for procedure in ("authreq", "auth"):
        assert call(broker, session, PROCEDURE + procedure) == [4, ERROR + "already-authenticated"]


def test_authentication_out_of_order(broker: Broker) -> None:
    session = opened(broker)
    assert call(broker, session, PROCEDURE + "auth") == [4, ERROR + "no-authentication-requested"]
    assert call(broker, session, PROCEDURE + "authreq", "key") == [4, ERROR + "no-such-authkey"]
    assert call(broker, session, PROCEDURE + "authreq") == [3, None]
    assert call(broker, session, PROCEDURE + "authreq") == [4, ERROR + "authentication-already-requested"]
    assert call(broker, session, PROCEDURE + "auth", "signature") == [4, ERROR + "invalid-signature"]
    assert call(broker, session, PROCEDURE + "auth") == [4, ERROR + "no-authentication-requested"]


def test_subscribers_may_not_publish_by_default(broker: Broker) -> None:
    publisher, subscriber = opened(broker), opened(broker)
    subscriber.receive('[5,"t"]')
    publisher.receive('[7,"t",1]')
    assert (said(publisher), said(subscriber)) == ([], [])


def test_publish_in_its_three_forms() -> None:
    broker = Broker(HubConfig(allow_publish=True))
    a, b, c = (opened(broker) for _ in range(3))
    for session in (a, b, c):
        session.receive('[5,"http://x/t"]')
    a.receive('[1,"x","http://x/"]')
    table: list[tuple[list[object], list[Session]]] = [
        ([], [b, c]),
        ([True], [b, c]),
        ([False], [a, b, c]),
        ([[]], [a, b, c]),
        ([[b.id]], [a, c]),
        ([[], [a.id, int(b.id)]], [a, b]),
        ([[a.id], [a.id, b.id]], [b]),
        ([[], []], []),
        (["x", "y"], [b, c]),
        ([None, [a.id, b.id]], [b]),
    ]
    for fields, receivers in table:
        a.receive(json.dumps([7, "x:t", {"n": 1}, *fields]))
        assert [session for session in (a, b, c) if said(session) == [[8, "http://x/t", {"n": 1}]]] == receivers


def test_a_call_without_a_name_is_a_protocol_error(broker: Broker) -> None:
    session = opened(broker)
    assert session.receive('[2,1,"x"]') is None
    assert session.ending == (1002, "")
    assert session.ended


def test_the_limits_of_topics_and_prefixes() -> None:
    broker = Broker(HubConfig(max_subscriptions=2, max_topic=10))
    session = opened(broker)
    assert isinstance(session, Wamp1Session)
    for topic in ("a", "b", "a", "c", "x" * 11):
        session.receive(json.dumps([5, topic]))
    assert session.subscribed == {"a", "b"}
    session.receive('[6,"a"]')
    session.receive(json.dumps([5, "x" * 10]))
    assert session.subscribed == {"b", "x" * 10}
    for prefix, uri in [("p", "1"), ("q", "2"), ("r", "3"), ("p", "4"), ("q", "x" * 10), ("", "5")]:
        session.receive(json.dumps([1, prefix, uri]))
    assert session._prefixes == {"p": "4", "q": "2"}
    session.receive(json.dumps([5, "p:" + "y" * 10]))
    assert session.subscribed == {"b", "x" * 10}


def test_a_full_queue_drops_only_its_subscriber(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(HubConfig(max_queue=10_000), (Log(),))
    dropped: list[str] = []
    slow = broker.open(Wamp1Session, drop=lambda: dropped.append("slow"))
    quick = opened(broker)
    for session in (slow, quick):
        session.receive('[5,"t"]')
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            broker.deliver(Publication("t", json.dumps([number, "x" * 200])))
            assert said(quick) == [[8, "t", [number, "x" * 200]]]
    assert dropped == ["slow"]
    assert [record.name for record in caplog.records] == ["webmqconnect_async.hub"]
    assert slow.id in caplog.text
    assert slow.take_nowait() == b""


def test_a_single_event_always_fits() -> None:
    broker = Broker(HubConfig(max_queue=1, max_body=1))
    session = opened(broker)
    session.receive('[5,"t"]')
    broker.deliver(Publication("t", json.dumps("x" * 4000)))
    assert said(session) == [[8, "t", "x" * 4000]]


@pytest.mark.parametrize("size", [1, 4000])
def test_a_queue_takes_no_more_memory_than_it_counts(size: int) -> None:
    """The memory is measured, because a small event needs much less space than the objects that hold it."""
    limit = 1 << 20
    full: list[bool] = []
    gc.collect()
    tracemalloc.start()
    try:
        session = Wamp1Session("1", Broker(HubConfig(max_queue=limit)), drop=lambda: full.append(True))
        before, _ = tracemalloc.get_traced_memory()
        while not full:
            session.send(text_frame("x" * size))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limit / 2 < most - before < limit * 1.1


async def test_take_waits_for_a_frame_and_returns_all_waiting_ones(broker: Broker) -> None:
    session = opened(broker)
    taking = asyncio.create_task(session.take(100))
    await asyncio.sleep(0)
    assert not taking.done()
    for text in ("a" * 48, "b" * 48, "c" * 48):
        session.send(text_frame(text))
    assert await taking == text_frame("a" * 48) + text_frame("b" * 48)
    assert await session.take(1) == text_frame("c" * 48)
