"""What the environment says of a broker and of who pushes to it, for `from_env` and the command line alike.

It reads variables, and the file that holds a secret. It knows neither client nor terminal. An empty variable counts as
unset: `VAR=` is all that docker-compose and many a shell have to say that there is none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..signing import Credentials
from .dialects import DialectName, checked_dialect
from .endpoint import Endpoint

__all__ = [
    "AUTH_KEY",
    "AUTH_SECRET",
    "DIALECT",
    "ENDPOINT",
    "Environment",
    "endpoint",
    "read_secret",
    "secret_of",
    "variable",
]

ENDPOINT = "WEBMQ_ENDPOINT"
AUTH_KEY = "WEBMQ_AUTH_KEY"
AUTH_SECRET = "WEBMQ_AUTH_SECRET"  # noqa: S105  # the name of a variable
DIALECT = "WEBMQ_DIALECT"


@dataclass(frozen=True, slots=True)
class Environment:
    """The arguments of a client that stand in the environment, checked."""

    endpoint: str
    dialect: DialectName
    auth_key: str | None
    auth_secret: bytes | None = field(repr=False)

    @classmethod
    def read(cls) -> Environment:
        """Return what the variables say.

        Raises:
            ValueError: one is missing or cannot be used; the message names it, and never holds a secret.
        """
        url = endpoint()
        if url is None:
            raise ValueError(f"{ENDPOINT}: not set; it takes the broker's http or https URL")
        key, secret = variable(AUTH_KEY), secret_of(AUTH_SECRET)
        if key is None and secret is not None:
            raise ValueError(f"{AUTH_KEY}: not set; it takes the name of the key that the secret belongs to")
        if key is not None and secret is None:
            raise ValueError(f"{AUTH_SECRET}: not set, nor {AUTH_SECRET}_FILE; one takes the secret of {AUTH_KEY}")
        if key is not None and secret is not None:
            try:
                Credentials(key, secret)
            except ValueError as error:
                raise ValueError(f"{AUTH_KEY}: {str(error).removeprefix('key: ')}") from None
        return cls(url, checked_dialect(DIALECT, variable(DIALECT) or "webmq"), key, secret)


def variable(name: str) -> str | None:
    """Return the value of a variable; None where it is unset or empty."""
    return os.environ.get(name) or None


def endpoint() -> str | None:
    """Return the broker's URL; None where the variable is unset. ValueError names the variable."""
    url = variable(ENDPOINT)
    if url is not None:
        try:
            Endpoint.parse(url)
        except ValueError as error:
            raise ValueError(f"{ENDPOINT}: {str(error).removeprefix('endpoint: ')}") from None
    return url


def secret_of(name: str) -> bytes | None:
    """Return the secret in a variable, or in the file that the variable of that name and `_FILE` names; None without.

    Raises:
        ValueError: both are set, or the file is of no use; the message names the variable.
    """
    secret, file = variable(name), variable(f"{name}_FILE")
    if file is None:
        return None if secret is None else os.fsencode(secret)
    if secret is not None:
        raise ValueError(f"{name} and {name}_FILE: both are set; unset the one that is not meant")
    try:
        # Whoever takes the one variable for the other has put the secret there: it is not repeated.
        return read_secret(Path(file), "the file that it names")
    except ValueError as error:
        raise ValueError(f"{name}_FILE: {error}") from None


def read_secret(file: Path, called: str | None = None) -> bytes:
    """Return the secret in a file, without the newline that an editor ends it with.

    Args:
        file: where it is.
        called: what errors call the file; None for its path.

    Raises:
        ValueError: it cannot be read, or is empty; the message names the file and the reason.
    """
    name = called or str(file)
    try:
        secret = file.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        wrong = None if secret else f"the secret in {name} is empty"
    except OSError as error:
        secret, wrong = b"", f"cannot read {name}: {error.strerror}"
    # Not from within the handler: the OSError, which has the path, would hang on this error.
    if wrong:
        raise ValueError(wrong)
    return secret
