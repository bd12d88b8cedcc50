"""A connection to a broker, which sends a request and reads the response before a deadline."""

from __future__ import annotations

from ssl import SSLEOFError

from .._core.clock import monotonic
from .._core.dialects import Response
from .._core.http1 import ResponseReader
from .connector import Connector
from .sockets import IN, OUT, Expired, OwnedSockets, new_poll, wait, would_block

_RECORD = 16384
"""Bytes that are received at a time: the maximum of a TLS record (RFC 8446, section 5.1).

So nothing is left in the buffer of the TLS socket, where poll would not see it.
"""
_LARGE = 16384
"""Size of a request, in bytes, above which a broker may reject it without reading it all, and never read the rest."""


class CutOff(Exception):
    """The broker closed the connection before its response was complete."""


class Connection(OwnedSockets):
    """A connection to a broker, for one push at a time."""

    is_open = False
    """Whether requests can be sent."""
    begun = False
    """Whether a byte of a request may have been sent."""
    idle_since = 0.0
    """When the last response was complete, on the monotonic clock."""

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self._connector = connector

    def open(self, deadline: float) -> None:
        """Connect. However this ends, the caller must close the connection."""
        self._socket = self._connector.connect(self, deadline)
        self._poll = new_poll()
        self._poll.register(self._socket, IN)
        self.is_open = True

    def exchange(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        """Send a request. Return the response, and whether the connection can be used again; if not, close it.

        If the response arrives early, the rest of the request is not sent, and the connection cannot be used again.
        """
        self.begun = True
        reader = ResponseReader()
        response = None
        unsent = self._send(memoryview(request))
        while response is None:
            if unsent:
                self._poll.register(self._socket, IN | OUT)
            if not wait(self._poll, deadline):
                raise Expired
            response = self._receive(reader)
            if unsent and response is None:
                unsent = self._send(unsent)
                self._poll.register(self._socket, IN)
        self.begun = False
        self.idle_since = monotonic()
        return response, reader.reusable and not unsent and (len(request) <= _LARGE or response.status < 300)

    def is_quiet(self) -> bool:
        """Whether the broker has neither closed the idle connection nor sent anything on it."""
        return not self._poll.poll(0)

    def _send(self, unsent: memoryview) -> memoryview:
        """Send what can be sent now, and return the rest."""
        try:
            return unsent[self._socket.send(unsent) :]
        except (ConnectionError, SSLEOFError):  # the broker has closed the connection; its response may be readable
            return unsent
        except OSError as error:
            if not would_block(error):
                raise
            return unsent

    def _receive(self, reader: ResponseReader) -> Response | None:
        """Receive what has arrived, and return the response if it is complete."""
        try:
            received = self._socket.recv(_RECORD)
        except ConnectionError:
            if (response := reader.end()) is None:
                raise
            return response
        except OSError as error:
            if not would_block(error):
                raise
            return None
        if received:
            return reader.feed(received)
        if (response := reader.end()) is None:
            raise CutOff
        return response
