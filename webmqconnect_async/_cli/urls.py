"""URLs that may have a password. `ps` shows arguments to all users, so such a URL comes from a variable or a file."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from .keys import secret_in
from .options import file_option

_PASSWORD = re.compile("://.*:.*@|password=")
_OUTBOX = "WEBMQ_OUTBOX_URL"

url_file_option = file_option(
    "--url-file",
    help=f"Read URL from FILE. Without URL and this option, it is read from the variable {_OUTBOX}, or from the file "
    f"that {_OUTBOX}_FILE names.",
)


def secret_url(
    argument: str | None, called: str, file: Path | None, file_option: str, variable: str, other: str = ""
) -> str | None:
    """Return the URL in an argument or a file, or else in a variable; `None` if there is none. Errors do not show it.

    `other` is another place for a password, for the error about one in the argument.
    """
    if argument is not None and file is not None:
        raise click.UsageError(f"{called} is given twice.")
    if argument is not None:
        if _PASSWORD.search(argument):
            raise click.UsageError(
                f"{called} has a password, which ps shows to everybody: set {variable}, or give {file_option}{other}."
            )
        return argument
    given = secret_in(file, file_option, variable)
    return None if given is None else given.decode("utf-8", "replace")


def outbox_url(arguments: tuple[str, ...], file: Path | None) -> str:
    """Return the URL of the database with the outbox."""
    if len(arguments) > 1:
        raise click.UsageError("URL is given twice.")
    argument = arguments[0] if arguments else None
    url = secret_url(argument, "URL", file, "--url-file", _OUTBOX, ", or use ~/.pgpass")
    if url is None:
        raise click.UsageError(f"URL is needed: give it, or set {_OUTBOX}.")
    return url
