"""Connect to the first of a broker's addresses that responds ("happy eyeballs", RFC 8305), without threads."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from itertools import zip_longest
from math import inf
from ssl import SSLContext, SSLSocket, SSLWantWriteError
from typing import TypeAlias

from .._core.clock import monotonic
from .._core.endpoint import Endpoint
from .sockets import IN, OUT, Expired, OwnedSockets, is_network_error, new_poll, wait, would_block

_DELAY = 0.25
"""Seconds between the starts of two attempts (RFC 8305, section 5)."""

_Address: TypeAlias = tuple[int, int, int, str, tuple[str | int | bytes, ...]]
"""An item of the list that `socket.getaddrinfo` returns."""


class Connector:
    """Connects to a broker. It remembers which of several addresses worked."""

    def __init__(self, endpoint: Endpoint, context: SSLContext | None, connect_timeout: float | None) -> None:
        self._endpoint = endpoint
        self._context = context
        self._limit = inf if connect_timeout is None else connect_timeout
        """Seconds to connect to one address, and again for the TLS handshake."""
        self._last: _Address | None = None
        """The address of the last connection."""

    def connect(self, sockets: OwnedSockets, deadline: float) -> socket.socket:
        """Connect and return the socket. However this ends, the caller must close the sockets.

        Resolving the broker's name cannot be interrupted, so it may take longer than the deadline.
        """
        addresses = socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
        connected = self._race(_in_order(addresses, self._last), sockets, deadline)
        sockets.close(but=connected)
        # As asyncio does: otherwise the end of a long request waits for the broker to acknowledge the rest (RFC 896).
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return connected
        secured = sockets.secure(connected, self._context, self._endpoint.host)
        self._shake_hands(secured, sockets, deadline)
        return secured

    def _race(self, addresses: list[_Address], sockets: OwnedSockets, deadline: float) -> socket.socket:
        """Return the socket that connects first. An attempt starts `_DELAY` after the one before, or when one fails."""
        attempts: dict[socket.socket, tuple[_Address, float]] = {}
        """The attempts in progress: the address of each, and when it times out."""
        code = 0
        start = -inf
        while addresses or attempts:
            now = _checked_now(sockets, deadline)
            if addresses and now >= start:
                address, *addresses = addresses
                start = now + _DELAY
                try:
                    attempts[_connecting(address, sockets)] = address, now + self._limit
                except OSError as error:
                    if not is_network_error(error):
                        raise
                    code, start = error.errno or 0, now
                continue
            ends = [end for _, end in attempts.values()]
            ready = _ready(attempts, OUT, min(deadline, *ends, start if addresses else inf))
            now = monotonic()
            for attempt, (address, end) in list(attempts.items()):
                if attempt.fileno() in ready:
                    code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        self._last = address
                        return attempt
                elif now >= end:
                    code = errno.ETIMEDOUT
                else:
                    continue
                del attempts[attempt]
                attempt.close()
                start = now
        raise OSError(code, os.strerror(code)) if code else ConnectionError("the name has no address")

    def _shake_hands(self, secured: SSLSocket, sockets: OwnedSockets, deadline: float) -> None:
        end = monotonic() + self._limit
        while True:
            if _checked_now(sockets, deadline) >= end:
                raise TimeoutError(errno.ETIMEDOUT, "the TLS handshake timed out")
            try:
                secured.do_handshake()
            except OSError as error:
                if not would_block(error):
                    raise
                events = OUT if isinstance(error, SSLWantWriteError) else IN
            else:
                return
            _ready([secured], events, min(deadline, end))


def _in_order(addresses: Iterable[_Address], first: _Address | None) -> list[_Address]:
    """Return addresses with alternating families (RFC 8305, section 4), beginning with one that has worked."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return sorted((each for turn in turns for each in turn if each is not None), key=lambda each: each != first)


def _connecting(address: _Address, sockets: OwnedSockets) -> socket.socket:
    """Return a socket that is connecting to an address."""
    family, kind, protocol, _, place = address
    # The kernel may lack the family of an address that the resolver returns; that is an OSError, too.
    attempt = sockets.new(family, kind, protocol)
    try:
        attempt.connect(place)
    except OSError as error:
        if not would_block(error):
            raise
    return attempt


def _checked_now(sockets: OwnedSockets, deadline: float) -> float:
    """Return the monotonic time; raise Expired at the deadline, or if another thread has aborted the connection."""
    now = monotonic()
    if now >= deadline or sockets.is_aborted:
        raise Expired
    return now


def _ready(sockets: Iterable[socket.socket], events: int, end: float) -> set[int]:
    """Wait until a socket is ready, or until `end`. Return the descriptors that are ready."""
    poll = new_poll()
    for each in sockets:
        poll.register(each, events)
    return {descriptor for descriptor, _ in wait(poll, end)}
