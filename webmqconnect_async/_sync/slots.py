"""The slots of a blocking client: which pushes are in flight, and the counts of those that have ended.

No slot is lost if a signal handler raises an exception, for Ctrl-C or for the time limit of a task queue. CPython runs
Python-level handlers between bytecode instructions: on entry to a function, at backward jumps, after calls, and within
C calls that wait. So the exception can come after a call has taken effect, but before its result is stored. This module
and its callers rely on three rules:

- A push creates its `Lease` and enters `try` before it acquires anything. `Slots.release`, in `finally`, looks up what
  the lease holds, so it is safe to call again after an exception in the first call.
- Changes that belong together are made without a call or a loop between them; at most the last is a call into C.
- Locks that guard state are implemented in C and entered by `with`, which has no gap. `threading.Condition` and `Event`
  are written in Python: an exception can leave the lock inside them locked forever. A lock that the thread of a handler
  may already hold is reentrant, so that the handler can use the client.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .._core.clock import monotonic
from ..errors import ClientClosed, QueueTimeout

if TYPE_CHECKING:
    from .connection import Connection


class Lease:
    """What one push holds: a slot or a place in the queue, and a connection."""

    connection: Connection | None = None
    """The connection in use."""
    pushed = False
    """Whether the broker has accepted the push."""
    attempts = 0
    """Requests made for it."""

    background = False
    """Whether it is a push of `push_soon`.

    Such a push has a slot beyond those of the client, even while that closes, and is not counted if it fails.
    """


class Slots:
    """A semaphore with deadlines, served in order of arrival, that can be closed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._background = 0
        self._lock = threading.RLock()
        self._pushed = self._failed = self._retried = 0
        # Dicts, because they are ordered, and a statement that changes one is not a call.
        self.held: dict[Lease, None] = {}
        self._queue: dict[Lease, threading.Lock] = {}
        self._drained = Latch()
        self.closed = False
        self.cut = Latch()
        """Set when the client has been closed and its grace period is over."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The first four fields of `Stats`."""
        with self._lock:
            return self._pushed, self._failed, self._retried, len(self.held)

    def acquire(self, lease: Lease, deadline: float) -> None:
        """Wait for a slot. The caller must release the lease, even after an exception."""
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if self.closed and not lease.background:
                raise ClientClosed("the client is closed")
            if lease.background or len(self.held) - self._background < self._size:
                self._background += lease.background
                self.held[lease] = None
                return
            self._queue[lease] = turn
        turn.acquire(timeout=seconds_until(deadline))
        with self._lock:
            if lease in self.held:
                return
            closed = self.closed
        if closed:
            raise ClientClosed("the client was closed while the push waited for a slot")
        raise QueueTimeout(f"none of the {self._size} slots came free before the deadline")

    def release(self, lease: Lease) -> None:
        """Release the lease's slot, or leave the queue, and count the push. Safe to call again."""
        with self._lock:
            held = lease in self.held
            if held or lease in self._queue:
                self._pushed += lease.pushed
                self._failed += not lease.pushed and not lease.background
                if lease.attempts > 1:
                    self._retried += lease.attempts - 1
                if not held:
                    del self._queue[lease]
                else:
                    del self.held[lease]
                    if lease.background:
                        self._background -= 1
                    elif not self.closed:
                        # The lease that has waited longest gets the slot. If it were only marked as free, the running
                        # thread, which releases it, could take it again at once, and so forever.
                        for following in self._queue:
                            turn = self._queue[following]
                            del self._queue[following]
                            self.held[following] = None
                            turn.release()
                            break
        if self.closed and not self.held:
            self._drained.set()

    def refuse(self) -> None:
        """Accept no more leases, except those of `push_soon`. Safe to call again."""
        with self._lock:
            self.closed = True
        while self._queue:
            with self._lock:
                for lease in self._queue:
                    turn = self._queue[lease]
                    del self._queue[lease]
                    self._failed += 1
                    turn.release()
                    break

    def close(self, deadline: float) -> int:
        """Accept no more leases, and wait until the deadline for those that hold a slot. Return how many still do."""
        self.refuse()
        if not self.held:
            self._drained.set()
        self._drained.wait(seconds_until(deadline))
        with self._lock:
            cut_off = 0 if self.cut.is_set else len(self.held)
            self.cut.set()
        return cut_off


class Latch:
    """An event that is set once: a `threading.Event` that stays usable after an exception of a signal handler."""

    def __init__(self) -> None:
        self.is_set = False
        self._lock = threading.Lock()
        """Locked until the latch is set. After that, each waiting thread that gets the lock releases it again."""
        self._lock.acquire()

    def set(self) -> None:
        """Wake all waiting threads. Safe to call again, which completes a call that an exception has interrupted."""
        self.is_set = True
        try:  # noqa: SIM105  # a handler may raise after the call of `suppress`, and before that of `release`
            self._lock.release()
        except RuntimeError:  # it is not locked
            pass

    def wait(self, seconds: float) -> bool:
        """Wait until the latch is set, for at most `seconds`; return whether it is set."""
        try:
            # If this is a handler that has interrupted a `wait` which holds the lock, the latch is set.
            if not self.is_set:
                self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        finally:
            # Also after an exception that followed `acquire`: nothing is called between the two.
            if self.is_set:
                try:  # noqa: SIM105  # as in `set`
                    self._lock.release()
                except RuntimeError:
                    pass
        return self.is_set


def seconds_until(deadline: float) -> float:
    """Return the seconds until a deadline as the timeout of a lock: 0 if it has passed, at most TIMEOUT_MAX."""
    return min(max(0.0, deadline - monotonic()), threading.TIMEOUT_MAX)
