"""Pushes the events of `push_soon` in a daemon thread, one at a time."""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from .._core.background import Background
from .._core.background_queue import BackgroundQueue, unexpected
from .._core.clock import monotonic
from .._core.dialects import Signer
from .._core.values import Receipt
from ..errors import WebMQError
from .slots import Latch, seconds_until

__all__ = ["ThreadedBackground"]

_AT_EXIT = 5.0
"""Seconds that the interpreter waits at exit, for the events of all clients."""
_CUT = 1.0
"""Seconds that `finish` waits for a push that was cut off. One that resolves a name does not end until it has."""

_running: set[ThreadedBackground] = set()
"""Those with a thread. A fork copies the set, but not the threads."""


class ThreadedBackground(BackgroundQueue):
    """The events of `push_soon` of a Client in one process.

    Args:
        background: The client's options.
        broker: Host and port, for the log.
    """

    def __init__(self, background: Background, broker: str) -> None:
        super().__init__(background, broker)
        self.pid = os.getpid()
        self.is_running = False
        """Whether there is a thread."""
        self._thread: threading.Thread | None = None
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._flushes: dict[Latch, None] = {}
        self._ended = False

    def start(self, client: object, push: Callable[[Signer], Receipt]) -> None:
        """Start the thread. It ends when the client is closed, or collected and its events pushed.

        Raises:
            RuntimeError: It cannot be started.
        """
        _check_uwsgi()
        thread = threading.Thread(target=self._work, args=(push,), name="webmqconnect-background", daemon=True)
        thread.start()
        with self._lock:
            self._thread = self._thread or thread
            self.is_running = True
        weakref.finalize(client, self.end).atexit = False
        # After the finalizer that closes idle connections, and so called before it.
        atexit.unregister(_flush_all)
        atexit.register(_flush_all)

    def flush(self, deadline: float) -> bool:
        """Wait until no event waits or is in flight; return False at the deadline, on the monotonic clock."""
        flushed = Latch()
        with self._lock:
            if not self._backlog.waiting:
                return True
            self._flushes[flushed] = None
        try:
            # The thread itself, which calls `on_failure`, cannot wait for its own work.
            return threading.current_thread() is not self._thread and flushed.wait(seconds_until(deadline))
        finally:
            self._flushes.pop(flushed, None)

    def finish(self) -> None:
        """Wait for a push that was cut off, let the thread end, and log what was left."""
        self.flush(monotonic() + _CUT)
        self.end()
        self.log_left()

    def end(self) -> None:
        """Let the thread end once no event waits."""
        self._ended = True
        self._wakes.put(None)

    def _wake(self) -> None:
        self._wakes.put(None)

    def _drained(self) -> None:
        for flushed in list(self._flushes):
            flushed.set()

    def _work(self, push: Callable[[Signer], Receipt]) -> None:
        """Push one event after another."""
        this = threading.current_thread()
        with self._lock:
            self._thread = self._thread or this
            if self._thread is not this:
                return  # two threads have called `start`, or a signal handler has interrupted it
        _running.add(self)
        try:
            while self._wait():
                if (entry := self._take()) is not None:
                    result = _result(push, entry.encoded)
                    if self._is_here():
                        self._done(entry, result)
        finally:
            _running.discard(self)
            self.is_running = False
            self._thread = None

    def _is_here(self) -> bool:
        """Whether this is not a copy that a fork has made: under gevent, it copies the thread as well."""
        return self.pid == os.getpid()

    def _wait(self) -> bool:
        """Wait until an event may be pushed; return False if the thread is to end."""
        while True:
            with self._lock:
                # gevent fails if a copy ends: it waits until its process has ended.
                delay = self._backlog.delay(monotonic()) if self._is_here() else None
                self._idle = delay is None
            if delay == 0:
                return True
            if self._ended and not self._backlog.waiting and self._is_here():
                return False
            with suppress(queue.Empty):
                self._wakes.get(timeout=delay)


def _result(push: Callable[[Signer], Receipt], sign: Signer) -> Receipt | WebMQError:
    try:
        return push(sign)
    except WebMQError as error:
        return error
    except Exception as error:  # noqa: BLE001  # a fault of ours must not end the thread
        return unexpected(error)


def _flush_all() -> None:
    """Push, as the interpreter exits, what clients have not pushed yet."""
    deadline = monotonic() + _AT_EXIT
    running = [each for each in _running if each._is_here()]
    for background in running:
        background.refuse()
    for background in running:
        background.flush(deadline)
    for background in running:
        background.abandon()
        background.log_left()


def _check_uwsgi() -> None:
    """Raise RuntimeError in a process of uWSGI that does not run threads: a thread could be started, and would wait.

    Since version 2.0.27, uWSGI runs threads without an option.
    """
    uwsgi = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if options is None or getattr(uwsgi, "version_info", ()) >= (2, 0, 27):
        return
    if not {"enable-threads", "threads", b"enable-threads", b"threads"} & set(options):
        raise RuntimeError("uWSGI does not run Python threads here: start it with --enable-threads, or use push")
