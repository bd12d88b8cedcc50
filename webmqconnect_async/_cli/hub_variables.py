"""The variables `WEBMQ_HUB_…`, one for each option of `webmqconnect hub`, and errors that name them.

Only `WEBMQ_HUB_BACKPLANE` may contain a secret. But somebody may mistake another variable for one, so errors show
neither the value of that one, nor those of unknown variables and of variables for paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import rich_click as click
from click.core import ParameterSource

from .._core.environment import variable
from .keys import PUSHER, SUBSCRIBER, TICKET
from .options import Command

PREFIX = "WEBMQ_HUB_"

BACKPLANE = f"{PREFIX}BACKPLANE"

_READ_WITH_THE_URL = frozenset({"backplane", "backplane_file"})
"""The options whose variables Click does not read, because `secret_url` does: the URL may have a password."""

_SECRETS = {
    f"{PREFIX}{place}": options.variable
    for place, options in {"SECRET": PUSHER, "SUBSCRIBER_SECRET": SUBSCRIBER, "TICKET_SECRET": TICKET}.items()
}
"""Likely wrong names of the variables of secrets, and their right names, which other commands also read."""

_OF_KUBERNETES = re.compile(f"{PREFIX}(SERVICE_|PORT_[0-9])")
"""Variables that Kubernetes sets in every pod of a namespace with a Service `webmq-hub` (its service links).

It also sets `WEBMQ_HUB_PORT=tcp://…`.
"""


def name_of(option: click.Option) -> str:
    """Return the name of the variable for an option."""
    return PREFIX + option.opts[0].removeprefix("--").replace("-", "_").upper()


def names_of(option: click.Parameter) -> Sequence[str]:
    """Return the names of all variables for an option. The first one that is set is used."""
    return [option.envvar] if isinstance(option.envvar, str) else option.envvar or []


class HubCommand(Command):
    """A command whose options may also be given as variables. Its errors then name the variables."""

    def __init__(self, *args: object, params: list[click.Parameter], **attributes: object) -> None:
        self._options = {name_of(option): option for option in params if isinstance(option, click.Option)}
        for name, option in self._options.items():
            if option.name not in _READ_WITH_THE_URL:
                option.envvar = [name, *names_of(option)]
        super().__init__(*args, params=params, **attributes)  # type: ignore[arg-type]  # those of `click.Command`

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with self._naming_variables(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with self._naming_variables(ctx):
            self._refuse_unknown()
            return super().invoke(ctx)

    @contextmanager
    def _naming_variables(self, ctx: click.Context) -> Iterator[None]:
        """If an option comes from a variable, let errors name variables instead of options not on the command line."""
        try:
            yield
        except click.UsageError as error:
            self._refuse_unknown()  # the likelier cause
            sources = {name: ctx.get_parameter_source(option.name or "") for name, option in self._options.items()}
            if ParameterSource.ENVIRONMENT not in sources.values():
                raise
            message = error.format_message()
            for name, option in self._options.items():
                if sources[name] is ParameterSource.COMMANDLINE:
                    continue
                used = next(filter(variable, names_of(option)), name)
                # The variable may contain the secret itself instead of a path.
                if isinstance(error, click.BadParameter) and error.param is option and option.metavar == "FILE":
                    message = f"Invalid value for {used}: the file that it names cannot be read."
                message = re.sub(f"'?{option.opts[0]}(?![a-z-])'?( FILE)?", used, message)
            raise click.UsageError(message, ctx) from None

    def _refuse_unknown(self) -> None:
        """Raise `UsageError` for an unknown variable, without its value, which may be a secret."""
        for name in sorted(os.environ):
            if not name.startswith(PREFIX) or name in self._options or not variable(name):
                continue
            if _OF_KUBERNETES.match(name):
                raise click.UsageError(
                    f"{name} comes from a Service of Kubernetes with the name webmq-hub, and is not a variable of the "
                    "hub: set enableServiceLinks: false for the pod, or give the Service another name."
                )
            near = [_SECRETS[name]] if name in _SECRETS else get_close_matches(name, self._options, 1)
            raise click.UsageError(
                f"{name} is not a variable of the hub{f': did you mean {near[0]}?' if near else '.'}"
            )
