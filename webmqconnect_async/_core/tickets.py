"""Tickets: JSON Web Tokens (RFC 7519) that say which topics a subscriber may read. Needs PyJWT. Pure.

A ticket is signed with HMAC-SHA256 (`HS256`, RFC 7518). No other algorithm is accepted. A token that may choose its
algorithm could choose `none`, or have a public key used as the secret (RFC 8725, section 3.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

try:
    from jwt.api_jws import PyJWS
    from jwt.exceptions import InvalidKeyError, InvalidTokenError
except ImportError:
    raise ImportError("tickets need PyJWT: pip install 'webmqconnect-async[tickets]'") from None

from ..signing import Credentials
from .strict_json import refuse_constant
from .topics import check_topics

MAX_SECONDS = 86_400
"""Maximum validity of a ticket in seconds. It is limited because a ticket cannot be revoked."""
MAX_LENGTH = 8192
"""Maximum length of a ticket in characters."""

_NOT_A_JWT = "the ticket is not a JSON Web Token"
_TOO_LONG = f"the ticket has more than {MAX_LENGTH} characters"
_LEEWAY = 30
"""Seconds by which the clock of the ticket's issuer may be ahead. Applies to `iat` and `nbf`, not to `exp`."""
_MIN_SECRET = 32
"""Minimum length of a secret in bytes: the size of the hash (RFC 7518, section 3.2)."""

_jws = PyJWS(algorithms=["HS256"])


@dataclass(frozen=True, slots=True)
class Ticket:
    """A verified ticket."""

    key: str
    """Name of the key that signed it (`kid`)."""
    sub: str
    """The user whom the ticket is for."""
    topics: tuple[str, ...]
    """Exact topics, and prefixes with a trailing `*`."""
    issued: float
    expires: float
    """Unix time (`exp`) from which on the ticket is not valid."""
    claims: Mapping[str, object] = field(repr=False, hash=False)
    """All claims, including the application's own."""


class TicketRefused(Exception):
    """A ticket is not valid. The message says why, and quotes the ticket only if its signature is correct.

    It is `forged` if the key or the signature is wrong, so that somebody may be guessing.
    """

    def __init__(self, reason: str, *, forged: bool = False, expired: bool = False) -> None:
        super().__init__(reason)
        self.forged = forged
        self.expired = expired


def check_secret(secret: bytes) -> str:
    """Return what is wrong with the secret of a ticket key; empty if nothing is."""
    if len(secret) < _MIN_SECRET:
        return f"must have at least {_MIN_SECRET} bytes"
    try:
        _jws.encode(b"", secret, "HS256")
    except InvalidKeyError:  # PyJWT refuses a secret that looks like the public key of another algorithm
        return "must be random bytes, not a key in PEM or SSH format"
    return ""


def encode(credentials: Credentials, claims: Mapping[str, object]) -> str:
    """Return the token of the claims; raise `ValueError` if it would be longer than `MAX_LENGTH`."""
    payload = json.dumps(claims, separators=(",", ":")).encode()
    token = _jws.encode(payload, credentials.secret, "HS256", headers={"typ": "JWT", "kid": credentials.key})
    if len(token) > MAX_LENGTH:
        raise ValueError(
            f"topics: the ticket would have {len(token)} characters, and may have {MAX_LENGTH}; a topic with a "
            "trailing * covers many"
        )
    return token


def verify(token: str, keys: Mapping[str, Credentials], now: float) -> Ticket:
    """Return the ticket if its signature and claims are valid at a Unix time; raise `TicketRefused` otherwise."""
    try:
        if len(token) > MAX_LENGTH:
            raise TicketRefused(_TOO_LONG)
        key, payload = _authentic(token, keys)
    finally:
        del token
    return check_claims(key, payload, now)


def unverified(token: str) -> tuple[Mapping[str, object], bytes]:
    """Return the header and the payload without checking the signature; raise `TicketRefused` if it is not a JWT."""
    if len(token) > MAX_LENGTH:
        raise TicketRefused(_TOO_LONG)
    try:
        parts = _jws.decode_complete(token, options={"verify_signature": False})
    except (InvalidTokenError, ValueError, RecursionError):
        raise TicketRefused(_NOT_A_JWT) from None
    return parts["header"], parts["payload"]


def check_claims(key: str, payload: bytes, now: float) -> Ticket:
    """Return a ticket, given the key that has signed it; raise `TicketRefused` if its claims are not valid."""
    claims = _claims(payload)
    try:
        topics = check_topics("its topics", claims.get("topics"))
    except (TypeError, ValueError) as error:
        raise TicketRefused(f"the ticket cannot be used: {error}") from None
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        raise TicketRefused("the ticket has no sub, or one that is not a string")
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if now >= expires:
        raise TicketRefused(f"the ticket expired {now - expires:.0f} seconds ago", expired=True)
    for name, time in (("iat", issued), ("nbf", _time(claims, "nbf") if "nbf" in claims else issued)):
        if time > now + _LEEWAY:
            raise TicketRefused(f"the ticket is not valid yet: its {name} is {time - now:.0f} seconds in the future")
    if expires - issued > MAX_SECONDS:
        raise TicketRefused(f"the ticket is valid for {expires - issued:.0f} seconds; the maximum is {MAX_SECONDS}")
    return Ticket(key, sub, topics, issued, expires, MappingProxyType(claims))


def _authentic(token: str, keys: Mapping[str, Credentials]) -> tuple[str, bytes]:
    """Return the key and the payload of a token; raise `TicketRefused` if the signature is wrong."""
    reason = _NOT_A_JWT
    try:
        key = _jws.get_unverified_header(token).get("kid")
        # The same reason for an unknown key and for a wrong signature, so that nobody can find out which keys exist.
        reason = "no such key for tickets, or a wrong signature"
        if isinstance(key, str) and (credentials := keys.get(key)) is not None:
            payload: bytes = _jws.decode(token, credentials.secret, algorithms=["HS256"])
            return key, payload
    except (InvalidTokenError, ValueError, RecursionError):
        pass
    finally:
        del token  # error reporters show the local variables of a traceback's frames
    raise TicketRefused(reason, forged=True)


def _claims(payload: bytes) -> dict[str, object]:
    try:
        claims = json.loads(payload, object_pairs_hook=_unique, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TicketRefused("the claims of the ticket are not a JSON object with unique names")
    return claims


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 7519, section 4, lets a parser use the last of two claims with one name. Other parsers use the first.
    if len(members := dict(pairs)) != len(pairs):
        raise ValueError("a duplicate name")
    return members


def _time(claims: Mapping[str, object], name: str) -> float:
    time = claims.get(name)
    # Not isfinite(), which raises OverflowError for large integers.
    if not isinstance(time, int | float) or isinstance(time, bool) or not -1e12 < time < 1e12:
        raise TicketRefused(f"the ticket has no {name}, or one that is not a number of seconds")
    return time
