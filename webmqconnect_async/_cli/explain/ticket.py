"""The content of a ticket, and why a broker refuses it or a subscription to a topic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

import rich_click as click

from ..._core import tickets
from ..._core.topics import check_topics, covers
from ...explain._signing_mistakes import find_mistake
from ...signing import Credentials
from ..exit_status import Exit
from ..keys import TICKET
from .report import Report

_Finding: TypeAlias = tuple[str, bool | None]
"""What was found, and whether it is right. `None`: it was not checked."""


def explain_ticket(token: str, credentials: Credentials | None, topics: Iterable[str], now: float) -> None:
    """Show what is in a ticket, and whether the signature, the claims and the topics are right at a Unix time.

    The exit status is 1 if something is wrong, and 2 if the secret cannot be that of a key for tickets.
    """
    if credentials is not None and (problem := tickets.check_secret(credentials.secret)):
        raise click.UsageError(f"the secret of {TICKET.key} {problem}.")
    report = Report()
    try:
        header, payload = tickets.unverified(token)
    except tickets.TicketRefused as refusal:
        findings: list[tuple[str, _Finding]] = [("ticket", (str(refusal), False))]
    else:
        claims = _members(payload)
        report.section("The ticket:")
        rows = []
        # Not in one mapping, because a claim may have the name of a header parameter.
        for name, value in (*header.items(), *claims.items()):
            rows += [("" if index else name, line, "") for index, line in enumerate(_lines(name, value))]
        report.table(rows)
        findings = [("signature", _signature(token, header, credentials)), ("claims", _claims(payload, now))]
        with suppress(TypeError, ValueError):  # the topics are invalid, which the check of the claims has reported
            granted = check_topics("topics", claims.get("topics"))
            for topic in topics:
                covered = covers(granted, topic)
                findings.append((topic, ("covered" if covered else "not covered by the topics of the ticket", covered)))
    report.section(f"Checked at {_time(now)}:")
    report.table((name, found, "green" if right else "yellow") for name, (found, right) in findings)
    if any(right is False for _, (_, right) in findings):
        raise SystemExit(Exit.FAILED)


def _signature(token: str, header: Mapping[str, object], credentials: Credentials | None) -> _Finding:
    if credentials is None:
        return f"not checked: {TICKET.key} and its secret are not given", None
    if header.get("alg") != "HS256":
        return f"made with the algorithm {header.get('alg')!r}, and only 'HS256' is accepted", False
    if "kid" not in header:
        return "of no key: the header has no kid", False
    if header["kid"] != credentials.key:
        return f"of the key {header['kid']!r}, and not {credentials.key!r}", False
    try:
        tickets.verify(token, {credentials.key: credentials}, 0)
    except tickets.TicketRefused as refusal:
        if refusal.forged:
            signed, _, signature = token.rpartition(".")
            # A JWS has no padding (RFC 7515, section 2).
            mistake = find_mistake(signature + "=" * (-len(signature) % 4), credentials, {"token": signed.encode()})
            if mistake is None:
                return "wrong: the ticket was signed with another secret, or changed after that", False
            return f"wrong, which is caused by a common mistake: {mistake}", False
    return "correct", True


def _claims(payload: bytes, now: float) -> _Finding:
    try:
        ticket = tickets.check_claims("", payload, now)
    except tickets.TicketRefused as refusal:
        when = f", at {_lines('exp', _members(payload)['exp'])[0]}" if refusal.expired else ""
        return f"{refusal}{when}", False
    return f"valid for another {ticket.expires - now:.0f} seconds", True


def _members(payload: bytes) -> dict[str, object]:
    """Return the claims without checking them; an empty mapping if they are not a JSON object."""
    with suppress(ValueError, RecursionError):
        if isinstance(claims := json.loads(payload), dict):
            return claims
    return {}


def _lines(name: str, value: object) -> list[str]:
    """Return a claim as text: a line for each topic."""
    if name in ("iat", "nbf", "exp") and isinstance(value, int | float):
        with suppress(ValueError, OverflowError, OSError):  # not in the years 1 to 9999
            return [_time(value)]
    texts = value if isinstance(value, list) and value else [value]
    return [text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in texts]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
