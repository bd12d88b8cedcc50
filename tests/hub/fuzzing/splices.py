"""Parses the messages that subscribers receive of a publication, without code of the hub."""

from __future__ import annotations

import json

from webmqconnect_async.hub._frames import text_frame
from webmqconnect_async.hub._publication import Publication
from webmqconnect_async.hub._wamp1.session import Wamp1Session
from webmqconnect_async.hub._wamp2.session import Wamp2Session

__all__ = ["parsed", "payload_of", "spliced"]

TOO_DEEP = object()
"""A value that browsers can parse and Python cannot."""


def _refuse(name: str) -> object:
    raise AssertionError(f"{name} is not JSON")


def parsed(text: str) -> object:
    """Return the value of a text, which must be strict JSON, or TOO_DEEP."""
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        return TOO_DEEP
    return value


def payload_of(frame: bytes) -> str:
    """Return the text of a frame, which must be a single complete text frame."""
    assert frame[0] == 0x81
    size, start = frame[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(frame[2:start])
    assert len(frame) == start + size
    return frame[start:].decode("utf-8")


def spliced(publication: Publication) -> tuple[object, object, object]:
    """Return the event, the arguments and the keywords that subscribers of both versions receive."""
    old = parsed(payload_of(text_frame(Wamp1Session.event(publication, 7, 9))))
    new = parsed(payload_of(text_frame(Wamp2Session.event(publication, 7, 9))))
    if old is TOO_DEEP or new is TOO_DEEP:
        return TOO_DEEP, TOO_DEEP, TOO_DEEP
    assert isinstance(old, list)
    assert isinstance(new, list)
    assert (old[:2], len(old)) == ([8, publication.topic], 3)
    assert new[:4] == [36, 7, 9, {}]
    return old[2], new[4], new[5] if len(new) == 6 else None
