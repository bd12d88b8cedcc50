"""Push the events of `push_soon` in a daemon thread, one at a time."""

from __future__ import annotations

import atexit
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from .._core.background_queue import BackgroundQueue, webmq_error
from .._core.backlog import Background, Backlog
from .._core.clock import monotonic
from .._core.dialects import Signer
from .._core.values import Receipt
from ..errors import Unconfirmed, WebMQError
from .slots import Latch, seconds_until

_AT_EXIT = 5.0
"""Seconds that the interpreter waits at exit for the events of all clients."""
_CUT_GRACE = 1.0
"""Seconds that `end` waits for a push that was cancelled. Resolving a name cannot be interrupted."""

_running: set[ThreadQueue] = set()
"""The queues with a thread. A fork copies the set, but not the threads."""


class ThreadQueue(BackgroundQueue):
    """The events of `push_soon` of a Client in one process."""

    def __init__(self, background: Background, broker: str) -> None:
        super().__init__(background, broker)
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        """The thread that pushes; `None` before it starts and after it has ended."""
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._flushes: dict[Latch, None] = {}
        self._ended = False

    def start(self, client: object, push: Callable[[Signer], Receipt]) -> None:
        """Start the thread, unless it is running; raise RuntimeError if it cannot be started.

        It ends when the client has been closed, or garbage-collected and its events pushed.
        """
        if self._thread is None:
            if not getattr(sys.modules.get("uwsgi"), "has_threads", True):  # a thread would start, and never run
                raise RuntimeError(
                    "uWSGI does not run Python threads here: start it with --enable-threads, or use push"
                )
            weakref.finalize(client, self._stop).atexit = False
            # Registered after the finalizer that closes idle connections, and so called before it (atexit is LIFO).
            atexit.unregister(_flush_all)
            atexit.register(_flush_all)
            self._start_thread(push)

    def flush(self, deadline: float) -> bool:
        """Wait until all events have an outcome; return False at the deadline, on the monotonic clock."""
        flushed = Latch()
        with self._lock:
            if not self._backlog.waiting:
                return True
            self._flushes[flushed] = None
        try:
            # The thread itself, in which an `on_failure` may call this, cannot wait for its own work.
            return threading.current_thread() is not self._thread and flushed.wait(seconds_until(deadline))
        finally:
            self._flushes.pop(flushed, None)

    def end(self) -> None:
        """Wait for a push that was cancelled, let the thread end, and log what was not pushed."""
        self.flush(monotonic() + _CUT_GRACE)
        self._stop()
        self.report(ended=True)

    def forget_parent(self) -> None:
        """Drop the parent's events, in the child of a fork. Takes no lock: a thread of the parent may have held it."""
        _running.discard(self)
        self._backlog = Backlog(self._background, random.random)

    def _stop(self) -> None:
        """Let the thread end once no event waits."""
        self._ended = True
        self._wakes.put(None)

    def _wake(self) -> None:
        self._wakes.put(None)

    def _wake_flushes(self) -> None:
        for flushed in list(self._flushes):
            flushed.set()

    def _start_thread(self, push: Callable[[Signer], Receipt]) -> None:
        thread = threading.Thread(target=self._work, args=(push,), name="webmqconnect-background", daemon=True)
        try:
            with self._lock:
                self._thread = self._thread or thread
            if self._thread is thread:
                _running.add(self)
                thread.start()
        finally:
            if thread.ident is None and self._thread is thread:
                self._thread = None
                _running.discard(self)

    def _work(self, push: Callable[[Signer], Receipt]) -> None:
        if self._thread is not threading.current_thread():
            return  # a signal handler has interrupted `_start_thread`
        try:
            while self._wait():
                if (entry := self._take()) is not None:
                    result: Receipt | WebMQError = Unconfirmed("the push was interrupted")
                    try:
                        result = push(entry.encoded)
                    except Exception as error:  # noqa: BLE001  # a bug of this package must not end the thread
                        result = webmq_error(error)
                    finally:
                        if self._is_here():
                            self._done(entry, result)
        finally:
            _running.discard(self)
            self._thread = None
            if self._is_here() and (not self._ended or self._backlog.waiting):
                self._start_thread(push)  # this one was ended by an exception, such as a SystemExit of `on_failure`
            else:
                self.report(ended=True)

    def _is_here(self) -> bool:
        """Whether this is not a copy made by a fork, which under gevent also copies the thread."""
        return self._pid == os.getpid()

    def _wait(self) -> bool:
        """Wait until an event may be pushed; return False if the thread is to end."""
        while True:
            # gevent fails if a copied thread ends, so a copy waits here until its process ends.
            delay = self._delay() if self._is_here() else None
            if delay == 0:
                return True
            if self._ended and not self._backlog.waiting and self._is_here():
                return False
            with suppress(Empty):
                self._wakes.get(timeout=delay)


def _flush_all() -> None:
    """When the interpreter exits, push the events that are left."""
    deadline = monotonic() + _AT_EXIT
    running = [each for each in list(_running) if each._is_here()]
    try:
        for queue in running:
            queue.refuse()
        for queue in running:
            queue.flush(deadline)
    finally:
        for queue in running:
            queue.abandon()
            queue.report(ended=True)
