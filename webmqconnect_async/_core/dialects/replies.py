"""What both dialects read in a response: the reason, the Date, Retry-After, the target of a redirect.

Statuses that mean the same from both brokers are judged here: overload, refusals, redirects and server errors. Any text
of a response is made safe to print before an error contains it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ...errors import AuthRejected, BadReply, ClockRejected, Overloaded, Rejected, TooLarge
from ...signing import Credentials
from ..escape import shortened, visible
from ..idempotency import REPLAYED
from . import Request, Response
from .masking import quotes

LONGEST_REASON = 200
"""Maximum length of the reason that an error contains, in characters."""

QUOTED = "(not shown: it quotes the request's signature)"
"""Replaces a text that quotes the signature."""

_LONGEST_BODY = 16384
"""Maximum number of bytes of a body that are searched for the reason."""

# 43 characters of base64 are as long as a signature. It may be that of another request, or the one that the hub
# expected. The "=" after it may be escaped.
_SIGNATURES = re.compile(r"[\w-]{43,}(=|%3D|&#61;|&#x3D;)?", re.ASCII | re.IGNORECASE)

_REPLAYED = REPLAYED.lower()

_SECONDS = re.compile(r"(\d+)(?:\.(\d+))?", re.ASCII)


def redacted(text: str, signature: str) -> str:
    """Return a text of a response as one line, made safe to print and to log.

    Anything as long as a signature is replaced. If the text quotes the request's own signature, even in part, it is
    replaced as a whole.
    """
    text = _SIGNATURES.sub("[removed]", text)[: LONGEST_REASON + 1]
    if quotes(text, signature):
        return QUOTED
    return shortened(visible(text), LONGEST_REASON)


def text_of(body: bytes) -> str:
    """Return a body as one line of text, not yet safe to show."""
    text = " ".join(body[:_LONGEST_BODY].decode("utf-8", "replace").split())
    # The original WebMQ hub continues with the signature that it expected, which is the valid one.
    return "invalid request signature" if text.startswith("invalid request signature (") else text


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
        # A date without a zone is in UTC: recipients must accept that of asctime, too (RFC 9110, section 5.6.7).
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def skew_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return `now` minus the response's Date, in seconds; `None` if the Date is missing or malformed."""
    sent = _date(headers.get("date"))
    return None if sent is None else now - sent


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the delay of a Retry-After (RFC 9110, section 10.2.3) in seconds; `None` if it is missing or malformed."""
    text = headers.get("retry-after", "").strip()
    if seconds := _SECONDS.fullmatch(text):
        # The RFC allows whole seconds only, but some servers send a fraction, which is rounded up.
        return float(seconds[1]) + bool((seconds[2] or "").strip("0"))
    until = _date(text)
    # A date is compared with the response's own Date if there is one, because this machine's clock may be wrong.
    sent = _date(headers.get("date"))
    return None if until is None else max(0.0, until - (now if sent is None else sent))


def repeated(response: Response) -> bool:
    """Return whether the broker had accepted the push before, with the same idempotency key."""
    return response.headers.get(_REPLAYED) == "true"


def target_of(headers: Mapping[str, str], signature: str) -> str:
    """Return the Location of a redirect without user information, query and fragment, which may contain secrets."""
    location = headers.get("location")
    if not location:
        return "nowhere (no Location)"
    try:
        parts = urlsplit(location)
    except ValueError:
        return "a Location that is not a URL"
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return redacted(target, signature)


def refused(
    request: Request,
    response: Response,
    text: str,
    refusals: Mapping[str, type[Rejected]],
    credentials: Credentials | None,
    now: float,
) -> Rejected | BadReply:
    """Return the verdict on a response that is not a success, and whose `text` is not yet safe to show.

    `refusals` are errors more specific than `Rejected`, by the beginning of a 400. The message names a likely cause.
    """
    status = response.status
    reason = redacted(text, request.signature)
    said = f"the broker answered {status}" + (f": {reason}" if reason else "")
    if status in (429, 503):
        # A 503 without Retry-After is no rejection: a proxy sends it that may have forwarded the request.
        wait = retry_after(response.headers, now)
        if status == 429 or wait is not None:
            overloaded = Overloaded(said, status=status, reason=reason)
            overloaded.retry_after = wait
            return overloaded
    if 400 <= status < 500:
        kind = _BY_STATUS.get(status, Rejected)
        if status == 400:
            kind = next((kind for beginning, kind in refusals.items() if text.startswith(beginning)), kind)
        cause = _cause(status, text, kind, credentials)
        refusal = kind(f"{said}; {cause}" if cause else said, status=status, reason=reason)
        if isinstance(refusal, ClockRejected):
            refusal.skew = skew_of(response.headers, now)
        return refusal
    if 300 <= status < 400:
        target = target_of(response.headers, request.signature)
        said = f"the broker answered {status}, a redirect to {target}, which is not followed"
    return BadReply(said, status=status, reason=reason)


_OTHER_BROKERS = {
    "Non-accepted content type": 'this looks like Crossbar.io: use the dialect "crossbar"',
    "bad or missing content type (": 'this looks like a WebMQ hub: use the dialect "webmq", or the path of a publisher',
}
"""Likely causes by a part of the response: how each broker refuses the content type of the other dialect."""


def _cause(status: int, text: str, kind: type[Rejected], credentials: Credentials | None) -> str:
    if kind is AuthRejected and credentials is not None:
        if credentials.secret != credentials.secret.strip():
            return "the secret begins or ends with whitespace, such as the newline at the end of a file"
        return "webmqconnect explain helps to find the cause"
    if status in (404, 405):
        return "check the path of the endpoint, and the dialect"
    return next((cause for part, cause in _OTHER_BROKERS.items() if part in text), "")


_BY_STATUS: dict[int, type[Rejected]] = {401: AuthRejected, 403: AuthRejected, 413: TooLarge}
