"""Options of what pushes: which broker, what it speaks, who gets it; and the variables that stand in for them."""

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
    help="What the broker speaks: a WebMQ hub, or Crossbar.io's HTTP bridge, which a hub has at /publish.",
)

eligible_option = click.option("--eligible", metavar="ID", multiple=True, help="Only this session gets it. Repeatable.")
exclude_option = click.option(
    "--exclude", metavar="ID", multiple=True, help="This session does not get it. Repeatable."
)


def with_endpoint(arguments: tuple[str, ...], *following: str) -> tuple[str, ...]:
    """Return ENDPOINT and the arguments that follow it; the variable fills in for an ENDPOINT left out.

    Args:
        arguments: as they were given; their number tells whether ENDPOINT is among them.
        following: the names of those that follow it.

    Raises:
        UsageError: there are too few or too many of them, or the variable is of no use.
    """
    beyond = len(arguments) - len(following)
    if beyond > 1:
        raise click.UsageError(f"Got unexpected extra argument ({arguments[-1]}).")
    if beyond == 1:
        return arguments
    if beyond < 0:
        raise click.UsageError(f"{' and '.join(following)} are needed.")
    try:
        endpoint = environment.endpoint()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if endpoint is None:
        raise click.UsageError(f"ENDPOINT is needed; it may be left out where {environment.ENDPOINT} is set.")
    return (endpoint, *arguments)
