"""`webmqconnect relay`: push the rows of an outbox until Ctrl-C or SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from .._core.dialects import DialectName
from .exit_status import Exit
from .keys import PUSHER
from .options import Command, concurrency_option, dialect_option, metrics_option, timeout_option, with_endpoint
from .urls import outbox_url, url_file_option

_EXAMPLES = """\
Examples:

$ webmqconnect relay http://127.0.0.1:8080 sqlite:///shop.db

$ WEBMQ_OUTBOX_URL=postgresql://localhost/shop webmqconnect relay http://127.0.0.1:8080 --metrics 127.0.0.1:9101
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("arguments", metavar="[ENDPOINT] [URL]", nargs=-1)
@url_file_option
@PUSHER.options("Sign with this application key.")
@dialect_option
@timeout_option(help="Maximum duration of a push.")
@concurrency_option(help="Maximum number of pushes in flight. They are of different topics.")
@click.option("--once", is_flag=True, help="Exit when there is nothing left to push, or when the broker is away.")
@metrics_option
def relay(
    arguments: tuple[str, ...],
    url_file: Path | None,
    key: str | None,
    secret_file: Path | None,
    dialect: DialectName,
    timeout: float,
    concurrency: int,
    once: bool,
    metrics: str | None,
) -> None:
    """Push the rows of the outbox in the database at URL, through the hub at ENDPOINT.

    URL is sqlite:///relative.db, sqlite:////absolute.db or postgresql://HOST/NAME. It may be omitted if
    WEBMQ_OUTBOX_URL is set, and ENDPOINT if WEBMQ_ENDPOINT is set.

    Rows of one topic are pushed in order. Each is pushed until the hub has accepted it, and then deleted. A row that
    the hub never accepts is parked: see webmqconnect outbox. A database has one active relay; others take over.

    Ctrl-C or SIGTERM waits for the pushes in flight, and exits. A second one does not wait.
    """
    from .main_loop import run
    from .push.prepare import new_client
    from .relaying import Relaying

    if wrong := [argument for argument in arguments if "://" not in argument]:
        raise click.UsageError(f"{wrong[0]!r} is not a URL: ENDPOINT begins with http:// or https://.")
    endpoints = tuple(argument for argument in arguments if argument.startswith(("http://", "https://")))
    url = outbox_url(tuple(argument for argument in arguments if argument not in endpoints), url_file)
    [endpoint] = with_endpoint(endpoints)
    client = new_client(endpoint, PUSHER.credentials(key, secret_file), timeout, concurrency, dialect)
    relaying = Relaying(url, client, concurrency, metrics)
    run(relaying.run(once), interrupt=relaying.interrupt)
    if once and relaying.interrupted:
        sys.exit(Exit.INTERRUPTED)
    sys.exit(Exit.FAILED if once and relaying.counts()["failed"] else Exit.DONE)
