"""Options for keys and their secrets. Secrets come from the environment or a file: `ps` shows arguments."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import rich_click as click

from .._core.environment import AUTH_KEY, AUTH_SECRET, read_secret, secret_of
from ..signing import Credentials
from .errors import Failure
from .options import file_option


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """The options for a key and for the file with its secret, and the variable for the secret.

    The variable is read if the option for the file is not given. With the suffix `_FILE`, it has the path of a file.
    """

    key: str
    file: str
    variable: str

    @property
    def help(self) -> str:
        """The help text of the option for the file."""
        return (
            f"Read the secret of {self.key} from FILE. Without this option, it is read from the variable "
            f"{self.variable}, or from the file that {self.variable}_FILE names."
        )


PUSHER = KeyOptions("--key", "--secret-file", AUTH_SECRET)
SUBSCRIBER = KeyOptions("--subscriber-key", "--subscriber-secret-file", "WEBMQ_SUBSCRIBER_SECRET")
TICKET = KeyOptions("--ticket-key", "--ticket-secret-file", "WEBMQ_TICKET_SECRET")

key_option = partial(click.option, PUSHER.key, metavar="NAME", envvar=AUTH_KEY, show_envvar=True)
"""The option for the application key. `help` must say what the command does with the key."""
secret_file_option = file_option(PUSHER.file, help=PUSHER.help)
subscriber_secret_file_option = file_option(SUBSCRIBER.file, help=SUBSCRIBER.help)
ticket_secret_file_option = file_option(TICKET.file, help=TICKET.help)


def secret_in(file: Path | None, option: str, variable: str) -> bytes | None:
    """Return the secret in the file that an option names, or else in a variable; `None` if there is neither."""
    try:
        return secret_of(variable) if file is None else read_secret(file)
    except ValueError as error:
        raise click.UsageError(f"{error}." if file is None else f"{option}: {error}.") from None


def console_token_of(file: Path | None) -> str:
    """Return the token of the console that is in a file. `None`: a new one."""
    if file is None:
        return secrets.token_urlsafe(32)
    text = (secret_in(file, "--console-token-file", "") or b"").decode(errors="replace")
    if "\ufffd" in text:  # not a UnicodeDecodeError, which would contain the token
        raise click.UsageError(f"--console-token-file: {file} is not UTF-8.")
    return text


def ticket_of(file: Path) -> str:
    """Return the ticket in a file, without whitespace around it; raise `Failure` if the file does not have one."""
    try:
        return read_secret(file).decode("utf-8", "replace").strip()
    except ValueError as error:
        raise Failure(f"--ticket-file: {error}") from None


def credentials_of(key: str | None, secret_file: Path | None, options: KeyOptions = PUSHER) -> Credentials | None:
    """Return the credentials to sign with; `None` without a key.

    A secret in the environment is allowed without a key: other commands in the same terminal may need it.
    """
    if key is None:
        if secret_file is not None:
            raise click.UsageError(f"{options.file} needs {options.key}, the name of the key that the secret is for.")
        return None
    secret = secret_in(secret_file, options.file, options.variable)
    if secret is None:
        raise click.UsageError(f"{options.key} needs its secret: set {options.variable}, or give {options.file} FILE.")
    try:
        return Credentials(key, secret)
    except ValueError as error:
        raise click.UsageError(f"{options.key}: {str(error).removeprefix('key: ')}.") from None
