"""JSON from arguments and lines, the pushes it stands for, and the lines that say what failed. Knows no files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn, Protocol

from ..errors import InvalidPush, WebMQError
from ..values import Push, SessionIDs
from .failures import is_safe

__all__ = ["Events", "Format", "Records", "event_of", "failed_record", "no_push_record"]

_NEEDED = frozenset({"topic", "event"})
_FIELDS = _NEEDED | {"eligible", "exclude"}
_NOTES = frozenset({"line", "error", "reason", "safe"})
"""What the record of a failure says besides the push; a push made of it again passes that over."""

_NAME = re.compile(r'[\s{,]*("(?:[^"\\]|\\.)*")\s*:\s*')
_decoder = json.JSONDecoder()


class Format(Protocol):
    """What a line means."""

    def push(self, line: bytes) -> Push | None:
        """Return the push of a line; None where it is to be left out.

        Raises:
            ValueError: the line is no push.
        """

    def fields(self, line: bytes) -> dict[str, str]:
        """Return what the record of a failed push says of it, by name: JSON, in the line's own words.

        Not what the line was decoded to: 1e400 and 0.10 come back as they were.
        """


class Records:
    """Lines `{"topic": …, "event": …}`, with `eligible` and `exclude` where they are given.

    The record of a failure is such a line, too.

    Args:
        include_unconfirmed: whether to push what says `"safe": false`, too, and so perhaps a second time.
    """

    def __init__(self, include_unconfirmed: bool = False) -> None:
        self._include_unconfirmed = include_unconfirmed

    def push(self, line: bytes) -> Push | None:
        """Return the push of a line; None where it may have been taken before and those are to be left out.

        Raises:
            ValueError: it is not JSON, not an object, or its fields are not those: a mistyped `eligible` that was
                passed over would reach everybody.
        """
        match _decoded(_text(line)):
            case dict() as record if _was_no_push(record):
                raise ValueError(f"was no push: {record['reason']}")
            case dict() as record:
                if missing := sorted(_NEEDED - record.keys()):
                    raise ValueError(f"{missing[0]}: missing")
                if unknown := sorted(record.keys() - _FIELDS - _NOTES):
                    raise ValueError(f"{unknown[0]}: no such field; there are topic, event, eligible and exclude")
                # In Python 1 is True, and in JSON it is not.
                if (safe := record.get("safe", True)) is not True and safe is not False:
                    raise ValueError("safe: neither true nor false")
                if not safe and not self._include_unconfirmed:
                    return None
                return Push(**{name: record[name] for name in _FIELDS & record.keys()})
        raise ValueError('not an object like {"topic": "…", "event": …}')

    def fields(self, line: bytes) -> dict[str, str]:
        """Return the fields of a push as they stand in its line."""
        return {name: text for name, text in _members(_text(line)).items() if name in _FIELDS}


class Events:
    """Lines that are events alone, all for the same topic and receivers."""

    def __init__(self, topic: str, eligible: SessionIDs | None, exclude: SessionIDs | None) -> None:
        self._topic = topic
        self._eligible = eligible
        self._exclude = exclude

    def push(self, line: bytes) -> Push:
        """Return the push of a line; raise ValueError where it is not JSON."""
        return Push(self._topic, _decoded(_text(line)), self._eligible, self._exclude)

    def fields(self, line: bytes) -> dict[str, str]:
        """Return the fields of a push, its event as the line says it."""
        fields = {"topic": _json(self._topic), "event": _text(line).strip()}
        lists = {"eligible": self._eligible, "exclude": self._exclude}
        return fields | {name: _json(list(ids)) for name, ids in lists.items() if ids is not None}


def event_of(argument: str) -> object:
    """Return the event that an argument means: JSON, or a plain string where it is none."""
    try:
        return _decoded(argument)
    except ValueError:
        return argument


def failed_record(fields: Mapping[str, str], number: int, error: WebMQError) -> bytes:
    """Return the line that says what failed and why, a record that can be pushed again.

    Args:
        fields: what a Format returned of the line.
        number: the line's, from 1.
        error: what it ended in.
    """
    notes = {"line": number, "error": type(error).__name__, "reason": str(error), "safe": is_safe(error)}
    members = {**fields, **{name: _json(value) for name, value in notes.items()}}
    record = ", ".join(f'"{name}": {text}' for name, text in members.items())
    # A lone surrogate, which UTF-8 cannot say, becomes \udXXX, which is JSON's own word for it.
    return f"{{{record}}}\n".encode("utf-8", "backslashreplace")


def no_push_record(line: bytes, number: int, error: InvalidPush) -> bytes:
    """Return the record of a line that is no push: its text. What is such a record already stays as it is."""
    text = line.decode("utf-8-sig", "backslashreplace").strip()
    with suppress(ValueError):
        match _decoded(text):
            case dict() as record if _was_no_push(record):
                return f"{text}\n".encode()
    return failed_record({"text": _json(text)}, number, error)


def _was_no_push(record: Mapping[str, object]) -> bool:
    """Return whether this is what `no_push_record` makes of a line."""
    return record.keys() == _NOTES | {"text"}


def _members(text: str) -> dict[str, str]:
    """Return the members of a JSON object by name, each value as the text it is there."""
    members, end = {}, 0
    while name := _NAME.match(text, end):
        _, end = _decoder.raw_decode(text, name.end())
        members[str(_decoder.decode(name[1]))] = text[name.end() : end]
    return members


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None


def _decoded(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name}")
