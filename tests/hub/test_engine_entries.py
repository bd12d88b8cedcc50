"""Entries of the stream: an event stays the same, and entries that no hub has written are recognized."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async.hub._engine.entries import InvalidEntry, entry_of, fields_of, position_at, position_of
from webmqconnect_async.hub._publication import Publication, Receivers

texts = st.text(st.characters(), max_size=20)  # with lone surrogates, which JSON can contain
sets = st.frozensets(texts, max_size=3)
receivers = st.builds(Receivers, eligible=st.none() | sets, exclude=sets)
publications = st.builds(
    Publication,
    topic=texts,
    event=texts,
    eligible=st.none() | sets,
    exclude=sets,
    args=st.none() | texts,
    kwargs=st.none() | texts,
    authid=st.none() | receivers,
    authrole=st.none() | receivers,
    retain=st.booleans(),
)

BEFORE = position_at(b"1700000000000-7", b"0123456789ab-12")
EVENT = [b"o", b"a-1", b"p", b"1700000000000-7 0123456789ab-12", b"t", b"topic", b"e", b"1"]


@given(publications)
def test_an_event_is_the_same_after_decoding(publication: Publication) -> None:
    fields = [b"o", b"a-1", b"p", BEFORE.text, *fields_of(publication)]
    entry = entry_of(b"1700000000001-2047", fields)
    assert entry.follows(BEFORE)
    assert entry.position == (b"1700000000001-2047", b"a-1", (1_700_000_000_001 << 11) + 2047)
    got = entry.publication()
    for name in ("topic", "event", "args", "kwargs", "retain", "receivers"):
        assert getattr(got, name) == getattr(publication, name)


def test_the_fields_of_an_event() -> None:
    """The names of the fields are literals here, because hubs of other versions read them."""
    assert entry_of(b"1-0", EVENT).publication() == Publication("topic", "1")
    publication = Publication(
        "é", "1", frozenset({"b", "a"}), frozenset({"c"}), "[1,2]", "{}", None, Receivers(None, frozenset({"d"})), True
    )
    assert fields_of(publication) == [
        *(b"t", b"\xc3\xa9", b"e", b"1", b"a", b"[1,2]", b"k", b"{}", b"r", b"1"),
        *(b"s", b'[[["a", "b"], ["c"]], [null, []], [null, ["d"]]]'),
    ]


@pytest.mark.parametrize(
    "more",
    [
        [b"t", b"\xff"],
        [b"e", b"\xff"],
        [b"s", b""],
        [b"s", b"1"],
        [b"s", b"[]"],
        [b"s", b"[1, 2, 3]"],
        [b"s", b"[[1, 2], [3, 4], [5, 6]]"],
        [b"s", b"[[null, [[]]], [null, []], [null, []]]"],
        [b"s", b"[" * 100_000],
    ],
)
def test_an_entry_of_another_application_is_refused(more: list[bytes]) -> None:
    with pytest.raises(InvalidEntry):
        entry_of(b"1-0", [*EVENT, *more]).publication()


@pytest.mark.parametrize("fields", [[b"a", b"b"], [b"o", b"b", b"h", b"c"], [b"a", b"b", b"p", b"1-0 x"]])
def test_an_entry_without_a_predecessor(fields: list[bytes]) -> None:
    entry = entry_of(b"1-0", fields)
    assert entry.before == b""
    assert not entry.follows(position_at(b"1-0", b"b"))
    with pytest.raises(InvalidEntry):
        entry.publication()


def test_position_of() -> None:
    assert position_of(b"1-2 a b") == (b"1-2", b"a b", (1 << 11) + 2)
