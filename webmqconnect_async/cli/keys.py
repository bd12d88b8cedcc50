"""Keys and their secrets: these come from the environment or a file, never from an argument, which `ps` would show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import rich_click as click

from ..environment import AUTH_KEY, AUTH_SECRET, read_secret, secret_of
from ..signing import Credentials

__all__ = [
    "PUSHER",
    "SUBSCRIBER",
    "KeyOptions",
    "credentials_of",
    "key_option",
    "secret_file_option",
    "subscriber_secret_file_option",
]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Where a key and its secret are looked for.

    Args:
        key: the option for the key's name.
        file: the option for the file that holds the secret.
        variable: of the environment, for the secret where no file is given; with `_FILE` behind it, for a file.
    """

    key: str
    file: str
    variable: str

    @property
    def help(self) -> str:
        """What `file` is for."""
        return (
            f"Read the secret of {self.key} from FILE; without it, from the variable {self.variable}, "
            f"or the file that {self.variable}_FILE names."
        )


PUSHER = KeyOptions("--key", "--secret-file", AUTH_SECRET)
SUBSCRIBER = KeyOptions("--subscriber-key", "--subscriber-secret-file", "WEBMQ_SUBSCRIBER_SECRET")

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

key_option = partial(click.option, PUSHER.key, metavar="NAME", envvar=AUTH_KEY, show_envvar=True)
"""The option of a pusher's key; `help` says what the command does with it."""
secret_file_option = click.option(PUSHER.file, metavar="FILE", type=_FILE, help=PUSHER.help)
subscriber_secret_file_option = click.option(SUBSCRIBER.file, metavar="FILE", type=_FILE, help=SUBSCRIBER.help)


def credentials_of(key: str | None, secret_file: Path | None, options: KeyOptions = PUSHER) -> Credentials | None:
    """Return what to sign with; None without a key.

    Raises:
        UsageError: a key without a secret, a secret file without a key, or one that is of no use. A secret that only
            stands in the environment needs no key: the terminal may be there for other commands, too.
    """
    if key is None:
        if secret_file is not None:
            raise click.UsageError(f"{options.file} needs {options.key}, the name the secret belongs to.")
        return None
    try:
        secret = secret_of(options.variable) if secret_file is None else read_secret(secret_file)
    except ValueError as error:
        raise click.UsageError(f"{error}." if secret_file is None else f"{options.file}: {error}.") from None
    if secret is None:
        raise click.UsageError(f"{options.key} needs its secret: set {options.variable}, or give {options.file} FILE.")
    try:
        return Credentials(key, secret)
    except ValueError as error:
        raise click.UsageError(f"{options.key}: {str(error).removeprefix('key: ')}.") from None
