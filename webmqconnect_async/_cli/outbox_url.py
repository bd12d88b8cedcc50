"""The URL of the database with the outbox. `ps` would show a password in it: a variable or a file does not."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from .._core.environment import read_secret, secret_of
from .paths import file_option

_VARIABLE = "WEBMQ_OUTBOX_URL"
_PASSWORD = re.compile("://.*:.*@|password=")

url_file_option = file_option(
    "--url-file",
    help=f"Read URL from FILE. Without it and this option, it is read from the variable {_VARIABLE}, or from the file "
    f"that {_VARIABLE}_FILE names.",
)


def outbox_url(arguments: tuple[str, ...], file: Path | None) -> str:
    """Return the URL in the arguments, in the file, or in the variable.

    Raises:
        UsageError: There is not exactly one, or an argument has a password. The message does not contain it.
    """
    if len(arguments) + (file is not None) > 1:
        raise click.UsageError("URL is given twice.")
    if arguments:
        if _PASSWORD.search(arguments[0]):
            raise click.UsageError(
                f"URL has a password, which ps shows to everybody: set {_VARIABLE}, give --url-file, or use ~/.pgpass."
            )
        return arguments[0]
    try:
        given = read_secret(file) if file else secret_of(_VARIABLE)
    except ValueError as error:
        raise click.UsageError(f"{'--url-file: ' if file else ''}{error}.") from None
    if given is None:
        raise click.UsageError(f"URL is needed: give it, or set {_VARIABLE}.")
    return given.decode("utf-8", "replace")
