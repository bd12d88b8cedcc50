"""Why the `crossbar` dialect refuses certain pushes: sent raw to Crossbar.io, each of them is lost or causes an error.

If a test here fails with a later version of Crossbar.io, the dialect may no longer need that limit.
"""

from __future__ import annotations

import json

import pytest

from webmqconnect_async import InvalidPush, Payload, Push
from webmqconnect_async._core.dialects.crossbar import Crossbar

from .brokers import Broker
from .raw import post
from .subscribers import Event, Gone, subscriber

pytestmark = pytest.mark.usefixtures("crossbar")

END = "the end"
NOTHING: list[Event] = []


def refuses(push: Push) -> bool:
    """Return whether the dialect refuses a push."""
    dialect = Crossbar(None, None, sequence=lambda: 1, nonce=lambda: 1)
    try:
        dialect.encode(push)
    except InvalidPush:
        return True
    return False


def sent_raw(real: Broker, topic: str, parts: str, serializer: str = "json") -> tuple[int, list[Event] | None]:
    """Return the status of the response, and the events that a subscriber received: `None` if it lost its connection.

    Args:
        real: Crossbar.io.
        topic: as JSON, without the quotes.
        parts: the other members of the body.
        serializer: the subscriber's.
    """
    heard = json.loads(f'"{topic}"').encode("utf-8", "replace").decode().strip()
    with subscriber(real.open.ws_url, serializer) as listening:
        listening.subscribe(heard)
        status = post(real.open.endpoint, f'{{"topic":"{topic}",{parts}}}'.encode()).status
        post(real.open.endpoint, {"topic": heard, "args": [END]})
        try:
            return status, listening.events_until(END)
        except Gone:
            return status, None


@pytest.mark.parametrize(
    ("event", "serializer"),
    [
        (str(2**64), "msgpack"),
        (str(-(2**63) - 1), "msgpack"),
        (f'{{"a":[{2**64}]}}', "msgpack"),
        (r'"\ud800"', "json"),
        (r'"\ud800"', "msgpack"),
        (r'{"\udfff":1}', "cbor"),
    ],
    ids=lambda value: value[:20],
)
def test_an_event_that_is_accepted_and_lost(event: str, serializer: str, real: Broker, topic: str) -> None:
    assert refuses(Push(topic, json.loads(event)))
    assert sent_raw(real, topic, f'"args":[{event}]', serializer) == (200, NOTHING)
    assert refuses(Push(topic, Payload(k=json.loads(event))))
    assert sent_raw(real, topic, f'"kwargs":{{"k":{event}}}', serializer) == (200, NOTHING)


@pytest.mark.parametrize("event", [r'"\u0000a"', r'{"k":["\u0000abc"]}'])
def test_an_event_that_is_accepted_and_ends_the_connection_of_a_subscriber(
    event: str, real: Broker, topic: str
) -> None:
    assert refuses(Push(topic, json.loads(event)))
    assert sent_raw(real, topic, f'"args":[{event}]') == (200, None)


@pytest.mark.parametrize(
    ("levels", "serializer", "heard"), [(450, "cbor", None), (700, "json", None), (1100, "msgpack", NOTHING)]
)
def test_nesting_that_is_accepted_and_too_deep_for_subscribers(
    levels: int, serializer: str, heard: list[Event] | None, real: Broker, topic: str
) -> None:
    event: object = []
    for _ in range(levels - 1):
        event = [event]
    assert refuses(Push(topic, event))
    assert sent_raw(real, topic, f'"args":[{"[" * levels + "]" * levels}]', serializer) == (200, heard)


@pytest.mark.parametrize(
    ("sent", "serializer", "got"),
    [
        (r'"\u0000aGk="', "json", "b'hi'"),
        (r'"\u0000aGk="', "msgpack", "\0aGk="),
        ("1e400", "json", float("inf")),
        ("-Infinity", "msgpack", float("-inf")),
    ],
)
def test_an_event_that_differs_by_serializer(sent: str, serializer: str, got: object, real: Broker, topic: str) -> None:
    """Some events differ by serializer.

    Browsers get `Infinity` and `NaN` literally, which no JSON parser of a browser accepts.
    """
    assert refuses(Push(topic, json.loads(sent)))
    assert sent_raw(real, topic, f'"args":[{sent}]', serializer) == (200, [Event(topic, [got])])


def test_a_keyword_that_is_dropped_silently(real: Broker, topic: str) -> None:
    assert refuses(Push(topic, Payload(options={}, a=1)))
    assert sent_raw(real, topic, '"kwargs":{"options":{},"a":1}') == (200, [Event(topic, [], {"a": 1})])


@pytest.mark.parametrize("keyword", ["topic", "self"])
def test_a_keyword_that_causes_a_500(keyword: str, real: Broker, topic: str) -> None:
    assert refuses(Push(topic, Payload(**{keyword: 1})))
    assert sent_raw(real, topic, f'"kwargs":{{"{keyword}":1}}') == (500, NOTHING)


@pytest.mark.parametrize("tail", [r"\n", r"\ud800"])
def test_a_topic_that_is_accepted_and_has_no_subscribers(tail: str, real: Broker, topic: str) -> None:
    assert refuses(Push(topic + json.loads(f'"{tail}"'), 1))
    assert sent_raw(real, topic + tail, '"args":[1]') == (200, NOTHING)


@pytest.mark.parametrize("topic", ["", "a..b", ".a", "a.", "a b", "a#b", r"a\u00a0b", r"\n"])
def test_a_topic_that_causes_a_500(topic: str, real: Broker) -> None:
    assert refuses(Push(json.loads(f'"{topic}"'), 1))
    assert post(real.open.endpoint, f'{{"topic":"{topic}"}}'.encode()).status == 500


@pytest.mark.parametrize("name", ["eligible", "eligible_authid", "eligible_authrole"])
def test_an_empty_eligible_list_means_everybody(name: str, real: Broker, topic: str) -> None:
    """Crossbar.io delivers an event with an empty `eligible` list to everybody, so the dialect never sends one."""
    assert sent_raw(real, topic, f'"args":[1],"options":{{"{name}":[]}}') == (200, [Event(topic, [1])])


def test_an_unknown_option_is_ignored(real: Broker, topic: str) -> None:
    assert refuses(Push(topic, 1, options={"eligble_authid": ["a"]}))
    assert sent_raw(real, topic, '"args":[1],"options":{"eligble_authid":["a"]}') == (200, [Event(topic, [1])])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("retain", 1), ("exclude_me", "x"), ("eligible_authid", [1]), ("exclude_authrole", [None])),
        *(
            ("forward_for", [{"session": session, "authid": authid, "authrole": authrole}])
            for session, authid, authrole in ((True, "a", "b"), ("1", "a", "b"), (1, None, "b"), (1, "a", None))
        ),
        ("forward_for", [1]),
    ],
)
def test_an_option_of_the_wrong_type_causes_a_500(option: str, value: object, real: Broker, topic: str) -> None:
    assert refuses(Push(topic, 1, options={option: value}))
    assert post(real.open.endpoint, {"topic": topic, "options": {option: value}}).status == 500
