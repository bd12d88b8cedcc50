"""The command `webmqconnect` itself, which gathers the others."""

from __future__ import annotations

import rich_click as click

from .._version import __version__
from .demo import demo
from .hub import hub
from .listen import listen
from .push import push

__all__ = ["app"]


_HELP = click.RichHelpConfiguration(
    max_width=100,
    text_paragraph_linebreaks="\n\n",
    options_table_column_types=["opt_long", "opt_short", "metavar_short", "help"],
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: webmqconnect demo",
)
@click.version_option(__version__, package_name="webmqconnect-async", prog_name="webmqconnect")
@click.rich_config(_HELP)
def app() -> None:
    """Push events to browsers through a WebMQ hub, listen to them, or be that hub."""


for command in (demo, hub, push, listen):
    app.add_command(command)
