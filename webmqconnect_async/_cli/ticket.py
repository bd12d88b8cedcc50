"""`webmqconnect ticket`: print a ticket."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from .keys import TICKET
from .options import Command, duration

_EXAMPLES = """\
Examples:

$ webmqconnect ticket --ticket-key users --ticket-secret-file users.secret --sub 17 'http://example.com/users/17/*'

$ WEBMQ_TICKET_SECRET=… webmqconnect ticket --ticket-key users --sub 17 --valid 5m com.example.orders > 17.ticket
"""
_ARGUMENTS = {"secret": f"the secret of {TICKET.key}", "sub": "--sub", "topics": "the TOPICs", "valid": "--valid"}
"""The names of the arguments of `tickets.ticket` on the command line."""


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("topics", metavar="TOPIC...", nargs=-1, required=True)
@TICKET.options("Sign with this key, which the hub has, too.", required=True)
@click.option("--sub", metavar="ID", required=True, help="ID of the user, which becomes the authid of its sessions.")
@click.option(
    "--valid",
    metavar="DURATION",
    type=duration,
    default="1h",
    help="How long the ticket is valid, such as 1h, 5m or 90s; at most 24h.",
)
def ticket(topics: tuple[str, ...], ticket_key: str, ticket_secret_file: Path | None, sub: str, valid: float) -> None:
    """Print a ticket, with which one user can read TOPICs.

    A * at the end of a TOPIC, after a slash, a dot or a colon, stands for any text. Everybody who gets hold of the
    ticket can read the TOPICs until it expires: it cannot be revoked.
    """
    from .. import tickets
    from . import terminal

    terminal.need_output()
    credentials = TICKET.credentials(ticket_key, ticket_secret_file)
    assert credentials is not None  # noqa: S101  # for the type checker: there is a key
    try:
        made = tickets.ticket(key=ticket_key, secret=credentials.secret, sub=sub, topics=topics, valid=valid)
    except ValueError as error:
        raise click.UsageError(re.sub(r"\w+", lambda name: _ARGUMENTS[name[0]], str(error), count=1) + ".") from None
    click.echo(made)
