"""Options for keys and their secrets. Secrets come from the environment or a file: `ps` shows arguments."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

import rich_click as click

from .._core.environment import AUTH_KEY, AUTH_SECRET, read_secret, secret_of
from ..signing import Credentials
from .errors import Failure
from .options import file_option

_Arguments = ParamSpec("_Arguments")


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """The options for a key and for the file with its secret, and the variables for the secret and for the key."""

    key: str
    file: str
    variable: str
    key_variable: str | None = None

    def options(
        self, help: str, *, required: bool = False
    ) -> Callable[[Callable[_Arguments, None]], Callable[_Arguments, None]]:
        """Return a decorator that adds both options. `help` says what the command does with the key."""
        show_envvar = self.key_variable is not None
        key = click.option(
            self.key, metavar="NAME", required=required, envvar=self.key_variable, show_envvar=show_envvar, help=help
        )
        file = file_option(
            self.file,
            help=f"Read the secret of {self.key} from FILE. Without this option, it is read from the variable "
            f"{self.variable}, or from the file that {self.variable}_FILE names.",
        )
        return lambda command: key(file(command))

    def credentials(self, key: str | None, secret_file: Path | None) -> Credentials | None:
        """Return the credentials to sign with; `None` without a key.

        A secret in the environment is allowed without a key: other commands in the same terminal may need it.
        """
        if key is None:
            if secret_file is not None:
                raise click.UsageError(f"{self.file} needs {self.key}, the name of the key that the secret is for.")
            return None
        secret = secret_in(secret_file, self.file, self.variable)
        if secret is None:
            raise click.UsageError(f"{self.key} needs its secret: set {self.variable}, or give {self.file} FILE.")
        try:
            return Credentials(key, secret)
        except ValueError as error:
            raise click.UsageError(f"{self.key}: {str(error).removeprefix('key: ')}.") from None


PUSHER = KeyOptions("--key", "--secret-file", AUTH_SECRET, AUTH_KEY)
SUBSCRIBER = KeyOptions("--subscriber-key", "--subscriber-secret-file", "WEBMQ_SUBSCRIBER_SECRET")
TICKET = KeyOptions("--ticket-key", "--ticket-secret-file", "WEBMQ_TICKET_SECRET")


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
