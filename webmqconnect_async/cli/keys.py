"""What signs: a secret comes from the environment or a file, never from an argument, which `ps` would show."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from ..signing import Credentials

__all__ = ["SECRET_VARIABLE", "credentials_of", "secret_file_option"]

SECRET_VARIABLE = "WEBMQ_AUTH_SECRET"  # noqa: S105  # the name of the variable

secret_file_option = click.option(
    "--secret-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help=f"Read the secret of --key from FILE; without it, from the variable {SECRET_VARIABLE}.",
)


def credentials_of(key: str | None, secret_file: Path | None) -> Credentials | None:
    """Return what to sign with; None without a key.

    Raises:
        UsageError: a key without a secret, a secret file without a key, or one of them empty.
    """
    if key is None:
        if secret_file is not None:
            raise click.UsageError("--secret-file needs --key, the name the secret belongs to.")
        return None
    if secret_file is None and SECRET_VARIABLE not in os.environ:
        raise click.UsageError(f"--key needs its secret: set {SECRET_VARIABLE}, or give --secret-file FILE.")
    secret = _secret(secret_file)
    if not secret:
        raise click.UsageError(f"The secret in {SECRET_VARIABLE if secret_file is None else secret_file} is empty.")
    try:
        return Credentials(key, secret)
    except ValueError as error:
        raise click.UsageError(f"--{error}.") from None


def _secret(secret_file: Path | None) -> bytes:
    if secret_file is None:
        return os.fsencode(os.environ[SECRET_VARIABLE])
    # An editor ends the file with a newline, which nobody means to be part of the secret.
    return secret_file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
