"""The errors of the hub's responses, and that no text from outside is shown unescaped, nor any secret."""

from __future__ import annotations

import math
import pickle
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from webmqconnect_async._core.dialects import Request, Response, Verdict
from webmqconnect_async._core.dialects.replies import redacted, retry_after, skew_of, target_of, text_of
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.values import Receipt
from webmqconnect_async.errors import (
    AuthRejected,
    BadReply,
    ClockRejected,
    NotAccepted,
    Overloaded,
    Rejected,
    TooLarge,
    Unconfirmed,
    WebMQError,
)

_NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z, the time of the client's clock."""
_SIGNATURE = "tw--HwmsaCc3uxI04FSgejT4-cmsm-BwyXTZKKFQ7Y4="
"""The signature of one of the vectors; it contains two hyphens in a row."""


_UNSIGNED = Request("topicuri=t", b"1")


def _reason(body: bytes) -> str:
    return redacted(text_of(body), "")


def _headers(fields: dict[str, str] | None = None) -> CIMultiDict[str]:
    return CIMultiDict(fields or {})


def _judged(status: int, body: bytes = b"", headers: dict[str, str] | None = None, attempts: int = 1) -> Verdict:
    return WebMQ().judge(_UNSIGNED, Response(status, _headers(headers), body), attempts, _NOW)


_TABLE: list[tuple[int, dict[str, str], bytes, type[Verdict]]] = [
    (202, {}, b"", Receipt),
    (202, {}, b"anything", Receipt),
    # Rejected
    (400, {}, b"missing query parameter 'topicuri'\n", Rejected),
    (400, {}, b"missing query parameter 'topic'\n", Rejected),
    (
        400,
        {},
        b"either all or none of parameters 'appkey', 'signature' and 'timestamp' must be present\n",
        Rejected,
    ),
    (400, {}, b"bad or missing content type ('missing')\n", Rejected),
    (400, {}, b"invalid JSON in request body\n", Rejected),
    (400, {}, b"", Rejected),
    (404, {}, b"<html><body>No such resource</body></html>", Rejected),
    (405, {}, b"HTTP/GET not allowed\n", Rejected),
    # AuthRejected
    (400, {}, b"unknown application key 'x'\n", AuthRejected),
    (401, {}, f"invalid request signature (expected {_SIGNATURE}, got x)\n".encode(), AuthRejected),
    (401, {}, b"not authorized (denied by post rule 1: {'topicUri': u'x', 'matchByPrefix': True})\n", AuthRejected),
    (401, {}, b"not authorized (denied by post rule None: global default)\n", AuthRejected),
    (401, {}, b"", AuthRejected),
    (401, {}, b"timestamp expired (delta 302 seconds)", AuthRejected),
    (403, {}, b"", AuthRejected),
    # ClockRejected
    (400, {}, b"invalid timestamp 'x' (must be i.e. '2011-10-14T16:59:51Z'\n", ClockRejected),
    (400, {}, b"timestamp expired (delta 302 seconds)\n", ClockRejected),
    # TooLarge
    (400, {}, b"content length (4097) exceeds maximum (4096)\n", TooLarge),
    (413, {}, b"<html>413 Request Entity Too Large</html>", TooLarge),
    # any other 4xx, where the reason has no effect on the class
    (402, {}, b"", Rejected),
    (404, {}, b"unknown application key 'x'\n", Rejected),
    (410, {}, b"timestamp expired (delta 302 seconds)\n", Rejected),
    (422, {}, b"content length (4097) exceeds maximum (4096)\n", Rejected),
    (400, {}, b"the content length (4097) exceeds maximum (4096)\n", Rejected),
    (499, {}, b"", Rejected),
    (400, {"Retry-After": "1"}, b"", Rejected),
    # Overloaded
    (429, {}, b"", Overloaded),
    (429, {"Retry-After": "garbage"}, b"", Overloaded),
    (429, {"Retry-After": "7"}, b"", Overloaded),
    (503, {"Retry-After": "7"}, b"", Overloaded),
    (503, {"Retry-After": "0"}, b"", Overloaded),
    (503, {"retry-after": "Fri, 15 Jan 2027 08:00:07 GMT"}, b"", Overloaded),
    # BadReply
    (503, {}, b"", BadReply),
    (503, {"Retry-After": "soon"}, b"", BadReply),
    (503, {"Retry-After": ""}, b"", BadReply),
    (500, {}, b"internal server error ('x')\n", BadReply),
    (500, {"Retry-After": "7"}, b"", BadReply),
    (502, {}, b"<html>Bad Gateway</html>", BadReply),
    (504, {}, b"", BadReply),
    (599, {}, b"", BadReply),
    (200, {}, b"", BadReply),
    (200, {}, b"<html>It works!</html>", BadReply),
    (201, {}, b"", BadReply),
    (204, {}, b"", BadReply),
    (206, {}, b"", BadReply),
    (100, {}, b"", BadReply),
    (101, {"Upgrade": "websocket"}, b"", BadReply),
    (300, {}, b"", BadReply),
    (301, {"Location": "http://elsewhere/"}, b"", BadReply),
    (302, {}, b"", BadReply),
    (303, {"Location": "/"}, b"", BadReply),
    (304, {}, b"", BadReply),
    (307, {"Location": "http://elsewhere/"}, b"", BadReply),
    (308, {"Location": "http://elsewhere/"}, b"", BadReply),
    (600, {}, b"", BadReply),
    (999, {}, b"", BadReply),
    (0, {}, b"", BadReply),
]


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"), _TABLE, ids=lambda value: value.__name__ if isinstance(value, type) else None
)
def test_each_row_of_the_table(status: int, headers: dict[str, str], body: bytes, kind: type[Verdict]) -> None:
    """Each response raises an error of exactly this class, which keeps what the response says."""
    verdict = _judged(status, body, headers)
    assert type(verdict) is kind
    assert verdict.status == status
    if not isinstance(verdict, Receipt):
        assert str(verdict).startswith(f"the broker answered {status}")
        assert verdict.reason == _reason(body)


def test_every_status_without_a_body_has_an_error() -> None:
    """Without a body, only a 4xx means that the broker has certainly not accepted the event."""
    verdicts = {status: _judged(status) for status in range(1000)}
    assert [status for status, verdict in verdicts.items() if isinstance(verdict, Receipt)] == [202]
    refused = [status for status, verdict in verdicts.items() if isinstance(verdict, NotAccepted)]
    assert refused == list(range(400, 500))
    assert sum(isinstance(verdict, Unconfirmed) for verdict in verdicts.values()) == 1000 - 1 - 100


def test_the_receipt_of_a_hub() -> None:
    assert _judged(202, attempts=3) == Receipt(202, None, 3)
    assert _judged(202, headers={"WebMQ-Publication": "3677978932203520"}) == Receipt(202, 3677978932203520)
    for garbage in ("", "x", "-1", "1" * 17, "1 2"):
        assert _judged(202, headers={"WebMQ-Publication": garbage}) == Receipt(202)


def test_a_reason_is_the_text_of_the_response() -> None:
    verdict = _judged(400, b"missing query parameter 'topicuri'\n")
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "missing query parameter 'topicuri'"
    assert str(verdict) == "the broker answered 400: missing query parameter 'topicuri'"
    silent = _judged(400)
    assert isinstance(silent, Rejected)
    assert (silent.reason, str(silent)) == ("", "the broker answered 400")


# Retry-After

_WAITS: list[tuple[str | None, float | None]] = [
    (None, None),
    ("", None),
    ("  ", None),
    ("0", 0.0),
    ("7", 7.0),
    (" 7 ", 7.0),
    ("007", 7.0),
    ("120", 120.0),
    ("1000000000", 1e9),
    ("99999999999999999999", 1e20),
    ("9" * 400, math.inf),
    ("9" * 5000, math.inf),
    ("1e9", None),
    ("1.5", 2.0),
    ("1.0", 1.0),
    ("1.000", 1.0),
    ("0.0", 0.0),
    ("0.5", 1.0),
    ("1.0000000001", 2.0),
    ("9" * 400 + ".5", math.inf),
    (".", None),
    (".5", None),
    ("1.", None),
    ("1.5.", None),
    ("1,5", None),
    ("-1.5", None),
    ("1.5e3", None),
    ("\u0661.\u0665", None),
    ("-1", None),
    ("+1", None),
    ("0x10", None),
    ("1_000", None),
    ("nan", None),
    ("inf", None),
    ("\u0667", None),
    ("²", None),
    ("soon", None),
    ("7, 8", None),
    ("Fri, 15 Jan 2027 08:00:07 GMT", 7.0),
    ("Friday, 15-Jan-27 08:00:07 GMT", 7.0),
    ("Fri Jan 15 08:00:07 2027", 7.0),
    ("Fri, 15 Jan 2027 08:00:00 GMT", 0.0),
    ("Fri, 15 Jan 2027 07:59:59 GMT", 0.0),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ("Fri, 15 Jan 2027 10:00:07 +0200", 7.0),
    ("Fri, 15 Jan 2027 08:00:07 -0000", 7.0),
    ("Fri, 32 Jan 2027 08:00:07 GMT", None),
    ("Fri, 15 Jan 2027 25:00:07 GMT", None),
    ("Fri, 15 Jan 99999999999 08:00:07 GMT", None),
    ("Fri, 15 Jan 2027 08:00:07 +99999999", None),
]


@pytest.mark.parametrize(("text", "seconds"), _WAITS, ids=lambda value: str(value)[:40])
def test_a_retry_after_in_every_form(text: str | None, seconds: float | None) -> None:
    """A `Retry-After` may have any form of an HTTP date, even an obsolete one. An invalid one is ignored."""
    headers = {} if text is None else {"Retry-After": text}
    assert retry_after(_headers(headers), _NOW) == seconds
    verdict = _judged(429, headers=headers)
    assert isinstance(verdict, Overloaded)
    assert verdict.retry_after == seconds
    assert isinstance(_judged(503, headers=headers), BadReply if seconds is None else Overloaded)


@given(st.text(max_size=60) | st.from_regex(r"\A[A-Z][a-z]{2}, \d+ Jan \d+ \d+:\d+:\d+ ([+-]\d+|GMT|\w+)\Z"))
def test_any_date_can_be_parsed(text: str) -> None:
    seconds = retry_after(_headers({"Retry-After": text}), _NOW)
    assert seconds is None or seconds >= 0
    skew = skew_of(_headers({"Date": text}), _NOW)
    assert skew is None or math.isfinite(skew)


def test_a_date_in_retry_after_is_compared_with_that_of_the_response() -> None:
    """A date in `Retry-After` is compared with the `Date` of the response, so a slow clock causes no longer wait."""
    headers = _headers({"Date": "Tue, 24 Nov 2026 09:00:00 GMT", "Retry-After": "Tue, 24 Nov 2026 09:00:03 GMT"})
    assert retry_after(headers, _NOW - 3600.0) == 3.0


# Date


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        (formatdate(_NOW - 302, usegmt=True), 302.0),
        (formatdate(_NOW + 3600, usegmt=True), -3600.0),
        (formatdate(_NOW, usegmt=True), 0.0),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("1800000000", None),
    ],
)
def test_a_refused_timestamp_says_how_far_the_clocks_are_apart(date: str | None, skew: float | None) -> None:
    """The error of a refused timestamp has the skew, which is positive if the client's clock is ahead."""
    headers = {} if date is None else {"Date": date}
    verdict = _judged(400, b"timestamp expired (delta 302 seconds)\n", headers)
    assert isinstance(verdict, ClockRejected)
    assert verdict.skew == skew


# Redirects


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://elsewhere/push", "http://elsewhere/push"),
        ("https://elsewhere:8443", "https://elsewhere:8443"),
        ("http://elsewhere/push?topicuri=x&signature=abc#frag", "http://elsewhere/push"),
        ("http://user:p4ss@elsewhere/?signature=abc", "http://elsewhere/"),
        ("http://user@evil@elsewhere/", "http://elsewhere/"),
        ("//elsewhere/push?signature=abc", "//elsewhere/push"),
        ("//user:p4ss@elsewhere/push", "//elsewhere/push"),
        ("/login?next=%2F%3Fsignature%3Dabc", "/login"),
        ("login", "login"),
        ("?signature=abc", ""),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://[::1/x?signature=abc", "a Location that is not a URL"),
        ("", "nowhere (no Location)"),
        (None, "nowhere (no Location)"),
        ("http://elsewhere/\x1b[2J\u202e\0", "http://elsewhere/\\u001b[2J\\u202e\\u0000"),
        (f"http://elsewhere/{_SIGNATURE}", "http://elsewhere/[removed]"),
        ("http://elsewhere/" + "a/" * 4000, "http://elsewhere/" + "a/" * 91 + "a…"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_redirect_is_shown_without_parts_that_may_be_secret(location: str | None, target: str) -> None:
    assert target_of(_headers({} if location is None else {"Location": location}), "") == target


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
def test_a_redirect_says_that_it_is_not_followed(status: int) -> None:
    headers = {"Location": f"http://user:p4ss@elsewhere/?topicuri=t&signature={_SIGNATURE}"}
    verdict = _judged(status, b"Moved", headers)
    assert isinstance(verdict, BadReply)
    assert str(verdict) == f"the broker answered {status}, a redirect to http://elsewhere/, which is not followed"


# What errors must not show


def _remains(error: WebMQError) -> str:
    """Return everything of an error that anybody may print, log or store."""
    fields = [str(error), repr(error), repr(error.args), repr(vars(error)), str(pickle.dumps(error))]
    return "\n".join(fields)


@pytest.mark.parametrize(
    "body",
    [
        "invalid request signature (expected {0}, got {1})\n",
        "  invalid request signature (expected {0},\n got {1})",
        "invalid request signature: {0}",
        "{0}",
        "{0}{0}",
        "x{0}",
        '{{"error": "expected {0}"}}',
        "<html><p>GET /?topicuri=t&amp;signature={0}&amp;x=y</p></html>",
        "<html><p>/?topicuri=t&signature={2}</p></html>",
        "<html><p>/?topicuri=t&signature={3}</p></html>",
        "signature={4}",
        "a b " * 40 + "{0}",
        "a b " * 45 + "{0}",
        "{0} " * 300,
    ],
)
@pytest.mark.parametrize("signature", [_SIGNATURE, "-" * 43 + "=", "uGreqxThUAV6pZVtNUftqHOCj9JIfXNMpKfI44BQ36A="])
def test_no_signature_is_shown(body: str, signature: str) -> None:
    """No signature is shown: WebMQ's 401 contains the valid one, and a proxy's page may contain the requested URL."""
    bare = signature[:-1]
    spelt = [signature, "x" * 43 + "=", f"{bare}%3D", f"{bare}&#61;", f"{bare}%3d"]
    for status in (400, 401, 403, 404, 429, 500, 302, 200):
        verdict = _judged(status, body.format(*spelt).encode(), {"Location": f"/{signature}?signature={bare}%3D"})
        assert not isinstance(verdict, Receipt)
        remains = _remains(verdict)
        assert bare not in remains
        # Nor is a part of it left if it is cut in the middle.
        for start in range(43 - 12):
            assert bare[start : start + 12] not in remains


def test_the_401_of_a_hub_is_shown_without_signatures() -> None:
    verdict = _judged(401, f"invalid request signature (expected {_SIGNATURE}, got x)\n".encode())
    assert isinstance(verdict, AuthRejected)
    assert verdict.reason == "invalid request signature"


def test_no_part_of_a_signature_is_left_where_reading_stops() -> None:
    for before in range(16384 - 60, 16384):
        verdict = _judged(500, b"\n" * before + _SIGNATURE.encode())
        assert isinstance(verdict, BadReply)
        assert verdict.reason in ("", "[removed]") or len(verdict.reason) < 43


def test_other_words_are_shown() -> None:
    """Words that are not part of a signature are shown: a session ID, a topic, a hash of 40 hexadecimal digits."""
    said = "not authorized (denied by post rule 1: http://example.com/a-b_c cPfzHXkq-_8w3N5d " + "0" * 40 + ")"
    assert _reason(said.encode()) == said


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        (b"a\r\nSet-Cookie: b\n", "a Set-Cookie: b"),
        (b"a\0b", "a\\u0000b"),
        (b"a\x7fb\x08c", "a\\u007fb\\u0008c"),
        ("user \u202egnp.exe".encode(), "user \\u202egnp.exe"),
        ("zero\u200bwidth\ufeff".encode(), "zero\\u200bwidth\\ufeff"),
        ("line\u2028next\u2029end".encode(), "line next end"),
        (b"  \t lots \n\n of \x0b space  ", "lots of space"),
        ("größe ☃ 😀".encode(), "größe ☃ 😀"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\U000e0041\ue000".encode(), "\\udb40\\udc41\\ue000"),
        (b"", ""),
        (b" \n ", ""),
    ],
)
def test_control_characters_are_escaped(body: bytes, reason: str) -> None:
    assert _reason(body) == reason


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>" + b"<p>Bad gateway</p>" * 10_000,
        b"\x1b" * 10_000,
        "☃ ".encode() * 10_000,
        b"x " * 8192 + b"\xe2",
    ],
)
def test_a_long_page_is_cut_short(body: bytes) -> None:
    reason = _reason(body)
    assert len(reason) == 201
    assert reason.endswith("…")
    assert _reason(body)[:10] == redacted(" ".join(body.decode(errors="replace").split()), "")[:10]
    verdict = _judged(502, body)
    assert len(str(verdict)) < 250


@given(st.binary(max_size=500) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_body_is_shown_in_one_short_printable_line(body: bytes) -> None:
    reason = _reason(body)
    assert reason.isprintable()
    assert len(reason) <= 201
    reason.encode()


@given(st.text(max_size=300))
def test_any_location_is_shown_in_one_short_printable_line(location: str) -> None:
    target = target_of(_headers({"Location": location}), "")
    assert target.isprintable()
    assert len(target) <= 201


@given(
    st.integers(0, 999),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["Date", "Retry-After", "Location"]), st.text(max_size=40)),
)
def test_any_response_can_be_judged(status: int, body: bytes, headers: dict[str, str]) -> None:
    verdict = _judged(status, body, headers)
    assert isinstance(verdict, Receipt | Rejected | BadReply)
    if isinstance(verdict, WebMQError):
        assert type(pickle.loads(pickle.dumps(verdict))) is type(verdict)  # noqa: S301  # its own bytes


def test_no_repr_shows_a_response() -> None:
    """No repr shows the body of a response, which may contain the valid signature."""
    response = Response(401, _headers({"X": _SIGNATURE}), _SIGNATURE.encode())
    assert _SIGNATURE not in repr(response)
