"""The command `webmqconnect` itself, which gathers the others."""

from __future__ import annotations

import rich_click as click

from .._version import __version__
from .completion import completion
from .demo import demo
from .exit_status import MEANINGS
from .explain.command import explain
from .hub import hub
from .listen import listen
from .push.command import push

__all__ = ["app"]


_HELP = click.RichHelpConfiguration(
    max_width=100,
    text_paragraph_linebreaks="\n\n",
    options_table_column_types=["opt_long", "opt_short", "metavar_short", "help"],
)


_EPILOG = """\
Begin with: webmqconnect demo

Exit status:

""" + "\n\n".join(f"{status.value}: {meaning}" for status, meaning in MEANINGS.items())


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="webmqconnect-async", prog_name="webmqconnect")
@click.rich_config(_HELP)
def app() -> None:
    """Push events to browsers through a WebMQ hub, listen to them, explain their signatures, or be that hub."""


for command in (demo, hub, push, listen, explain, completion):
    app.add_command(command)
