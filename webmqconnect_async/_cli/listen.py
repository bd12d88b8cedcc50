"""`webmqconnect listen`: subscribe to topics and print each event as a line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from . import terminal
from .exit_status import Exit
from .keys import SUBSCRIBER, ticket_of
from .options import Command, file_option

_EXAMPLES = """\
Examples:

$ webmqconnect listen http://127.0.0.1:8080 http://example.com/orders

$ webmqconnect listen --subscriber-key page http://127.0.0.1:8080 http://example.com/orders

From Crossbar.io:

$ webmqconnect listen --realm realm1 ws://127.0.0.1:8080/ws com.example.orders
"""


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("url", metavar="WS_URL")
@click.argument("topics", metavar="TOPIC...", nargs=-1, required=True)
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="Exit after N events.")
@SUBSCRIBER.options("Authenticate with this key, if the hub requires one.")
@file_option("--ticket-file", help="Authenticate with the ticket in FILE, which is read again for each connection.")
@click.option("--realm", metavar="NAME", default="realm1", help="Realm to join at Crossbar.io; a hub ignores it.")
@click.option("--no-reconnect", is_flag=True, help="Exit when the connection ends, with status 1.")
def listen(
    url: str,
    topics: tuple[str, ...],
    count: int | None,
    subscriber_key: str | None,
    subscriber_secret_file: Path | None,
    ticket_file: Path | None,
    realm: str,
    no_reconnect: bool,
) -> None:
    """Subscribe to TOPICs of the hub, or of Crossbar.io, at WS_URL and print the events.

    Each event is a line: its topic, a tab, the event as JSON. An event with several arguments, as Crossbar.io allows,
    is an object with "args" and "kwargs". Numbers are decoded and encoded again: 1.10 is printed as 1.1. WS_URL may
    also be the URL for pushes: http://127.0.0.1:8080 becomes ws://127.0.0.1:8080/ws.

    When the connection ends, the command connects again. A line on standard error says so, and another one names each
    topic of which events were missed. Ctrl-C ends the command.
    """
    terminal.need_output()
    credentials = SUBSCRIBER.credentials(subscriber_key, subscriber_secret_file)
    if credentials is not None and ticket_file is not None:
        raise click.UsageError(f"give either {SUBSCRIBER.key} or --ticket-file.")
    ticket = None if ticket_file is None else lambda: asyncio.to_thread(ticket_of, ticket_file)

    from ..subscriber._handshake import socket_url
    from .main_loop import run
    from .subscribing import print_events

    try:
        address = socket_url(url)
    except ValueError as error:
        raise click.UsageError(f"WS_URL: {error}.") from None
    events = print_events(address, topics, count, credentials, realm, not no_reconnect, ticket)
    run(events, interrupted=Exit.DONE)
