"""`webmqconnect outbox`: list, retry or drop the rows of an outbox, or print its schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import rich_click as click

from . import terminal
from .errors import Failure
from .options import Command
from .urls import outbox_url, url_file_option

if TYPE_CHECKING:
    from ..relay._store import Store

_Result = TypeVar("_Result")

_EXAMPLES = """\
Examples:

$ webmqconnect outbox schema sqlite | sqlite3 shop.db

$ webmqconnect outbox list sqlite:///shop.db

$ WEBMQ_OUTBOX_URL=postgresql://localhost/shop webmqconnect outbox retry 17 18
"""

_url_and_ids = click.argument("arguments", metavar="[URL] ID...", nargs=-1)
_all_parked = click.option("--all-parked", is_flag=True, help="All rows that are parked, instead of IDs.")


@click.group(cls=click.RichGroup, epilog=_EXAMPLES)
def outbox() -> None:
    """List, retry or drop rows of an outbox, or print the SQL that creates it.

    URL is that of the database: sqlite:///relative.db, sqlite:////absolute.db or postgresql://HOST/NAME.
    """


@outbox.command("list", cls=Command)
@click.argument("urls", metavar="[URL]", nargs=-1)
@url_file_option
@click.option("--all", "everything", is_flag=True, help="List the rows that wait, too.")
@click.option("--events", is_flag=True, help="Show the events.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=100, help="List at most N rows.")
def list_(urls: tuple[str, ...], url_file: Path | None, everything: bool, events: bool, limit: int) -> None:
    """List the rows that are parked: ID, age, attempts, topic, and why."""
    terminal.need_output()
    rows = _with_store(urls, url_file, lambda store: store.listed(not everything, limit + 1))
    for row in rows[:limit]:
        attempts = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
        state = ": ".join(filter(None, ("parked" if row.parked else "waiting", row.error)))
        click.echo(terminal.visible(f"{row.id}  {_age(row.age)}  {attempts}  {row.topic}  {state}"))
        if events:
            click.echo(f"    {terminal.visible(row.event)}")
    if len(rows) > limit:
        terminal.note(f"there are more than {limit:,} rows; --limit lists more")
    elif not rows:
        terminal.note("no rows" if everything else "no parked rows")


@outbox.command(cls=Command, no_args_is_help=True)
@_url_and_ids
@url_file_option
@_all_parked
def retry(arguments: tuple[str, ...], url_file: Path | None, all_parked: bool) -> None:
    """Let the relay push rows at once: parked ones, and ones that wait for their next attempt."""
    _change("retry", arguments, url_file, all_parked)


@outbox.command(cls=Command, no_args_is_help=True)
@_url_and_ids
@url_file_option
@_all_parked
def drop(arguments: tuple[str, ...], url_file: Path | None, all_parked: bool) -> None:
    """Delete rows without pushing them, unless their push has begun."""
    _change("drop", arguments, url_file, all_parked)


@outbox.command(cls=Command, no_args_is_help=True)
@click.argument("database", type=click.Choice(["sqlite", "postgresql"]))
def schema(database: Literal["sqlite", "postgresql"]) -> None:
    """Print the SQL that creates the table of the outbox."""
    from .. import outbox

    terminal.need_output()
    click.echo(outbox.schema(database), nl=False)


def _change(action: Literal["retry", "drop"], arguments: tuple[str, ...], file: Path | None, all_parked: bool) -> None:
    urls = tuple(each for each in arguments if "://" in each)
    given = [each for each in arguments if each not in urls]
    if bool(given) == all_parked:
        raise click.UsageError("give the IDs of rows, or --all-parked.")
    if wrong := [each for each in given if not (each.isdecimal() and len(each) < 19)]:
        expected = "neither the ID of a row, nor the URL of a database such as sqlite:///shop.db"
        raise click.UsageError(f"{wrong[0]!r} is {expected}.")
    ids = None if all_parked else {int(each) for each in given}
    changed = _with_store(urls, file, lambda store: store.retry(ids) if action == "retry" else store.drop(ids))
    done = "to be retried" if action == "retry" else "dropped"
    if ids is not None and changed < len(ids):
        raise Failure(f"{len(ids) - changed} of {len(ids)} rows do not exist; the others are {done}")
    terminal.note(f"{changed:,} row{'' if changed == 1 else 's'} {done}")


def _with_store(urls: tuple[str, ...], file: Path | None, use: Callable[[Store], Awaitable[_Result]]) -> _Result:
    """Open the store of a database, and return the result of a call that uses it."""
    from ..relay._store import StoreError
    from ..relay._stores import connect_store
    from .main_loop import run

    try:
        store = connect_store(outbox_url(urls, file))
    except (ValueError, ModuleNotFoundError) as error:
        raise click.UsageError(f"{error}.") from None

    async def main() -> _Result:
        try:
            await store.open()
            return await use(store)
        except StoreError as error:
            raise Failure(str(error)) from None
        finally:
            await store.close()

    return run(main())


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
