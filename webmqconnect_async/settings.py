"""What a client is told when it is made, checked once for both: an error names the argument and says what it takes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from ssl import SSLContext
from typing import Literal, TypeAlias, TypedDict
from urllib.parse import urlsplit

from ._version import __version__
from .checks import checked_count, checked_seconds
from .dialects import Dialect
from .dialects.crossbar import Crossbar
from .dialects.events import Dumps
from .dialects.webmq import WebMQ
from .flow import Retry
from .signing import Credentials

__all__ = ["DialectName", "Endpoint", "Options", "Settings", "request_headers"]

DialectName: TypeAlias = Literal["webmq", "crossbar"]

LONGEST_HEADER = 65536
"""Bytes that one line of an answer's head may have, in both clients; http.client fixes it."""
MOST_HEADERS = 100
"""Lines that an answer's head may have, in both clients; http.client fixes it."""
LONGEST_ANSWER = 65536
"""Bytes of an answer's body that are read. What says more is cut off there, and its connection closed."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_NAME = re.compile(r"[\w.-]+", re.ASCII)
_OURS = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "expect"})


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


class Options(TypedDict, total=False):
    """What both clients take beside the broker and the credentials; each explains it, and has the defaults."""

    timeout: float | None
    concurrency: int
    retry: Retry
    connect_timeout: float | None
    keepalive: float | None
    ssl: SSLContext | None
    headers: Mapping[str, str] | None
    dumps: Dumps | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's arguments, checked."""

    endpoint: Endpoint
    dialect: Dialect
    auth_key: str | None
    timeout: float | None
    concurrency: int
    retry: Retry
    connect_timeout: float | None
    keepalive: float | None
    ssl: SSLContext | None
    headers: Mapping[str, str]

    @classmethod
    def check(
        cls,
        *,
        endpoint: str,
        auth_key: str | None,
        auth_secret: str | bytes | None,
        timeout: float | None,
        dialect: DialectName,
        concurrency: int,
        retry: Retry,
        connect_timeout: float | None,
        keepalive: float | None,
        ssl: SSLContext | None,
        headers: Mapping[str, str] | None,
        dumps: Dumps | None,
    ) -> Settings:
        """Return the arguments of a client, checked; raise TypeError or ValueError, naming the argument."""
        if (auth_key is None) != (auth_secret is None):
            raise ValueError("auth_key and auth_secret: both are needed to sign, or neither")
        credentials = None
        if auth_key is not None and auth_secret is not None:
            try:
                credentials = Credentials(auth_key, auth_secret)
            except (TypeError, ValueError) as error:
                raise type(error)(f"auth_{error}") from None
        if dumps is not None and not callable(dumps):
            raise TypeError(f"dumps: a function is needed, not {type(dumps).__name__}")
        if not isinstance(retry, Retry):
            raise TypeError(f"retry: a Retry is needed, not {type(retry).__name__}")
        if ssl is not None and not isinstance(ssl, SSLContext):
            raise TypeError(f"ssl: an ssl.SSLContext or None is needed, not {ssl!r}")
        wire = _dialect(dialect, credentials, dumps)
        return cls(
            endpoint=Endpoint.parse(endpoint),
            dialect=wire,
            auth_key=auth_key,
            timeout=checked_seconds("timeout", timeout),
            concurrency=checked_count("concurrency", concurrency),
            retry=retry,
            connect_timeout=checked_seconds("connect_timeout", connect_timeout),
            keepalive=checked_seconds("keepalive", keepalive, zero=True),
            ssl=ssl,
            headers=request_headers(headers or {}, wire.content_type),
        )


def _dialect(name: DialectName, credentials: Credentials | None, dumps: Dumps | None) -> Dialect:
    match name:
        case "webmq":
            return WebMQ(credentials, dumps)
        case "crossbar":
            return Crossbar(credentials, dumps, sequence=count(1).__next__, nonce=partial(secrets.randbits, 53))
    raise ValueError(f"dialect: 'webmq' or 'crossbar' is needed, not {name!r}")


def request_headers(extra: Mapping[str, str], content_type: str) -> dict[str, str]:
    """Return the headers of every push but Host and Content-Length; raise TypeError or ValueError, naming `headers`."""
    if not isinstance(extra, Mapping):
        raise TypeError(f"headers: a mapping of names to values is needed, not {type(extra).__name__}")
    names = {name.lower() for name in extra if isinstance(name, str)}
    for name, value in extra.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("headers: names and values are text")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"headers: {name!r} is no header name")
        if name.lower() in _OURS:
            raise ValueError(f"headers: {name} belongs to the wire")
        # A line break in a value would begin a header, or a request, of somebody else's making. A lone surrogate would
        # fail at each push, with an error that holds the whole head and so the signature.
        if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(f"headers: the value of {name} holds a control character or a lone surrogate")
    # A reason that comes compressed could not be read.
    own = {
        "Content-Type": content_type,
        "Accept-Encoding": "identity",
        "User-Agent": f"webmqconnect_async/{__version__}",
    }
    return {name: value for name, value in own.items() if name.lower() not in names} | dict(extra)
