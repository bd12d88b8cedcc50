"""Signatures in the text of a response are found completely or in part, in any escape."""

from __future__ import annotations

import json
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from webmqconnect_async._core.dialects import Dialect, Request, Response
from webmqconnect_async._core.dialects import replies as replies_module
from webmqconnect_async._core.dialects.crossbar import Crossbar
from webmqconnect_async._core.dialects.masking import quotes
from webmqconnect_async._core.dialects.replies import QUOTED, target_of
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Receipt
from webmqconnect_async.errors import BadReply, ClockRejected, Rejected, WebMQError

from ..escapes import ESCAPES, nested, runs, shown

SIGNATURE = "tw--HwmsaCc3uxI04FSgejT4_cmsm-BwyXTZKKFQ7Y4="
DIALECTS: list[Dialect] = [WebMQ(), Crossbar(None, None, sequence=lambda: 1, nonce=lambda: 1)]
NAMES = st.lists(st.sampled_from(sorted(ESCAPES)), max_size=3)


@st.composite
def parts(draw: st.DrawFn) -> str:
    """Return a part of the signature, of eight characters or more."""
    start = draw(st.integers(0, len(SIGNATURE) - 8))
    return SIGNATURE[start : draw(st.integers(start + 8, len(SIGNATURE)))]


def shown_by(error: object) -> list[str]:
    """Return all text that an error shows."""
    assert isinstance(error, WebMQError)
    return [str(error), repr(error), repr(error.args), repr(vars(error)), repr(pickle.dumps(error))]


def judged(status: int, body: bytes, dialect: Dialect = DIALECTS[0], signature: str = SIGNATURE) -> Rejected | BadReply:
    request = Request(f"signature={signature}", b"1", signature)
    verdict = dialect.judge(request, Response(status, CIMultiDict(), body), 1, 0.0)
    assert not isinstance(verdict, Receipt)
    return verdict


@pytest.mark.parametrize("name", ESCAPES)
def test_every_part_is_found_in_every_escape(name: str) -> None:
    for signature in (SIGNATURE, "7" + "_" * 42 + "=", "uGreqxThUAV6pZVtNUftqHOCj9JIfXNMpKfI44BQ36A="):
        for part in runs(signature):
            assert quotes(f"…signature={nested(part, name)}", signature)


@pytest.mark.parametrize("first", ESCAPES)
def test_escapes_may_be_nested(first: str) -> None:
    for second in ESCAPES:
        for start in (0, 4, 17, 36):
            text = nested(SIGNATURE[start : start + 8], first, second)
            assert quotes(f"signature={text}", SIGNATURE), (second, text)


@pytest.mark.parametrize(
    ("text", "depth"),
    [("tw%{}2D-Hwmsa", "25"), ("tw&{}#45;-Hwmsa", "amp;"), ("tw{}\\u002d-Hwmsa", "\\\\")],
    ids=["percent", "html", "json"],
)
def test_an_escape_may_be_escaped_often(text: str, depth: str) -> None:
    for times in (0, 1, 2, 3, 7, 30):
        assert quotes(text.format(depth * times), SIGNATURE)


@given(parts(), NAMES, st.text(max_size=20), st.text(max_size=20), st.booleans())
def test_no_embedding_is_missed(part: str, names: list[str], before: str, after: str, whole: bool) -> None:
    """A signature is found alone or within other text, in a plain reason and in the JSON of the bridge."""
    text = nested(before + part + after, *names) if whole else before + nested(part, *names) + after
    json_text = json.dumps({"error": "x", "args": [text]})
    for dialect in DIALECTS:
        for status, body in ((400, text), (502, json_text), (200, json_text)):
            verdict = judged(status, body.encode("utf-8", "replace"), dialect)
            assert shown(shown_by(verdict), SIGNATURE) == []
            if len(body) < 190:
                assert verdict.reason == QUOTED or "[removed]" in verdict.reason


@given(parts(), NAMES, st.sampled_from(["/{}", "/a/{}/b", "//{}/", "http://{}/x", "http://{}@h/", "{}", "/x;{}?a#b"]))
def test_no_redirect_is_missed(part: str, names: list[str], pattern: str) -> None:
    """A signature in the path, the host or the user of a Location is found."""
    location = pattern.format(nested(part, *names))
    assert shown([target_of(CIMultiDict({"Location": location}), SIGNATURE)], SIGNATURE) == []
    request = Request("", b"1", SIGNATURE)
    verdict = DIALECTS[0].judge(request, Response(307, CIMultiDict({"Location": location}), b""), 1, 0.0)
    assert shown(shown_by(verdict), SIGNATURE) == []


@pytest.mark.parametrize("name", ["plain", "percent", "percent, all", "html", "json, all", "wrapped", "spaced"])
def test_no_limit_leaves_a_part(name: str) -> None:
    """Neither the length limit of a reason nor that of a body leaves a part of a signature where the text is cut."""
    text = nested(SIGNATURE, name)
    for limit in (200, 16384):
        for before in range(limit - len(text) - 2, limit + 2):
            verdict = judged(500, b". " * (before // 2) + b"." * (before % 2) + text.encode())
            assert shown(shown_by(verdict), SIGNATURE) == []
    for before in range(200):
        assert shown([judged(500, b"\r" * (16384 - before) + text.encode()).reason], SIGNATURE) == []


def test_a_hidden_reason_says_why_it_is_hidden() -> None:
    verdict = judged(400, f"Got more than 8190 bytes when reading: b'/?signature={SIGNATURE[:33]}...'.".encode())
    assert verdict.reason == "(not shown: it quotes the request's signature)"
    assert str(verdict) == f"the broker answered 400: {verdict.reason}"
    moved = Response(302, CIMultiDict({"Location": f"/{SIGNATURE[:9]}"}), b"")
    redirected = DIALECTS[0].judge(Request("", b"1", SIGNATURE), moved, 1, 0.0)
    assert str(redirected) == f"the broker answered 302, a redirect to {QUOTED}, which is not followed"


def test_a_hidden_reason_still_determines_the_error() -> None:
    """A hidden reason still determines the class of the error."""
    for status, said, kind in ((400, "timestamp expired (delta 302 seconds)", ClockRejected), (400, "no", Rejected)):
        verdict = judged(status, f"{said}: ?signature={SIGNATURE}".encode())
        assert type(verdict) is kind
        assert "delta" in verdict.reason or verdict.reason == "no: ?signature=[removed]" or verdict.reason == QUOTED
    bridge = {"error": f"Request expired, too old timestamp. {SIGNATURE[:20]}"}
    assert type(judged(400, json.dumps(bridge).encode(), DIALECTS[1])) is ClockRejected


def test_a_shorter_part_is_shown() -> None:
    """A part of up to seven characters is shown, because it can be a coincidence."""
    for part in runs(SIGNATURE, 7):
        assert not quotes(f"no: '{part}'", SIGNATURE), part


@pytest.mark.parametrize(
    "text",
    [
        "unknown application key 'x'",
        "100% of the events & more <b>were</b> refused: C:\\new\\x=%20",
        '<html><head><meta name="viewport" content="width=device-width"></head>502&nbsp;Bad%20Gateway</html>',
        string.printable,
        "",
    ],
    ids=repr,
)
def test_other_reasons_are_shown(text: str) -> None:
    assert not quotes(text, SIGNATURE)


def test_a_reason_of_an_unsigned_push_is_shown() -> None:
    assert judged(400, b"abcdefghijk", signature="").reason == "abcdefghijk"


@pytest.mark.parametrize(
    "text",
    ["%26" * 20 + "&#37;" * 10 + "\\x5c" * 10 + "=5C" * 10, "%25&amp;\\\\=3D" * 20, "%" + "25" * 100, "<a=%26" * 40],
)
def test_the_number_of_decodings_is_limited(text: str) -> None:
    """A text with more possible decodings than are tried is hidden."""
    assert quotes(text[:200] + SIGNATURE[:8], SIGNATURE)
    assert isinstance(quotes(text[:200], SIGNATURE), bool)


def test_a_text_with_too_many_decodings_is_hidden() -> None:
    assert quotes("%" + "25" * 20 + "&" + "amp;" * 20, SIGNATURE)


def test_an_accepted_push_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("quotes", "visible", "text_of"):
        monkeypatch.delattr(replies_module, name)
    request = Request("", b"1", SIGNATURE)
    for dialect, response in zip(
        DIALECTS,
        (Response(202, CIMultiDict(), b""), Response(200, CIMultiDict(), b'{"id":5}')),
        strict=True,
    ):
        assert isinstance(dialect.judge(request, response, 1, 0.0), Receipt)
