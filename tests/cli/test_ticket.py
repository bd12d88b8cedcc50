"""Tickets on the command line: `webmqconnect ticket`, `explain --ticket-file` and `listen --ticket-file`."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from webmqconnect_async._core.tickets import verify
from webmqconnect_async.hub import Hub, _websocket
from webmqconnect_async.tickets import ticket

from ..processes import MODULE, Ended, python
from ..test_tickets import CLAIMS, KEYS, NOW, SECRET, token, without
from .conftest import invoke, invoke_here, push_event

MINE, OTHER = "http://example.com/users/17/orders", "http://example.com/users/1/orders"
ENV = {"WEBMQ_TICKET_SECRET": SECRET}
NEW = ("ticket", "--ticket-key", "users", "--sub", "17")

# ticket


def test_the_hub_accepts_a_ticket_of_the_command() -> None:
    """A hub with the same key accepts the ticket that the command prints."""
    ended = invoke_here(*NEW, "--valid", "5m", "http://example.com/users/17/*", "com.example.a", env=ENV)
    made = verify(ended.stdout.removesuffix("\n"), KEYS, time.time())
    assert (ended.status, ended.stderr) == (0, "")
    assert (made.sub, made.topics) == ("17", ("http://example.com/users/17/*", "com.example.a"))
    assert made.expires - made.issued == 300


@pytest.mark.parametrize(
    ("arguments", "secret", "said"),
    [
        ((*NEW, "http://a*"), SECRET, "the TOPICs must contain topics with a * only at the end"),
        ((*NEW, "x" * 9000), SECRET, "the TOPICs: the ticket would have"),
        ((*NEW, "a", "--valid", "25h"), SECRET, "--valid must be at least 1 and at most 86400 seconds."),
        ((*NEW, "a", "--valid", "soon"), SECRET, "'soon' is not a duration"),
        ((*NEW[:-1], "", "a"), SECRET, "--sub must have at least 1 and at most 256 characters."),
        ((*NEW, "a"), "s3cret-too-short", "the secret of --ticket-key must have at least 32 bytes."),
        ((*NEW, "a"), "", "--ticket-key needs its secret"),
        ((*NEW,), SECRET, "Missing argument"),
    ],
)
def test_a_ticket_that_cannot_be_made(arguments: tuple[str, ...], secret: str, said: str) -> None:
    ended = invoke_here(*arguments, env={"WEBMQ_TICKET_SECRET": secret})
    assert (ended.status, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.replace("│", "").split())
    assert not secret or secret not in ended.stderr


# explain


def explain(text: str, *arguments: str, at: float = NOW, key: str = "users", stdin: str | None = None) -> Ended:
    """Explain a ticket from standard input, and check that its signature is not shown."""
    checked = ("--ticket-key", key) if key else ()
    ended = invoke_here("explain", "--ticket-file", "-", *checked, "--at", str(at), *arguments, env=ENV, stdin=text)
    assert text.rpartition(".")[2] not in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr
    return ended


CORRECT = "signature  correct"

REASONS = {
    "valid": (token(), NOW, CORRECT, "claims     valid for another 3600 seconds"),
    "last second": (token(), NOW + 3599, CORRECT, "claims     valid for another 1 seconds"),
    "expired": (
        token(),
        NOW + 4012,
        CORRECT,
        "claims     the ticket expired 412 seconds ago, at 2027-01-15T09:00:00Z",
    ),
    "not valid yet": (
        token({**CLAIMS, "nbf": NOW + 100}),
        NOW,
        CORRECT,
        "claims     the ticket is not valid yet: its nbf is 100 seconds in the future",
    ),
    "valid too long": (
        token({**CLAIMS, "exp": NOW + 90_000}),
        NOW,
        CORRECT,
        "claims     the ticket is valid for 90000 seconds; the maximum is 86400",
    ),
    "no exp": (
        token(without("exp")),
        NOW,
        CORRECT,
        "claims     the ticket has no exp, or one that is not a number of seconds",
    ),
    "claims of no object": (
        token(b"[]"),
        NOW,
        CORRECT,
        "claims     the claims of the ticket are not a JSON object with unique names",
    ),
    "topics of everything": (
        token({**CLAIMS, "topics": ["*"]}),
        NOW,
        CORRECT,
        "claims     the ticket cannot be used: its topics must contain topics with a * only at the end, after one of / "
        ". :, and not '*'",
    ),
    "another key": (
        token(kid="page"),
        NOW,
        "signature  of the key 'page', and not 'users'",
        "claims     valid for another 3600 seconds",
    ),
    "no key": (
        jwt.encode(CLAIMS, SECRET),
        NOW,
        "signature  of no key: the header has no kid",
        "claims     valid for another 3600 seconds",
    ),
    "another secret, and expired": (
        token(secret=SECRET[::-1]),
        NOW + 3600,
        "signature  wrong: the ticket was signed with another secret, or changed after that",
        "claims     the ticket expired 0 seconds ago, at 2027-01-15T09:00:00Z",
    ),
    "newline": (
        token(secret=f"{SECRET}\n"),
        NOW,
        "signature  wrong, which is caused by a common mistake: a newline at the end of the secret",
        "claims     valid for another 3600 seconds",
    ),
    "quotes": (
        token(secret=f'"{SECRET}"'),
        NOW,
        "signature  wrong, which is caused by a common mistake: quotes around the secret",
        "claims     valid for another 3600 seconds",
    ),
    "hash": (
        token(digest="sha512"),
        NOW,
        "signature  wrong, which is caused by a common mistake: a hash other than SHA-256: sha512",
        "claims     valid for another 3600 seconds",
    ),
    "alg none": (
        token(alg="none"),
        NOW,
        "signature  made with the algorithm 'none', and only 'HS256' is accepted",
        "claims     valid for another 3600 seconds",
    ),
}


@pytest.mark.parametrize(("text", "at", "signature", "claims"), REASONS.values(), ids=REASONS)
def test_a_refused_ticket_is_explained(text: str, at: float, signature: str, claims: str) -> None:
    """The exit status says whether a hub refuses the ticket."""
    ended = explain(f"{text}\n", at=at)
    lines = ended.stdout.splitlines()
    assert lines[-2] == f"  {signature}"
    assert lines[-1].startswith(f"  {claims}")
    assert ended.status == (not signature.endswith("correct") or "valid for another" not in claims)


def test_the_content_of_a_ticket_is_shown() -> None:
    """The header and the claims are shown, with readable times and without control characters."""
    claims = {**CLAIMS, "team\x1b": {"a": [1]}, "admin": True}
    shown = explain(token(claims), MINE, OTHER)
    assert shown.stdout.splitlines() == [
        "The ticket:",
        "  alg         HS256",
        "  typ         JWT",
        "  kid         users",
        "  sub         17",
        "  topics      http://example.com/users/17/*",
        "              http://example.com/news",
        "  iat         2027-01-15T08:00:00Z",
        "  exp         2027-01-15T09:00:00Z",
        '  team\\u001b  {"a": [1]}',
        "  admin       true",
        "",
        "Checked at 2027-01-15T08:00:00Z:",
        "  signature                           correct",
        "  claims                              valid for another 3600 seconds",
        f"  {MINE}  covered",
        f"  {OTHER}   not covered by the topics of the ticket",
    ]
    assert shown.status == 1
    assert explain(token(), MINE).status == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the ticket is not a JSON Web Token"),
        ("a.b.c", "the ticket is not a JSON Web Token"),
        (f"{token()}.", "the ticket is not a JSON Web Token"),
        ("\xff\xfe", "the ticket is not a JSON Web Token"),
        ("x" * 9000, "the ticket has more than 8192 characters"),
    ],
)
def test_text_that_is_not_a_ticket(text: str, said: str) -> None:
    ended = invoke_here("explain", "--ticket-file", "-", "--at", str(NOW), stdin=text)
    assert (ended.status, ended.stdout) == (1, f"Checked at 2027-01-15T08:00:00Z:\n  ticket  {said}\n")


def test_without_the_secret_everything_but_the_signature_is_checked() -> None:
    said = "  signature  not checked: --ticket-key and its secret are not given\n"
    ended = explain(token(secret=SECRET[::-1]), key="")
    assert (ended.status, said in ended.stdout) == (0, True)
    assert explain(token(), key="", at=NOW + 3600).status == 1


def test_topics_and_claims_may_have_any_name() -> None:
    """A topic may have the name of a check, and a claim that of a header parameter."""
    forged = explain(token({**CLAIMS, "kid": "others", "topics": ["signature"]}, secret=SECRET[::-1]), "signature")
    assert forged.status == 1
    assert [line for line in forged.stdout.splitlines() if line.startswith(("  kid", "  signature"))] == [
        "  kid     users",
        "  kid     others",
        "  signature  wrong: the ticket was signed with another secret, or changed after that",
        "  signature  covered",
    ]


def test_ticket_and_secret_come_from_files(tmp_path: Path) -> None:
    """The ticket and the secret are read from files. A ticket is never an argument."""
    (tmp_path / "ticket").write_text(f"{token()}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    options = ("--ticket-key", "users", "--ticket-secret-file", str(tmp_path / "secret"), "--at", str(NOW))
    assert invoke_here("explain", "--ticket-file", str(tmp_path / "ticket"), *options).status == 0
    for encoding, said in (("utf-8-sig", "byte order mark"), ("utf-16", "is UTF-16"), ("utf-16-le", "has a NUL byte")):
        (tmp_path / encoding).write_bytes(token().encode(encoding))
        ended = invoke_here("explain", "--ticket-file", str(tmp_path / encoding), *options)
        assert (ended.status, ended.stdout, said in ended.stderr) == (1, "", True)
    assert invoke_here("explain", "--ticket-file", "-", "--query", "-", *options).status == 2
    assert invoke_here("explain", *options, "http://127.0.0.1:1", "t", "1").status == 2
    assert invoke_here("explain", "--ticket-file", token()).status == 2


# listen


async def test_listen_with_a_ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`listen` reads the file of the ticket again for each connection."""
    monkeypatch.setattr(_websocket, "_CLOCK_CHECK", 0.01)
    now = float(NOW)
    file = tmp_path / "ticket"
    file.write_text(f"{token()}\n")
    async with (
        Hub(port=0, ticket_keys={"users": SECRET}, clock=lambda: now) as hub,
        python(*MODULE, "listen", "--ticket-file", str(file), hub.url, MINE, "--count", "2") as process,
    ):
        await process.complained("subscribed")
        await push_event(hub, "first", MINE)
        assert await process.said(MINE) == f'{MINE}\t"first"'
        file.write_text(ticket(key="users", secret=SECRET, sub="17", topics=[MINE], now=now + 3600))
        now += 3600
        assert await process.complained("ended") == "the broker ended the session (ticket_expired); reconnecting"
        await push_event(hub, "second", MINE)
        assert await process.said(MINE) == f'{MINE}\t"second"'
        assert (await process.ended()).status == 0


async def test_listen_with_a_refused_ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused ticket is reported in one line that does not show the ticket."""
    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    file = tmp_path / "ticket"
    async with Hub(port=0, ticket_keys={"users": SECRET}, clock=lambda: NOW) as hub:
        for text, topic, said in (
            (token(secret=SECRET[::-1]), MINE, "refuses the ticket: authentication_failed: no such key for tickets"),
            (
                token({**CLAIMS, "exp": NOW}),
                MINE,
                "refuses the ticket: ticket_expired: the ticket expired 0 seconds ago",
            ),
            (token(), OTHER, "the ticket does not cover this topic"),
            ("no.ticket", MINE, "refuses the ticket: authentication_failed: the ticket is not a JSON Web Token"),
        ):
            file.write_text(text)
            ended = await invoke("listen", "--ticket-file", str(file), hub.url, topic)
            assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
            assert said in ended.stderr
            assert not text or text not in ended.stderr
        anonymous = await invoke("listen", hub.url, MINE)
        assert "anonymous subscribers: give --subscriber-key or --ticket-file" in anonymous.stderr
        keys = {"WEBMQ_SUBSCRIBER_SECRET": "s3cret"}
        both = await invoke("listen", "--ticket-file", str(file), "--subscriber-key", "k", hub.url, MINE, env=keys)
        assert both.status == 2
