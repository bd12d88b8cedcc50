"""The state of a Client in one process: its idle connections and its slots. It also drives each flow.

`flow` decides whether to retry, and `dialects` what a response means.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import weakref
from math import inf

from .._core import log
from .._core import transport_failures as failures
from .._core.clock import monotonic, unix_time
from .._core.dialects import Request, Response, Signer
from .._core.flow import Clock, PushFlow
from .._core.http1 import NotHTTP
from .._core.settings import Settings
from .._core.transport_failures import TransportFailure, WithoutFrames
from .._core.values import Receipt
from ..errors import WebMQError
from .background import ThreadQueue
from .connection import Connection, CutOff
from .connector import Connector
from .slots import Lease, Slots
from .sockets import Expired, is_network_error


class ProcessState:
    """The state of a Client in one process, shared by its threads.

    Exceptions from signal handlers leave it consistent, by the rules in `slots`: the lease of a push owns its
    connection, which `release` closes if the lease still has it.
    """

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.clock = Clock(unix_time, monotonic)
        self.slots = Slots(settings.concurrency)
        self.background = ThreadQueue(settings.background, settings.endpoint.authority)
        self._settings = settings
        self._broker = settings.endpoint.authority
        self._keepalive = inf if settings.keepalive is None else settings.keepalive
        self._head = settings.request_head
        context = None
        if settings.endpoint.scheme == "https":
            context = settings.ssl or ssl.create_default_context()
            if settings.ssl is None:
                context.set_alpn_protocols(["http/1.1"])  # RFC 7301, as http.client does
        self._connector = Connector(settings.endpoint, context, settings.connect_timeout)
        self._idle: list[Connection] = []
        """In the order in which they became idle. The last one is used first, so that the others can age."""
        self._lock = threading.RLock()
        """Guards the idle connections."""
        # A client need not be closed: when it is garbage-collected, this closes its idle connections, without a
        # ResourceWarning.
        weakref.finalize(self, _close_all, self._idle)

    def run(self, sign: Signer, deadline: float | None = None, *, background: bool = False) -> Receipt:
        """Wait for a slot, drive an encoded push, release the slot, and count the push.

        Without a deadline, wait for a slot without a limit, then start the client's timeout.
        """
        settings = self._settings
        lease = Lease()
        lease.background = background
        try:
            self.slots.acquire(lease, inf if deadline is None else deadline)
            if deadline is None:
                deadline = deadline_after(settings.timeout)
            flow = PushFlow(sign, settings.dialect, settings.retry, self.clock, random.random, deadline)
            receipt = self.drive(lease, flow, deadline)
            lease.attempts, lease.pushed = receipt.attempts, True
        except WebMQError as error:
            lease.attempts = error.attempts
            raise
        finally:
            # A signal handler may also raise within `release`. A second time in a row, within these few instructions,
            # it would leak the slot.
            try:
                self.release(lease)
            except BaseException:
                self.release(lease)
                raise
        return receipt

    def drive(self, lease: Lease, flow: PushFlow, deadline: float) -> Receipt:
        with WithoutFrames():
            while True:
                step = flow.receive(self.exchange(lease, flow.request(), deadline))
                if isinstance(step, Receipt):
                    return step
                if not lease.background:  # its queue has log messages of its own
                    log.retrying(self._broker, step)
                seconds = step.seconds
                del step  # otherwise its error, raised below, would refer to itself by this frame in its traceback
                if self.slots.cut.wait(seconds):
                    raise flow.error()

    def exchange(self, lease: Lease, request: Request, deadline: float) -> Response | TransportFailure:
        try:
            connection = self._connection(lease, deadline)
            response, reusable = connection.exchange(self._head.encode(request) + request.body, deadline)
            if reusable and self._keepalive:
                with self._lock:
                    if not self.slots.cut.is_set:
                        lease.connection = None
                        self._idle.append(connection)
            return response
        except (OSError, CutOff, NotHTTP, Expired) as error:
            if isinstance(error, OSError) and not is_network_error(error):
                raise
            return self._failure(error, lease.connection)
        finally:
            self._tidy(lease)

    def release(self, lease: Lease) -> None:
        """Close the connection if the lease still has one, and release the slot. Safe to call again."""
        _disconnect(lease)
        self.slots.release(lease)

    def close(self, deadline: float) -> None:
        """Push the events of `push_soon`, wait for the pushes in flight, and close all connections."""
        self.slots.refuse()
        self.background.refuse()
        self.background.flush(deadline)
        self.background.abandon()
        if cut := self.slots.close(deadline):
            log.cut(self._broker, cut)
        for lease in list(self.slots.held):
            if (connection := lease.connection) is not None:
                connection.abort()
        with self._lock:
            _close_all(self._idle)
        self.background.end()

    def abandon(self) -> None:
        """Drop the copies of the parent's connections and events, in the child of a fork. No TLS close_notify is sent.

        Takes no lock: a thread of the parent may have held it during the fork.
        """
        log.forked(self._broker)
        self.background.forget_parent()
        _close_all(self._idle)

    def _connection(self, lease: Lease, deadline: float) -> Connection:
        """Return a connection, which the lease owns: an idle one that is open and has no unread data, or a new one."""
        while True:
            with self._lock:
                if self._idle:
                    # Not pop(): an exception of a signal handler after it would lose the connection.
                    lease.connection = self._idle[-1]
                    del self._idle[-1]
            if (connection := lease.connection) is None:
                connection = lease.connection = Connection(self._connector)
                if self.slots.cut.is_set:
                    raise Expired
                connection.open(deadline)
                break
            if self._is_usable(connection):
                break
            _disconnect(lease)
        if self.slots.cut.is_set:
            # `close` may not have seen this connection.
            raise Expired
        return connection

    def _is_usable(self, idle: Connection) -> bool:
        return monotonic() - idle.idle_since < self._keepalive and idle.is_quiet()

    def _tidy(self, lease: Lease) -> None:
        """Close the connection if the lease still has one, and those that have been idle for too long."""
        while True:
            _disconnect(lease)
            with self._lock:
                # Not the last one: it is checked when it is used.
                oldest = self._idle[0] if self._idle[1:] else None
                if oldest is None or self._is_usable(oldest):
                    return
                if self._idle[:1] == [oldest]:  # otherwise a signal handler has used the client
                    lease.connection = oldest
                    del self._idle[0]

    def _failure(self, error: Exception, connection: Connection | None) -> TransportFailure:
        begun = connection is not None and connection.begun
        if isinstance(error, Expired) or self.slots.cut.is_set:
            return failures.expired(begun, self.slots.cut.is_set)
        if isinstance(error, CutOff):
            return failures.cut_off(self._broker, begun)
        if isinstance(error, NotHTTP):
            return failures.garbage(self._broker, begun)
        if isinstance(error, ssl.SSLCertVerificationError):
            return failures.unverified(self._broker, error.verify_message)
        what = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        if connection is None or not connection.is_open:
            return failures.unreachable(self._broker, what)
        return failures.broken(self._broker, begun, what)


def deadline_after(seconds: float | None) -> float:
    """Return the monotonic time at which `seconds` will have passed; infinity for `None`."""
    return inf if seconds is None else monotonic() + seconds


def _disconnect(lease: Lease) -> None:
    if lease.connection is not None:
        lease.connection.close()
        lease.connection = None


def _close_all(idle: list[Connection]) -> None:
    while idle:
        idle[-1].close()  # before it leaves the list, so that an exception cannot lose it open
        del idle[-1]
