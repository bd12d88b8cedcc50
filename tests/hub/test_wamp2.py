"""The WAMP v2 codec: every message there and back, and whatever else a peer may send."""

from __future__ import annotations

import json
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async._core import strict_json
from webmqconnect_async._core.topics import is_reserved, is_uri
from webmqconnect_async.hub._publication import Publication, Receivers
from webmqconnect_async.hub._publish_options import Audience
from webmqconnect_async.hub._wamp2 import messages
from webmqconnect_async.hub._wamp2.messages import (
    Abort,
    Authenticate,
    Goodbye,
    Hello,
    Message,
    ProtocolViolation,
    Publish,
    RPCRequest,
    Subscribe,
    Type,
    Unsubscribe,
    decode,
)

LARGEST = 2**53


def publish(
    args: str = "[]",
    kwargs: str | None = None,
    *,
    event: str | None = None,
    acknowledge: bool = False,
    exclude_me: bool = True,
    audience: Audience | None = None,
) -> Publish:
    event = event or f'{{"args":{args},"kwargs":{kwargs or "{}"}}}'
    eligible, exclude, authid, authrole = audience or Audience()
    publication = Publication("t", event, eligible, exclude, args, kwargs, authid, authrole)
    return Publish(1, publication, acknowledge, exclude_me)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[1,"realm1",{}]', Hello("realm1", (), None)),
        (
            '[1,"r",{"roles":{"subscriber":{}},"authmethods":["wampcra",5,"x"],"authid":"ü"}]',
            Hello("r", ("wampcra", "x"), "ü"),
        ),
        ('[1,"",{"authmethods":"wampcra","authid":5}]', Hello("", (), None)),
        (' [ 5 , "sig" , {} ] ', Authenticate("sig")),
        ('[3,{},"wamp.error.x"]', Abort()),
        ('[6,{"message":"bye"},"wamp.close.normal"]', Goodbye()),
        ('[32,1,{},"com.example.ü"]', Subscribe(1, "com.example.ü", "exact")),
        ('[32,0,{"match":"prefix"},"a."]', Subscribe(0, "a.", "prefix")),
        (f'[32,{LARGEST},{{"match":"exact","get_retained":true}},""]', Subscribe(LARGEST, "", get_retained=True)),
        ('[32,1,{"match":null},"a"]', Subscribe(1, "a", "None")),
        ("[34,1,2]", Unsubscribe(1, 2)),
        ('[16,1,{},"t"]', publish()),
        ('[16,1,{},"t",[]]', publish()),
        ('[16,1,{},"t",[1,"ü",{"a":[null]}]]', publish(r'[1,"\u00fc",{"a":[null]}]')),
        ('[16,1,{},"t",[],{}]', publish()),
        ('[16,1,{},"t",[],{"a": 12345678901234567890}]', publish("[]", '{"a":12345678901234567890}')),
        ('[16,1,{},"t",[{"a": 1}],{}]', publish('[{"a":1}]', event='{"a":1}')),
        (
            '[16,1,{"acknowledge":true,"exclude_me":false,"unknown":5},"t"]',
            publish(acknowledge=True, exclude_me=False),
        ),
        ('[16,1,{"acknowledge":null,"exclude_me":null,"eligible":null},"t"]', publish()),
        (
            '[16,1,{"eligible":[1,2],"exclude":[3]},"t"]',
            publish(audience=Audience(frozenset({"1", "2"}), frozenset({"3"}))),
        ),
        ('[16,1,{"eligible":[],"exclude":[]},"t"]', publish()),
        (
            '[16,1,{"eligible_authid":["a"],"exclude_authrole":["b"]},"t"]',
            publish(audience=Audience(authid=Receivers(frozenset("a")), authrole=Receivers(exclude=frozenset("b")))),
        ),
        ('[48,1,{},"p"]', RPCRequest(Type.CALL, 1)),
        ('[48,1,{},"p",[1],{"a":2}]', RPCRequest(Type.CALL, 1)),
        ('[64,2,{},"p"]', RPCRequest(Type.REGISTER, 2)),
        ("[66,3,7]", RPCRequest(Type.UNREGISTER, 3)),
    ],
)
def test_a_message_is_decoded(text: str, message: Message) -> None:
    assert decode(text) == message


@pytest.mark.parametrize("text", ["[49,1,{}]", "[70,1,{}]", "[70,1,{},[1]]", '[8,68,1,{},"wamp.error.x"]'])
def test_what_is_about_a_call_that_has_ended_is_ignored(text: str) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "{", "[1", '[1,"r",{}] x', '[1,"r",{"a":NaN}]', '[16,1,{},"t",[1e400]]', "[" * 100_000),
        '[16,1,{},"t",[' + "9" * 4301 + "]]",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_json_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"^not JSON$"):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        *("null", "5", '"[1]"', '{"1":"r"}', "[]", "[1]", '[1,"r"]', "[1,5,{}]", '[1,"r",[]]', '[1,"r",{},1]'),
        *('["1","r",{}]', '[true,"r",{}]', '[1.0,"r",{}]', '[null,"r",{}]', '[[1],"r",{}]', '[-1,"r",{}]'),
        *('[2,1,{"roles":{}}]', '[4,"wampcra",{}]', "[17,1,1]", "[33,1,1]", "[35,1]", "[36,1,1,{}]", "[50,1,{}]"),
        *("[7,1,1]", "[99,1]", "[65,1,1]", "[68,1,1,{}]", "[0,1]"),
        *("[5]", '[5,"x"]', "[5,null,{}]", '[5,"x",[]]', "[3,{}]", '[3,[],"x"]', "[6,{}]", "[6,{},5]"),
        *("[32,1,{}]", "[32,1,{},5]", '[32,1,[],"t"]', '[32,1,{},"t",1]', "[34,1]", "[34,1,true]", '[34,1,"2"]'),
        *("[34,1,2.0]", "[34,1,-1]", f"[34,1,{LARGEST + 1}]", "[34,1,2,{}]"),
        *("[16,1,{}]", "[16,1,{},5]", '[16,1,[],"t"]', '[16,1,{},"t",{}]', '[16,1,{},"t",null]'),
        *('[16,1,{},"t",[],null]', '[16,1,{},"t",[],[]]', '[16,1,{},"t",[],{},1]'),
    ],
)
def test_what_no_client_says_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"^not a message that a client sends to a broker$"):
        decode(text)


@pytest.mark.parametrize("kind", [16, 32, 34, 48, 64, 66])
@pytest.mark.parametrize("request_", ["true", "false", "1.0", '"1"', "null", "-1", "[1]", str(LARGEST + 1), "9" * 99])
def test_a_request_is_named_by_an_integer(kind: int, request_: str) -> None:
    """True is none, though it equals 1: the answer would not be JSON."""
    for rest in (',{},"t"', ',{},"t",[1]', ",1", ""):
        with pytest.raises(ProtocolViolation, match=r"^the ID of a request must be an integer from 0 to 2\^53$"):
            decode(f"[{kind},{request_}{rest}]")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('{"eligible":["1"]}', "option 'eligible' must be a list of integers"),
        ('{"exclude":[true]}', "option 'exclude' must be a list of integers"),
        ('{"eligible_authid":[1]}', "option 'eligible_authid' must be a list of strings"),
        ('{"acknowledge":1}', "option 'acknowledge' must be true or false"),
        ('{"exclude_me":"no"}', "option 'exclude_me' must be true or false"),
    ],
)
def test_an_option_of_another_type_is_a_violation(options: str, said: str) -> None:
    """If it were ignored, an event for a few subscribers would reach all."""
    with pytest.raises(ProtocolViolation) as caught:
        decode(f'[16,1,{options},"t"]')
    assert str(caught.value) == said


def test_arguments_that_can_be_read_and_not_written_are_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep that is, each Python says anew, and whether it is the same for both."""

    def too_deep(_value: object) -> str:
        raise RecursionError

    monkeypatch.setattr(strict_json, "_encode", too_deep)
    with pytest.raises(ProtocolViolation, match=r"^nested too deeply$"):
        decode('[16,1,{},"t",[1]]')


def test_arguments_that_can_just_be_read_are_taken_or_a_violation() -> None:
    taken = 0
    for depth in range(700, 1010):
        arguments = "[" * depth + "]" * depth
        try:
            message = decode(f'[16,1,{{}},"t",[],{{"a":{arguments}}}]')
        except ProtocolViolation as violation:
            assert str(violation) in ("not JSON", "nested too deeply")  # noqa: PT017  # as deep as it may be, there is none
        else:
            assert message == publish(kwargs=f'{{"a":{arguments}}}')
            taken += 1
    assert taken > 0


def test_what_the_hub_says() -> None:
    assert messages.event(1, 2, "[1.10]", None) == "[36,1,2,{},[1.10]]"
    assert messages.event(1, 2, "[]", '{"a": 1}') == '[36,1,2,{},[],{"a": 1}]'


def test_topics() -> None:
    assert all(map(is_uri, ("a", "a.b", "http://example.com/ü?a=b", "a\x00")))
    assert not any(map(is_uri, ("", ".", "a.", ".a", "a..b", "a b", "a\n", "a#")))
    assert [is_reserved(topic) for topic in ("wamp.a", "wamp.", "wamp", "wamper.a", "a.wamp.b")] == [
        *(True, True),
        *(False, False, False),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
any_text = st.text(alphabet=st.characters())
codes = st.sampled_from([*Type, 0, 7, 99])


@given(
    st.one_of(
        st.text(),
        values.map(json.dumps),
        st.tuples(codes).flatmap(lambda code: st.lists(values).map(lambda rest: json.dumps([*code, *rest]))),
    )
)
def test_whatever_a_peer_sends_is_a_message_nothing_or_a_violation(text: str) -> None:
    try:
        message = decode(text)
    except ProtocolViolation as violation:
        assert str(violation)  # noqa: PT017  # whether there is one is open
    else:
        assert message is None or isinstance(message, Message)


@given(topic=any_text, args=st.lists(values, max_size=4), kwargs=st.dictionaries(st.text(), values, max_size=4))
def test_an_event_comes_back_as_it_was_published(topic: str, args: list[object], kwargs: dict[str, object]) -> None:
    message = decode(json.dumps([16, 1, {}, topic, args, kwargs]))
    assert isinstance(message, Publish)
    assert message.publication.topic == topic
    assert message.publication.args is not None
    event = json.loads(messages.event(1, 2, message.publication.args, message.publication.kwargs))
    assert event == [36, 1, 2, {}, args, *([kwargs] if kwargs else [])]


@given(any_text, any_text)
def test_texts_come_back_as_they_were(first: str, second: str) -> None:
    for ascii_only in (True, False):
        assert decode(json.dumps([1, first, {"authid": second}], ensure_ascii=ascii_only)) == Hello(first, (), second)
        assert decode(json.dumps([5, first, {}], ensure_ascii=ascii_only)) == Authenticate(first)


@given(st.floats())
def test_no_number_is_sent_that_is_none(number: float) -> None:
    text = json.dumps([16, 1, {}, "t", [number]])
    if isfinite(number):
        message = decode(text)
        assert isinstance(message, Publish)
        assert float(message.publication.event) == number
    else:
        with pytest.raises(ProtocolViolation):
            decode(text)
