"""`webmqconnect push`: one event from the command line, or many from lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import rich_click as click

from ..aio import AsyncClient
from ..signing import Credentials
from ..values import Outcome, Push
from . import terminal
from .failures import described
from .jsonl import event_of, event_push, read_lines, record_push
from .keys import credentials_of, secret_file_option
from .run import run

__all__ = ["push"]


_EXAMPLES = """\
Examples:

$ webmqconnect push http://127.0.0.1:8080 http://example.com/orders '{"id": 17, "state": "paid"}'

$ webmqconnect push http://127.0.0.1:8080 --jsonl events.jsonl
"""


@click.command(no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("endpoint")
@click.argument("topic", required=False)
@click.argument("event", required=False)
@click.option("--eligible", metavar="ID", multiple=True, help="Only this session gets it. Repeatable.")
@click.option("--exclude", metavar="ID", multiple=True, help="This session does not get it. Repeatable.")
@click.option("--key", metavar="NAME", help="Sign with this application key.")
@secret_file_option
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long a push may take in all, retries included.",
)
@click.option(
    "--jsonl",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path),
    help="Push each line of FILE, or of standard input where it is -.",
)
@click.option("--topic", "topic_of_lines", metavar="TOPIC", help="With --jsonl: each line is an event for TOPIC.")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="With --jsonl: pushes in flight at the most.",
)
def push(
    endpoint: str,
    topic: str | None,
    event: str | None,
    eligible: tuple[str, ...],
    exclude: tuple[str, ...],
    key: str | None,
    secret_file: Path | None,
    timeout: float,
    jsonl: Path | None,
    topic_of_lines: str | None,
    concurrency: int,
) -> None:
    """Push EVENT to the subscribers of TOPIC, through the hub at ENDPOINT.

    EVENT is JSON, or a plain string where it is not JSON. One that begins with a dash goes after a double dash: -- -5.

    With --jsonl, each line of a file is pushed: {"topic": "…", "event": …}, where it matters with "eligible": [ID, …]
    or "exclude": [ID, …]. With --topic, a line is the event alone. A line that fails is reported, and the rest goes on.
    """
    only, never = list(eligible) or None, list(exclude) or None
    client = _client(endpoint, credentials_of(key, secret_file), timeout, concurrency)
    if jsonl is None:
        if topic is None or event is None:
            raise click.UsageError("TOPIC and EVENT are needed, or --jsonl FILE.")
        if topic_of_lines is not None:
            raise click.UsageError("--topic is for the lines of --jsonl; give the topic as an argument.")
        run(_push_one(client, Push(topic, event_of(event), only, never)))
        return
    if topic is not None:
        raise click.UsageError("With --jsonl, the lines say what is pushed: leave TOPIC and EVENT out.")
    if topic_of_lines is None and (only or never):
        raise click.UsageError("--eligible and --exclude need --topic here; otherwise each line says its own.")

    def push_of(line: bytes) -> Push:
        return record_push(line) if topic_of_lines is None else event_push(line, topic_of_lines, only, never)

    with open(0 if str(jsonl) == "-" else jsonl, "rb", buffering=0, closefd=str(jsonl) != "-") as file:
        all_pushed = run(_push_lines(client, _Lines(file.fileno(), push_of)))
    sys.exit(0 if all_pushed else 1)


def _client(endpoint: str, credentials: Credentials | None, timeout: float, concurrency: int) -> AsyncClient:
    key, secret = (credentials.key, credentials.secret) if credentials else (None, None)
    try:
        return AsyncClient(endpoint, key, secret, timeout, concurrency=concurrency)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


async def _push_one(client: AsyncClient, push: Push) -> None:
    async with client:
        await client.push(push.topic, push.event, push.eligible, push.exclude)
    terminal.note("accepted")


async def _push_lines(client: AsyncClient, lines: _Lines) -> bool:
    """Push what the lines say, report those that fail, and tell whether none did."""
    async with client:
        try:
            async with client.push_stream(lines.pushes()) as outcomes:
                async for outcome in outcomes:
                    lines.done(outcome)
        finally:
            terminal.note(lines.summary)
    return not lines.failed


class _Lines:
    """The pushes of a file, an event a line, and how they went.

    Args:
        descriptor: the file, open.
        push_of: makes a push of a line, or raises ValueError.
    """

    def __init__(self, descriptor: int, push_of: Callable[[bytes], Push]) -> None:
        self._descriptor = descriptor
        self._push_of = push_of
        # By index in the source, and of the lines in flight alone: memory does not grow with the file.
        self._numbers: dict[int, int] = {}
        self._pushed = 0
        self.failed = 0

    @property
    def summary(self) -> str:
        """How many were pushed, how many failed, and of how many an interruption left nothing known."""
        lost = f", {len(self._numbers)} interrupted" if self._numbers else ""
        return f"{self._pushed} pushed, {self.failed} failed{lost}"

    async def pushes(self) -> AsyncGenerator[Push]:
        """Yield the pushes; a malformed line is reported and left out."""
        index = 0
        async for number, line in read_lines(self._descriptor):
            if not line.strip():
                continue
            try:
                push = self._push_of(line)
            except ValueError as error:
                self._fail(number, str(error))
            else:
                self._numbers[index] = number
                index += 1
                yield push

    def done(self, outcome: Outcome) -> None:
        """Count what became of a push."""
        number = self._numbers.pop(outcome.index)
        if outcome.error is None:
            self._pushed += 1
        else:
            self._fail(number, described(outcome.error))

    def _fail(self, number: int, why: str) -> None:
        self.failed += 1
        terminal.error(f"line {number}: {why}")
