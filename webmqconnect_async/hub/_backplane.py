"""The address of the stream that several hubs share, in Redis or Valkey."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from .._core.checks import wrong_type

_PREFIX = re.compile(r"[\w.:/-]{1,100}", re.ASCII)
_PORT = 6379
_FORM = "must be redis://HOST:PORT/DATABASE or rediss://USER:PASSWORD@HOST:PORT"


@dataclass(frozen=True, slots=True)
class Backplane:
    """The address of the stream. The repr does not contain the password."""

    host: str
    port: int
    prefix: str
    database: int = 0
    tls: bool = False
    authority_file: str | None = None
    """A file with the certificates of the authorities to trust; `None` for those of the system."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_backplane(url: object, prefix: object) -> Backplane:
    """Return the backplane at a URL.

    Raises:
        ValueError, TypeError: The URL or the prefix cannot be used. The message does not contain the URL, which may
            have a password.
    """
    if not isinstance(url, str):
        raise TypeError(wrong_type("backplane", "a string or None", url))
    if not isinstance(prefix, str):
        raise TypeError(wrong_type("backplane_prefix", "a string", prefix))
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"backplane_prefix must be 1 to 100 letters, digits or any of . : / - _, not {prefix[:100]!r}")
    try:
        parsed = _parsed(url, prefix)
    except ValueError:  # the port is not a number, or the host is malformed
        parsed = _FORM
    finally:
        del url  # error reporters show the local variables of a traceback's frames
    if isinstance(parsed, Backplane):
        return parsed
    raise ValueError(f"backplane {parsed}")


def _parsed(url: str, prefix: str) -> Backplane | str:
    """Return the backplane, or what is wrong with its URL."""
    parts = urlsplit(url)
    if "sentinel" in parts.scheme:
        return f"{_FORM}: Redis Sentinel may lose what a hub has accepted when it fails over"
    if "cluster" in parts.scheme or "," in parts.netloc:
        return f"{_FORM}: a stream is on one server, so a Redis Cluster cannot be used"
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    authority_file = query.pop("ssl_ca_certs", None)
    database, port = parts.path.strip("/") or "0", parts.port
    digits = database.isascii() and database.isdigit()
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.fragment or port == 0 or not digits:
        return _FORM
    if query or (authority_file is not None and parts.scheme == "redis"):
        return f"{_FORM}, and the only parameter is ssl_ca_certs, for rediss"
    return Backplane(
        parts.hostname,
        port or _PORT,
        prefix,
        database=int(database),
        tls=parts.scheme == "rediss",
        authority_file=authority_file,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
