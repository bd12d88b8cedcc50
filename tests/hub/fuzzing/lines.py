"""Lines of a file to push, as the command line parses them."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from webmqconnect_async._cli.push.jsonl import Events, Records, event_of, failed_record, no_push_record
from webmqconnect_async._core.values import JSONText
from webmqconnect_async.errors import InvalidPush

from .engine import Target
from .splices import TOO_DEEP, parsed
from .texts import broken, encodings, json_texts, json_values, object_of

__all__ = ["LINES"]

_names = st.sampled_from(
    ["eligible", "exclude", "line", "error", "reason", "safe", "text", "topic", "event", "other", "\ud800"]
)


@st.composite
def _line(draw: DrawFn) -> bytes:
    members = [("topic", json.dumps(draw(st.text(max_size=5)))), ("event", draw(json_values))]
    members += draw(
        st.lists(st.tuples(_names, st.one_of(json_values, st.just('["1", 2]'), st.just("true"))), max_size=2)
    )
    record = object_of(*draw(st.permutations(members)))
    text = draw(st.one_of(st.just(record), broken(st.just(record)), json_texts))
    return draw(encodings)(text) + draw(st.sampled_from([b"", b"\n", b"\r\n"]))


def _check(line: bytes) -> None:
    records = Records(include_unconfirmed=True)
    error = InvalidPush("x")
    try:
        push = records.push(line)
    except ValueError:
        record = no_push_record(line, 7, error)
        assert no_push_record(record, 8, error) == record
    else:
        assert push is not None
        record = failed_record(records.fields(line), 7, error)
        again = records.push(record)
        assert again == push, "the record of the failure is a different push"
    assert record.endswith(b"\n")
    assert record.count(b"\n") == 1
    said = parsed(record.decode("utf-8"))
    if said is not TOO_DEEP:
        assert isinstance(said, dict)
        assert "line" in said
    assert event_of("\x00" + record.decode("utf-8")) == "\x00" + record.decode("utf-8")
    try:
        event = Events("t", None, ["1"]).push(line).event
    except ValueError:
        return
    for each in (event, event_of(line.decode("utf-8-sig"))):
        assert isinstance(each, JSONText)
        assert parsed(each.encoded.decode()) == parsed(line.decode("utf-8-sig"))
    assert parsed(failed_record(Events("t", None, ["1"]).fields(line), 7, error).decode("utf-8"))


LINES = Target("lines", _line(), _check)
