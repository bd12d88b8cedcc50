"""`session_id` checks a session ID that a page sends, so that no visitor can make a push invalid."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async import Push, session_id
from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async._core.settings import new_dialect
from webmqconnect_async.hub import _broker

_OF_2012 = ["cPfzHXkq-_8w3N5d", "-aaaaaaaaaaaaaa-"]
_DIALECTS: tuple[DialectName, ...] = ("webmq", "crossbar")
both_dialects = pytest.mark.parametrize("dialect", _DIALECTS)


@pytest.mark.parametrize("text", ["1", "1234", "6220044819318603", str(2**53)])
@both_dialects
def test_a_number_is_a_session_id(text: str, dialect: DialectName) -> None:
    assert session_id(text, dialect) == text == session_id(text)


@pytest.mark.parametrize("text", _OF_2012)
def test_an_id_of_a_hub_of_2012_is_valid_in_its_dialect(text: str) -> None:
    assert (session_id(text), session_id(text, "webmq"), session_id(text, "crossbar")) == (text, text, None)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "0", "-1", "01", "1.0", " 1", "1\n", "a,b", "1,2", "null", "undefined", "\u0661\u0667", "²"),
        *(str(2**53 + 1), "9" * 16, "1" * 17, "1" * 10_000),
        *("a" * 15, "a" * 17, "a" * 15 + ",", "a" * 15 + "\n", "a" * 15 + "ä", "a" * 15 + "\ud800"),
        *(17, b"17", ["17"]),
    ],
    ids=lambda text: ascii(text)[:20],
)
@both_dialects
def test_anything_else_returns_none(text: str | None, dialect: DialectName) -> None:
    assert session_id(text, dialect) is None


def test_the_ids_of_the_hub_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (0, 2**53 - 10**15):
        monkeypatch.setattr(secrets, "randbelow", lambda _most, number=number: number)
        assert session_id(_broker._session_id(), "crossbar") is not None


@given(
    text=st.text() | st.from_regex("[0-9]{1,17}") | st.from_regex("[A-Za-z0-9_,-]{16}"),
    dialect=st.sampled_from(_DIALECTS),
)
def test_a_returned_id_makes_no_push_invalid(text: str, dialect: DialectName) -> None:
    if author := session_id(text, dialect):
        new_dialect(dialect, None).encode(Push("t", 1, eligible=[author], exclude=[author]))


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^dialect must be 'webmq' or 'crossbar', not 'wamp'$"):
        session_id("1", "wamp")  # type: ignore[arg-type]  # wrong on purpose
