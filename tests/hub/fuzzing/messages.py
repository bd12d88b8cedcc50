"""What subscribers send, as text: the messages of both protocols, with one thing wrong, or all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from webmqconnect_async.hub._wamp1 import messages as wamp1_messages
from webmqconnect_async.hub._wamp2 import messages as wamp2_messages

from .engine import Target
from .splices import TOO_DEEP, parsed
from .texts import broken, json_objects, json_texts, json_values, nearly_json, nested, rarely

__all__ = ["WAMP1", "WAMP2", "wamp1_texts", "wamp2_texts"]

_words = st.sampled_from(
    ["t", "u", "x:t", "x", "", "com.example.t", "a..b", "\ud800", "t" * 30, "\U0001f600" * 20]
).map(json.dumps)
_ids = st.one_of(st.integers(0, 3), st.sampled_from([2**53, 2**53 + 1, -1, 10**30])).map(str)
_procedures = st.sampled_from(["ping", "echo", "authreq", "auth", "nothing"]).map(
    lambda name: json.dumps("http://api.wamp.ws/procedure#" + name)
)
_sessions = st.one_of(st.just("[]"), st.lists(_ids, max_size=3).map(lambda ids: f"[{','.join(ids)}]"), json_values)
_options = st.fixed_dictionaries(
    {},
    optional={
        "match": st.one_of(st.sampled_from(['"exact"', '"prefix"']), json_values, nested),
        "acknowledge": st.sampled_from(["true", "false", "null", "1"]),
        "exclude_me": st.sampled_from(["true", "false", "null", "[]"]),
        "eligible": _sessions,
        "exclude": _sessions,
        "eligible_authid": json_values,
        "exclude_authrole": json_values,
    },
).map(lambda members: "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}")
_details = st.fixed_dictionaries(
    {"roles": st.just("{}")},
    optional={
        "authmethods": st.sampled_from(['["wampcra"]', '["anonymous", "wampcra"]', '["ticket", 1]', '"wampcra"', "{}"]),
        "authid": st.sampled_from(['"page"', '"nobody"', "1", '"\\ud800"']),
    },
).map(lambda members: "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items()) + "}")


def _message(*fields: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(*fields).map(lambda texts: f"[{','.join(texts)}]")


def _texts(*messages: SearchStrategy[str]) -> SearchStrategy[str]:
    """Return messages, now and then broken, or something else."""
    right = st.one_of(*messages)
    odd_code = st.builds("[{},{}]".format, json_values, json_values)
    return rarely(st.one_of(broken(right), odd_code, json_texts, nested), right)


def _code(number: int) -> SearchStrategy[str]:
    return st.just(str(number))


wamp1_texts = _texts(
    _message(_code(1), _words, _words),
    _message(_code(2), st.one_of(_words, json_values), st.one_of(_procedures, _words)),
    _message(_code(2), _words, _procedures, st.one_of(json_texts, st.just('"page"'), st.just("null"))),
    _message(_code(2), _words, _procedures, json_values, json_values),
    _message(_code(5), _words),
    _message(_code(6), _words),
    _message(_code(7), _words, json_values),
    _message(_code(6), _words, nearly_json),  # which nothing looks at
    _message(_code(7), _words, json_values, st.one_of(st.sampled_from(["true", "false"]), _sessions)),
    _message(_code(7), _words, json_values, _sessions, _sessions),
)
wamp2_texts = _texts(
    _message(_code(1), _words, st.one_of(_details, _details, json_objects)),
    _message(_code(5), json_values, json_objects),
    _message(st.sampled_from(["3", "6"]), json_objects, _words),
    _message(_code(16), _ids, _options, _words),
    _message(_code(16), _ids, _options, _words, _sessions),
    _message(_code(16), _ids, _options, _words, _sessions, json_objects),
    _message(_code(32), _ids, _options, _words),
    _message(_code(34), _ids, _ids),
    _message(st.sampled_from(["48", "64", "66"]), _ids, _options, _words),
    _message(st.sampled_from(["8", "49", "70"]), json_values),
)


def _check_wamp1(text: str) -> None:
    try:
        message = wamp1_messages.decode(text)
    except wamp1_messages.ProtocolError:
        value = parsed(text)
        assert isinstance(value, list)
        assert value[0] == 2
        assert not isinstance(value[1], str)
        return
    assert message == wamp1_messages.decode(text)
    if message is None:
        return
    value = parsed(text)
    assert value is TOO_DEEP or isinstance(value, list)
    if not isinstance(value, list):
        return
    match message:
        case wamp1_messages.Prefix(prefix, uri):
            assert value[:3] == [1, prefix, uri]
        case wamp1_messages.Call(call_id, procedure, arguments):
            assert value[:3] == [2, call_id, procedure]
            assert [parsed(argument) for argument in arguments] == value[3:]
            assert parsed(wamp1_messages.call_result(call_id, "[1]")) == [3, call_id, [1]]
            assert parsed(wamp1_messages.call_error(call_id, "u", procedure)) == [4, call_id, "u", procedure]
        case wamp1_messages.Subscribe(topic):
            assert value[:2] == [5, topic]
        case wamp1_messages.Unsubscribe(topic):
            assert value[:2] == [6, topic]
        case wamp1_messages.Publish(topic, event, exclude, eligible):
            assert (value[:2], value[2]) == ([7, topic], parsed(event))
            assert parsed(wamp1_messages.event(topic, event)) == [8, topic, value[2]]
            for named in (exclude, eligible):
                assert named is None or all(isinstance(each, str) for each in named)
            assert eligible is None or isinstance(value[4], list)


WAMP1 = Target("wamp1", wamp1_texts, _check_wamp1, share=3)


def _check_wamp2(text: str) -> None:
    try:
        message = wamp2_messages.decode(text)
    except wamp2_messages.ProtocolViolation:
        return  # what its text says is sent, and checked, where sessions are
    assert message == wamp2_messages.decode(text)
    value = parsed(text)
    if message is None or not isinstance(value, list):
        assert value is TOO_DEEP or (isinstance(value, list) and value[0] in (8, 49, 70))
        return
    match message:
        case wamp2_messages.Hello(realm, methods, authid):
            assert value[:2] == [1, realm]
            assert all(each in value[2]["authmethods"] for each in methods)
            assert authid is None or authid == value[2]["authid"]
        case wamp2_messages.Authenticate(signature):
            assert value[:2] == [5, signature]
        case wamp2_messages.Subscribe(request, topic, match):
            assert (value[:2], value[3]) == ([32, request], topic)
            assert match == "exact" or value[2]["match"] != "exact"
        case wamp2_messages.Unsubscribe(request, subscription):
            assert value == [34, request, subscription]
        case wamp2_messages.RPCRequest(kind, request):
            assert value[:2] == [kind, request]
        case wamp2_messages.Publish(request, published):
            arguments, keywords = [*value[4:5], []][0], [*value[5:6], {}][0]
            assert (value[:2], value[3]) == ([16, request], published.topic)
            assert parsed(published.args or "") == arguments
            assert (parsed(published.kwargs) if published.kwargs is not None else {}) == keywords
            lone = len(arguments) == 1 and not keywords
            assert parsed(published.event) == (arguments[0] if lone else {"args": arguments, "kwargs": keywords})
            _check_audience({"eligible": published.eligible, "exclude": published.exclude}, value[2])


def _check_audience(audience: Mapping[str, object], options: Mapping[str, object]) -> None:
    """Check that nobody is let in whom the options leave out."""
    for name in ("eligible", "exclude"):
        named = options.get(name)
        listed = named if isinstance(named, list) else [] if named is None else [named]
        assert (audience[name] or frozenset()) == {str(each) for each in listed}


WAMP2 = Target("wamp2", wamp2_texts, _check_wamp2, share=3)
