"""What a Client has in one process: its idle connections and its slots; and how a request crosses the network.

It decides nothing: whether to try again and what an answer means is the flow's business.
"""

from __future__ import annotations

import os
import ssl
import time
import weakref
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from .. import failures, log
from ..dialects import Request, Response
from ..failures import TransportFailure, WithoutFrames
from ..flow import Answer, Clock, PushFlow, Sleep
from ..settings import Settings
from ..values import Receipt
from .connection import Connection, Expired
from .slots import Slots

__all__ = ["Wire"]


class Wire:
    """One process's share of a Client. Threads may use it side by side.

    Args:
        settings: the client's.
    """

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.clock = Clock(time.time, time.monotonic)
        self.slots = Slots(settings.concurrency)
        self._endpoint = settings.endpoint
        self._connect_timeout = settings.connect_timeout
        self._keepalive = float("inf") if settings.keepalive is None else settings.keepalive
        self._context = settings.ssl if settings.endpoint.scheme == "https" else None
        if settings.endpoint.scheme == "https" and self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        host = {} if "host" in map(str.lower, settings.headers) else {"Host": settings.endpoint.authority}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (host | dict(settings.headers)).items())
        self._head = f" HTTP/1.1\r\n{lines}Content-Length: "
        # A list is a stack that threads can share: append and pop are atomic.
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        # A client need not be closed: what it leaves idle closes with it, without a ResourceWarning.
        weakref.finalize(self, _close_all, self._idle)

    def drive(self, flow: PushFlow, deadline: float) -> Receipt:
        """Carry out what the flow asks for until it has a receipt; the flow's errors pass through."""
        answer: Answer = None
        with WithoutFrames():
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    receipt: Receipt = end.value
                    return receipt
                if isinstance(step, Request):
                    answer = self.exchange(step, deadline)
                else:
                    answer = self._sleep(step)

    def exchange(self, request: Request, deadline: float) -> Response | TransportFailure:
        """Send one request and return its answer, or why there is none."""
        connection = None
        try:
            connection = self._connection(deadline)
            head = f"POST {self._endpoint.path}?{request.query}{self._head}{len(request.body)}\r\n\r\n"
            response, reusable = connection.exchange(head.encode() + request.body, deadline)
            if reusable and self._keepalive and not self.slots.is_cut:
                self._busy.discard(connection)
                self._idle.append(connection)
                connection = None
            return response
        except (OSError, HTTPException, Expired) as error:
            return self._failure(error, connection is not None and connection.begun, connection)
        finally:
            if connection is not None:
                self._busy.discard(connection)
                connection.close()

    def close(self, deadline: float) -> None:
        """Close the slots, then whatever is still in flight at the deadline, then what is idle."""
        if cut := self.slots.close(deadline):
            log.cut(self._endpoint.authority, cut)
        for connection in list(self._busy):
            connection.abort()
        _close_all(self._idle)

    def abandon(self) -> None:
        """Let go of what a fork copied. It is the parent's: closing says no goodbye on it."""
        log.forked(self._endpoint.authority)
        _close_all(self._idle)

    def _connection(self, deadline: float) -> Connection:
        """Return an idle connection that the broker has left alone, or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = Connection(self._endpoint, self._context, deadline, self._connect_timeout)
                break
            if time.monotonic() - connection.idle_since < self._keepalive and connection.is_quiet():
                break
            connection.close()
        self._busy.add(connection)
        if self.slots.is_cut:
            # Too late for `close` to have seen it.
            self._busy.discard(connection)
            connection.close()
            raise Expired
        return connection

    def _sleep(self, sleep: Sleep) -> TransportFailure | None:
        log.retrying(self._endpoint.authority, sleep)
        return self._failure(Expired(), False) if self.slots.sleep(sleep.seconds) else None

    def _failure(self, error: Exception, begun: bool, connection: Connection | None = None) -> TransportFailure:
        """Say why there is no answer."""
        broker = self._endpoint.authority
        if isinstance(error, Expired) or self.slots.is_cut:
            return failures.expired(begun, self.slots.is_cut)
        if isinstance(error, ssl.SSLCertVerificationError):
            return failures.unverified(broker, error.verify_message)
        what = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        if connection is None:
            return failures.unreachable(broker, what)
        if isinstance(error, RemoteDisconnected | IncompleteRead) and connection.ended:
            return failures.cut_off(broker, begun)
        if isinstance(error, HTTPException):
            return failures.garbage(broker, begun)
        return failures.broken(broker, begun, what)


def _close_all(idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()
