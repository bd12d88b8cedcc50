"""The options that `push`, `relay` and `explain` share, and the argument ENDPOINT, which may come from a variable."""

from __future__ import annotations

from functools import partial
from json import JSONDecodeError
from typing import get_args

import rich_click as click

from .._core import environment
from .._core.dialects import DialectName
from .._core.endpoint import Endpoint
from .push.jsonl import event_of, is_like_json

dialect_option = click.option(
    "--dialect",
    type=click.Choice(get_args(DialectName)),
    default="webmq",
    show_default=True,
    envvar=environment.DIALECT,
    show_envvar=True,
    help="Protocol of the broker: a WebMQ hub's, or that of Crossbar.io's HTTP bridge, which a hub has at /publish.",
)

timeout_option = partial(
    click.option,
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
)
"""The option for the maximum duration of a push. `help` must say what that includes."""
concurrency_option = partial(
    click.option, "--concurrency", metavar="N", type=click.IntRange(min=1), default=50, show_default=True
)
"""The option for the maximum number of pushes in flight. `help` must say which pushes these are."""
eligible_option = click.option(
    "--eligible", metavar="ID", multiple=True, help="Send the event only to this session. Repeatable."
)
exclude_option = click.option(
    "--exclude", metavar="ID", multiple=True, help="Do not send the event to this session. Repeatable."
)
text_option = click.option("--text", is_flag=True, help="EVENT is a string, even if it looks like JSON.")

_QUOTING = (
    """ Your shell may have changed its quotes: write '{"id": 17}', or in cmd and PowerShell 5 "{\\"id\\": 17}". """
    "Standard input needs none: push ENDPOINT --topic TOPIC --jsonl - < event.json."
)


def event_argument(argument: str, text: bool) -> object:
    """Return the event that EVENT describes; raise `UsageError` if it begins like JSON, but is not JSON."""
    try:
        return argument if text else event_of(argument)
    except ValueError as error:
        advice = ""
        # Other errors are about values: NaN, a number out of range or with too many digits, a lone surrogate.
        if isinstance(error.__context__, JSONDecodeError):
            advice = f"{_quoting(argument)} --text pushes it as a string."
        raise click.UsageError(f"EVENT begins like JSON, but cannot be pushed: {error}.{advice}") from None


def _quoting(*arguments: str) -> str:
    """Return the advice about quotes if a shell may have removed those of an argument."""
    return _QUOTING if any(argument.lstrip().startswith(("{", "[", '"', "'")) for argument in arguments) else ""


def with_endpoint(arguments: tuple[str, ...], *following: str) -> tuple[str, ...]:
    """Return ENDPOINT and the arguments that follow it. If ENDPOINT is omitted, read it from the variable.

    Click cannot do this: it assigns arguments from the left, so only the last one could be omitted.

    Raises:
        UsageError: there are too few or too many arguments, or the variable is needed and not set or not valid.
    """
    beyond = len(arguments) - len(following)
    if beyond > 1:
        hint = _quoting(*arguments[len(following) :])
        raise click.UsageError(f"Got unexpected extra argument ({arguments[-1]}).{hint}")
    if beyond == 1:
        return arguments
    if beyond < 0:
        raise click.UsageError(f"{' and '.join(following)} are needed.")
    try:
        endpoint = environment.broker_url()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    without_event = following and _is_broker(arguments[0], arguments[-1], endpoint)
    usage = " ".join(("ENDPOINT", *following))
    if endpoint is None:
        missing = f"ENDPOINT or {following[-1]} is missing" if without_event else "ENDPOINT is needed"
        raise click.UsageError(f"{missing}: set {environment.ENDPOINT}, or give {usage}.")
    if without_event:
        raise click.UsageError(f"{following[-1]} is missing: give {usage}.")
    return (endpoint, *arguments)


def _is_broker(first: str, last: str, endpoint: str | None) -> bool:
    """Return whether the first argument may be ENDPOINT, and not a topic: many topics are URLs, too."""
    try:
        url = Endpoint.parse(first)
    except ValueError:
        return False
    if endpoint and str(Endpoint.parse(endpoint)) == str(url):
        return True
    return not is_like_json(last) and (not endpoint or url.path == "/")
