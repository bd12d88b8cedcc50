"""The SQL statements that insert events into the outbox."""

from __future__ import annotations

import enum
import subprocess
import sys
from typing import Literal
from uuid import UUID

import pytest

from webmqconnect_async import InvalidPush, Payload
from webmqconnect_async.outbox import insert, schema


class Color(enum.IntEnum):
    RED = 7


@pytest.mark.parametrize(
    ("style", "marks"),
    [
        ("qmark", "?, ?, ?, ?, ?"),
        ("format", "%s, %s, %s, %s, %s"),
        ("dollar", "$1, $2, $3, $4, $5"),
    ],
)
def test_positional_styles(style: Literal["qmark", "format", "dollar"], marks: str) -> None:
    statement, (key, *values) = insert("a", {"b": "☕"}, eligible=["1", Color.RED], exclude=(), style=style)
    assert statement.partition(" VALUES ")[::2] == (
        "INSERT INTO webmq_outbox (key, topic, event, eligible, exclude)",
        f"({marks})",
    )
    assert UUID(key).version == 4
    assert values == ["a", '{"b":"☕"}', '["1","7"]', "[]"]
    assert insert("a", 1, style=style)[1][0] != key


def test_named_style() -> None:
    statement, parameters = insert("a", None, style="named")
    assert statement.endswith("VALUES (:key, :topic, :event, :eligible, :exclude)")
    assert UUID(parameters.pop("key") or "").version == 4
    assert parameters == {"topic": "a", "event": "null", "eligible": None, "exclude": None}


def test_encoder() -> None:
    assert insert("a", 1, dumps=lambda event: f" {event} ")[1][2] == " 1 "
    assert insert("a", 1, dumps=lambda _: "☕".encode())[1][2] == "☕"


@pytest.mark.parametrize(
    ("topic", "event", "options", "said"),
    [
        (5, 1, {}, "topic must be a string, not int"),
        ("", 1, {}, "topic: must have 1 to 2,000 bytes in UTF-8, without NUL"),
        ("a\0", 1, {}, "topic: must have 1 to 2,000 bytes in UTF-8, without NUL"),
        ("é" * 1001, 1, {}, "topic: must have 1 to 2,000 bytes in UTF-8, without NUL"),
        ("\ud800", 1, {}, "topic: a lone surrogate at character 0 is not UTF-8"),
        ("a", {"b": [float("nan")]}, {}, "event['b'][0]: nan is not JSON"),
        ("a", Payload(1), {}, "Payload is not JSON"),
        ("a", 1, {"dumps": lambda _: b"\xff"}, "event: what dumps returned is not UTF-8"),
        ("a", 1, {"eligible": "12"}, "eligible must be a list, tuple or set of session IDs, not str"),
        ("a", 1, {"exclude": ["1,2"]}, "exclude[0]: '1,2' is not a session ID"),
    ],
)
def test_an_event_that_cannot_be_pushed_is_refused(
    topic: str, event: object, options: dict[str, object], said: str
) -> None:
    """An event that cannot be pushed is refused before anything is written, as by `push`."""
    with pytest.raises(InvalidPush) as raised:
        insert(topic, event, **options)  # type: ignore[call-overload]
    assert said in str(raised.value)


def test_longest_topic() -> None:
    assert insert("é" * 1000, 1)[1][1] == "é" * 1000


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="style must be 'qmark', 'format', 'named', 'dollar', not 'pyformat'"):
        insert("a", 1, style="pyformat")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="database must be 'sqlite' or 'postgresql', not 'mysql'"):
        schema("mysql")  # type: ignore[arg-type]


def test_importing_the_outbox_imports_no_driver_and_no_client() -> None:
    # coverage, which measures this process in CI, has already imported sqlite3
    code = (
        "import sys; before = set(sys.modules); import webmqconnect_async.outbox; "
        "print({'sqlite3', 'psycopg', 'aiohttp', 'asyncio'} & (set(sys.modules) - before))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"  # noqa: S603
