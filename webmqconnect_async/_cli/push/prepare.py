"""The client and the files of `webmqconnect push`, with errors that name options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rich_click as click

from ..._aio import AsyncClient
from ..._core.dialects import DialectName
from ..._core.values import Push
from ...signing import Credentials
from .. import terminal
from ..exit_status import Exit
from .files import FailedFile, LineReader


def new_client(
    endpoint: str, credentials: Credentials | None, timeout: float, concurrency: int, dialect: DialectName
) -> AsyncClient:
    """Return a client; raise `UsageError` if an argument is invalid."""
    key, secret = (credentials.key, credentials.secret) if credentials else (None, None)
    try:
        return AsyncClient(endpoint, key, secret, timeout, concurrency=concurrency, dialect=dialect)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


@contextmanager
def opened_files(lines: Path, failed: Path | None) -> Iterator[tuple[LineReader, FailedFile | None]]:
    """Open both files; raise `UsageError` if one cannot be opened, or if they are the same."""
    if str(lines) == "-" and sys.stdin is None:
        raise click.UsageError("--jsonl: standard input is closed.")
    with ExitStack() as files:
        step = f"--jsonl: cannot read {lines}"
        try:
            reader = LineReader(0 if str(lines) == "-" else files.enter_context(lines.open("rb", buffering=0)).fileno())
            step = f"--failed: cannot write to {failed}"
            failed_file = None if failed is None else files.enter_context(FailedFile(failed))
        except OSError as error:
            raise click.UsageError(f"{step}: {error.strerror}.") from None
        except KeyboardInterrupt:
            sys.exit(Exit.INTERRUPTED)  # opening a named pipe blocks until another process opens the other end
        if failed_file is not None and failed_file.is_file(reader.descriptor):
            raise click.UsageError("--failed is the file of --jsonl: it would be read as it is written.")
        yield reader, failed_file


async def push_event(client: AsyncClient, push: Push) -> None:
    """Push one event, and print that it was accepted."""
    async with client:
        await client.push(push.topic, push.event, push.eligible, push.exclude)
    terminal.note("accepted")
