"""The URL of the database with the outbox. `ps` would show a password in it: a variable or a file does not."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from .._core.environment import read_secret, secret_of
from .paths import file_option

__all__ = ["outbox_url", "url_file_option"]

_VARIABLE = "WEBMQ_OUTBOX_URL"

url_file_option = file_option(
    "--url-file",
    help=f"Read URL from FILE. Without it and this option, it is read from the variable {_VARIABLE}, or from the file "
    f"that {_VARIABLE}_FILE names.",
)


def outbox_url(arguments: tuple[str, ...], file: Path | None) -> str:
    """Return the URL in the arguments, in the file, or in the variable; raise `UsageError` if there is not one.

    Its password is in no error.
    """
    if len(arguments) + (file is not None) > 1:
        raise click.UsageError("URL is given twice.")
    try:
        given = read_secret(file) if file else secret_of(_VARIABLE) if not arguments else arguments[0].encode()
    except ValueError as error:
        raise click.UsageError(f"{'--url-file: ' if file else ''}{error}.") from None
    if given is None:
        raise click.UsageError(f"URL is needed: give it, or set {_VARIABLE}.")
    return given.decode("utf-8", "replace")
