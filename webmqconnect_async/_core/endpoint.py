"""Where a broker takes pushes: a URL taken apart and checked. Pure; resolves nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Endpoint"]

_HOST_NAME = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker takes pushes. The path stays as it was written: `%2F` is not `/`."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host and, unless it is the scheme's own, the port: what `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Return the parts of an endpoint.

        Raises:
            TypeError, ValueError: it is not an http or https URL of a host and a path alone. User information is
                refused, not dropped: whoever writes it expects it to be sent.
        """
        if not isinstance(url, str):
            raise TypeError(f"endpoint: a URL is needed, not {type(url).__name__}")
        # No message repeats any of it, urlsplit's own included: it may hold a password, wherever that was put.
        if any(char <= " " or char == "\x7f" for char in url):
            raise ValueError("endpoint: blanks and control characters are refused")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("endpoint: the host or the port cannot be read") from None
        if "@" in parts.netloc:
            raise ValueError("endpoint: user information is refused; a broker knows auth_key and auth_secret")
        if parts.scheme not in ("http", "https"):
            raise ValueError("endpoint: it must begin with http:// or https://")
        if not parts.hostname or port == 0:
            raise ValueError("endpoint: it names no host, or port 0")
        if "?" in url or "#" in url:
            raise ValueError("endpoint: a query or a fragment is refused; the query is the push's own")
        if not parts.path.isascii():
            raise ValueError("endpoint: percent-encode the path")
        host = parts.hostname if ":" in parts.hostname else _host_name(parts.hostname)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        return cls(scheme, host, port or (443 if scheme == "https" else 80), parts.path or "/")


def _host_name(name: str) -> str:
    """Return a host's name as resolvers and `Host` take it; a resolver refuses others with a bare UnicodeError."""
    try:
        host = name.encode("idna").decode()
    except UnicodeError:
        host = ""
    # Nameprep makes blanks of some characters that are none.
    if not _HOST_NAME.fullmatch(host):
        raise ValueError("endpoint: the host is neither a name nor an address")
    return host
