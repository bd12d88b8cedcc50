"""What the commands have in common: the class of commands, types of options, shared options, and ENDPOINT."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import get_args

import rich_click as click

from .._core import environment
from .._core.dialects import DialectName
from .._core.endpoint import Endpoint
from .push.jsonl import event_of, is_like_json
from .stdio import closed_stream

_UNITS = {"h": 3600, "m": 60, "s": 1, "": 1}


class Command(click.RichCommand):
    """A command whose options may be given once, except for flags and those that are declared as `multiple`.

    Click would use the last value. If that is another topic, the event would reach the wrong subscribers.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)  # the parser empties its list
        rest = super().parse_args(ctx, args)
        # Completion parses what has been typed so far, and must not fail.
        if not ctx.resilient_parsing:
            # The parser returns the options in the order given, with repetitions.
            _, _, order = self.make_parser(ctx).parse_args(given)
            for option, count in Counter(order).items():
                if count > 1 and isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                    raise click.UsageError(f"{option.opts[0]} is given twice.")
        return rest


def duration(value: str) -> float:
    """Return the seconds of a number with a unit, as in `6h`, `30m` or `90s`. A number alone is in seconds."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([hms]?)", value)
    if matched is None:
        raise click.BadParameter(f"{value!r} is not a duration such as 6h, 30m or 90s.")
    return float(matched[1]) * _UNITS[matched[2]]


def not_closed(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Return the path. This callback of an option refuses a path such as /dev/stdin if that stream is closed."""
    if path is not None and (stream := closed_stream(str(path))):
        raise click.BadParameter(f"{stream} is closed.")
    return path


existing_file = partial(click.Path, exists=True, dir_okay=False, readable=True, path_type=Path)
file_option = partial(click.option, metavar="FILE", type=existing_file(), callback=not_closed)
"""The option for a file that is read. With `type=existing_file(allow_dash=True)`, - is standard input."""

dialect_option = click.option(
    "--dialect",
    type=click.Choice(get_args(DialectName)),
    default="webmq",
    envvar=environment.DIALECT,
    show_envvar=True,
    help="Protocol of the broker: a WebMQ hub's, or that of Crossbar.io's HTTP bridge, which a hub has at /publish.",
)

timeout_option = partial(
    click.option, "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), default=5.0
)
"""The option for the maximum duration of a push. `help` must say what that includes."""
concurrency_option = partial(click.option, "--concurrency", metavar="N", type=click.IntRange(min=1), default=50)
"""The option for the maximum number of pushes in flight. `help` must say which pushes these are."""
eligible_option = click.option(
    "--eligible", metavar="ID", multiple=True, help="Send the event only to this session. Repeatable."
)
exclude_option = click.option(
    "--exclude", metavar="ID", multiple=True, help="Do not send the event to this session. Repeatable."
)
metrics_option = click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve metrics for Prometheus at /metrics of this address, to every client that can reach it.",
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
