"""Who may speak to the hub, by the request's Host and Origin. Pure; knows nothing of keys or topics.

A browser lets any page post a form to any host, and open a WebSocket to it. It does not let the page choose its
`Origin`. And a page whose own name was made to resolve to this machine (DNS rebinding) has the hub's origin, but not
its `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address

from ._escape import shown

__all__ = ["Gate", "is_loopback"]

_AUTHORITY = re.compile(r"(\[[0-9a-f]*:[0-9a-f:.]*\]|[^\s:/?#@\[\]]+)(?::\d+)?", re.ASCII)
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_AUTHORITY.pattern})", re.ASCII)


def is_loopback(host: str) -> bool:
    """Tell whether the name or address is one of this machine's alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(64)  # a hub is called by a few names, again and again
def _hostname(authority: str) -> str:
    """Return the host of `host[:port]`, without the brackets of an address or the dot that may end a name."""
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None:
        return ""
    host = matched[1]
    return host[1:-1] if host.startswith("[") else host.removesuffix(".")


class Gate:
    """The rules of one hub. Each method returns the reason to refuse (403), or None.

    Args:
        host: what the hub is bound to.
        allow_hosts: further names it is reached under, without port.
        allow_origins: pages that may push and subscribe, as `scheme://host[:port]`.

    Raises:
        ValueError: an entry that no browser would send.
    """

    __slots__ = ("_hosts", "_on_loopback", "_origins")

    def __init__(self, host: str, allow_hosts: Collection[str], allow_origins: Collection[str]) -> None:
        for name in allow_hosts:
            if not _is_address(name) and (":" in name or not _hostname(name)):
                raise ValueError(f"allow_hosts: {name!r} is not a host name without port, like 'hub.example.com'")
        for origin in allow_origins:
            matched = _ORIGIN.fullmatch(origin.lower())
            # A browser leaves out the port that its scheme implies.
            if not matched or (matched[1], matched[2].rpartition(":")[2]) in (("http", "80"), ("https", "443")):
                raise ValueError(f"allow_origins: {origin!r} is not an origin like 'https://app.example.com'")
        self._on_loopback = is_loopback(host)
        self._hosts = frozenset(name.lower().removesuffix(".") for name in (host, *allow_hosts))
        self._origins = frozenset(origin.lower() for origin in allow_origins)

    def host(self, host: str | None) -> str | None:
        """Judge a request's Host; None, which only HTTP/1.0 may send and no browser does, passes."""
        if host is None:
            return None
        name = _hostname(host.lower())
        if name in self._hosts or is_loopback(name) or (not self._on_loopback and _is_address(name)):
            return None
        return f"host '{shown(host)}' not allowed (allow it with allow_hosts or --allow-host)"

    def push(self, origin: str | None) -> str | None:
        """Judge the Origin of a push: no page pushes unless it is listed."""
        if origin is None or origin.lower() in self._origins:
            return None
        return f"origin '{shown(origin)}' may not push (allow it with allow_origins or --allow-origin)"

    def subscriber(self, origin: str | None, host: str | None) -> str | None:
        """Judge the Origin of a WebSocket's handshake, given its Host.

        Beside the listed ones these may subscribe: what is no browser, the hub's own pages, and, while the hub is
        bound to loopback, the pages of any other server on this machine.
        """
        if origin is None or origin.lower() in self._origins:
            return None
        if matched := _ORIGIN.fullmatch(origin.lower()):
            scheme, authority = matched[1], matched[2]
            # Behind a proxy that ends TLS the page is https and the hub is not: only the authority tells.
            own = host is not None and authority == host.lower()
            if scheme in ("http", "https") and (own or (self._on_loopback and is_loopback(_hostname(authority)))):
                return None
        return f"origin '{shown(origin)}' may not subscribe (allow it with allow_origins or --allow-origin)"
