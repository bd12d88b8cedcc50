"""Non-blocking sockets that no exception of a signal handler leaves open, and which errors come from the network.

Deadlines are on the monotonic clock; infinity means none.
"""

from __future__ import annotations

import select
import socket
from math import inf
from ssl import SSLContext, SSLError, SSLSocket, SSLWantReadError, SSLWantWriteError
from traceback import walk_tb

from .._core.clock import monotonic

IN: int = getattr(select, "POLLIN", 1)
"""The event that data can be read, or that the connection has ended."""
OUT: int = getattr(select, "POLLOUT", 4)
"""The event that data can be sent, or that the socket has connected."""


class Expired(Exception):
    """The deadline has passed, or another thread has aborted the connection."""


class _Select:
    """The part of `select.poll` that is used, for systems without it."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, source: socket.socket, events: int, /) -> None:
        self._events[source.fileno()] = events

    def poll(self, milliseconds: float | None, /) -> list[tuple[int, int]]:
        reading = [each for each, events in self._events.items() if events & IN]
        writing = [each for each, events in self._events.items() if events & OUT]
        # Windows reports a refused connection as an exceptional condition.
        ready = select.select(reading, writing, writing, None if milliseconds is None else milliseconds / 1000)
        return [(each, self._events[each]) for each in {*ready[0], *ready[1], *ready[2]}]


def new_poll() -> select.poll | _Select:
    # Preferably poll: select accepts no descriptor above 1023 (FD_SETSIZE).
    return select.poll() if hasattr(select, "poll") else _Select()


def wait(poll: select.poll | _Select, end: float) -> list[tuple[int, int]]:
    """Wait until a socket is ready, or until `end`. Return the descriptors that are ready."""
    left = end - monotonic()
    return poll.poll(None if left == inf else left * 1000) if left > 0 else []


def is_network_error(error: OSError) -> bool:
    """Return whether an error comes from the network, and not from a signal handler that ran while a socket was in use.

    Handlers may raise TimeoutError and other OSErrors, without an errno. Errors of the system and the resolver have
    one, and errors of TLS have a class of their own.
    """
    return error.errno is not None or isinstance(error, SSLError | ConnectionError)


def would_block(error: OSError) -> bool:
    """Return whether an operation on a non-blocking socket must be repeated when the socket is ready."""
    return isinstance(error, BlockingIOError | SSLWantReadError | SSLWantWriteError) and is_network_error(error)


class OwnedSockets:
    """Sockets, each registered before it is opened, so that `close` closes it even after an exception in between."""

    is_aborted = False
    """Whether `abort` was called. Check it after creating a socket, and before waiting for it."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def new(self, family: int, kind: int, protocol: int) -> socket.socket:
        make = socket.socket
        if isinstance(make, type):
            # In two steps: an exception of a signal handler after `socket.socket(…)` would lose the socket.
            made = make.__new__(make)
            self._sockets.append(made)
            make.__init__(made, family, kind, protocol)
        else:  # some applications replace socket.socket by a function that binds each socket to an address
            made = make(family, kind, protocol)
            self._sockets.append(made)
        made.setblocking(False)
        return made

    def secure(self, connected: socket.socket, context: SSLContext, host: str) -> SSLSocket:
        """Return a connected socket with TLS. The caller must do the handshake.

        If the connection was reset, CPython before 3.13 may raise and leave an SSLSocket open, and any version may
        return one without TLS, whose `do_handshake` raises.
        """
        try:
            secured = context.wrap_socket(connected, server_hostname=host, do_handshake_on_connect=False)
        except BaseException as error:
            # An SSLSocket to which only the traceback refers may have the descriptor, alone or together with the other
            # socket. Only one of them may close it.
            for frame, _ in walk_tb(error.__traceback__):
                made = frame.f_locals.get("self")
                if isinstance(made, SSLSocket) and made.fileno() >= 0:
                    if made.fileno() == connected.fileno():
                        connected.detach()
                    self._sockets.append(made)
            raise
        self._sockets.append(secured)
        return secured

    def close(self, but: socket.socket | None = None) -> None:
        """Close all sockets but one, without a TLS close_notify: after a fork, the connection is the parent's."""
        for each in self._sockets:
            if each is not but:
                try:
                    each.close()
                except AttributeError:  # an exception has interrupted its constructor after that of the base class
                    socket.SocketType.close(each)

    def abort(self) -> None:
        """Shut the connection down while another thread connects, or waits for the response."""
        self.is_aborted = True
        for each in list(self._sockets):
            try:
                if isinstance(each, SSLSocket):
                    # SSLSocket.shutdown removes TLS first: another thread could then send data in plain text.
                    super(SSLSocket, each).shutdown(socket.SHUT_RDWR)
                else:
                    each.shutdown(socket.SHUT_RDWR)
            except OSError as error:  # not connected yet, or already closed
                if not is_network_error(error):
                    raise
