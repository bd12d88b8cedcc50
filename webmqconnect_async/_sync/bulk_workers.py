"""Push many events with a few threads. The source is read, and the outcomes are yielded, in the caller's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeAlias

from .._core.bulk import Bulk, Item, Job, outcome_of
from .._core.values import Outcome, Push, Receipt
from ..errors import ClientClosed, InvalidPush, WebMQError

Pushes: TypeAlias = Iterable[Item]
"""The source of a bulk of `Client`: an iterable of `Push` or `(topic, event)`."""

PushOne: TypeAlias = Callable[[Push | InvalidPush], Receipt | WebMQError]

_END = object()


def outcomes(workers: int, pushes: Pushes, bulk: Bulk, push: PushOne) -> Generator[Outcome, None, BaseException | None]:
    """Yield outcomes in order of completion, with at most `workers` pushes in flight.

    Returns:
        Why the source was not read to its end; `None` if it was.
    """
    crew = _Crew(workers, push)
    try:
        # The loop is in a function of its own. In CPython 3.13, some jumps to the start of a loop are not covered by
        # the `try` around it: an exception of a signal handler could skip `finally`.
        return (yield from _outcomes(crew, iter(pushes), bulk))
    finally:
        try:
            crew.stop()
            crew.join()
        except BaseException:
            crew.stop()
            raise


def _outcomes(crew: _Crew, items: Iterator[Item], bulk: Bulk) -> Generator[Outcome, None, BaseException | None]:
    failure: BaseException | None = None
    reading = True
    while True:
        if reading and crew.has_room and not bulk.full and not crew.has_result:
            item: object = _END
            try:
                # Not next(): an exception of a signal handler after that call would lose the returned item.
                for each in items:
                    item = each
                    break
            except (KeyboardInterrupt, SystemExit):
                raise  # meant for the caller's thread, which happened to read the source at that moment
            except BaseException as error:  # noqa: BLE001  # the caller's iterable may raise anything
                reading, failure = False, error
            else:
                if item is _END:
                    reading = False
                elif (taken := bulk.take(item)) is not None:
                    crew.run(taken)
        elif crew.busy:
            job, result = crew.wait()
            if reading and isinstance(result, ClientClosed):
                reading, failure = False, result
            if (following := bulk.done(job)) is not None:
                crew.run(following)
            yield outcome_of(job, result)
        elif not reading:
            return failure


def collect(stream: Generator[Outcome, None, BaseException | None]) -> tuple[list[Outcome], BaseException | None]:
    """Return all outcomes, and why the source was not read to its end."""
    done: list[Outcome] = []
    try:
        return done, _append_all(stream, done)
    finally:
        # A signal handler may have raised while the generator was suspended.
        stream.close()


def _append_all(stream: Generator[Outcome, None, BaseException | None], done: list[Outcome]) -> BaseException | None:
    while True:
        try:
            outcome = next(stream)
        except StopIteration as end:
            failure: BaseException | None = end.value
            return failure
        done.append(outcome)


class PushStream(Iterator[Outcome]):
    """The outcomes of `Client.push_stream`, as they come. Leaving its `with` block stops the rest."""

    def __init__(self, stream: Generator[Outcome, None, BaseException | None]) -> None:
        self._stream = stream

    def __next__(self) -> Outcome:
        try:
            return next(self._stream)
        except StopIteration as end:
            failure: BaseException | None = end.value
        if failure is not None:
            raise failure
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()


class _Crew:
    """Threads that push, each started when there is work for it. Without threads, the caller's thread pushes.

    Only the caller's thread calls the methods.

    Args:
        size: Maximum number of pushes in flight; 1 needs no thread.
        push: Pushes one item.
    """

    def __init__(self, size: int, push: PushOne) -> None:
        self._size = size
        self._may_grow = size > 1
        self._push = push
        self._threads: set[threading.Thread] = set()
        """The threads that were started. Each also adds itself, since an exception may interrupt `start`."""
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Job, Receipt | WebMQError | BaseException]] = queue.SimpleQueue()
        self._stopped = False
        self.busy = 0
        """Number of jobs passed to `run` whose results `wait` has not returned yet."""

    @property
    def has_room(self) -> bool:
        return self.busy < self._size

    @property
    def has_result(self) -> bool:
        return not self._results.empty()

    def run(self, job: Job) -> None:
        """Pass a job to a thread, or run it here if there are none."""
        self.busy += 1
        if self._may_grow and len(self._threads) < self.busy:
            self._start()
        if self._threads:
            self._jobs.put(job)
        else:
            self._results.put((job, self._push(job.push)))

    def wait(self) -> tuple[Job, Receipt | WebMQError]:
        """Return a job and its result. An exception that is not a WebMQError is raised."""
        job, result = self._results.get()
        self.busy -= 1
        if isinstance(result, Receipt | WebMQError):
            return job, result
        raise result

    def stop(self) -> None:
        """Let the threads end once there are no more jobs. Safe to call again."""
        self._stopped = True
        self._jobs.put(None)

    def join(self) -> None:
        """Wait until the threads have ended."""
        for thread in list(self._threads):
            thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="webmqconnect-push", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # "can't start new thread", for example at the pids limit of a container; since CPython 3.12 also "can't
            # create new thread at interpreter shutdown". Other errors come from a signal handler that raised in
            # `start`.
            if "new thread" not in str(error):
                raise
            self._may_grow = False
            self._size = max(1, len(self._threads))
        else:
            self._threads.add(thread)

    def _work(self) -> None:
        self._threads.add(threading.current_thread())
        if self._stopped:
            return  # `start` was interrupted, and `join` may not have seen this thread
        while (job := self._jobs.get()) is not None:
            try:
                self._results.put((job, self._push(job.push)))
            except BaseException as error:  # noqa: BLE001  # `wait` raises it in the caller's thread
                self._results.put((job, error))
        self._jobs.put(None)  # for the next thread
