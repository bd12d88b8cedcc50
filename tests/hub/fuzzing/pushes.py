"""What pushes on both wires have in common, as HTTP hands them to who judges them: most are right but for one thing.

What is accepted is compared with what the request says when it is read by the standard library's parsers; a signature,
with one computed from them.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl, quote, quote_plus

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from webmqconnect_async.hub._pushes.verdicts import Accepted, Refused, Rules
from webmqconnect_async.signing import Credentials

from .texts import broken

__all__ = [
    "FORM",
    "KEYS",
    "MAX_BODY",
    "MAX_TOPIC",
    "NOW",
    "SECRETS",
    "Request",
    "clock_errors",
    "fits",
    "judged_twice",
    "other_bodies",
    "pairs_of",
    "plain_texts",
    "queries",
    "signature_of",
]

NOW = 1_700_000_000.25
MAX_BODY, MAX_TOPIC = 40_000, 300
SECRETS = {"app": b"s3cret", "é&=+ ;": b"\x00\xff"}
KEYS = {key: Credentials(key, secret) for key, secret in SECRETS.items()}
FORM = "application/x-www-form-urlencoded"

plain_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_garbage = st.sampled_from(
    ["%", "%f", "%ff", "%ED%A0%80", "%00", "&&", "=", "&=", ";", "+", "\udcff", "é", "%c3", "#", "?"]
)
clock_errors = st.sampled_from([0, 0, 1, -1, 299, -299, 300, -300, 301, -301, 10**6, -1.6e9])


other_bodies: st.SearchStrategy[Callable[[bytes], bytes]] = st.sampled_from(
    [
        lambda body: body + b" ",
        lambda body: body[:-1],
        lambda _: b"",
        lambda _: b"1",
        lambda _: b"{}",
        lambda _: b"[" * MAX_BODY,
        lambda _: b'{"topic":' * 4000,
        lambda body: body.ljust(MAX_BODY),
        lambda body: body.ljust(MAX_BODY + 1),
    ]
)


@dataclass(frozen=True)
class Request:
    """A push as it stands in a request."""

    query: str
    content_type: str | None
    body: bytes
    signed: bool
    flaw: str
    """What was done to it; empty where it is right."""
    topic: str
    """What it is for, as long as it is right."""


def signature_of(secret: bytes, *parts: str | bytes) -> str:
    """Return what signs the parts, by other means than the package's."""
    message = b"".join(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts)
    return urlsafe_b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()


_quotings: st.SearchStrategy[Callable[[bytes], str]] = st.sampled_from(
    [quote_plus, quote, partial(quote, safe=""), partial(quote, safe="/:,@!$'()*")]
)


@st.composite
def queries(draw: DrawFn, fields: dict[str, str], flaw: str) -> str:
    """Return fields as a query, in any order and quoted in any way, with one flaw."""
    pairs = draw(st.permutations(list(fields.items())))
    if pairs and flaw in ("drop", "repeat", "empty", "change", "swap"):
        index = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[index]
        match flaw:
            case "drop":
                del pairs[index]
            case "repeat":
                pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(st.sampled_from([value, "", "x"]))))
            case "empty":
                pairs[index] = (name, "")
            case "change":
                pairs[index] = (name, draw(broken(st.just(value))))
            case "swap":
                pairs[index] = (name, pairs[index - 1][1])
    query = "&".join(
        f"{draw(st.sampled_from([name, '%' + format(ord(name[0]), '02x') + name[1:]]))}"
        f"={draw(_quotings)(value.encode('utf-8', 'surrogatepass'))}"
        for name, value in pairs
    )
    if flaw == "garbage":
        at = draw(st.integers(0, len(query)))
        query = query[:at] + draw(_garbage) + query[at:]
    return draw(broken(st.just(query))) if flaw == "broken" else query


def fits(refused: Refused) -> None:
    """Check that a reason is fit to be sent to anybody."""
    assert len(refused.reason) < 400
    assert refused.reason.isprintable()
    assert "s3cret" not in refused.reason


def pairs_of(query: str) -> list[tuple[str, str]]:
    """Return the fields of a query, as the standard library reads them."""
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")


def judged_twice(
    judge: Callable[[str, str | None, bytes, float, Rules], Accepted | Refused],
    request: Request,
    keys: dict[str, Credentials],
) -> Accepted | Refused:
    """Return the verdict, which must be the same each time."""
    rules = Rules(keys, MAX_BODY, MAX_TOPIC)
    verdicts = [judge(request.query, request.content_type, request.body, NOW, rules) for _ in range(2)]
    assert verdicts[0] == verdicts[1], "the same push, and another verdict"
    return verdicts[0]
