"""Text from outside is escaped before it is shown, parsed as a query, and parsed as JSON."""

from __future__ import annotations

import json

import pytest

from webmqconnect_async._core import strict_json
from webmqconnect_async._core.escape import shortened, visible
from webmqconnect_async._core.query import parameters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe ☃ 😀 '\"\\", "größe ☃ 😀 '\"\\"),
        ("\x1b[2J\r\n\0\x7f", r"\u001b[2J\u000d\u000a\u0000\u007f"),
        ("\u202egnp.exe\u2028\ufeff", r"\u202egnp.exe\u2028\ufeff"),
        ("\ud800\U000e0041", r"\ud800\udb40\udc41"),
    ],
)
def test_unprintable_characters_are_escaped_as_in_json(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


def test_text_is_cut_before_it_is_escaped() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc…"
    assert visible("\x1b" * 4, 3) == r"\u001b" * 3 + "…"


def test_parameters_keep_their_order_and_repetitions() -> None:
    assert parameters("b=1&a=%C3%BC+x&b=&c&=2&") == [
        (b"b", b"1"),
        (b"a", "ü x".encode()),
        (b"b", b""),
        (b"c", None),
        (b"", b"2"),
        (b"", None),
    ]


@pytest.mark.parametrize(("query", "value"), [("a=\udcc3%BC", "ü".encode()), ("a=%ff", b"\xff"), ("a=100%", b"100%")])
def test_parameters_are_bytes(query: str, value: bytes) -> None:
    """Parameters are bytes, because percent-encoded text may not be valid UTF-8."""
    assert parameters(query) == [(b"a", value)]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "[1,]", "{'a':1}", "", "1 2", "[" * 200_000])
def test_text_that_a_browser_does_not_parse(text: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.decode(text)


def test_a_number_that_is_too_large_for_a_float() -> None:
    assert strict_json.decode(" 1e400 ") == float("inf")
    with pytest.raises(ValueError, match="not JSON: a number out of range"):
        strict_json.decode("[1e400]", finite=True)
