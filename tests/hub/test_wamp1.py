"""The codec of WAMP v1: every message in both directions, and arbitrary input."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async._core import strict_json
from webmqconnect_async.hub._wamp1 import messages
from webmqconnect_async.hub._wamp1.messages import Call, Prefix, ProtocolError, Publish, Subscribe, Unsubscribe, decode


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[1,"ex","http://example.com/"]', Prefix("ex", "http://example.com/")),
        ('[2,"id","ex:proc"]', Call("id", "ex:proc")),
        ('[2,"id","ex:proc",null,{"a":[1]},"\\u00fc"]', Call("id", "ex:proc", ("null", '{"a":[1]}', '"\\u00fc"'))),
        ('[5,"ex:topic"]', Subscribe("ex:topic")),
        (' [ 5 , "" ] ', Subscribe("")),
        ('[6,"http://example.com/ü"]', Unsubscribe("http://example.com/ü")),
        ('[7,"t",{"a":1}]', Publish("t", '{"a":1}')),
        ('[7,"t",1,true]', Publish("t", "1", exclude=None)),
        ('[7,"t",1,false]', Publish("t", "1", exclude=frozenset())),
        ('[7,"t",1,["a","b"]]', Publish("t", "1", exclude=frozenset({"a", "b"}))),
        ('[7,"t",1,[],["a",2,null,{}]]', Publish("t", "1", exclude=frozenset(), eligible=frozenset({"a", "2"}))),
        ('[7,"t",1,[],[]]', Publish("t", "1", exclude=frozenset(), eligible=frozenset())),
        ('[7,"t",1,"x","y"]', Publish("t", "1")),
        ('[7,"t","\\ud800"]', Publish("t", '"\\ud800"')),
        ('[7,"t",12345678901234567890]', Publish("t", "12345678901234567890")),
    ],
)
def test_a_message_is_decoded(text: str, message: messages.Message) -> None:
    assert decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "5",
        '"[5]"',
        '{"5":"t"}',
        "[]",
        "[5]",
        "[5,5]",
        '["5","t"]',
        '[true,"ex","http://example.com/"]',
        '[5.0,"t"]',
        '[null,"t"]',
        '[[5],"t"]',
        '[99,"t"]',
        '[-1,"t"]',
        '[0,"id",1,"me"]',
        '[3,"id",null]',
        '[8,"t",1]',
        '[1,"ex"]',
        '[1,1,"http://example.com/"]',
        "[2]",
        '[2,"id"]',
        '[2,"id",7]',
        '[7,"t"]',
        '[7,"t",NaN]',
        '[7,"t",1e400]',
        '[7,"t",' + "9" * 4301 + "]",
        '[5,"t"] x',
        '[5,"t"',
        "[" * 100_000,
        '[7,"t",' + "[" * 100_000 + "]" * 100_000 + "]",
    ],
)
def test_invalid_messages_are_ignored(text: str) -> None:
    assert decode(text) is None


def test_an_event_that_can_be_parsed_but_not_encoded_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The maximum depth of parsing and of encoding differs between Python versions."""

    def too_deep(_value: object) -> str:
        raise RecursionError

    monkeypatch.setattr(strict_json, "_encode", too_deep)
    assert decode('[7,"t",1]') is None


def test_an_event_of_the_maximum_depth_is_accepted_or_ignored() -> None:
    decoded = [decode(f'[7,"t",{"[" * depth}{"]" * depth}]') for depth in range(700, 1010)]
    taken = sum(isinstance(message, Publish) for message in decoded)
    assert taken > 0
    assert decoded[taken:] == [None] * (len(decoded) - taken)


@pytest.mark.parametrize("text", ["[2,1]", '[2,null,"p"]', '[2,["id"],"p"]', '[2,true,"p"]'])
def test_a_call_without_a_valid_id_is_an_error(text: str) -> None:
    with pytest.raises(ProtocolError, match="not text"):
        decode(text)


def test_the_messages_of_the_hub() -> None:
    assert messages.welcome("6123456789012345", "hub/1") == '[0,"6123456789012345",1,"hub/1"]'
    assert messages.call_result("ü", "null") == '[3,"\\u00fc",null]'
    assert messages.call_error("a", "http://e#x", 'say "x"') == '[4,"a","http://e#x","say \\"x\\""]'
    assert messages.event('t"]', '{"n": 1.10}') == '[8,"t\\"]",{"n": 1.10}]'


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
any_text = st.text(alphabet=st.characters())


@given(st.one_of(st.text(), values.map(json.dumps), st.lists(st.integers(0, 9) | values).map(json.dumps)))
def test_any_input_is_a_message_or_ignored(text: str) -> None:
    try:
        message = decode(text)
    except ProtocolError:
        assert json.loads(text)[0] == 2
    else:
        assert message is None or isinstance(message, messages.Message)


@given(topic=any_text, value=values)
def test_an_event_is_the_same_after_decoding_and_encoding(topic: str, value: object) -> None:
    message = decode(json.dumps([7, topic, value]))
    assert isinstance(message, Publish)
    assert json.loads(messages.event(message.topic, message.event)) == [8, topic, value]


@given(call_id=any_text, procedure=any_text, arguments=st.lists(values, max_size=4))
def test_a_call_and_its_result_are_the_same_after_decoding_and_encoding(
    call_id: str, procedure: str, arguments: list[object]
) -> None:
    message = decode(json.dumps([2, call_id, procedure, *arguments]))
    assert isinstance(message, Call)
    assert message.procedure == procedure
    assert [json.loads(argument) for argument in message.arguments] == arguments
    result = json.dumps(arguments)
    assert json.loads(messages.call_result(message.id, result)) == [3, call_id, arguments]


@given(first=any_text, second=any_text)
def test_texts_are_the_same_after_decoding_and_encoding(first: str, second: str) -> None:
    for fields, message in [
        ([1, first, second], Prefix(first, second)),
        ([5, first], Subscribe(first)),
        ([6, first], Unsubscribe(first)),
    ]:
        assert decode(json.dumps(fields)) == message
        assert decode(json.dumps(fields, ensure_ascii=False)) == message
