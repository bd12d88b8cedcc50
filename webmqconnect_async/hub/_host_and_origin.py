"""The rules for the `Host` and `Origin` of requests, which protect the hub from web pages.

A browser lets every page post a form, and open a WebSocket, to any host, but sends the page's real `Origin`. A page
whose own host name resolves to this machine (DNS rebinding) has the same origin as the hub, but sends another `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from .._core.escape import visible

_AUTHORITY = re.compile(r"(\[[0-9a-f]*:[0-9a-f:.]*\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?", re.ASCII)
_SAFE = re.compile(r"([a-z][a-z0-9+.-]*://)?[a-z0-9.:\[\]_-]{1,100}|file://")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_HTTP = {"ws": "http", "wss": "https"}  # clients other than browsers may send the URL of the WebSocket as the origin


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only."""
    address = _address(host)
    # RFC 6761, 6.3: names below localhost are loopback names, too.
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


class _Origin(NamedTuple):
    scheme: str  # empty for a `Host`, unless it is compared with an origin
    name: str  # without the brackets of an address or the final dot of a name
    port: int | None


@lru_cache(64)  # requests to a hub use few names
def _parsed(authority: str, scheme: str = "") -> _Origin | None:
    """Parse `host[:port]`; return `None` if it is malformed. Without a port, it is the default of the scheme."""
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None or int(matched[2] or 0) > 65535:
        return None
    host, port = matched.groups()
    name = host[1:-1] if host.startswith("[") else host.removesuffix(".")
    return _Origin(scheme, name, int(port) if port else _PORTS.get(scheme)) if name else None


def _origin(text: str) -> _Origin | None:
    """Parse an origin; return `None` if it is malformed."""
    scheme, _, authority = text.lower().partition("://")
    scheme = _HTTP.get(scheme, scheme)
    if (scheme, authority) == ("file", ""):  # most browsers send file:// for the pages of files
        return _Origin("file", "", None)
    return _parsed(authority, scheme) if _SCHEME.fullmatch(scheme) else None


def is_own_page(origin: str | None, host: str | None) -> bool:
    """Return whether a request comes from the hub's own page, or not from a browser's page at all."""
    return origin is None or _is_own(_origin(origin), host)


def _is_own(origin: _Origin | None, host: str | None) -> bool:
    if origin is None or origin.scheme not in _PORTS or host is None:
        return False
    # Behind a proxy that terminates TLS, the page has https and the hub has http: compare name and port only.
    return origin == _parsed(host.lower(), origin.scheme)


class Denial(NamedTuple):
    """Why a request is refused (403), and the option that would allow it."""

    reason: str
    option: str  # the option of `webmqconnect hub`: `--allow-host` or `--allow-origin`
    value: str  # the host name or the origin in the request; empty if it is malformed

    @property
    def remedy(self) -> str:
        """The option with the value; empty if the value is not a host or origin, or if a shell would interpret it."""
        return f"{self.option} {self.value}" if _SAFE.fullmatch(self.value) else ""

    def __str__(self) -> str:
        argument = self.option.removeprefix("--").replace("-", "_") + "s"
        return f"{self.reason} (allow it with {argument} or {self.option})"


class Gate:
    """The rules of one hub. Each method returns why a request is refused, or `None`.

    The arguments are those of `HubConfig`. An entry in a form that no browser sends raises a ValueError.
    """

    def __init__(self, host: str, allow_hosts: Collection[str], allow_origins: Collection[str]) -> None:
        for name in allow_hosts:
            if _address(name) is None and (":" in name or _parsed(name) is None):
                raise ValueError(f"allow_hosts must contain names without port like 'hub.example.com', not {name!r}")
        for origin in allow_origins:
            if _origin(origin) is None:
                raise ValueError(f"allow_origins must contain origins like 'https://app.example.com', not {origin!r}")
        self._on_loopback = is_loopback(host)
        self._hosts = frozenset(name.lower().removesuffix(".") for name in (host, *allow_hosts))
        self._origins = frozenset(_origin(origin) for origin in allow_origins)

    def host(self, host: str | None) -> Denial | None:
        """Check the Host of a request. It may be missing in HTTP/1.0 (RFC 9112, 3.2), which no browser sends."""
        if host is None:
            return None
        parsed = _parsed(host.lower())
        name = "" if parsed is None else parsed.name
        if name in self._hosts or is_loopback(name) or (not self._on_loopback and _address(name) is not None):
            return None
        return Denial(f"host '{visible(host, 100)}' not allowed", "--allow-host", name)

    def push(self, origin: str | None) -> Denial | None:
        """Check the Origin of a push. Only pages of allowed origins may push."""
        return None if origin is None or _origin(origin) in self._origins else _denied(origin, "push")

    def subscriber(self, origin: str | None, host: str | None) -> Denial | None:
        """Check the Origin of a WebSocket handshake, given its Host.

        Besides allowed origins, these may subscribe: clients other than browsers, the hub's own page, and, if the hub
        is bound to loopback, the pages of every server on this machine.
        """
        if origin is None:
            return None
        parts = _origin(origin)
        if parts is None:
            return _denied(origin, "subscribe")
        local = parts.scheme in _PORTS and self._on_loopback and is_loopback(parts.name)
        return None if parts in self._origins or local or _is_own(parts, host) else _denied(origin, "subscribe")


def _denied(origin: str, what: str) -> Denial:
    value = origin.lower() if _origin(origin) is not None else ""
    return Denial(f"origin '{visible(origin, 100)}' may not {what}", "--allow-origin", value)
