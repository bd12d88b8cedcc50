"""What any HTTP answer may hold, made safe to show and easy to judge: reason, date, wait, a redirect's target.

What HTTP itself says is the same from every broker and judged here: overload, a refusal, a redirect, a failure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ..errors import AuthRejected, BadReply, ClockRejected, Overloaded, Rejected, TooLarge
from . import Headers, Response

__all__ = ["reason_of", "refused", "retry_after", "skew_of", "target_of", "visible"]

LONGEST_REASON = 200
"""Characters of a broker's reason that are kept."""

# A signature is 43 characters of URL-safe base64 and a "=", which may have become %3D or &#61; on its way. WebMQ's 401
# holds the valid one of the very request, which anybody may replay for five minutes.
_SIGNATURES = re.compile(r"[\w-]{43,}(=|%3D|&#61;|&#x3D;)?", re.ASCII | re.IGNORECASE)


def visible(text: str, longest: int = LONGEST_REASON) -> str:
    """Return a foreign text fit for a log line: signatures removed, control characters escaped, cut short."""
    text = _SIGNATURES.sub("[removed]", text)
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: longest + 1]
    )
    return shown if len(shown) <= longest else shown[:longest] + "…"


def reason_of(body: bytes) -> str:
    """Return the reason that a body gives, in one line."""
    text = " ".join(body[:16384].decode("utf-8", "replace").split())
    if text.startswith("invalid request signature ("):
        text = "invalid request signature"
    return visible(text)


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def skew_of(headers: Headers, now: float) -> float | None:
    """Return `now` minus the answer's Date, in seconds; None without a usable date."""
    sent = _date(headers.get("Date"))
    return None if sent is None else now - sent


def retry_after(headers: Headers, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for, 0.0 for a past date; None without one, or for garbage.

    A date is held against the answer's own, where it has one: this machine's clock may be wrong.
    """
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _date(text)
    sent = _date(headers.get("Date"))
    return None if until is None else max(0.0, until - (now if sent is None else sent))


def target_of(headers: Headers) -> str:
    """Return where a redirect leads, without user, query and fragment, which may hold what was signed."""
    location = headers.get("Location")
    if not location:
        return "nowhere (no Location)"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "a Location that is no URL"
    return visible(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl())


def refused(response: Response, reason: str, refusals: Mapping[str, type[Rejected]], now: float) -> Rejected | BadReply:
    """Return the verdict on an answer that is no success.

    | answer                                     | verdict                                                   |
    |--------------------------------------------|-----------------------------------------------------------|
    | 401, 403                                   | `AuthRejected`                                            |
    | 413                                        | `TooLarge`                                                |
    | 429; 503 with a readable Retry-After       | `Overloaded`                                              |
    | 400 that begins as one of `refusals`       | its class                                                 |
    | any other 4xx                              | `Rejected`                                                |
    | anything else                              | `BadReply`: a 503 without Retry-After comes from proxies  |
    |                                            | that may have forwarded the request                       |

    Args:
        response: the answer.
        reason: what the broker said, in one line.
        refusals: how the broker's 400 begins, where that says more than `Rejected` does; the first that fits counts.
        now: Unix time in seconds.
    """
    status = response.status
    said = f"the broker answered {status}" + (f": {reason}" if reason else "")
    if status in (429, 503):
        wait = retry_after(response.headers, now)
        if status == 429 or wait is not None:
            overloaded = Overloaded(said, status=status, reason=reason)
            overloaded.retry_after = wait
            return overloaded
    if 400 <= status < 500:
        kind = _BY_STATUS.get(status, Rejected)
        if status == 400:
            kind = next((kind for beginning, kind in refusals.items() if reason.startswith(beginning)), kind)
        refusal = kind(said, status=status, reason=reason)
        if isinstance(refusal, ClockRejected):
            refusal.skew = skew_of(response.headers, now)
        return refusal
    if 300 <= status < 400:
        said = f"the broker answered {status}, a redirect to {target_of(response.headers)}, which is not followed"
    return BadReply(said, status=status, reason=reason)


_BY_STATUS: dict[int, type[Rejected]] = {401: AuthRejected, 403: AuthRejected, 413: TooLarge}
