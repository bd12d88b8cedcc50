"""`webmqconnect hub`: run the embedded hub as a server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
from pathlib import Path

import rich_click as click

from .command import Command
from .duration import duration
from .exit_status import Exit
from .keys import PUSHER, SUBSCRIBER, credentials_of, key_option, secret_file_option, subscriber_secret_file_option

__all__ = ["hub"]

_OPTIONS = {
    "keys": PUSHER.key,
    "subscriber_keys": SUBSCRIBER.key,
    "allow_origins": "--allow-origin",
    "allow_hosts": "--allow-host",
}
"""The options of those arguments of `Hub` that have another name."""

_COUNT = click.IntRange(min=1)

# The defaults of the limits repeat those of HubConfig, because importing the hub would slow down completion.

_EXAMPLES = """\
Examples:

$ webmqconnect hub

$ webmqconnect hub --host 0.0.0.0 --key app --secret-file app.secret

$ webmqconnect hub --subscriber-key page --subscriber-secret-file page.secret
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="Name or address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)
@key_option(help="Accept only pushes that are signed with this application key.")
@secret_file_option
@click.option(SUBSCRIBER.key, metavar="NAME", help="Accept only subscribers that authenticate with this key.")
@subscriber_secret_file_option
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
    help="Accept requests for this host name, too, such as behind a proxy. Repeatable.",
)
@click.option("--allow-publish", is_flag=True, help="Allow subscribers to publish, unsigned and to any topic.")
@click.option(
    "--max-body",
    metavar="BYTES",
    type=_COUNT,
    default=4096,
    show_default=True,
    help="Maximum size of an event.",
)
@click.option(
    "--max-queue",
    metavar="BYTES",
    type=_COUNT,
    default=1 << 20,
    show_default=True,
    help="Maximum size of the queue of a slow subscriber, which is disconnected beyond that.",
)
@click.option(
    "--max-connections",
    metavar="N",
    type=_COUNT,
    default=800,
    show_default=True,
    help="Maximum number of subscribers.",
)
@click.option(
    "--keepalive",
    metavar="DURATION",
    type=duration,
    default="6h",
    show_default=True,
    help="How long to keep an idle connection of a client that has pushed, such as 6h, 30m or 90s.",
)
def hub(
    host: str,
    port: int,
    key: str | None,
    secret_file: Path | None,
    subscriber_key: str | None,
    subscriber_secret_file: Path | None,
    allow_origins: tuple[str, ...],
    allow_hosts: tuple[str, ...],
    allow_publish: bool,
    max_body: int,
    max_queue: int,
    max_connections: int,
    keepalive: float,
) -> None:
    """Run a hub, which accepts pushes and forwards each to its subscribers.

    It is meant for development, tests and small sites. Ctrl-C or SIGTERM stops it.
    """
    credentials = credentials_of(key, secret_file)
    subscriber = credentials_of(subscriber_key, subscriber_secret_file, SUBSCRIBER)

    from ..hub import Hub
    from .main_loop import run
    from .serve import serve

    try:
        server = Hub(
            host,
            port,
            keys={credentials.key: credentials.secret} if credentials else None,
            subscriber_keys={subscriber.key: subscriber.secret} if subscriber else None,
            allow_origins=allow_origins,
            allow_hosts=allow_hosts,
            allow_publish=allow_publish,
            max_body=max_body,
            max_queue=max_queue,
            max_connections=max_connections,
            keepalive=keepalive,
        )
    except ValueError as error:
        argument, _, reason = str(error).partition(" ")
        option = _OPTIONS.get(argument, "--" + argument.replace("_", "-"))
        raise click.UsageError(f"{option} {reason}.") from None
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    run(serve(server, host, port, credentials, secret_file), interrupted=Exit.DONE)
