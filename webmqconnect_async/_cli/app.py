"""The command `webmqconnect`. It imports a command when that command is called, or asked for its help or completion."""

from __future__ import annotations

from importlib import import_module

import rich_click as click

from .._version import __version__
from ..errors import WebMQError
from . import terminal
from .errors import Failure, described
from .exit_status import MEANINGS, Exit

_COMMANDS = {
    "demo": "Start a hub and two subscribers, push to them, and check who gets what.",
    "hub": "Run a hub, which accepts pushes and forwards each to its subscribers.",
    "push": "Push EVENT to the subscribers of TOPIC, through the hub at ENDPOINT.",
    "listen": "Subscribe to TOPICs of the hub, or of Crossbar.io, at WS_URL and print the events.",
    "relay": "Push the rows of the outbox in the database at URL, through the hub at ENDPOINT.",
    "ticket": "Print a ticket, with which one user can read TOPICs.",
    "explain": "Show what is signed for a push, the resulting request, and the curl command that sends it.",
    "outbox": "List, retry or drop the rows of an outbox that a relay has parked, or print its schema.",
    "js": "Write the JavaScript with which pages subscribe, webmq.js, to FOLDER.",
    "completion": "Print the script that makes a shell complete what you type after webmqconnect.",
}
"""Each text is the first paragraph of the help of the command."""
_FOLDERS = frozenset({"push", "explain"})
"""The commands that are in the module `command` of a folder."""

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
    """A group that lists its commands without importing them, and prints their errors.

    If it imported them, each press of the TAB key in a shell would import aiohttp, which is slow.
    """

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. An error of the package, or a `Failure`, is printed as one line, and the exit status is 1."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            message = str(failure)
        except WebMQError as error:
            message = described(error)
        terminal.error(message)
        raise SystemExit(Exit.FAILED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the real command instead of the entry that is listed."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            module = import_module(f".{name}.command" if name in _FOLDERS else f".{name}", __package__)
            command = getattr(module, name)
        return name, command, rest


@click.group(
    cls=_Commands,
    commands=[click.RichCommand(name=name, help=text) for name, text in _COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="webmqconnect-async", prog_name="webmqconnect")
@click.rich_config(_HELP)
def app() -> None:
    """Push events to browsers through a WebMQ hub, listen to them, explain their signatures, or run a hub."""
