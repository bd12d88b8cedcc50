"""The command `webmqconnect`. It imports a command when that command is called, or asked for its help or completion."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import rich_click as click

from .._version import __version__
from .exit_status import MEANINGS


class _Entry(NamedTuple):
    """A command that is not imported yet."""

    module: str
    help: str


_COMMANDS = {
    "demo": _Entry("demo", "Start a hub and two subscribers, push to them, and check who gets what."),
    "hub": _Entry("hub", "Run a hub, which accepts pushes and forwards each to its subscribers."),
    "push": _Entry("push.command", "Push EVENT to the subscribers of TOPIC, through the hub at ENDPOINT."),
    "listen": _Entry("listen", "Subscribe to TOPICs of the hub, or of Crossbar.io, at WS_URL and print the events."),
    "relay": _Entry("relay", "Push the rows of the outbox in the database at URL, through the hub at ENDPOINT."),
    "ticket": _Entry("ticket", "Print a ticket, with which one user can read TOPICs."),
    "explain": _Entry(
        "explain.command", "Show what is signed for a push, the resulting request, and the curl command that sends it."
    ),
    "outbox": _Entry(
        "outbox", "List, retry or drop the rows of an outbox that a relay has parked, or print its schema."
    ),
    "js": _Entry("js", "Write the JavaScript with which pages subscribe, webmq.js, to FOLDER."),
    "completion": _Entry(
        "completion", "Print the script that makes a shell complete what you type after webmqconnect."
    ),
}
"""Each text is the first paragraph of the help of the command."""

_HELP = click.RichHelpConfiguration(
    max_width=100,
    text_paragraph_linebreaks="\n\n",
    options_table_column_types=["opt_long", "opt_short", "metavar_short", "help"],
)

_EPILOG = """\
Begin with: webmqconnect demo

Exit status:

""" + "\n\n".join(f"{status.value}: {meaning}" for status, meaning in MEANINGS.items())


class _Commands(click.RichGroup):
    """A group that lists its commands without importing them.

    Otherwise, each press of the TAB key in a shell would import aiohttp, which is slow.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the real command instead of the entry that is listed."""
        name, entry, rest = super().resolve_command(ctx, args)
        if name is None or entry is None:
            return name, entry, rest
        command = getattr(import_module(f".{_COMMANDS[name].module}", __package__), name)
        assert isinstance(command, click.Command)  # noqa: S101  # for the type checker
        return name, command, rest


@click.group(
    cls=_Commands,
    commands=[click.RichCommand(name=name, help=entry.help) for name, entry in _COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="webmqconnect-async", prog_name="webmqconnect")
@click.rich_config(_HELP)
def app() -> None:
    """Push events to browsers through a WebMQ hub, listen to them, explain their signatures, or run a hub."""
