"""The URL of the database with the outbox."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from .paths import file_option
from .secret_url import secret_url

_VARIABLE = "WEBMQ_OUTBOX_URL"

url_file_option = file_option(
    "--url-file",
    help=f"Read URL from FILE. Without URL and this option, it is read from the variable {_VARIABLE}, or from the file "
    f"that {_VARIABLE}_FILE names.",
)


def outbox_url(arguments: tuple[str, ...], file: Path | None) -> str:
    """Return the URL in the arguments, in the file, or in the variable.

    Raises:
        UsageError: There is no URL, or more than one, or an argument has a password. The message does not contain it.
    """
    if len(arguments) > 1:
        raise click.UsageError("URL is given twice.")
    argument = arguments[0] if arguments else None
    url = secret_url(argument, "URL", file, "--url-file", _VARIABLE, ", or use ~/.pgpass")
    if url is None:
        raise click.UsageError(f"URL is needed: give it, or set {_VARIABLE}.")
    return url
