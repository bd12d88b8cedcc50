"""The rules for the `Host` and `Origin` of requests, which protect the hub from web pages.

A browser lets every page post a form, and open a WebSocket, to any host, but sends the page's real `Origin`. A page
whose own host name resolves to this machine (DNS rebinding) has the same origin as the hub, but sends another `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from .._core.escape import visible

__all__ = ["Denial", "Gate", "is_loopback", "is_own_page"]

_AUTHORITY = re.compile(r"(\[[0-9a-f]*:[0-9a-f:.]*\]|[^\s:/?#@\[\]]+)(?::\d+)?", re.ASCII)
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_AUTHORITY.pattern})", re.ASCII)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_page(origin: str | None, host: str | None) -> bool:
    """Return whether a request comes from the hub's own page, or not from a browser's page at all."""
    if origin is None:
        return True
    scheme, _, authority = origin.lower().partition("://")
    return scheme in ("http", "https") and host is not None and authority == host.lower()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(64)  # requests to a hub use few names
def _hostname(authority: str) -> str:
    """Return the host of `host[:port]`, without the brackets of an address or the trailing dot of a name."""
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None:
        return ""
    host = matched[1]
    return host[1:-1] if host.startswith("[") else host.removesuffix(".")


class Denial(NamedTuple):
    """Why a request is refused (403), and the option that would allow it."""

    reason: str
    option: str
    """Of `webmqconnect hub`: `--allow-host` or `--allow-origin`."""
    value: str
    """Of the option, with unprintable characters escaped."""

    def __str__(self) -> str:
        argument = self.option.removeprefix("--").replace("-", "_") + "s"
        return f"{self.reason} (allow it with {argument} or {self.option})"


class Gate:
    """The rules of one hub. Each method returns why a request is refused, or `None`.

    Args:
        host: the name or address that the hub is bound to.
        allow_hosts: additional host names, without port.
        allow_origins: origins that may push and subscribe, as `scheme://host[:port]`.

    Raises:
        ValueError: an entry has a form that no browser sends.
    """

    __slots__ = ("_hosts", "_on_loopback", "_origins")

    def __init__(self, host: str, allow_hosts: Collection[str], allow_origins: Collection[str]) -> None:
        for name in allow_hosts:
            if not _is_address(name) and (":" in name or not _hostname(name)):
                raise ValueError(f"allow_hosts must contain names without port like 'hub.example.com', not {name!r}")
        for origin in allow_origins:
            matched = _ORIGIN.fullmatch(origin.lower())
            # A browser omits the default port of the scheme.
            if not matched or (matched[1], matched[2].rpartition(":")[2]) in (("http", "80"), ("https", "443")):
                raise ValueError(f"allow_origins must contain origins like 'https://app.example.com', not {origin!r}")
        self._on_loopback = is_loopback(host)
        self._hosts = frozenset(name.lower().removesuffix(".") for name in (host, *allow_hosts))
        self._origins = frozenset(origin.lower() for origin in allow_origins)

    def host(self, host: str | None) -> Denial | None:
        """Check the Host of a request. It may be missing: HTTP/1.0 allows that, and no browser does it."""
        if host is None:
            return None
        name = _hostname(host.lower())
        if name in self._hosts or is_loopback(name) or (not self._on_loopback and _is_address(name)):
            return None
        shown = visible(host, 100)
        return Denial(f"host '{shown}' not allowed", "--allow-host", visible(name, 100) or shown)

    def push(self, origin: str | None) -> Denial | None:
        """Check the Origin of a push. Only pages of allowed origins may push."""
        if origin is None or origin.lower() in self._origins:
            return None
        return _denied(origin, "push")

    def subscriber(self, origin: str | None, host: str | None) -> Denial | None:
        """Check the Origin of a WebSocket handshake, given its Host.

        Besides allowed origins, these may subscribe: clients other than browsers, the hub's own page, and, if the hub
        is bound to loopback, the pages of every server on this machine.
        """
        if origin is None or origin.lower() in self._origins:
            return None
        if matched := _ORIGIN.fullmatch(origin.lower()):
            scheme, authority = matched[1], matched[2]
            # Behind a proxy that terminates TLS, the page has https and the hub has http: compare the authority only.
            own = host is not None and authority == host.lower()
            if scheme in ("http", "https") and (own or (self._on_loopback and is_loopback(_hostname(authority)))):
                return None
        return _denied(origin, "subscribe")


def _denied(origin: str, what: str) -> Denial:
    shown = visible(origin, 100)
    return Denial(f"origin '{shown}' may not {what}", "--allow-origin", shown)
