"""The variables `WEBMQ_HUB_…`, one for each option of `webmqconnect hub`, and errors that name them.

Only `WEBMQ_HUB_BACKPLANE` may contain a secret. But somebody may mistake another variable for one, so errors show
neither the value of that one, nor those of unknown variables and of variables for paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Never

import rich_click as click
from click.core import ParameterSource

from .._core.environment import variable
from .command import Command
from .keys import PUSHER, SUBSCRIBER, TICKET

PREFIX = "WEBMQ_HUB_"

BACKPLANE = f"{PREFIX}BACKPLANE"
KEY = f"{PREFIX}KEY"

_READ_WITH_THE_URL = frozenset({"backplane", "backplane_file"})
"""The options whose variables Click does not read, because `secret_url` does: the URL may have a password."""

_SECRETS = {
    f"{PREFIX}{place}": options.variable
    for place, options in {"SECRET": PUSHER, "SUBSCRIBER_SECRET": SUBSCRIBER, "TICKET_SECRET": TICKET}.items()
}
"""Likely wrong names of the variables of secrets, and their right names, which other commands also read."""

_OPTION = re.compile("--[a-z-]+[a-z]")

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
    """A command whose options may also be given as variables."""

    def __init__(self, *args: object, params: list[click.Parameter], **attributes: object) -> None:
        for option in params:
            if isinstance(option, click.Option) and option.name not in _READ_WITH_THE_URL:
                option.envvar = [name_of(option), *names_of(option)]
        super().__init__(*args, params=params, **attributes)  # type: ignore[arg-type]  # those of `click.Command`

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments and the variables; raise `UsageError` if one is invalid, or a variable unknown."""
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            self._refuse_unknown_variables()  # the likelier cause
            if isinstance(error, click.BadParameter) and error.param and (name := variable_of(ctx, error.param)):
                raise _of_variable(name, error) from None
            raise
        if not ctx.resilient_parsing:
            self._refuse_unknown_variables()
        return rest

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Errors about an option that comes from a variable name the variable."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise click.UsageError(self._named(ctx, error.message), error.ctx) from None

    def _named(self, ctx: click.Context, message: str) -> str:
        """Return a message that names variables instead of options, if one of its options comes from a variable."""
        options = {option.opts[0]: option for option in self._options()}
        named = [options[name] for name in _OPTION.findall(message) if name in options]
        if not any(variable_of(ctx, option) for option in named):
            return message
        for option in named:
            if ctx.get_parameter_source(option.name or "") is not ParameterSource.COMMANDLINE:
                name = variable_of(ctx, option) or name_of(option)
                message = re.sub(f"{option.opts[0]}(?![a-z-])( FILE)?", name, message)
        return message

    def _options(self) -> Iterator[click.Option]:
        return (option for option in self.params if isinstance(option, click.Option))

    def _refuse_unknown_variables(self) -> None:
        known = {name_of(option) for option in self._options()}
        for name in sorted(os.environ):
            if name.startswith(PREFIX) and name not in known and variable(name):
                _refuse(name, known)


def variable_of(ctx: click.Context, option: click.Parameter) -> str | None:
    """Return the name of the variable that an option comes from; `None` if it does not come from one."""
    if ctx.get_parameter_source(option.name or "") is not ParameterSource.ENVIRONMENT:
        return None
    return next(name for name in names_of(option) if variable(name))


def _of_variable(name: str, error: click.BadParameter) -> click.BadParameter:
    """Return the error about an option's value, naming the variable that the value comes from."""
    message = error.message
    # The variable may contain the secret itself instead of a path.
    if error.param and isinstance(error.param.type, click.Path) and (variable(name) or "") in message:
        message = "the file that it names cannot be read."
    return click.BadParameter(message, error.ctx, error.param, param_hint=name)


def _refuse(name: str, known: set[str]) -> Never:
    """Raise the error about an unknown variable. It does not contain the value, which may be a secret."""
    if _OF_KUBERNETES.match(name):
        raise click.UsageError(
            f"{name} comes from a Service of Kubernetes with the name webmq-hub, and is not a variable of the hub: set "
            "enableServiceLinks: false for the pod, or give the Service another name."
        )
    near = [_SECRETS[name]] if name in _SECRETS else get_close_matches(name, known, 1)
    raise click.UsageError(f"{name} is not a variable of the hub{f': did you mean {near[0]}?' if near else '.'}")
