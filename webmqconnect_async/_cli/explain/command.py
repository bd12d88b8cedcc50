"""`webmqconnect explain`: show what is signed for a push, the resulting request, and why a request was refused."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click

from ..._core.dialects import DialectName
from ..._core.dialects.arguments import checked_time
from ..._core.endpoint import Endpoint
from ..._core.settings import new_dialect, request_headers
from ..._core.values import Push
from ...errors import ClockRejected
from ...explain import SignedRequest, signed_request
from ...explain import explain as explained
from ...explain._error_responses import advice_on, quoted_signatures
from ..keys import PUSHER, TICKET, ticket_of
from ..options import (
    Command,
    dialect_option,
    eligible_option,
    event_argument,
    exclude_option,
    existing_file,
    file_option,
    text_option,
    with_endpoint,
)
from ..stdio import read_some

_EXAMPLES = """\
Examples:

$ webmqconnect explain --key app http://127.0.0.1:8080 http://example.com/orders '{"id": 17}'

Find out why a push was refused, from the response of the broker or from the request in an access log:

$ webmqconnect explain … --refusal 'timestamp expired (delta 412 seconds)'

$ webmqconnect explain … --query '?topicuri=…&appkey=app&timestamp=…&signature=…' --body sent.json

Find out why a ticket is refused:

$ webmqconnect explain --ticket-file - --ticket-key users --ticket-secret-file users.secret http://example.com/users/17
"""


def unix_time(text: str) -> float:
    """Return the Unix time of Unix seconds or ISO 8601 (UTC without offset)."""
    try:
        try:
            seconds = float(text)
        except ValueError:
            moment = datetime.fromisoformat(text)
            # The float nearest to .123 may be less than that, and the dialects truncate to milliseconds.
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + 1e-6
        return checked_time(seconds)
    except (ValueError, OverflowError, ClockRejected):
        message = f"{text!r} is neither a Unix time nor a timestamp like 2011-10-14T16:59:51Z."
        raise click.BadParameter(message) from None


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("arguments", metavar="[ENDPOINT] TOPIC EVENT", nargs=-1)
@eligible_option
@exclude_option
@PUSHER.options("Sign with this application key.")
@dialect_option
@text_option
@click.option(
    "--at",
    metavar="TIME",
    type=unix_time,
    help="Time of signing, or at which a ticket is checked: Unix seconds, or 2011-10-14T16:59:51Z.",
)
@click.option("--seq", metavar="N", type=click.IntRange(min=0), help="Sequence number for Crossbar.io; 1 if not given.")
@click.option("--nonce", metavar="N", type=click.IntRange(min=0), help="Nonce for Crossbar.io; random if not given.")
@click.option("--refusal", metavar="TEXT", help="Explain this error response of a broker; - reads standard input.")
@click.option(
    "--query",
    metavar="QUERY",
    help="Compare a request that was sent, given as its query, target or URL; - reads standard input.",
)
@file_option(
    "--body", help="With --query: the exact body of that request. Without it, the body is assumed to be that of EVENT."
)
@file_option(
    "--ticket-file",
    type=existing_file(allow_dash=True),
    help="Check the ticket in FILE, and whether it covers the TOPICs given; - reads standard input.",
)
@TICKET.options("With --ticket-file: the key that has to sign the ticket.")
def explain(
    arguments: tuple[str, ...],
    eligible: tuple[str, ...],
    exclude: tuple[str, ...],
    key: str | None,
    secret_file: Path | None,
    dialect: DialectName,
    text: bool,
    at: float | None,
    seq: int | None,
    nonce: int | None,
    refusal: str | None,
    query: str | None,
    body: Path | None,
    ticket_file: Path | None,
    ticket_key: str | None,
    ticket_secret_file: Path | None,
) -> None:
    """Show what is signed for a push, the resulting request, and the curl command that sends it.

    Nothing is sent. But anybody who sees the output can send this push, for 300 seconds around its timestamp.

    With --refusal, explain the error response of a broker. With --query, compare a request that was sent with the
    expected one, and find the cause of a wrong signature, such as a newline at the end of the secret or a body that
    was encoded twice. The output then has the time of that request unless --at is given. Use --query - to read it from
    standard input: ps shows the arguments of a command, and so the signature, to all users.

    With --ticket-file, show what is in a ticket and why it is refused, if it is. The arguments are TOPICs then.
    """
    # These are slow to import, and shell completion imports this module without running the command.
    from .. import terminal
    from .report import Report, signature_origin, verdict_on_quoted

    terminal.need_output()
    ticket_credentials = TICKET.credentials(ticket_key, ticket_secret_file)
    if ticket_file is not None:
        if refusal is not None or query is not None or body is not None:
            raise click.UsageError("--ticket-file is not for a push, as --refusal, --query and --body are.")
        from .ticket import explain_ticket

        token = _read("--ticket-file", "-") if str(ticket_file) == "-" else ticket_of(ticket_file)
        explain_ticket((token or "").strip(), ticket_credentials, arguments, time.time() if at is None else at)
        return
    if ticket_credentials is not None:
        raise click.UsageError(f"{TICKET.key} is for --ticket-file.")
    url, topic, event = with_endpoint(arguments, "TOPIC", "EVENT")
    credentials = PUSHER.credentials(key, secret_file)
    if dialect == "webmq" and (seq is not None or nonce is not None):
        raise click.UsageError("--seq and --nonce are for --dialect crossbar.")
    if body is not None and query is None:
        raise click.UsageError("--body is for --query.")
    if query is not None and credentials is None:
        raise click.UsageError("--query needs --key and its secret.")
    if refusal == query == "-":
        raise click.UsageError("standard input is either --refusal or --query.")
    try:
        endpoint = Endpoint.parse(url)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    refusal, query = _read("--refusal", refusal), _read("--query", query)

    sent, copied = None, dict[str, bytes]()
    if query is not None:
        try:
            sent = signed_request(dialect, query, b"" if body is None else body.read_bytes())
        except ValueError as error:
            raise click.UsageError(f"--{error} (--dialect {dialect}).") from None
        # Parts that are different in each request are copied from the one that was sent, unless an option sets them.
        options = {"timestamp": at, "seq": seq, "nonce": nonce}
        copied = {name: part for name, part in sent.parts.items() if name in options and options[name] is None}
        with suppress(KeyError, UnicodeDecodeError, click.BadParameter):
            at = unix_time(copied["timestamp"].decode())
        seq = _number_in(copied, "seq") if seq is None else seq
        nonce = _number_in(copied, "nonce") if nonce is None else nonce

    encoder = new_dialect(dialect, credentials, seq=seq, nonce=nonce)
    push = Push(topic, event_argument(event, text), list(eligible) or None, list(exclude) or None)
    request = encoder.encode(push)(time.time() if at is None else at)
    signed = None
    if credentials is not None:
        signed = explained(credentials, signed_request(dialect, request.query, request.body).parts)
    report = Report()
    report.signed(signed)
    report.request(endpoint, request_headers({}, encoder.content_type), request)

    received = signed
    if credentials is not None and signed is not None and sent is not None:
        if body is None:
            sent = SignedRequest({**sent.parts, "body": request.body}, sent.signature)
        received = explained(credentials, sent.parts)
        # The bytes are copied, because the timestamp may have another number of digits than those of this package.
        expected = explained(credentials, {**signed.parts, **copied})
        origin = signature_origin(sent.signature, {"sent": received, "expected": expected})
        report.comparison(dialect, sent, expected, origin, body_given=body is not None)

    if refusal is not None:
        report.section("The error response:")
        report.paragraph(advice_on(refusal) or "No known broker sends this response.")
        if received is not None and (quoted := quoted_signatures(refusal)):
            report.paragraph(verdict_on_quoted(*(signature_origin(each, {"sent": received}) for each in quoted)))


def _read(option: str, text: str | None) -> str | None:
    """Return the value of an option, or all of standard input if the value is `-`.

    This is not a callback of the option: shell completion calls callbacks, and would wait for input from the terminal.
    """
    if text != "-":
        return text
    if sys.stdin is None:
        raise click.UsageError(f"{option}: standard input is closed.")
    content = b"".join(iter(lambda: read_some(0, 1 << 16), b""))
    return content.decode("utf-8", "surrogateescape")  # as Python decodes arguments


def _number_in(parts: Mapping[str, bytes], name: str) -> int | None:
    digits = parts.get(name, b"")
    return int(digits) if digits.isdigit() and len(digits) < 20 else None
