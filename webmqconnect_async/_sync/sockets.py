"""Sockets to a broker that survive exceptions from signal handlers, and which errors come from the network.

Deadlines are times of the monotonic clock; infinite means none. A socket's timeout is not a deadline, since it starts
again with each byte that arrives. It is therefore set to the time that is left before every operation.
"""

from __future__ import annotations

import re
import socket
import time
from math import inf
from ssl import SSLContext, SSLError, SSLSocket
from traceback import walk_tb

from .._core.endpoint import Endpoint

__all__ = ["Expired", "OwnedSocket", "is_network_error", "remaining"]

_TIMED_OUT = re.compile(r"(.*The \w+ operation )?timed out")
"""The message of a socket's own timeout, with and without TLS."""


class Expired(Exception):
    """The deadline has passed."""


def remaining(deadline: float) -> float | None:
    """Return the seconds until a deadline, or None if it is infinite; raise Expired if it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Expired
    return None if left == inf else left


def is_network_error(error: OSError) -> bool:
    """Whether an error comes from the network, and not from a signal handler that ran while a socket was in use.

    Handlers raise TimeoutError, as sockets do, and other OSErrors. Those of the system and the resolver have an errno,
    those of TLS and http.client have classes of their own, and a socket's own timeout has a known message.
    """
    if error.errno is not None or isinstance(error, SSLError | ConnectionError):
        return True
    return isinstance(error, TimeoutError) and _TIMED_OUT.fullmatch(str(error)) is not None


class OwnedSocket:
    """A socket that is owned from before it is open until `close`, so that no exception in between leaves it open."""

    _socket: socket.socket | None = None

    def open(
        self, endpoint: Endpoint, context: SSLContext | None, connect_timeout: float | None, deadline: float
    ) -> socket.socket:
        """Connect and return the socket. However this ends, the caller must call `close`.

        Resolving the broker's name cannot be interrupted, so it may take longer than the deadline.

        Args:
            endpoint: The broker.
            context: Verifies https; None for http.
            connect_timeout: Seconds to connect to one address, and again for the TLS handshake. None: the time that is
                left is shared evenly among the addresses still to be tried.
            deadline: On the monotonic clock.

        Raises:
            OSError, Expired: There is no connection.
        """
        connected = self._connect(endpoint, context, connect_timeout, deadline)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(connected, SSLSocket):
            connected.settimeout(_sooner(remaining(deadline), connect_timeout))
            try:
                connected.do_handshake()
            except TimeoutError as error:
                if is_network_error(error):
                    remaining(deadline)
                raise
        return connected

    def close(self) -> None:
        """Close the socket. No TLS close is sent: after a fork the connection is the parent's. Safe to call again."""
        if self._socket is None:
            return
        try:
            self._socket.close()
        except AttributeError:  # an exception has ended its constructor after that of its base class
            socket.SocketType.close(self._socket)

    def shutdown(self) -> None:
        """Break the connection while another thread uses it."""
        if self._socket is None:
            return
        try:
            # Not SSLSocket.shutdown: it removes TLS first, and data being sent just then would go out in clear.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError as error:  # not connected yet, or already closed
            if not is_network_error(error):
                raise

    def _connect(
        self, endpoint: Endpoint, context: SSLContext | None, connect_timeout: float | None, deadline: float
    ) -> socket.socket:
        addresses = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        failure: OSError = ConnectionError("the name has no address")
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            left = remaining(deadline)
            share = None if left is None else left / (len(addresses) - place)
            try:
                # The kernel may lack the family of an address that the resolver returns; that is an OSError, too.
                connecting = self._create(family, kind, protocol)
                if context is not None:
                    connecting = self._wrap(connecting, context, endpoint.host)
                connecting.settimeout(_sooner(share, connect_timeout))
                connecting.connect(address)
            except OSError as error:
                if not is_network_error(error):
                    raise
                self.close()
                failure = error
            else:
                return connecting
        remaining(deadline)
        raise failure

    def _create(self, family: int, kind: int, protocol: int) -> socket.socket:
        make = socket.socket
        if isinstance(make, type):
            # In two steps, since an exception could lose what `socket.socket(…)` returns.
            self._socket = make.__new__(make)
            make.__init__(self._socket, family, kind, protocol)
        else:  # replaced by a function, as is usual to bind all sockets to an address
            self._socket = make(family, kind, protocol)
        return self._socket

    def _wrap(self, bare: socket.socket, context: SSLContext, host: str) -> socket.socket:
        """Return the socket with TLS, which does not start the handshake by itself.

        It is wrapped before it is connected: given a connection that is being reset, wrap_socket returns a socket that
        cannot be closed (before Python 3.13) or never does the handshake.
        """
        try:
            self._socket = context.wrap_socket(bare, server_hostname=host, do_handshake_on_connect=False)
        except BaseException as error:
            # If a signal handler has raised, there may be two sockets with one descriptor: this one, and an SSLSocket
            # that only the traceback refers to. Only one of them may close it.
            for frame, _ in walk_tb(error.__traceback__):
                made = frame.f_locals.get("self")
                if isinstance(made, SSLSocket) and made.fileno() >= 0:
                    if made.fileno() == bare.fileno():
                        bare.detach()
                    self._socket = made
            raise
        return self._socket


def _sooner(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two times; None is the longest."""
    return min((each for each in (one, other) if each is not None), default=None)
