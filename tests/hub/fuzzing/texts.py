"""Texts that clients send: JSON, almost JSON, and JSON that was damaged."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "broken",
    "encodings",
    "json_objects",
    "json_texts",
    "json_values",
    "maybe",
    "nearly_json",
    "nested",
    "object_of",
    "rarely",
]

_SCALARS = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "1.10",
        "1E5",
        "-1e-400",
        "9007199254740993",
        "9" * 30,
    ),
    *('""', '"a"', '"\\ud800"', '"\\udc00\\ud83d"', '"\\u0000"', '"\x7f\u2028"', '"&eligible=;"', '"\U0001f600é"'),
)
_ODDITIES = (
    *("NaN", "Infinity", "-Infinity", "1e400", "01", "+1", "1.", ".5", "0x1", "-", "1e" + "9" * 50),
    *(
        '"\\x"',
        '"\t"',
        '"',
        '"\\u12',
        "'a'",
        "nul",
        "",
        "[",
        "]",
        "{",
        "[1,]",
        "{1:2}",
        '{"a"}',
        "[1 2]",
        "/**/1",
        "\ufeff1",
    ),
)
nearly_json: SearchStrategy[str] = st.sampled_from(_ODDITIES)
"""Texts that some parsers accept as JSON: CPython's accepts `NaN`."""

_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t\r\n ", "\xa0", "\x00", "\ufeff"])


def rarely(odd: SearchStrategy[str], usual: SearchStrategy[str]) -> SearchStrategy[str]:
    """Return something odd in about one case of eight."""
    return st.integers(0, 7).flatmap(lambda dice: usual if dice else odd)


def _written(value: object, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only)


_long_numbers = st.sampled_from([310, 4300]).map(lambda digits: "1" * digits)  # not a float, and of the maximum length
_scalars = st.one_of(
    _long_numbers,
    st.sampled_from(_SCALARS),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(_written, st.text(max_size=20), st.booleans()),
)


def object_of(*members: tuple[str, str]) -> str:
    """Return a JSON object of these names and JSON texts; a name may be repeated."""
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members) + "}"


def _larger(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    items = st.lists(inner, max_size=4)
    names = st.lists(st.sampled_from(["a", "b", "", "topic", "\ud800"]), min_size=4, max_size=4)
    return st.one_of(
        items.map(lambda texts: f"[{','.join(texts)}]"),
        st.builds(lambda texts, keys: object_of(*zip(keys, texts, strict=False)), items, names),
    )


_COMMON = st.sampled_from(
    (
        *(
            "[]",
            "{}",
            "[1, 2]",
            '["a", null]',
            '{"a": 1}',
            '{"a": {"b": [true, 1.10]}}',
            '[[[["x"]]]]',
            '{"a": 1, "a": 2}',
        ),
        *(
            '[1e5, -0, "é"]',
            '{"": "\\ud800"}',
            '{"topic": "x", "\\ud83d": 0.1e-7}',
            "[{}, [], {}]",
            '"&topicuri=x;body=1"',
        ),
        *_SCALARS,
    )
)
_any_json = st.recursive(_scalars, _larger, max_leaves=6)
json_values: SearchStrategy[str] = st.one_of(_COMMON, _COMMON, _COMMON, _any_json)
"""JSON texts: numbers, strings, arrays and objects that JSON.parse accepts."""

json_objects: SearchStrategy[str] = st.dictionaries(st.text(max_size=5), _scalars, max_size=4).map(
    lambda members: object_of(*members.items())
)

nested: SearchStrategy[str] = st.builds(
    lambda depth, pair: pair[0] * depth + pair[1] * depth,
    st.one_of(st.integers(0, 40), st.integers(200, 1100), st.integers(1100, 20_000)),
    st.sampled_from([("[", "]"), ('{"a":', "}"), ("[", ""), ('[{"":', "}]")]),
)
"""JSON nested more deeply than is accepted, or almost."""

json_texts: SearchStrategy[str] = rarely(
    st.one_of(nearly_json, nested, st.builds("{}{}{}".format, _BLANKS, json_values, _BLANKS)),
    json_values,
)
"""Mostly JSON."""


@st.composite
def broken(draw: DrawFn, texts: SearchStrategy[str]) -> str:
    """Return a text with one random change."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 8)))
    piece = draw(
        st.one_of(
            st.just(""), st.text(max_size=3), st.sampled_from('[]{},:"\\&=%;+ \x00'), st.just(text[start:end] * 2)
        )
    )
    return text[:start] + piece + text[end:]


_codecs: list[Callable[[str], bytes]] = [
    lambda text: text.encode("utf-8", "surrogatepass"),
    lambda text: text.encode("utf-16", "surrogatepass"),
    lambda text: text.encode("latin-1", "replace"),
    lambda text: text.encode("utf-8-sig", "surrogatepass"),
    lambda text: text.encode("utf-8", "surrogatepass") + b"\xff",
    lambda text: text.encode("utf-8", "surrogatepass")[:-1],
]
encodings: SearchStrategy[Callable[[str], bytes]] = st.integers(0, 9).flatmap(
    lambda dice: st.just(_codecs[0]) if dice else st.sampled_from(_codecs)
)
"""Encodings of a text: mostly UTF-8."""


def maybe(texts: SearchStrategy[str]) -> SearchStrategy[str | None]:
    """Return a text or None."""
    return st.one_of(st.none(), texts)
