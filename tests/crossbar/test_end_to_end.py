"""Pushes of the `crossbar` dialect reach a WAMP v2 subscriber, at the hub and at Crossbar.io.

The subscriber uses autobahn, an independent implementation. To show that an event is not received, tests push another
one after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from webmqconnect_async import AuthRejected, ClockRejected, InvalidPush, Payload, Push, TooLarge

from ..clients import DRIVERS, Both
from .brokers import KEY, SECRET, Broker
from .subscribers import Event, Subscriber, subscriber

pytestmark = pytest.mark.usefixtures("crossbar")  # the subscriber runs with the Python of Crossbar.io

END = "the end"
NESTED: object = [{"a": [{"b": None}]}]
DEEP: object = eval("[" * 126 + "]" * 126)  # noqa: S307  # the deepest accepted, with the 2 lists around it


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def client(driver: str, broker: Broker) -> Iterator[Both]:
    """Return a client of the endpoint for unsigned pushes."""
    with Both(driver, broker.open.endpoint, dialect="crossbar") as client:
        yield client


def received(client: Both, listening: Subscriber, topic: str) -> list[Event]:
    """Return all events that a subscriber has received so far."""
    client.push(topic, END, eligible=[listening.session_id])
    return listening.events_until(END)


@pytest.mark.parametrize(
    "event",
    [
        *(None, True, False, 0, -1, 2**53 + 1, 2**64 - 1, -(2**63), 0.1, 1.5e300),
        *("", "text", "é € 😀", 'a "quote", a \\, a \n, a \x7f', "x&eligible=7;y", [], {}, NESTED, DEEP, "x" * 4000),
        {"": 1, "schlüssel": {"": []}},
    ],
    ids=lambda event: repr(event)[:20],
)
def test_any_json_event_arrives_unchanged(event: object, client: Both, alice: Subscriber, topic: str) -> None:
    alice.subscribe(topic)
    receipt = client.push(topic, event)
    got = alice.event()
    assert got == Event(topic, [event])
    assert (receipt.status, receipt.id) == (200, got.publication)


@pytest.mark.parametrize(
    "payload",
    [
        Payload(),
        Payload(1, "two", [3]),
        Payload(1, two={"deux": 2}),
        Payload(event="x", details=[], größe="é", args=1, kwargs=2),
    ],
    ids=repr,
)
def test_a_payload_has_positional_and_keyword_arguments(
    payload: Payload, client: Both, alice: Subscriber, topic: str
) -> None:
    alice.subscribe(topic)
    client.push(topic, payload)
    assert alice.event() == Event(topic, list(payload.args), dict(payload.kwargs))


@pytest.mark.parametrize("topic", ["com.bücher.✓.😀", "http://example.com/orders?a=b&c", "A/b:c", "t", "com.x\x00y"])
def test_a_topic_may_be_a_loose_uri(topic: str, client: Both, alice: Subscriber) -> None:
    alice.subscribe(topic)
    client.push(topic, 1)
    assert alice.event() == Event(topic, [1])


def test_an_event_of_another_topic_does_not_arrive(client: Both, alice: Subscriber, topic: str) -> None:
    alice.subscribe(topic)
    for other in (f"{topic}.a", topic[:-1], topic.upper(), "com.example"):
        client.push(other, 1)
    assert received(client, alice, topic) == []


@pytest.mark.parametrize("kind", [int, str])
def test_eligible_and_exclude_name_sessions(
    kind: type[int | str], client: Both, alice: Subscriber, bob: Subscriber, topic: str
) -> None:
    """`eligible` and `exclude` contain session IDs: integers, or strings of digits."""
    a, b = kind(alice.session_id), kind(bob.session_id)
    alice.subscribe(topic)
    bob.subscribe(topic)
    client.push(topic, "a", eligible=[a])
    client.push(topic, "b", exclude=(a,))
    client.push(topic, "both", eligible={a, b, kind(1)})
    client.push(topic, "none", eligible=[a], exclude=[a])
    client.push(topic, "all", exclude=[])
    assert [event.args for event in received(client, alice, topic)] == [["a"], ["both"], ["all"]]
    assert [event.args for event in received(client, bob, topic)] == [["b"], ["both"], ["all"]]


def test_an_empty_eligible_list_means_nobody(client: Both, alice: Subscriber, topic: str) -> None:
    """Nobody receives an event with an empty list of eligible sessions, authids or roles.

    Sent raw, such a list means everybody to Crossbar.io.
    """
    alice.subscribe(topic)
    client.push(topic, 1, eligible=[])
    client.push(topic, 2, options={"eligible_authid": []})
    client.push(topic, 3, options={"eligible_authrole": []})
    assert received(client, alice, topic) == []


def test_eligible_and_exclude_select_authids_and_authroles(
    client: Both, alice: Subscriber, bob: Subscriber, topic: str
) -> None:
    alice.subscribe(topic)
    bob.subscribe(topic)
    client.push(topic, 1, options={"exclude_authrole": [alice.authrole]})
    client.push(topic, 2, options={"exclude_authrole": ["another"]})
    client.push(topic, 3, options={"eligible_authrole": ["another"]})
    client.push(topic, 4, options={"eligible_authrole": [alice.authrole, "another"]})
    assert [event.args for event in received(client, alice, topic)] == [[2], [4]]
    assert [event.args for event in received(client, bob, topic)] == [[2], [4]]


def test_an_authid_selects_a_subscriber(client: Both, alice: Subscriber, bob: Subscriber, topic: str) -> None:
    """An authid selects a subscriber; even an anonymous subscriber has an authid of its own."""
    alice.subscribe(topic)
    bob.subscribe(topic)
    client.push(topic, "alice", options={"eligible_authid": [alice.authid]})
    client.push(topic, "bob", options={"exclude_authid": [alice.authid]})
    assert [event.args for event in received(client, alice, topic)] == [["alice"]]
    assert [event.args for event in received(client, bob, topic)] == [["bob"]]


def test_other_options_do_not_prevent_delivery(client: Both, alice: Subscriber, topic: str) -> None:
    alice.subscribe(topic)
    client.push(topic, 1, options={"exclude_me": True, "exclude_authid": [], "exclude_authrole": []})
    client.push(topic, 2, options={"exclude_me": False, "retain": False})
    assert [event.args for event in received(client, alice, topic)] == [[1], [2]]


def test_many_pushes_of_one_topic_arrive_in_order(client: Both, alice: Subscriber, topic: str) -> None:
    """Many pushes of one topic arrive in order. Each receipt has the publication ID that the subscriber gets."""
    alice.subscribe(topic)
    outcomes = client.push_many([Push(topic, number) for number in range(200)], order_by_topic=True)
    events = [alice.event() for _ in outcomes]
    assert [event.args for event in events] == [[number] for number in range(200)]
    assert [outcome.receipt and outcome.receipt.id for outcome in outcomes] == [event.publication for event in events]


def test_all_of_many_pushes_arrive(client: Both, alice: Subscriber, topic: str) -> None:
    """All JSON events of a bulk arrive.

    One that is not JSON becomes a failed outcome, and does not delay the others.
    """
    alice.subscribe(topic)
    pushes = [(topic, number if number % 10 else float("nan")) for number in range(200)]
    outcomes = client.push_many(pushes)
    assert [type(outcome.error) for outcome in outcomes if not outcome.ok] == [InvalidPush] * 20
    numbers = {str(alice.event().args[0]) for outcome in outcomes if outcome.ok}
    assert numbers == {str(number) for number in range(200) if number % 10}


# Signing


@pytest.fixture(scope="session")
def carol(broker: Broker) -> Iterator[Subscriber]:
    """Return a subscriber of signed pushes."""
    with subscriber(broker.signed.ws_url) as listening:
        yield listening


def test_a_signed_push_arrives(driver: str, broker: Broker, carol: Subscriber, topic: str) -> None:
    carol.subscribe(topic)
    with Both(driver, broker.signed.endpoint, KEY, SECRET, dialect="crossbar") as client:
        receipts = [client.push(topic, event) for event in ("é", Payload(1, zwei="ö"))]
        events = [carol.event(), carol.event()]
        assert events == [Event(topic, ["é"]), Event(topic, [1], {"zwei": "ö"})]
        assert [receipt.id for receipt in receipts] == [event.publication for event in events]


@pytest.mark.parametrize(
    ("credentials", "status", "said"),
    [
        ((KEY, "wrong"), 401, "REST bridge signature secret not valid."),
        (("unknown", SECRET), 401, "REST bridge signature key not valid."),
        ((), 400, "REST bridge signature was invalid (missing mandatory field - 'key' field missing)."),
    ],
    ids=["wrong secret", "unknown key", "unsigned"],
)
def test_a_push_with_a_wrong_signature_is_refused(
    credentials: tuple[str, ...], status: int, said: str, driver: str, broker: Broker, carol: Subscriber, topic: str
) -> None:
    carol.subscribe(topic)
    with (
        Both(driver, broker.signed.endpoint, *credentials, dialect="crossbar") as client,
        pytest.raises(AuthRejected) as caught,
    ):
        client.push(topic, 1)
    assert (caught.value.status, caught.value.reason) == (status, said)
    with Both(driver, broker.signed.endpoint, KEY, SECRET, dialect="crossbar") as client:
        assert received(client, carol, topic) == []


@pytest.mark.parametrize("off", [-400, 400])
def test_the_error_of_a_wrong_clock_says_by_how_much_it_is_wrong(
    off: int, driver: str, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the client's clock is wrong, even where the hub runs in this process.
    for module in ("_aio.loop_state", "_sync.process_state"):
        monkeypatch.setattr(f"webmqconnect_async.{module}.unix_time", lambda: time.time() + off)
    with (
        Both(driver, broker.signed.endpoint, KEY, SECRET, dialect="crossbar") as client,
        pytest.raises(ClockRejected, match="Request expired") as caught,
    ):
        client.push(topic, 1)
    assert caught.value.skew == pytest.approx(off, abs=3)


def test_a_body_above_the_limit_is_refused(driver: str, broker: Broker, topic: str) -> None:
    with Both(driver, broker.doors["small"].endpoint, dialect="crossbar") as client:
        client.push(topic, "x")
        with pytest.raises(TooLarge) as caught:
            client.push(topic, "x" * 100)
    assert caught.value.status == 413


# Features of Crossbar.io that the hub lacks: roles and retained events


def test_a_role_that_may_not_publish_is_refused(driver: str, real: Broker, topic: str) -> None:
    """The client raises an error if the role may not publish, although the bridge responds with 200."""
    for door in ("mute", "nobody"):
        with (
            Both(driver, real.doors[door].endpoint, dialect="crossbar") as client,
            pytest.raises(AuthRejected, match=r"answered 200: wamp\.error\.not_authorized"),
        ):
            client.push(topic, 1)


def test_a_later_subscriber_gets_a_retained_event(driver: str, real: Broker, topic: str) -> None:
    with Both(driver, real.open.endpoint, dialect="crossbar") as client, subscriber(real.open.ws_url) as late:
        client.push(topic, "kept", options={"retain": True})
        client.push(topic, "gone", options={"retain": False})
        late.subscribe(topic)
        assert late.event() == Event(topic, ["kept"], retained=True)
        assert received(client, late, topic) == []


def test_a_forwarded_event_has_the_publisher_that_it_names(driver: str, real: Broker, topic: str) -> None:
    door = real.doors["disclosed"]
    with Both(driver, door.endpoint, dialect="crossbar") as client, subscriber(door.ws_url) as listening:
        listening.subscribe(topic)
        client.push(topic, 1, options={"forward_for": [{"session": 17, "authid": "a", "authrole": "r"}]})
        assert listening.event().publisher == 17
