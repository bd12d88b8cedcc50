"""The environment variables `WEBMQ_…`, for `from_env` of the clients and for the command line.

This module reads variables, and the file that holds a secret. An empty variable counts as unset, because docker-compose
and some shells cannot unset a variable, only set it to nothing: `VAR=`.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from pathlib import Path

from ..signing import Credentials
from .dialects import DialectName, checked_dialect
from .endpoint import Endpoint

ENDPOINT = "WEBMQ_ENDPOINT"
AUTH_KEY = "WEBMQ_AUTH_KEY"
AUTH_SECRET = "WEBMQ_AUTH_SECRET"  # noqa: S105  # the name of a variable
DIALECT = "WEBMQ_DIALECT"


@dataclass(frozen=True, slots=True)
class Environment:
    """The arguments of a client, taken from the environment and checked."""

    endpoint: str
    dialect: DialectName
    auth_key: str | None
    auth_secret: bytes | None = field(repr=False)

    @classmethod
    def read(cls) -> Environment:
        """Read all variables; raise a ValueError that names the variable if one is missing or invalid."""
        url = broker_url()
        if url is None:
            raise ValueError(f"{ENDPOINT}: not set; set it to the http or https URL of the broker")
        key, secret = variable(AUTH_KEY), secret_of(AUTH_SECRET)
        if key is None and secret is not None:
            raise ValueError(f"{AUTH_KEY}: not set; set it to the name of the key that the secret belongs to")
        if key is not None and secret is None:
            raise ValueError(
                f"{AUTH_SECRET}: not set, nor is {AUTH_SECRET}_FILE; set one of them for the secret of {AUTH_KEY}"
            )
        if key is not None and secret is not None:
            try:
                Credentials(key, secret)
            except ValueError as error:
                raise ValueError(f"{AUTH_KEY}: {str(error).removeprefix('key: ')}") from None
        return cls(url, checked_dialect(DIALECT, variable(DIALECT) or "webmq"), key, secret)


def variable(name: str) -> str | None:
    """Return the value of a variable, or `None` if it is unset or empty."""
    return os.environ.get(name) or None


def broker_url() -> str | None:
    """Return the URL of the broker, or `None` if the variable is unset; raise `ValueError` if the URL is invalid."""
    url = variable(ENDPOINT)
    if url is not None:
        try:
            Endpoint.parse(url)
        except ValueError as error:
            raise ValueError(f"{ENDPOINT}: {str(error).removeprefix('endpoint: ')}") from None
    return url


def secret_of(name: str) -> bytes | None:
    """Return the secret in a variable, or in the file that `{name}_FILE` names, or `None` if neither is set.

    Raise a ValueError that names the variable if both are set, or the secret cannot be read, is empty, or is damaged.
    """
    secret, file = variable(name), variable(f"{name}_FILE")
    if file is None:
        if secret is not None and (wrong := _damage(os.fsencode(secret))):
            raise ValueError(f"{name}: the secret {wrong}")
        return None if secret is None else os.fsencode(secret)
    if secret is not None:
        raise ValueError(f"{name} and {name}_FILE: both are set; unset the one that is not meant")
    try:
        # The error does not repeat the path: somebody may have put the secret itself into this variable.
        return read_secret(Path(file), "the file that it names")
    except ValueError as error:
        raise ValueError(f"{name}_FILE: {error}") from None


def read_secret(file: Path, called: str | None = None) -> bytes:
    """Return the secret in a file, without the line end that editors add; raise ValueError if there is no usable one.

    In the message, the file's name is `called`, or else its path.
    """
    name = called or str(file)
    try:
        content = file.read_bytes()
        secret = content.removesuffix(b"\r\n" if content.endswith(b"\r\n") else b"\n")
        reason = _damage(secret) if secret else "is empty"
        wrong = reason and f"the secret in {name} {reason}"
    except OSError as error:
        secret, wrong = b"", f"cannot read {name}: {error.strerror}"
    # Raised outside of the handler because the OSError, which has the path, would become the context of this error.
    if wrong:
        raise ValueError(wrong)
    return secret


def _damage(secret: bytes) -> str | None:
    """Return how Windows, an editor or a shell has changed a secret, or `None`. Nobody chooses such a secret."""
    if secret.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "is UTF-16; write it in UTF-8 without a byte order mark"
    if secret.startswith(BOM_UTF8):
        return "begins with a byte order mark; write it without"
    if secret.endswith((b"\r", b"\n")):
        return "ends with an extra carriage return or newline; remove it"
    if b"\0" in secret:
        return "has a NUL byte: it is not text, or UTF-16; write it in UTF-8"
    return None
