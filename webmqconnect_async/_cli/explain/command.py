"""`webmqconnect explain`: show what is signed for a push, the resulting request, and why a request was refused."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import rich_click as click

from ..._core.dialects import Dialect, DialectName, Request
from ..._core.dialects.crossbar import Crossbar
from ..._core.dialects.webmq import WebMQ
from ..._core.endpoint import Endpoint
from ..._core.settings import request_headers
from ..._core.values import Push
from ...explain import explain as explained
from ...explain._comparison import differences, on_expected, verdict
from ...explain._responses import advice_on, signatures_in
from ...explain._signed_request import SignedRequest, signed_request
from ...explain._timestamps import Stamp, unix_time
from ...signing import Credentials
from .. import terminal
from ..command import Command
from ..keys import credentials_of, key_option, secret_file_option
from ..main_loop import reported
from ..options import dialect_option, eligible_option, exclude_option, with_endpoint
from ..paths import not_closed
from ..push.jsonl import event_of
from .report import Report

__all__ = ["explain"]

_EXAMPLES = """\
Examples:

$ webmqconnect explain --key app http://127.0.0.1:8080 http://example.com/orders '{"id": 17}'

Find out why a push was refused, from the response of the broker or from the request in an access log:

$ webmqconnect explain … --refusal 'timestamp expired (delta 412 seconds)'

$ webmqconnect explain … --query '?topicuri=…&appkey=app&timestamp=…&signature=…' --body sent.json
"""


def _time(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else unix_time(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("arguments", metavar="[ENDPOINT] TOPIC EVENT", nargs=-1)
@eligible_option
@exclude_option
@key_option(help="Sign with this application key.")
@secret_file_option
@dialect_option
@click.option("--at", metavar="TIME", callback=_time, help="Time of signing: Unix seconds, or 2011-10-14T16:59:51Z.")
@click.option("--seq", metavar="N", type=click.IntRange(min=0), help="Sequence number for Crossbar.io; 1 if not given.")
@click.option("--nonce", metavar="N", type=click.IntRange(min=0), help="Nonce for Crossbar.io; random if not given.")
@click.option("--refusal", metavar="TEXT", help="Explain this error response of a broker; - reads standard input.")
@click.option(
    "--query",
    metavar="QUERY",
    help="Compare a request that was sent, given as its query, target or URL; - reads standard input.",
)
@click.option(
    "--body",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    callback=not_closed,
    help="With --query: the exact body of that request. Without it, the body is assumed to be that of EVENT.",
)
def explain(
    arguments: tuple[str, ...],
    eligible: tuple[str, ...],
    exclude: tuple[str, ...],
    key: str | None,
    secret_file: Path | None,
    dialect: DialectName,
    at: float | None,
    seq: int | None,
    nonce: int | None,
    refusal: str | None,
    query: str | None,
    body: Path | None,
) -> None:
    """Show what is signed for a push, the resulting request, and the curl command that sends it.

    Nothing is sent. But anybody who sees the output can send this push, for 300 seconds around its timestamp.

    With --refusal, explain the error response of a broker. With --query, compare a request that was sent with the one
    that should have been sent, and find the cause of a wrong signature, such as a newline at the end of the secret or
    a body that was encoded twice. The output then has the time of that request unless --at is given. Prefer a QUERY of
    -, which reads standard input: ps shows the arguments of a command, and so the signature.
    """
    terminal.need_output()
    url, topic, event = with_endpoint(arguments, "TOPIC", "EVENT")
    credentials = credentials_of(key, secret_file)
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
    stamp = Stamp(at, seq, nonce)
    taken = stamp if query is None else stamp.or_of(_sent(dialect, query, b""))
    wire = _dialect(dialect, credentials, taken)
    with reported():
        sign = wire.encode(Push(topic, event_of(event), list(eligible) or None, list(exclude) or None))
    request = sign(time.time() if taken.at is None else taken.at)
    report = Report()
    signed = None if credentials is None else explained(credentials, _parts(dialect, request))
    report.signed(signed)
    report.request(endpoint, request_headers({}, wire.content_type), request)
    if credentials is not None and signed is not None and query is not None:
        sent = _sent(dialect, query, request.body if body is None else body.read_bytes())
        # Of what nothing else is said, what was sent is what should have been.
        should = {**signed.parts, **{name: sent.parts[name] for name in stamp.unsaid() & sent.parts.keys()}}
        compared = dict(differences(dialect, sent.parts, should))
        if body is None:
            compared["body"] = "not given with --body: taken for that of EVENT"
        report.compared(compared, verdict(credentials, sent, explained(credentials, should), body is not None))
        signed = explained(credentials, sent.parts)
    if refusal is not None:
        told = signatures_in(refusal)
        report.refusal(advice_on(refusal), on_expected(signed, *told) if signed and told else None)


def _read(option: str, text: str | None) -> str | None:
    """Return the value of an option, or all of standard input if the value is `-`.

    This is not a callback of the option because completion calls callbacks, and would wait for the terminal's input.
    """
    if text != "-":
        return text
    if sys.stdin is None:
        raise click.UsageError(f"{option}: standard input is closed.")
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")  # as Python decodes arguments


def _parts(dialect: DialectName, request: Request) -> Mapping[str, bytes]:
    return signed_request(dialect, request.query, request.body).parts


def _sent(dialect: DialectName, query: str, body: bytes) -> SignedRequest:
    """Return the request that was sent in this dialect; raise `UsageError` if a part is missing."""
    try:
        return signed_request(dialect, query, body)
    except ValueError as error:
        raise click.UsageError(f"--{error}, which --dialect {dialect} needs.") from None


def _dialect(name: DialectName, credentials: Credentials | None, stamp: Stamp) -> Dialect:
    if name == "webmq":
        return WebMQ(credentials)
    seq = 1 if stamp.seq is None else stamp.seq
    nonce = secrets.randbits(53) if stamp.nonce is None else stamp.nonce
    return Crossbar(credentials, None, sequence=lambda: seq, nonce=lambda: nonce)
