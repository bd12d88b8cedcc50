"""URLs that may have a password. `ps` shows arguments to all users, so such a URL comes from a variable or a file."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from .._core.environment import read_secret, secret_of

_PASSWORD = re.compile("://.*:.*@|password=")


def secret_url(
    argument: str | None, called: str, file: Path | None, file_option: str, variable: str, other: str = ""
) -> str | None:
    """Return the URL in an argument, in a file, or in a variable; `None` if there is none.

    Args:
        argument: the argument, if it is given.
        called: its name, for errors.
        file: the path of a file, if it is given.
        file_option: the option for that.
        variable: the name of the variable, which is not read if one of the others is given.
        other: another place for a password.

    Raises:
        UsageError: Both the argument and the file are given, the argument has a password, or the file or the variable
            cannot be read. The message does not contain the URL.
    """
    if argument is not None and file is not None:
        raise click.UsageError(f"{called} is given twice.")
    if argument is not None:
        if _PASSWORD.search(argument):
            raise click.UsageError(
                f"{called} has a password, which ps shows to everybody: set {variable}, or give {file_option}{other}."
            )
        return argument
    try:
        given = read_secret(file) if file else secret_of(variable)
    except ValueError as error:
        raise click.UsageError(f"{f'{file_option}: ' if file else ''}{error}.") from None
    return None if given is None else given.decode("utf-8", "replace")
