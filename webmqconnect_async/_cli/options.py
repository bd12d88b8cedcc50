"""The options that `push` and `explain` share, and the argument ENDPOINT, which a variable can replace."""

from __future__ import annotations

from typing import get_args

import rich_click as click

from .._core import environment
from .._core.dialects import DialectName

__all__ = ["dialect_option", "eligible_option", "exclude_option", "with_endpoint"]

dialect_option = click.option(
    "--dialect",
    type=click.Choice(get_args(DialectName)),
    default="webmq",
    show_default=True,
    envvar=environment.DIALECT,
    show_envvar=True,
    help="Protocol of the broker: a WebMQ hub's, or that of Crossbar.io's HTTP bridge, which a hub has at /publish.",
)

eligible_option = click.option(
    "--eligible", metavar="ID", multiple=True, help="Send the event only to this session. Repeatable."
)
exclude_option = click.option(
    "--exclude", metavar="ID", multiple=True, help="Do not send the event to this session. Repeatable."
)


def with_endpoint(arguments: tuple[str, ...], *following: str) -> tuple[str, ...]:
    """Return ENDPOINT and the arguments that follow it. If ENDPOINT is omitted, take it from the variable.

    Click cannot do this: it fills arguments from the left, so only the last one could be omitted.

    Args:
        arguments: the arguments that were given.
        following: the names of the arguments that follow ENDPOINT.

    Raises:
        UsageError: there are too few or too many arguments, or the variable is needed and not set or not valid.
    """
    beyond = len(arguments) - len(following)
    if beyond > 1:
        raise click.UsageError(f"Got unexpected extra argument ({arguments[-1]}).")
    if beyond == 1:
        return arguments
    if beyond < 0:
        raise click.UsageError(f"{' and '.join(following)} are needed.")
    try:
        endpoint = environment.broker_url()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if endpoint is None:
        raise click.UsageError(f"ENDPOINT is needed; it may be omitted if {environment.ENDPOINT} is set.")
    return (endpoint, *arguments)
