"""`webmqconnect push`: push one event from the command line, or many from the lines of a file."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click
from click.core import ParameterSource

from ..._core.dialects import DialectName
from ..._core.values import Push
from ..exit_status import Exit
from ..keys import PUSHER
from ..options import (
    Command,
    concurrency_option,
    dialect_option,
    eligible_option,
    event_argument,
    exclude_option,
    existing_file,
    file_option,
    not_closed,
    text_option,
    timeout_option,
    with_endpoint,
)
from .jsonl import Events, Records
from .rate import RateLimit

_EXAMPLES = """\
Examples:

$ webmqconnect push http://127.0.0.1:8080 http://example.com/orders '{"id": 17, "state": "paid"}'

A file with an event per line, and then the lines that failed:

$ webmqconnect push http://127.0.0.1:8080 --jsonl events.jsonl --failed failed.jsonl

$ webmqconnect push http://127.0.0.1:8080 --jsonl failed.jsonl --failed failed-again.jsonl

Continue a run that was interrupted before line 1235:

$ webmqconnect push http://127.0.0.1:8080 --jsonl events.jsonl --failed failed.jsonl --resume-from 1235

The output of a program, at most 100 events per second, in order for each topic:

$ ./orders | webmqconnect push http://127.0.0.1:8080 --jsonl - --rate 100 --order-by-topic

To Crossbar.io:

$ webmqconnect push --dialect crossbar --key app http://127.0.0.1:8080/publish com.example.orders '{"id": 17}'
"""

_ONLY_WITH_JSONL = (
    *("topic_of_lines", "failed", "include_unconfirmed", "resume_from"),
    *("concurrency", "rate", "order_by_topic"),
)


@click.command(cls=Command, no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("arguments", metavar="[ENDPOINT] [TOPIC EVENT]", nargs=-1)
@eligible_option
@exclude_option
@PUSHER.options("Sign with this application key.")
@dialect_option
@text_option
@timeout_option(help="Maximum duration of a push, including retries.")
@file_option("--jsonl", type=existing_file(allow_dash=True), help="Push each line of FILE; - reads standard input.")
@click.option("--topic", "topic_of_lines", metavar="TOPIC", help="With --jsonl: each line is an event for TOPIC.")
@click.option(
    "--failed",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=not_closed,
    help="With --jsonl: append a line to FILE for each failure. --jsonl can push that file again.",
)
@click.option(
    "--include-unconfirmed",
    is_flag=True,
    help='With --jsonl: also push lines with "safe": false. Subscribers may get them twice.',
)
@click.option(
    "--resume-from",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="With --jsonl: start at line N.",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(min=0, min_open=True),
    help="With --jsonl: start at most N pushes per second.",
)
@concurrency_option(help="With --jsonl: maximum number of pushes in flight.")
@click.option(
    "--order-by-topic",
    is_flag=True,
    help="With --jsonl: push the lines of a topic one after another, each after the outcome of the previous one.",
)
@click.pass_context
def push(
    context: click.Context,
    arguments: tuple[str, ...],
    eligible: tuple[str, ...],
    exclude: tuple[str, ...],
    key: str | None,
    secret_file: Path | None,
    dialect: DialectName,
    text: bool,
    timeout: float,
    jsonl: Path | None,
    topic_of_lines: str | None,
    failed: Path | None,
    include_unconfirmed: bool,
    resume_from: int,
    rate: float | None,
    concurrency: int,
    order_by_topic: bool,
) -> None:
    """Push EVENT to the subscribers of TOPIC, through the hub at ENDPOINT.

    ENDPOINT may be omitted if WEBMQ_ENDPOINT is set.

    EVENT is JSON, which is pushed as it is written, or text that does not look like JSON, which is pushed as a string.
    With --text, every EVENT is a string. Write a double dash before an EVENT that begins with a dash: -- -5.

    With --jsonl, each line of a file is pushed: {"topic": "…", "event": …}, optionally with "eligible": [ID, …] or
    "exclude": [ID, …]. With --topic, each line is an event. A line that fails is reported, and the run continues.

    With --failed, a line that fails is written to a file with the reason, with "safe": whether pushing it again
    cannot make a duplicate, and with "retryable": whether that may succeed. Push that file like any other; lines that
    are not safe are skipped unless you include them.

    Ctrl-C stops reading, waits for the pushes in flight and prints the line to continue at. A second Ctrl-C does not
    wait.
    """
    from ..main_loop import run
    from .prepare import new_client, opened_files, push_event
    from .pusher import LinePusher

    only, never = list(eligible) or None, list(exclude) or None
    credentials = PUSHER.credentials(key, secret_file)
    if jsonl is None:
        for parameter in context.command.params:
            given = context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
            if given and parameter.name in _ONLY_WITH_JSONL:
                raise click.UsageError(f"{parameter.opts[0]} is for the lines of --jsonl.")
        if len(arguments) < 2:
            raise click.UsageError("TOPIC and EVENT are needed, or --jsonl FILE.")
        endpoint, topic, event = with_endpoint(arguments, "TOPIC", "EVENT")
        client = new_client(endpoint, credentials, timeout, concurrency, dialect)
        run(push_event(client, Push(topic, event_argument(event, text), only, never)))
        return
    if len(arguments) > 1:
        raise click.UsageError("With --jsonl, the lines are pushed: omit TOPIC and EVENT.")
    if text:
        raise click.UsageError("--text is for EVENT.")
    if topic_of_lines is None and (only or never):
        raise click.UsageError("With --jsonl, --eligible and --exclude need --topic.")
    if topic_of_lines is not None and include_unconfirmed:
        raise click.UsageError("--include-unconfirmed is for lines that are records; with --topic, they are events.")
    try:
        rate_limit = None if rate is None else RateLimit(rate)
    except ValueError as error:  # click accepts NaN
        raise click.UsageError(f"--{error}.") from None
    [endpoint] = with_endpoint(arguments)
    client = new_client(endpoint, credentials, timeout, concurrency, dialect)
    with opened_files(jsonl, failed) as (reader, failed_file):
        pusher = LinePusher(
            client,
            reader,
            Records(include_unconfirmed) if topic_of_lines is None else Events(topic_of_lines, only, never),
            failed=failed_file,
            rate_limit=rate_limit,
            first=resume_from,
            order_by_topic=order_by_topic,
        )
        run(pusher.run(), interrupt=pusher.interrupt, signalled=pusher.signalled)
    if pusher.interrupted:
        sys.exit(Exit.INTERRUPTED)
    sys.exit(Exit.DONE if pusher.tally.complete else Exit.FAILED)
