"""`webmqconnect hub`: run the embedded hub as a server until Ctrl-C or SIGTERM."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import rich_click as click

from .exit_status import Exit
from .hub_variables import BACKPLANE, HubCommand
from .keys import PUSHER, SUBSCRIBER, TICKET, console_token_of
from .options import duration, file_option, metrics_option
from .urls import secret_url

if TYPE_CHECKING:
    from ..hub import HubOptions

_OPTIONS = {
    "keys": PUSHER.key,
    "subscriber_keys": SUBSCRIBER.key,
    "ticket_keys": TICKET.key,
    "allow_origins": "--allow-origin",
    "allow_hosts": "--allow-host",
    "console_token": "--console-token-file",
}
"""The options whose names differ from those of the arguments of `Hub`."""

# The defaults repeat those of HubConfig, because importing the hub would slow down completion.
_limit = partial(click.option, type=click.IntRange(min=1))

_EXAMPLES = """\
Examples:

$ webmqconnect hub

$ webmqconnect hub --host 0.0.0.0 --key app --secret-file app.secret

$ webmqconnect hub --subscriber-key page --subscriber-secret-file page.secret

$ WEBMQ_HUB_HOST=0.0.0.0 WEBMQ_HUB_KEY=app WEBMQ_HUB_SECRET_FILE=app.secret webmqconnect hub
"""


@click.command(cls=HubCommand, epilog=_EXAMPLES)
@click.option("--host", metavar="HOST", default="127.0.0.1", help="Name or address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=8080,
    help="Port to listen on; 0 chooses a free one.",
)
@PUSHER.options("Accept only pushes that are signed with this application key.")
@SUBSCRIBER.options(
    "Let subscribers that authenticate with this key read every topic, and anonymous ones only --public topics."
)
@TICKET.options(
    "Let subscribers with a ticket that is signed with this key read the topics that it covers, and anonymous ones "
    "only --public topics."
)
@click.option(
    "--public",
    metavar="TOPIC",
    multiple=True,
    help="Let everybody read this topic, without a key or a ticket. A * at the end stands for any text. Repeatable.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    metavar="URL",
    multiple=True,
    help="Allow pages of this origin to subscribe and push. Repeatable.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="HOST",
    multiple=True,
    help="Also accept requests for this host name, such as that of a proxy. Repeatable.",
)
@click.option(
    "--allow-publish",
    is_flag=True,
    help="Allow subscribers to publish events, without a signature: with a ticket to the topics that it covers, "
    "otherwise to any topic. With --subscriber-key or --ticket-key, anonymous subscribers may not publish.",
)
@click.option(
    "--console/--no-console",
    default=None,
    help="Offer the console on the page of the hub. It shows everything, can push, and requires a token. "
    "Default: on, but off with --allow-host.",
)
@file_option(
    "--console-token-file",
    help="Read the token of the console from FILE. Without this option, each start has a new one.",
)
@_limit("--max-body", metavar="BYTES", default=4096, help="Maximum size of an event.")
@_limit(
    "--max-queue",
    metavar="BYTES",
    default=1 << 20,
    help="Maximum size of a subscriber's send queue. A subscriber that exceeds it is disconnected.",
)
@_limit("--max-connections", metavar="N", default=800, help="Maximum number of subscribers.")
@_limit("--max-subscriptions", metavar="N", default=256, help="Maximum number of topics per subscriber.")
@_limit("--max-topic", metavar="N", default=1024, help="Maximum length of a topic in characters.")
@click.option(
    "--history",
    metavar="N",
    type=click.IntRange(0),
    default=100,
    help="Events per topic to keep for subscribers that were away; 0 keeps none.",
)
@click.option(
    "--history-seconds",
    metavar="SECONDS",
    type=click.FloatRange(0, 2_147_483, min_open=True),
    default=300.0,
    help="How long to keep them.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Lowest level to log to standard error. Pushes, subscribers and refusals are info.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Text, or a JSON object per line."
)
@metrics_option
@click.option(
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    help="After SIGTERM, serve for SECONDS more while /readyz responds with 503. Ctrl-C does not wait.",
)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=3.0,
    help="Maximum duration of closing, after --drain: send what is queued, finish requests in progress.",
)
@click.option(
    "--keepalive",
    metavar="DURATION",
    type=duration,
    default="6h",
    help="How long to keep an idle connection of a client that has pushed, such as 6h, 30m or 90s.",
)
@click.option(
    "--backplane",
    metavar="URL",
    help="Share all events with other hubs over this Redis or Valkey server, such as redis://127.0.0.1:6379/0. A URL "
    f"with a password goes into the variable {BACKPLANE}, or into a file that {BACKPLANE}_FILE or --backplane-file "
    "names.",
)
@file_option("--backplane-file", help="Read the URL of --backplane from FILE.")
@click.option(
    "--backplane-prefix",
    metavar="NAME",
    default="webmq",
    help="Beginning of the names of all keys in Redis. Hubs with different prefixes share nothing.",
)
def hub(
    host: str,
    port: int,
    key: str | None,
    secret_file: Path | None,
    subscriber_key: str | None,
    subscriber_secret_file: Path | None,
    ticket_key: str | None,
    ticket_secret_file: Path | None,
    console: bool | None,
    console_token_file: Path | None,
    log_level: str,
    log_format: str,
    drain: float,
    backplane_file: Path | None,
    **options: Unpack[HubOptions],
) -> None:
    """Run a hub, which accepts pushes and forwards each to its subscribers.

    It is meant for development, tests and small sites. Ctrl-C or SIGTERM stops it.

    Each option can also be given as a variable: WEBMQ_HUB_MAX_BODY=8192 is --max-body 8192. An option takes precedence
    over its variable. A flag is 1, true, 0 or false. The values of a repeatable option are separated by spaces.
    """
    credentials = PUSHER.credentials(key, secret_file)
    subscriber = SUBSCRIBER.credentials(subscriber_key, subscriber_secret_file)
    ticket = TICKET.credentials(ticket_key, ticket_secret_file)
    if options.get("public") and not (subscriber or ticket):
        raise click.UsageError("--public needs --ticket-key or --subscriber-key.")
    if console is None:
        console = not options.get("allow_hosts")
    if console_token_file is not None and not console:
        raise click.UsageError("--console-token-file needs --console.")
    given = options.get("backplane")
    names = _OPTIONS | {"backplane": "--backplane" if given else "--backplane-file" if backplane_file else BACKPLANE}

    from ..hub import Hub
    from . import hub_log
    from .main_loop import run
    from .serve import serve

    options["backplane"] = secret_url(given, "--backplane", backplane_file, "--backplane-file", BACKPLANE)
    options["keys"] = {credentials.key: credentials.secret} if credentials else None
    options["subscriber_keys"] = {subscriber.key: subscriber.secret} if subscriber else None
    options["ticket_keys"] = {ticket.key: ticket.secret} if ticket else None
    options["console_token"] = console_token_of(console_token_file) if console else None
    try:
        server = Hub(host, port, **options)
    except ValueError as error:
        argument, _, reason = str(error).partition(" ")
        option = names.get(argument, "--" + argument.replace("_", "-"))
        message = f"{option} {reason}.".replace(f"{option} has a secret that", f"The secret of {option}")
        raise click.UsageError(message) from None
    hub_log.configure(log_level, log_format)
    run(serve(server, port, secret_file, console_token_file, drain), interrupted=Exit.DONE)
