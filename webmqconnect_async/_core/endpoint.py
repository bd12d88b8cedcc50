"""The broker's URL, parsed and checked. No name is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from .checks import wrong_type

_HOST_NAME = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL to push to. The path is kept as given, since `%2F` and `/` differ (RFC 3986, section 2.2)."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The host, and the port if it is not the scheme's default: the value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Parse a URL of http or https with a host, a port and a path; raise TypeError or ValueError for any other."""
        if not isinstance(url, str):
            raise TypeError(wrong_type("endpoint", "a string", url))
        # The messages do not quote the URL, as those of urlsplit do: it may contain a password in any place.
        if any(char <= " " or char == "\x7f" for char in url):
            raise ValueError("endpoint: must not contain spaces or control characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("endpoint: the host or the port is invalid") from None
        if "@" in parts.netloc:  # refused rather than ignored: the client would not send it
            raise ValueError("endpoint: user information is not supported; use auth_key and auth_secret")
        if parts.scheme not in ("http", "https"):
            raise ValueError("endpoint: must begin with http:// or https://")
        if not parts.hostname or port == 0:
            raise ValueError("endpoint: must have a host, and a port other than 0")
        if "?" in url or "#" in url:
            raise ValueError("endpoint: must not have a query or a fragment; the client sets the query")
        if not parts.path.isascii():
            raise ValueError("endpoint: the path must be percent-encoded")
        host = parts.hostname if ":" in parts.hostname else _host_name(parts.hostname)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        return cls(scheme, host, port or (443 if scheme == "https" else 80), parts.path or "/")


def _host_name(name: str) -> str:
    """Return a host name in ASCII (IDNA). A resolver would raise a UnicodeError, without a message, for some names."""
    try:
        host = name.encode("idna").decode()
    except UnicodeError:
        host = ""
    # The codec normalizes with NFKC (nameprep, RFC 3491), which turns some characters into spaces.
    if not _HOST_NAME.fullmatch(host):
        raise ValueError("endpoint: the host is not a name or an address")
    return host
