"""A WAMP v2 subscriber that reconnects gets the events that it has missed, or an error if they are not available."""

from __future__ import annotations

import json
from typing import cast

import pytest

from webmqconnect_async import AsyncClient
from webmqconnect_async.hub import Hub, HubConfig
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._publication import Publication, Receivers
from webmqconnect_async.hub._session import Session
from webmqconnect_async.hub._wamp2.session import Wamp2Session

from .conftest import HubClient, Run, said
from .test_wamp2_sessions import HELLO, TOPIC, ask, joined, subscribed

UNAVAILABLE = "webmq.error.history_unavailable"
PUBLICATION = Publication(TOPIC, "1")


@pytest.fixture
def broker() -> Broker:
    return Broker(HubConfig())


def away(broker: Broker) -> tuple[Session, int]:
    """Return the session of a subscriber that has reconnected, and the ID of the newest event before its outage."""
    former = joined(broker)
    subscribed(former)
    broker.close(former)
    return former, broker.ids.newest


def back(session: Session, after: int, *former: Session, **options: object) -> list[list[object]]:
    """Subscribe again, and return the replies."""
    options |= {"_after": after, "_former": [int(each.id) for each in former]}
    session.receive(json.dumps([32, 7, options, TOPIC]))
    return said(session)


def events(messages: list[list[object]]) -> list[object]:
    """Return the events of a recovery, whose number is in SUBSCRIBED."""
    (kind, request, subscription, extra), *rest = messages
    assert (kind, request, extra) == (33, 7, {"_missed": len(rest)})
    assert all(message[:2] == [36, subscription] for message in rest)
    return [cast(list[object], message[4])[0] for message in rest]


def test_missed_events_follow(broker: Broker) -> None:
    """Missed events follow in order, before any later event."""
    former, floor = away(broker)
    broker.deliver(Publication("another topic", "0"))
    for number in range(3):
        broker.deliver(Publication(TOPIC, str(number)))
    session = joined(broker)
    messages = back(session, floor, former)
    assert events(messages) == [0, 1, 2]
    ids = [cast(int, message[2]) for message in messages[1:]]
    assert floor < ids[0] < ids[1] < ids[2] == broker.ids.newest
    broker.deliver(Publication(TOPIC, "3"))
    assert [message[4] for message in said(session)] == [[3]]
    assert events(back(session, ids[1], former)) == [2, 3]  # a subscriber that asks again gets the events again


def test_nothing_was_missed(broker: Broker) -> None:
    former, floor = away(broker)
    assert events(back(joined(broker), floor, former)) == []


def test_welcome_has_the_position(broker: Broker) -> None:
    broker.deliver(PUBLICATION)
    session = broker.open(Wamp2Session, drop=lambda: pytest.fail("dropped"))
    welcome = ask(session, HELLO)[2]
    assert isinstance(welcome, dict)
    assert welcome["_newest"] == broker.ids.newest
    assert welcome["_history"] != Broker(HubConfig()).history_id


def test_a_plain_subscription_gets_no_additional_data(broker: Broker) -> None:
    broker.deliver(PUBLICATION)
    session = joined(broker)
    kind, request, subscription = ask(session, 32, 1, {}, TOPIC)
    assert (kind, request) == (33, 1)
    assert ask(session, 32, 2, {"_newest": True}, TOPIC) == [33, 2, subscription, {"_newest": broker.ids.newest}]


def test_missed_events_are_only_for_their_receivers(broker: Broker) -> None:
    former, floor = away(broker)
    session = joined(broker)
    for number, publication in enumerate(
        [
            Publication(TOPIC, "", frozenset({"somebody else"})),
            Publication(TOPIC, "", frozenset({session.id})),
            Publication(TOPIC, "", exclude=frozenset({session.id})),
            Publication(TOPIC, "", exclude=frozenset({former.id})),
            Publication(TOPIC, "", exclude=frozenset({"somebody else"})),
            Publication(TOPIC, "", authrole=Receivers(frozenset({"anonymous"}))),
            Publication(TOPIC, "", authrole=Receivers(frozenset({"subscriber"}))),
            Publication(TOPIC, "", frozenset()),
        ]
    ):
        publication.event = str(number)
        broker.deliver(publication)
    assert events(back(session, floor, former)) == [1, 4, 5]


@pytest.mark.parametrize("exclude", [False, True])
def test_an_event_for_a_former_session(broker: Broker, exclude: bool) -> None:
    """A former session ID gives access to no event for that session, because any client could send the ID."""
    (first, floor), (second, _) = away(broker), away(broker)
    excluded = {first.id} if exclude else set()
    broker.deliver(Publication(TOPIC, "1", frozenset({first.id}), frozenset(excluded)))
    session = joined(broker)
    messages = back(session, floor, first, second)
    if exclude:
        assert events(messages) == []
    else:
        assert messages == [[8, 32, 7, {}, UNAVAILABLE, ["an event was for a former session"]]]
        assert session.subscribed == set()
        assert events(back(session, floor)) == []


def test_an_event_for_a_former_session_by_its_authid(broker: Broker) -> None:
    """The authid of an anonymous subscriber is its session ID, so an event for that authid is unavailable, too."""
    former, floor = away(broker)
    broker.deliver(Publication(TOPIC, "1", authid=Receivers(exclude=frozenset({former.id}))))
    assert events(back(joined(broker), floor, former)) == []
    broker.deliver(Publication(TOPIC, "2", authid=Receivers(frozenset({former.id}))))
    assert back(joined(broker), floor, former)[0][4] == UNAVAILABLE


@pytest.mark.parametrize("user", ["17", "1234567890123456"])
@pytest.mark.parametrize("anonymous", [False, True])
def test_user_ids_are_not_former_sessions(broker: Broker, user: str, anonymous: bool) -> None:
    """A subscriber that names another user as a former session does not learn whether an event was for that user."""
    floor = broker.ids.newest
    broker.deliver(Publication(TOPIC, "1", authid=Receivers(frozenset({user}))))
    session = joined(broker)
    if not anonymous:
        session.admit("18")
    options = {"_after": floor, "_former": [user]}
    known = anonymous and len(user) == 16  # it may be a session ID
    assert ask(session, 32, 7, options, TOPIC)[0] == (8 if known else 33)


def test_the_reply_to_a_ping_has_the_position(broker: Broker) -> None:
    """The reply to a ping moves the position of a quiet subscriber before the history drops the events up to it."""
    session = joined(broker)
    broker.deliver(Publication("another topic", "1"))
    error = ask(session, 34, 5, 2**53)
    assert error[:5] == [8, 34, 5, {"_newest": broker.ids.newest}, "wamp.error.no_such_subscription"]
    forgetful = joined(Broker(HubConfig(history=0)))
    assert ask(forgetful, 34, 5, 2**53)[3] == {}


def test_former_sessions_may_be_given_in_several_forms(broker: Broker) -> None:
    former, floor = away(broker)
    broker.deliver(Publication(TOPIC, "1", exclude=frozenset({former.id})))
    for named in (int(former.id), former.id, [former.id], [17, int(former.id)]):
        session = joined(broker)
        assert ask(session, 32, 7, {"_after": floor, "_former": named}, TOPIC)[3] == {"_missed": 0}
    many = [int(former.id), *range(1, 16)]
    assert ask(joined(broker), 32, 7, {"_after": floor, "_former": many}, TOPIC)[0] == 33
    assert ask(joined(broker), 32, 7, {"_after": floor, "_former": [*many, 16]}, TOPIC)[4:] == [
        *(UNAVAILABLE, ["there were more than 16 former sessions"])
    ]


@pytest.mark.parametrize(
    ("config", "distance", "reason"),
    [
        (HubConfig(history=2), 0, "events are no longer in the history"),
        (HubConfig(history_bytes=3000), 0, "events are no longer in the history"),
        (HubConfig(), -1, "the hub has restarted"),
        (HubConfig(), 1 << 30, "the hub has not reached this position"),
        (HubConfig(history=0), 0, "the hub keeps no history"),
    ],
)
def test_history_is_not_available(config: HubConfig, distance: int, reason: str) -> None:
    broker = Broker(config)
    floor = broker.ids.newest + distance
    for _ in range(3):
        broker.deliver(PUBLICATION)
    session = joined(broker)
    assert back(session, floor) == [[8, 32, 7, {}, UNAVAILABLE, [reason]]]
    broker.deliver(PUBLICATION)
    assert said(session) == []  # the subscriber is not subscribed
    assert subscribed(session)


def test_without_history_welcome_has_no_position() -> None:
    session = Broker(HubConfig(history=0)).open(Wamp2Session, drop=lambda: pytest.fail("dropped"))
    welcome = ask(session, HELLO)[2]
    assert isinstance(welcome, dict)
    assert welcome["_any_topic"]
    assert not {"_newest", "_history"} & welcome.keys()


def test_more_events_than_fit_into_the_queue_are_unavailable() -> None:
    broker = Broker(HubConfig(max_body=1000, max_queue=4000))
    floor = broker.ids.newest
    event = json.dumps("x" * 900)
    for _ in range(3):
        broker.deliver(Publication(TOPIC, event))
    session = joined(broker)
    assert len(events(back(session, floor))) == 3
    for _ in range(2):
        broker.deliver(Publication(TOPIC, event))
    session = joined(broker)
    subscribed(session, "another")
    reason = "the missed events do not fit into the send queue"
    assert back(session, floor) == [[8, 32, 7, {}, UNAVAILABLE, [reason]]]
    assert session.subscribed == {"another"}
    subscribed(session)
    assert back(session, floor)[0][0] == 8
    assert all(
        kept.frame is None for kept in [*broker.history.after(TOPIC, floor, 0.0)][3:]
    )  # no frame is made unless it is sent
    assert session.subscribed == {"another", TOPIC}  # this frame had been made before


def test_subscribers_share_frames(broker: Broker) -> None:
    former, floor = away(broker)
    broker.deliver(PUBLICATION)
    sessions = [joined(broker) for _ in range(2)]
    queued = []
    for session in sessions:
        session.receive(json.dumps([32, 7, {"_after": floor, "_former": [int(former.id)]}, TOPIC]))
        queued.append(session._queue[-1])
    assert queued[0] is queued[1]


@pytest.mark.parametrize(
    "options",
    [
        *({"_after": -1}, {"_after": "1"}, {"_after": True}, {"_after": 2**53 + 1}, {"_after": 1, "_former": [None]}),
        *({"_newest": 1}, {"get_retained": 1}),
    ],
)
def test_options_of_a_wrong_type(broker: Broker, options: dict[str, object]) -> None:
    session = joined(broker)
    assert ask(session, 32, 7, options, TOPIC)[0] == 3
    assert session.ending is not None


def test_retained(broker: Broker) -> None:
    """A retained event is sent after SUBSCRIBED to subscribers that ask for it, as by Crossbar.io."""
    broker.deliver(Publication(TOPIC, "1", retain=True))
    broker.deliver(Publication(TOPIC, "2", args="[2]", kwargs='{"a":1}', retain=True))
    retained = broker.ids.newest
    broker.deliver(Publication(TOPIC, "3"))
    session = joined(broker)
    assert len(ask(session, 32, 1, {}, TOPIC)) == 3
    session.receive(json.dumps([32, 2, {"get_retained": True}, TOPIC]))
    confirmed, event = said(session)
    assert confirmed[:2] == [33, 2]
    assert event == [36, confirmed[2], retained, {"retained": True}, [2], {"a": 1}]
    session.receive(json.dumps([32, 3, {"get_retained": True}, "another"]))
    assert len(said(session)) == 1


@pytest.mark.parametrize(
    "publication",
    [
        Publication(TOPIC, "1", authrole=Receivers(frozenset({"subscriber"})), retain=True),
    ],
)
def test_a_retained_event_for_others(broker: Broker, publication: Publication) -> None:
    broker.deliver(publication)
    session = joined(broker)
    session.receive(json.dumps([32, 2, {"get_retained": True}, TOPIC]))
    assert len(said(session)) == 1


@pytest.mark.parametrize("restriction", [{}, {"exclude": [1234]}, {"eligible": [1234]}])
def test_a_retained_event_may_be_requested_by_its_publisher(restriction: dict[str, object]) -> None:
    """A publisher does not receive its own event, but may ask for the retained event later."""
    broker = Broker(HubConfig(allow_publish=True))
    session = joined(broker)
    session.receive(json.dumps([16, 1, {"retain": True}, TOPIC, ["first"]]))
    session.receive(json.dumps([16, 2, {"retain": True, **restriction}, TOPIC, ["second"]]))
    session.receive(json.dumps([32, 3, {"get_retained": True}, TOPIC]))
    assert [message[4] for message in said(session)[1:]] == [["first" if restriction else "second"]]


def test_a_retained_event_that_does_not_fit_is_left_out() -> None:
    """If it were sent, the subscriber would be disconnected each time that it reconnects."""
    broker = Broker(HubConfig(max_body=1000, max_queue=1000))
    broker.deliver(Publication(TOPIC, json.dumps("x" * 990), retain=True))
    session = joined(broker)
    session.receive(json.dumps([32, 1, {"get_retained": True}, TOPIC]))
    assert [message[0] for message in said(session)] == [33]


async def test_over_the_wire(run: Run, wire: HubClient) -> None:
    """A subscriber recovers a missed push over a socket, with the ID that the response to the push has."""
    hub = await run(Hub(port=0))
    async with AsyncClient(hub.url) as client:
        receipt = await client.push(TOPIC, {"n": 1})
        peer = await wire.wamp2_subscriber(hub)
        assert receipt.id is not None
        await peer.send(32, 1, {"_after": receipt.id - 1}, TOPIC)
        confirmed, event = await peer.receive(), await peer.receive()
        assert confirmed[3:] == [{"_missed": 1}]
        assert event == [36, confirmed[2], receipt.id, {}, [{"n": 1}]]
        async with AsyncClient(f"{hub.url}/publish", dialect="crossbar") as bridge:
            retained = await bridge.push(TOPIC, 2, options={"retain": True})
        await peer.receive()
        await peer.send(32, 2, {"get_retained": True}, TOPIC)
        assert [(await peer.receive())[0], await peer.receive()] == [
            *(33, [36, confirmed[2], retained.id, {"retained": True}, [2]])
        ]
