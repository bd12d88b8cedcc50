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

from .._publication import EVERYBODY, Publication, Receivers

_BEFORE = re.compile(rb"(\d{1,20}-\d{1,20}) (.+)", re.DOTALL)
_MOST = (1 << 11) - 1
"""The highest counter that a hub uses. An entry of another program may have a higher one."""

_EVENT = {b"t", b"e", b"a", b"k", b"r", b"s"}
"""The fields that an event may have. The others need not be text."""


class Position(NamedTuple):
    """The position of an entry in the stream."""

    id: bytes
    token: bytes
    publication_id: int

    @property
    def text(self) -> bytes:
        """The field `p` of the next entry."""
        return b"%s %s" % self[:2]


NOWHERE = Position(b"", b"", -1)
"""Before all entries."""


class InvalidEntry(ValueError):
    """An entry does not follow the one before it, or was not written by a hub."""


class Entry(NamedTuple):
    """An entry of the stream."""

    position: Position
    before: bytes
    """The field `p`. Empty if a history begins with this entry, or if no hub has written it."""
    fields: Sequence[bytes]

    def follows(self, position: Position) -> bool:
        return self.before == position.text

    def publication(self) -> Publication:
        """Return the event; raise `InvalidEntry` if there is none, because no hub has written the entry."""
        pairs = zip(self.fields[::2], self.fields[1::2], strict=True)
        try:
            named = {name: text.decode("utf-8", "surrogatepass") for name, text in pairs if name in _EVENT}
            publication = Publication(
                named[b"t"], named[b"e"], args=named.get(b"a"), kwargs=named.get(b"k"), retain=b"r" in named
            )
            if b"s" in named:
                by_session, by_authid, by_authrole = map(_receivers, json.loads(named[b"s"]))
                publication.eligible, publication.exclude = by_session.eligible, by_session.exclude
                publication.authid, publication.authrole = by_authid, by_authrole
        except (LookupError, ValueError, TypeError, RecursionError):
            raise InvalidEntry from None
        return publication


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
    if receivers != EVERYBODY:
        sets = [[None if each.eligible is None else sorted(each.eligible), sorted(each.exclude)] for each in receivers]
        fields += (b"s", json.dumps(sets).encode())
    return fields


def entry_of(entry_id: bytes, fields: Sequence[bytes]) -> Entry:
    before = fields[3] if len(fields) > 3 and (fields[0], fields[2]) == (b"o", b"p") else b""
    return Entry(position_at(entry_id, fields[1]), before, fields)


def position_of(before: bytes) -> Position | None:
    """Return the position that the field `p` names; `None` if no hub has written it."""
    matched = _BEFORE.fullmatch(before)
    return None if matched is None else position_at(*matched.groups())


def position_at(entry_id: bytes, token: bytes) -> Position:
    return Position(entry_id, token, publication_id_of(entry_id))


def publication_id_of(entry_id: bytes) -> int:
    milliseconds, _, counter = entry_id.partition(b"-")
    return int(milliseconds) << 11 | min(int(counter), _MOST)


def _receivers(sets: Sequence[Sequence[str] | None]) -> Receivers:
    eligible, exclude = sets
    return Receivers(None if eligible is None else frozenset(eligible), frozenset(exclude or ()))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
