"""Translate JSON arguments and lines to pushes, and failed lines to records that can be pushed again. Pure."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

from ..._core.strict_json import decode, raw_decode
from ..._core.values import JSONText, Push, SessionIDs
from ...errors import InvalidPush, WebMQError
from ..errors import is_safe

_NEEDED = frozenset({"topic", "event"})
_FIELDS = _NEEDED | {"eligible", "exclude"}
_NOTES = frozenset({"line", "error", "reason", "safe", "retryable"})
"""Members that a failure record has besides the push. They are ignored when the record is pushed again."""
_NOT_A_PUSH = _NOTES | {"text"}
"""The members of a record that `no_push_record` has made."""

_USUAL = re.compile(r'[ \t]*\{[ \t]*"topic"[ \t]*:[ \t]*"([^"\\\x00-\x1f]*)"[ \t]*,[ \t]*"event"[ \t]*:[ \t]*')
"""The usual form of a record, up to its event."""
_MEMBER = re.compile(r'[\s{,]*("(?:[^"\\]|\\.)*")\s*:\s*')
_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
"""Whitespace between the tokens of JSON. Strings match first, so that whitespace in them is kept."""
_LIKE_JSON = re.compile(r"""[\s\ufeff]*(?:[\[{"']|-?[0-9]|(?:NaN|-?Infinity)\s*$)""")


class Records:
    """Lines of the form `{"topic": …, "event": …}`, optionally with `eligible` and `exclude`."""

    def __init__(self, include_unconfirmed: bool = False) -> None:
        self._include_unconfirmed = include_unconfirmed

    def push(self, line: bytes) -> Push | None:
        """Return the push of a line; `None` if it is unconfirmed (`"safe": false`), and those are not included.

        Any other line is a `ValueError`, also one with an unknown member, which may be a mistyped `eligible`.
        """
        text = _text(line)
        if (push := _usual(text)) is not None:
            return push
        value, written = _record(text)
        match value:
            case dict() as record if record.keys() == _NOT_A_PUSH:
                raise ValueError(f"not a push: {record['reason']}")
            case dict() as record:
                if missing := sorted(_NEEDED - record.keys()):
                    raise ValueError(f"{missing[0]}: missing")
                if unknown := sorted(record.keys() - _FIELDS - _NOTES):
                    raise ValueError(f"{unknown[0]}: no such field; there are topic, event, eligible and exclude")
                # By identity, because in Python 1 == True.
                if (safe := record.get("safe", True)) is not True and safe is not False:
                    raise ValueError("safe: neither true nor false")
                if not safe and not self._include_unconfirmed:
                    return None
                event = _unchanged(written["event"], record["event"])
                return Push(record["topic"], event, record.get("eligible"), record.get("exclude"))
            case list():
                raise ValueError("a list of records; write each on a line, as jq -c '.[]' does")
        raise ValueError('not an object like {"topic": "…", "event": …}')

    def fields(self, line: bytes) -> dict[str, str]:
        """Return the fields of a push by name, as the JSON of the line: encoded again, 1e400 and 0.10 would change."""
        return {name: text for name, text in _members(_text(line)) if name in _FIELDS}


class Events:
    """Lines that are events, all with the same topic and receivers."""

    def __init__(self, topic: str, eligible: SessionIDs | None, exclude: SessionIDs | None) -> None:
        self._topic = topic
        self._eligible = eligible
        self._exclude = exclude

    def push(self, line: bytes) -> Push:
        """Return the push that a line describes; raise `ValueError` if the line is not JSON."""
        text = _text(line)
        return Push(self._topic, _unchanged(text, decode(text, finite=True)), self._eligible, self._exclude)

    def fields(self, line: bytes) -> dict[str, str]:
        """Return the fields of a push as for `Records`."""
        fields = {"topic": _json(self._topic), "event": _text(line).strip()}
        lists = {"eligible": self._eligible, "exclude": self._exclude}
        return fields | {name: _json(list(ids)) for name, ids in lists.items() if ids is not None}


Format: TypeAlias = Records | Events
"""How to interpret a line."""


def is_like_json(argument: str) -> bool:
    """Return whether an argument begins like JSON, so that it is probably meant to be JSON."""
    return _LIKE_JSON.match(argument) is not None


def event_of(argument: str) -> object:
    """Return the event that an argument describes: JSON, or else the argument as a string.

    JSON gets the compact form in which clients send it, so that `explain` shows what they sign. An argument that begins
    like JSON, but is not JSON, is a `ValueError`.
    """
    try:
        return _unchanged(_SPACE.sub(r"\1", argument), decode(argument, finite=True))
    except ValueError:
        if is_like_json(argument):
            raise
        return argument


def failed_record(fields: Mapping[str, str], number: int, error: WebMQError) -> bytes:
    """Return the failure record of a line, which can be pushed again."""
    notes = {"line": number, "error": type(error).__name__, "reason": str(error)}
    notes |= {"safe": is_safe(error), "retryable": error.retryable}
    members = {**fields, **{name: _json(value) for name, value in notes.items()}}
    record = ", ".join(f'"{name}": {text}' for name, text in members.items())
    # UTF-8 cannot encode a lone surrogate. backslashreplace makes it \udXXX, which is also the escape of JSON.
    return f"{{{record}}}\n".encode("utf-8", "backslashreplace")


def no_push_record(line: bytes, number: int, error: InvalidPush) -> bytes:
    """Return the record of a line that is not a push. If the line is such a record itself, return it unchanged."""
    text = line.decode("utf-8-sig", "backslashreplace").strip()
    with suppress(ValueError):
        match _record(text)[0]:
            case dict() as record if record.keys() == _NOT_A_PUSH:
                return f"{text}\n".encode()
    return failed_record({"text": _json(text)}, number, error)


def _usual(text: str) -> Push | None:
    """Return the push of a record with a topic and an event only, by decoding nothing but its event."""
    if (start := _USUAL.match(text)) is None:
        return None
    try:
        event, end = raw_decode(text, start.end())
        if text[end:].rstrip(" \t\r") == "}":
            return Push(start[1], _unchanged(text[start.end() : end], event))
    except (ValueError, RecursionError):  # it is reported when the whole line is decoded
        pass
    return None


def _record(text: str) -> tuple[object, dict[str, str]]:
    """Return the value of a JSON text, and its members as they are written.

    A duplicate member is a `ValueError`. `json` would use the last `eligible`, which may have other sessions.
    """
    value, written = decode(text, finite=True), dict[str, str]()
    if isinstance(value, dict):
        for name, member in _members(text):
            if name in written:
                raise ValueError(f"{name}: given twice")
            written[name] = member
    return value, written


def _members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each member of a JSON object, and its value as it is written in the text."""
    end = 0
    while name := _MEMBER.match(text, end):
        _, end = raw_decode(text, name.end())
        yield str(decode(name[1])) if "\\" in name[1] else name[1][1:-1], text[name.end() : end]


def _unchanged(text: str, value: object) -> JSONText:
    """Return the JSON of an event unchanged. A lone surrogate is a `ValueError`, because brokers cannot forward it."""
    try:
        if "\\u" in text:
            _json(value).encode()
        return JSONText(text.strip().encode())
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("event: a lone surrogate is not UTF-8") from None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(line: bytes) -> str:
    try:
        return line.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None
