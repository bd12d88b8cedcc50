"""`tickets.ticket` makes JSON Web Tokens, and `_core.tickets` verifies those of this package and others."""

from __future__ import annotations

import hmac
import json
import random
import time
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from webmqconnect_async._core.tickets import TicketRefused, verify
from webmqconnect_async._core.topics import covers
from webmqconnect_async.signing import Credentials
from webmqconnect_async.tickets import ticket

from .walker import walked

SECRET = "0123456789abcdefghijklmnopqrstuv"
KEYS = {"users": Credentials("users", SECRET), "others": Credentials("others", SECRET[::-1])}
TOPICS = ("http://example.com/users/17/*", "http://example.com/news")
NOW = 1_800_000_000
CLAIMS = {"sub": "17", "topics": [*TOPICS], "iat": NOW, "exp": NOW + 3600}

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"


def part(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims: object = CLAIMS, *, secret: str = SECRET, digest: str = "sha256", **header: object) -> str:
    """Return a token that is made without a library. Claims may also be given as the bytes of the payload."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    head = json.dumps({"alg": "HS256", "typ": "JWT", "kid": "users", **header}).encode()
    signed = f"{part(head)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(secret.encode(), signed.encode(), digest))}"


def without(name: str) -> dict[str, object]:
    return {each: value for each, value in CLAIMS.items() if each != name}


def refusal(text: str, now: float = NOW) -> TicketRefused:
    with pytest.raises(TicketRefused) as caught:
        verify(text, KEYS, now)
    return caught.value


def test_a_ticket_is_the_token_that_openssl_signs() -> None:
    """The ticket is the token that OpenSSL signs for the same header and claims."""
    assert ticket(key="users", secret=SECRET, sub="17", topics=TOPICS, now=NOW) == (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6InVzZXJzIiwidHlwIjoiSldUIn0."
        "eyJzdWIiOiIxNyIsInRvcGljcyI6WyJodHRwOi8vZXhhbXBsZS5jb20vdXNlcnMvMTcvKiIsImh0dHA6Ly9leGFtcGxlLmNvbS9uZXdzIl0s"
        "ImlhdCI6MTgwMDAwMDAwMCwiZXhwIjoxODAwMDAzNjAwfQ.1riR7lk4ZMg1-9HiZU1yTcaW6lmjzMAxGKbdGjdjvI8"
    )


def test_a_ticket_is_verified_with_its_claims() -> None:
    """The verification returns the claims. A ticket is valid up to the second of its `exp`."""
    made = ticket(key="users", secret=SECRET.encode(), sub="17", topics=iter(TOPICS), valid=60, now=NOW + 0.9)
    verified = verify(made, KEYS, NOW + 59.9)
    assert (verified.key, verified.sub, verified.topics) == ("users", "17", TOPICS)
    assert (verified.issued, verified.expires) == (NOW, NOW + 60)
    assert verified.claims == {"sub": "17", "topics": [*TOPICS], "iat": NOW, "exp": NOW + 60}
    assert str(refusal(made, NOW + 60)) == "the ticket expired 0 seconds ago"


def test_the_clock_is_the_default() -> None:
    """Without `now`, a ticket is valid now, for an hour."""
    verified = verify(ticket(key="users", secret=SECRET, sub="17", topics=TOPICS), KEYS, time.time())
    assert verified.expires - verified.issued == 3600


def test_tokens_of_any_library_are_tickets() -> None:
    """A token that was made without this package is a ticket, even with additional claims."""
    assert verify(token({**CLAIMS, "role": "admin"}), KEYS, NOW).claims["role"] == "admin"


FORGED = {
    "empty": "",
    "no token": "hello",
    "two parts": token().rpartition(".")[0],
    "four parts": f"{token()}.{part(b'x')}",
    "no signature": f"{token().rpartition('.')[0]}.",
    "alg none": f"{part(json.dumps({'alg': 'none', 'kid': 'users'}).encode())}.{part(json.dumps(CLAIMS).encode())}.",
    "alg none, signed": token(alg="none"),
    "alg nOnE, signed": token(alg="nOnE"),
    "no alg": token(alg=None),
    "alg a list": token(alg=["HS256"]),
    "HS512": token(alg="HS512", digest="sha512"),
    "RS256, with the secret as the public key": token(alg="RS256"),
    "signature of another key": token(secret=SECRET[::-1]),
    "kid of another key": token(kid="others"),
    "unknown kid": token(kid="nobody"),
    "no kid": token(kid=None),
    "kid a list": token(kid=["users"]),
    "kid a path": token(kid="../../dev/null", secret="\0" * 32),
    "unknown critical header": token(crit=["exp"], exp=1),
    "detached payload": token(b64=False, crit=["b64"]),
    "changed claims": ".".join(
        [token().split(".")[0], part(json.dumps({**CLAIMS, "sub": "1"}).encode()), token()[-43:]]
    ),
    "standard base64 of the signature": token()[:-43] + b64encode(b"\xff" * 32).decode(),
    "whitespace": token() + "\n",
    "padded with junk": token() + "====",
    "lone surrogate": token() + "\ud800",
    "not ASCII": token().replace("e", "\u0435"),  # a Cyrillic letter
    "header is a list": f"{part(b'[]')}.{part(b'{}')}.{part(b'x')}",
    "header is deep": f"{part(b'[' * 3000)}.{part(b'{}')}.{part(b'x')}",
    "header has a huge integer": f"{part(b'1' * 5000)}.{part(b'{}')}.{part(b'x')}",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(text: str) -> None:
    """A token that is not signed by HS256 with the secret of its key is refused, without a hint at what is wrong."""
    error = refusal(text)
    assert error.forged
    assert str(error) in ("the ticket is not a JSON Web Token", "no such key for tickets, or a wrong signature")


REFUSED: dict[str, tuple[object, str]] = {
    "no exp": (without("exp"), "the ticket has no exp, or one that is not a number of seconds"),
    "no iat": (without("iat"), "the ticket has no iat, or one that is not a number of seconds"),
    "no sub": (without("sub"), "the ticket has no sub, or one that is not a string"),
    "no topics": (without("topics"), "the ticket cannot be used: its topics must be a list of strings, not NoneType"),
    "exp a string": ({**CLAIMS, "exp": str(NOW + 60)}, "the ticket has no exp, or one that is not a number of seconds"),
    "exp true": ({**CLAIMS, "exp": True}, "the ticket has no exp, or one that is not a number of seconds"),
    "exp out of range": (
        json.dumps(CLAIMS).replace(str(NOW + 3600), "1e400").encode(),
        "the ticket has no exp, or one that is not a number of seconds",
    ),
    "exp NaN": (
        json.dumps(CLAIMS).replace(str(NOW + 3600), "NaN").encode(),
        "the claims of the ticket are not a JSON object with unique names",
    ),
    "exp a huge integer": (
        json.dumps(CLAIMS).replace(str(NOW + 3600), "1" * 5000).encode(),
        "the claims of the ticket are not a JSON object with unique names",
    ),
    "exp an integer beyond every float": (
        json.dumps(CLAIMS).replace(str(NOW + 3600), "1" * 400).encode(),
        "the ticket has no exp, or one that is not a number of seconds",
    ),
    "expired by a second": ({**CLAIMS, "exp": NOW - 1}, "the ticket expired 1 seconds ago"),
    "nbf in the future": (
        {**CLAIMS, "nbf": NOW + 31},
        "the ticket is not valid yet: its nbf is 31 seconds in the future",
    ),
    "nbf a string": ({**CLAIMS, "nbf": "0"}, "the ticket has no nbf, or one that is not a number of seconds"),
    "iat in the future": (
        {**CLAIMS, "iat": NOW + 31},
        "the ticket is not valid yet: its iat is 31 seconds in the future",
    ),
    "valid too long": (
        {**CLAIMS, "exp": NOW + 86_401},
        "the ticket is valid for 86401 seconds; the maximum is 86400",
    ),
    "sub a number": ({**CLAIMS, "sub": 17}, "the ticket has no sub, or one that is not a string"),
    "sub empty": ({**CLAIMS, "sub": ""}, "the ticket has no sub, or one that is not a string"),
    "topics a string": (
        {**CLAIMS, "topics": "http://example.com/*"},
        "the ticket cannot be used: its topics must be a list of strings, not str",
    ),
    "topics empty": ({**CLAIMS, "topics": []}, "the ticket cannot be used: its topics must contain at least one topic"),
    "topics of numbers": (
        {**CLAIMS, "topics": [1]},
        "the ticket cannot be used: its topics must contain strings, not int",
    ),
    "topics of everything": (
        {**CLAIMS, "topics": ["*"]},
        "the ticket cannot be used: its topics must contain topics with a * only at the end, after one of / . :, "
        "and not '*'",
    ),
    "duplicate claims": (
        json.dumps(CLAIMS).replace('"sub": "17"', '"sub": "17", "sub": "1"').encode(),
        "the claims of the ticket are not a JSON object with unique names",
    ),
    "claims a list": ([CLAIMS], "the claims of the ticket are not a JSON object with unique names"),
    "claims empty": (b"", "the claims of the ticket are not a JSON object with unique names"),
    "claims not UTF-8": (b'{"sub": "\xff"}', "the claims of the ticket are not a JSON object with unique names"),
    "claims deep": (b"[" * 4000, "the claims of the ticket are not a JSON object with unique names"),
    "long": ({**CLAIMS, "topics": ["http://example.com/" + "x" * 8192]}, "the ticket has more than 8192 characters"),
}


@pytest.mark.parametrize(("claims", "reason"), REFUSED.values(), ids=REFUSED)
def test_tokens_with_invalid_claims_are_refused(claims: object, reason: str) -> None:
    """Claims that are invalid, expired or not valid yet are refused with that reason."""
    error = refusal(token(claims))
    assert str(error) == reason
    assert not error.forged
    assert error.expired is ("expired" in reason)


def test_the_leeway_of_the_clocks() -> None:
    """The clock of the application may be ahead by 30 seconds."""
    assert verify(token({**CLAIMS, "nbf": NOW + 30, "iat": NOW + 30}), KEYS, NOW).sub == "17"


def test_random_tokens() -> None:
    """10,000 tokens are refused, each of which is a valid one with some changes."""
    source = random.Random(19)  # noqa: S311
    valid = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=\0é"
    for _ in range(10_000):
        changed = list(valid)
        for _ in range(source.choice((1, 1, 2, 8, 100))):
            at = source.randrange(len(changed))
            action = source.random()
            if action < 0.7:
                changed[at] = source.choice(alphabet)
            elif action < 0.85:
                changed.insert(at, source.choice(alphabet))
            elif len(changed) > 1:
                del changed[at]
        text = "".join(changed)
        if text != valid:
            refusal(text)


@pytest.mark.parametrize(
    ("topics", "topic", "expected"),
    [
        (["http://a/*"], "http://a/b", True),
        (["http://a/*"], "http://a/b/c", True),
        (["http://a/*"], "http://a/", True),
        (["http://a/*"], "http://a", False),
        (["http://a/*"], "http://ab", False),
        (["http://a/*"], "http://ab/", False),
        (["http://a/*"], "HTTP://a/b", False),
        (["com.example.*"], "com.example.orders", True),
        (["com.example.*"], "com.examples", False),
        (["urn:shop:*"], "urn:shop:17", True),
        (["http://a/b"], "http://a/b", True),
        (["http://a/b"], "http://a/b/c", False),
        (["http://a/b"], "http://a/*", False),
        (["http://a/.*"], "http://a/b", False),
        (["http://a/b", "http://c/*"], "http://c/d", True),
        ([], "http://a/b", False),
    ],
)
def test_which_topics_a_ticket_covers(topics: list[str], topic: str, expected: bool) -> None:
    """An exact topic covers itself, and a trailing `*` covers all topics that begin with the text before it."""
    assert covers(topics, topic) is expected


INVALID: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"topics": []}, ValueError, "topics must contain at least one topic"),
    ({"topics": "http://a/b"}, TypeError, "topics must be a list of strings, not str"),
    ({"topics": None}, TypeError, "topics must be a list of strings, not NoneType"),
    ({"topics": [17]}, TypeError, "topics must contain strings, not int"),
    *(
        (
            {"topics": ["http://a/b", topic]},
            ValueError,
            f"topics must contain topics with a * only at the end, after one of / . :, and not {topic!r}",
        )
        for topic in ("", "*", "a*", "http://a*", "http://*/b", "http://a/**", "http://a/*/*", "http://a/* ")
    ),
    ({"topics": ["http://example.com/" + "x" * 8192]}, ValueError, "topics: the ticket would have"),
    ({"valid": 86_401}, ValueError, "valid must be at least 1 and at most 86400 seconds"),
    ({"valid": 0}, ValueError, "valid must be at least 1 and at most 86400 seconds"),
    ({"valid": float("nan")}, ValueError, "valid must be at least 1 and at most 86400 seconds"),
    ({"valid": "60"}, TypeError, "valid must be a number of seconds, not str"),
    ({"sub": ""}, ValueError, "sub must have at least 1 and at most 256 characters"),
    ({"sub": "x" * 257}, ValueError, "sub must have at least 1 and at most 256 characters"),
    ({"sub": 17}, TypeError, "sub must be a string, not int"),
    ({"key": ""}, ValueError, "key: must not be empty"),
    ({"now": float("inf")}, TypeError, "now must be a finite number of seconds or None"),
    ({"secret": SECRET[1:]}, ValueError, "secret must have at least 32 bytes"),
    ({"secret": ""}, ValueError, "secret: must not be empty"),
    ({"secret": 17}, TypeError, "secret must be a string or bytes, not int"),
    ({"secret": PUBLIC_KEY}, ValueError, "secret must be random bytes, not a key in PEM or SSH format"),
]


@pytest.mark.parametrize(("changes", "error", "message"), INVALID)
def test_invalid_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    """The error names the argument, and does not show the secret."""
    options = {"key": "users", "secret": SECRET, "sub": "17", "topics": TOPICS, "now": NOW, **changes}
    secret = str(options["secret"])
    with pytest.raises(error) as caught:
        ticket(**options)
    assert str(caught.value).startswith(message)
    assert len(secret) < 3 or not [shown for shown in walked(caught.value) if secret in shown]


@pytest.mark.parametrize(("text", "now"), [(token(), NOW + 3600), (token(secret=SECRET[::-1]), NOW), (token(), -NOW)])
def test_the_token_is_in_no_frame(text: str, now: float) -> None:
    """The frames of a refusal do not contain the token."""
    assert not [shown for shown in walked(refusal(text, now)) if text[-43:] in shown]
