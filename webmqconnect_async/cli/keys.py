"""Keys and their secrets: these come from the environment or a file, never from an argument, which `ps` would show."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import rich_click as click

from ..signing import Credentials

__all__ = [
    "PUSHER",
    "SUBSCRIBER",
    "KeyOptions",
    "credentials_of",
    "secret_file_option",
    "subscriber_secret_file_option",
]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Where a key and its secret are looked for.

    Args:
        key: the option for the key's name.
        file: the option for the file that holds the secret.
        variable: of the environment, for the secret where no file is given.
    """

    key: str
    file: str
    variable: str

    @property
    def help(self) -> str:
        """What `file` is for."""
        return f"Read the secret of {self.key} from FILE; without it, from the variable {self.variable}."


PUSHER = KeyOptions("--key", "--secret-file", "WEBMQ_AUTH_SECRET")
SUBSCRIBER = KeyOptions("--subscriber-key", "--subscriber-secret-file", "WEBMQ_SUBSCRIBER_SECRET")

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

secret_file_option = click.option(PUSHER.file, metavar="FILE", type=_FILE, help=PUSHER.help)
subscriber_secret_file_option = click.option(SUBSCRIBER.file, metavar="FILE", type=_FILE, help=SUBSCRIBER.help)


def credentials_of(key: str | None, secret_file: Path | None, options: KeyOptions = PUSHER) -> Credentials | None:
    """Return what to sign with; None without a key.

    Raises:
        UsageError: a key without a secret, a secret file without a key, or one of them empty.
    """
    if key is None:
        if secret_file is not None:
            raise click.UsageError(f"{options.file} needs {options.key}, the name the secret belongs to.")
        return None
    if secret_file is None and options.variable not in os.environ:
        raise click.UsageError(f"{options.key} needs its secret: set {options.variable}, or give {options.file} FILE.")
    secret = _secret(secret_file, options.variable)
    if not secret:
        raise click.UsageError(f"The secret in {options.variable if secret_file is None else secret_file} is empty.")
    try:
        return Credentials(key, secret)
    except ValueError as error:
        raise click.UsageError(f"{options.key}: {str(error).removeprefix('key: ')}.") from None


def _secret(secret_file: Path | None, variable: str) -> bytes:
    if secret_file is None:
        return os.fsencode(os.environ[variable])
    # An editor ends the file with a newline, which nobody means to be part of the secret.
    return secret_file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
