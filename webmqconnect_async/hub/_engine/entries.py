"""The entries of the stream: their fields, their IDs, and how a hub detects that one is missing. Pure.

The ID of an entry is `milliseconds-counter`. The ID of its publication is `milliseconds << 11 | counter`. Every entry
begins with two fields:

- `o`: its token. A different entry with the same ID has another token.
- `p`: the ID and the token of the previous entry. If a hub has not read that entry, it has missed some.

The first entry of a stream has no `p`. Its `h` is the ID of the history that begins with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from .._publication import Publication, Receivers

_BEFORE = re.compile(rb"(\d{1,20}-\d{1,20}) (.+)", re.DOTALL)
_COUNTER_BITS = 11
_MOST = (1 << _COUNTER_BITS) - 1
"""The highest counter that a hub uses. An entry of another program may have a higher one."""


class Position(NamedTuple):
    """The position of an entry in the stream: its ID and its token."""

    id: bytes
    token: bytes

    @property
    def publication_id(self) -> int:
        """The ID of the entry's publication."""
        milliseconds, _, counter = self.id.partition(b"-")
        return int(milliseconds) << _COUNTER_BITS | min(int(counter), _MOST)


class InvalidEntry(ValueError):
    """An entry does not follow the one before it, or was not written by a hub."""


class Entry(NamedTuple):
    """An entry of the stream."""

    position: Position
    before: bytes
    """The field `p`. Empty if a history begins with this entry, or if no hub has written it."""
    fields: Sequence[bytes]

    def follows(self, position: Position) -> bool:
        """Return whether this is the next entry after a position."""
        return self.before == b"%s %s" % position

    def publication(self) -> Publication:
        """Return the event.

        Raises:
            InvalidEntry: The entry has no event, because no hub has written it.
        """
        named = dict(zip(self.fields[::2], self.fields[1::2], strict=True))
        try:
            return _publication(named)
        except (LookupError, ValueError, TypeError, RecursionError):
            raise InvalidEntry from None


def fields_of(publication: Publication) -> list[bytes]:
    """Return the fields of an event, without `o` and `p`."""
    fields = [b"t", _bytes(publication.topic), b"e", _bytes(publication.event)]
    if publication.args is not None:
        fields += (b"a", _bytes(publication.args))
    if publication.kwargs is not None:
        fields += (b"k", _bytes(publication.kwargs))
    if publication.retain:
        fields += (b"r", b"1")
    receivers = publication.receivers
    if any(each.eligible is not None or each.exclude for each in receivers):
        sets = [[None if each.eligible is None else sorted(each.eligible), sorted(each.exclude)] for each in receivers]
        fields += (b"s", json.dumps(sets).encode())
    return fields


def entry_of(entry_id: bytes, fields: Sequence[bytes]) -> Entry:
    """Return an entry of the stream."""
    before = fields[3] if len(fields) > 3 and (fields[0], fields[2]) == (b"o", b"p") else b""
    return Entry(Position(entry_id, fields[1]), before, fields)


def position_of(before: bytes) -> Position | None:
    """Return the position that the field `p` names; `None` if no hub has written it."""
    matched = _BEFORE.fullmatch(before)
    return None if matched is None else Position(*matched.groups())


def _publication(named: dict[bytes, bytes]) -> Publication:
    publication = Publication(
        _text(named[b"t"]),
        _text(named[b"e"]),
        args=_text(named[b"a"]) if b"a" in named else None,
        kwargs=_text(named[b"k"]) if b"k" in named else None,
        retain=b"r" in named,
    )
    if b"s" in named:
        by_session, by_authid, by_authrole = map(_receivers, json.loads(named[b"s"]))
        publication.eligible, publication.exclude = by_session.eligible, by_session.exclude
        publication.authid, publication.authrole = by_authid, by_authrole
    return publication


def _receivers(sets: Sequence[Sequence[str] | None]) -> Receivers:
    eligible, exclude = sets
    return Receivers(None if eligible is None else frozenset(eligible), frozenset(exclude or ()))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
