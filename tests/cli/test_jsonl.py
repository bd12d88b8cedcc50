"""The formats of lines, and the records of failures, which can be pushed again unchanged."""

from __future__ import annotations

import json

import pytest

from webmqconnect_async import Push, errors
from webmqconnect_async._cli.push.jsonl import Events, Format, Records, event_of, failed_record, no_push_record
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async._core.settings import new_dialect
from webmqconnect_async._core.values import JSONText, SessionIDs


def pushed(topic: str, event: str, eligible: SessionIDs | None = None, exclude: SessionIDs | None = None) -> Push:
    """Return a push whose event is JSON text."""
    return Push(topic, JSONText(event.encode()), eligible, exclude)


@pytest.mark.parametrize(
    ("line", "push"),
    [
        (b'{"topic": "t", "event": null}', pushed("t", "null")),
        (b'{"topic": "t", "event": 1, "eligible": [], "exclude": ["a"]}', pushed("t", "1", [], ["a"])),
        (' {"event": "ż", "topic": ""} '.encode(), pushed("", '"ż"')),
        (
            b'{"topic": "t", "event": 1, "line": 3, "error": "x", "reason": "y", "safe": true, "retryable": true}',
            pushed("t", "1"),
        ),
        (b'{"topic": "t", "event": 1, "safe": false}', None),
        (
            b'{"topic":"t","event":{"price": 1.10, "id": 12345678901234567890}}\r',
            pushed("t", '{"price": 1.10, "id": 12345678901234567890}'),
        ),
        (b'{"topic":"\\u0074","event":1.10}', pushed("t", "1.10")),
    ],
)
def test_record(line: bytes, push: Push | None) -> None:
    assert Records().push(line) == push


def test_record_of_an_unconfirmed_push() -> None:
    """The record of an unconfirmed push is pushed only on request."""
    assert Records(include_unconfirmed=True).push(b'{"topic": "t", "event": 1, "safe": false}') == pushed("t", "1")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"topic": "t", "event": NaN}', "not JSON: NaN"),
        (b'{"topic": "t", "event": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"topic": "t", "event": ' + b"1" * 5000 + b"}", "^an integer of more than 4,300 digits$"),
        (b'{"topic": "t", "event": 1e400}', "^not JSON: a number out of range$"),
        (b'{"topic": "t", "event": ["\\ud800"]}', "^event: a lone surrogate is not UTF-8$"),
        (b'{"event": 1}', "topic: missing"),
        (b"17", "not an object"),
        (b'[{"topic": "t", "event": 1}]', r"^a list of records; write each on a line, as jq -c '\.\[\]' does$"),
        (b'{"topic": "t", "event": 1} {}', "not JSON: Extra data at character 28"),
        (b'{"topic": "t", "event": 1, "elegible": []}', "elegible: no such field"),
        (b'{"topic": "t", "event": 1, "text": "x"}', "text: no such field"),
        (b'{"topic": "t", "event": 1, "safe": "false"}', "safe: neither true nor false"),
        (b'{"topic": "t", "event": 1, "safe": null}', "safe: neither true nor false"),
        (b'{"topic": "t", "event": 1, "safe": 1}', "safe: neither true nor false"),
        (b'{"topic": "t", "event": 1, "safe": 0.0}', "safe: neither true nor false"),
        (
            b'{"text": "x", "line": 3, "error": "InvalidPush", "reason": "why", "safe": true, "retryable": false}',
            "^not a push: why$",
        ),
        (
            b'{"text": "x", "line": 3, "error": "x", "reason": "x", "safe": true, "retryable": false, "a": 1}',
            "event: missing",
        ),
        (b'{"text": "x"}', "event: missing"),
    ],
)
def test_malformed_record(line: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Records(include_unconfirmed=True).push(line)


REPEATED = [
    (b'{"topic": "t", "event": 1, "eligible": ["a"], "eligible": null}', "eligible"),
    (b'{"topic": "t", "event": 1, "eligible": ["a"], "eligible": ["a"]}', "eligible"),
    (b'{"eligible":["a"],"topic":"t","event":1,"exclude":[],"eligible":["b"],"exclude":[]}', "eligible"),
    (rb'{"topic": "t", "event": 1, "eligible": ["a"], "\u0065ligible": null}', "eligible"),
    (rb'{"topic": "t", "event": 1, "\u0065\u006Cigible": ["a"], "eligibl\u0065": null}', "eligible"),
    (b'{"topic": "t", "event": 1, "exclude" : ["a"]\t,\t"exclude"\t: null}', "exclude"),
    (b'{"topic": "t", "topic": "u", "event": 1}', "topic"),
    (b'{"topic": "t", "event": 1, "event": 2}', "event"),
    (b'{"topic": "t", "event": {"event": {"eligible": 1}}, "\\u0065vent": 2}', "event"),
    (b'{"topic": "t", "event": "\\", \\"event\\": ", "event": 2}', "event"),
    (b'{"topic": "t", "event": 1, "safe": false, "safe": true}', "safe"),
    (b'{"topic": "t", "event": 1, "safe": false, "s\\u0061fe": true}', "safe"),
    (b'{"topic": "t", "event": 1, "line": 1, "line": 2}', "line"),
    (b'{"topic": "t", "event": 1, "error": "x", "error": "y"}', "error"),
    (b'{"topic": "t", "event": 1, "reason": "x", "reason": "y"}', "reason"),
    (
        b'{"text": "x", "line": 3, "error": "x", "reason": "x", "safe": true, "retryable": false, "reason": "y"}',
        "reason",
    ),
    (
        b'{"text": "x", "text": "y", "line": 3, "error": "x", "reason": "x", "safe": true, "retryable": false}',
        "text",
    ),
    (
        b'{"\\u0074ext": "x", "text": "y", "line": 3, "error": "x", "reason": "x", "safe": true, "retryable": false}',
        "text",
    ),
]


@pytest.mark.parametrize(("line", "name"), REPEATED, ids=range(len(REPEATED)))
def test_member_given_twice(line: bytes, name: str) -> None:
    """A line with a repeated member fails, its text is kept, and pushing its record again fails for the same reason."""
    said = f"{name}: given twice"
    with pytest.raises(ValueError, match=f"^{said}$"):
        Records(include_unconfirmed=True).push(line)
    record = no_push_record(line, 3, errors.InvalidPush(said))
    notes = {"line": 3, "error": "InvalidPush", "reason": said, "safe": True, "retryable": False}
    assert json.loads(record) == {"text": line.decode(), **notes}
    with pytest.raises(ValueError, match=f"^not a push: {said}$"):
        Records(include_unconfirmed=True).push(record)
    assert no_push_record(record, 4, errors.InvalidPush(f"not a push: {said}")) == record


@pytest.mark.parametrize(
    "event",
    [
        '{"a": 1, "a": 2}',
        '{"event": 1, "event": {"topic": 1, "topic": 2}}',
        '[{"eligible": 1, "\\u0065ligible": 2}]',
        '"topic\\", \\"topic\\": "',
        '["event", "\\u0065vent", "topic", "safe"]',
    ],
)
def test_names_in_an_event_may_repeat(event: str) -> None:
    """Names may be repeated within an event, but not among a record's own members."""
    line = f'{{"topic": "t", "event": {event}, "eligible": ["event"]}}'.encode()
    assert Records().push(line) == pushed("t", event, ["event"])
    assert Events("t", None, None).push(event.encode()) == pushed("t", event)


@pytest.mark.parametrize(
    ("error", "name", "safe", "retryable"),
    [
        (errors.ConnectFailed("why"), "ConnectFailed", True, True),
        (errors.Overloaded("why"), "Overloaded", True, True),
        (errors.AuthRejected("why"), "AuthRejected", True, False),
        (errors.InvalidPush("why"), "InvalidPush", True, False),
        (errors.ClientClosed("why"), "ClientClosed", True, False),
        (errors.ReplyTimeout("why"), "ReplyTimeout", False, True),
        (errors.BadReply("why"), "BadReply", False, False),
        (errors.Unconfirmed("why"), "Unconfirmed", False, False),
        (errors.WebMQError("why"), "WebMQError", False, False),
    ],
)
def test_record_of_a_failure(error: errors.WebMQError, name: str, safe: bool, retryable: bool) -> None:
    """A record says whether it is safe to push again: whether the broker has certainly not accepted it."""
    line = b'{"event": {"id": 1}, "exclude": ["a"], "topic": "t"}'
    record = failed_record(Records().fields(line), 17, error)
    assert record.endswith(b"}\n")
    assert record.count(b"\n") == 1
    push = {"event": {"id": 1}, "exclude": ["a"], "topic": "t"}
    notes = {"line": 17, "error": name, "reason": "why", "safe": safe, "retryable": retryable}
    assert json.loads(record) == {**push, **notes}


EVENTS = [
    *("null", "true", '""', "{}", "[]", '{"a": [1, {"b": "}, {"}], "event": "topic"}'),
    *("123456789012345678901234567890123456789", "-0", "1" * 4000),
    *("0.10", "1E5", "-0.0", "12345678901234567890.12345678901234567890"),
    *('"żółw 🐢"', r'"\u017c\ud83d\udc22"', r'"a\"b\\c\nd\u2028"', '"\u2028"', '{"é": {"é": 1}}'),
    *('{"a": 1, "a": 2}', "[" * 500 + "]" * 500),
]


@pytest.mark.parametrize("event", EVENTS, ids=[event[:20] for event in EVENTS])
def test_an_event_keeps_its_text_in_records(event: str) -> None:
    """An event keeps its text in a record, and in a record of that record: nothing is rounded or escaped twice."""
    line = f' {{ "event" :{event} ,"topic":"ż\\"t", "eligible": [1, "\\u0061"]\t}} \r'.encode()
    formats: list[tuple[Format, bytes]] = [(Records(), line), (Events('ż"t', [1, "a"], None), f" {event}\r".encode())]
    for format, first in formats:
        record = failed_record(format.fields(first), 1, errors.Rejected("no"))
        assert f'"event": {event}, '.encode() in record
        assert Records().push(record) == format.push(first)
        assert failed_record(Records().fields(record), 1, errors.Rejected("no")) == record


def test_the_receivers_of_an_event_are_in_its_record() -> None:
    """An empty list of receivers is recorded, and options that were not given are left out."""
    assert Events("t", [], None).fields(b"1") == {"topic": '"t"', "event": "1", "eligible": "[]"}
    assert Events("t", None, ["ż"]).fields(b"\xef\xbb\xbf1") == {"topic": '"t"', "event": "1", "exclude": '["ż"]'}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"no json\r", "no json"),
        ("\ufeff ż\x00".encode(), "ż\x00"),
        (b'{"topic": "t"}', '{"topic": "t"}'),
        (b"[" * 5000, "[" * 5000),
        (b"caf\xe9", "caf\\xe9"),
        (b'{"text": "odd"}', '{"text": "odd"}'),
    ],
)
def test_record_of_a_line_that_is_not_a_push(line: bytes, text: str) -> None:
    """The record of a line that is not a push holds its text, and does not change when it is pushed again."""
    record = no_push_record(line, 3, errors.InvalidPush("why"))
    notes = {"line": 3, "error": "InvalidPush", "reason": "why", "safe": True, "retryable": False}
    assert json.loads(record) == {"text": text, **notes}
    with pytest.raises(ValueError, match=r"^not a push: why$"):
        Records().push(record)
    assert no_push_record(record, 4, errors.InvalidPush("not a push: why")) == record


def test_the_reason_is_one_line_of_valid_utf_8() -> None:
    record = failed_record({"text": '"x"'}, 1, errors.Rejected("a\nb\ud800"))
    assert record.count(b"\n") == 1
    assert json.loads(record)["reason"] == "a\nb\ud800"


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        *((number, number) for number in ("1.10", "12345678901234567890", "-0.0", "1E5")),
        (' {"price": 1.10,\n"a b" : "c \\" d"} ', r'{"price":1.10,"a b":"c \" d"}'),
        (' "ż"', '"ż"'),
    ],
)
def test_argument_that_is_json(argument: str, event: str) -> None:
    """A JSON argument is pushed as written, without the whitespace between its tokens."""
    assert event_of(argument) == JSONText(event.encode())


@pytest.mark.parametrize(
    ("dialect", "body"), [("webmq", b'{"a": 1.10}'), ("crossbar", b'{"topic":"t","args":[{"a": 1.10}]}')]
)
def test_json_text_in_each_dialect(dialect: DialectName, body: bytes) -> None:
    assert new_dialect(dialect, None).encode(pushed("t", '{"a": 1.10}'))(0.0).body == body


@pytest.mark.parametrize("argument", ["Hello, browsers!", "", "Nan", "-x", "True", "∞", "\x00[1]"])
def test_argument_that_is_a_word(argument: str) -> None:
    assert event_of(argument) == argument


@pytest.mark.parametrize(
    "argument",
    [
        "{id: 17}",
        "[bold]",
        '"',
        "'{id:",
        "17}",
        "2024-05-01",
        "-5x",
        "NaN",
        "-Infinity",
        "9" * 5000,
        "1e400",
        "\ufeff{}",
    ],
)
def test_argument_that_is_invalid_json(argument: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|digits"):
        event_of(argument)
