"""Push many events with a few threads. The source is read, and the outcomes are yielded, in the caller's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Self, TypeAlias

from .._core.bulk import Bulk, Item, Job, outcome_of
from .._core.values import Outcome, Push, Receipt
from ..errors import ClientClosed, InvalidPush, WebMQError

Pushes: TypeAlias = Iterable[Item]
"""The source of a bulk of `Client`: an iterable of `Push` or `(topic, event)`."""

PushOne: TypeAlias = Callable[[Push | InvalidPush], Receipt | WebMQError]

_END = object()


class Source:
    """A caller's iterable, which is read as jobs."""

    failure: BaseException | None = None
    """Why it was not read to its end; `None` if it was."""

    def __init__(self, pushes: Pushes, bulk: Bulk) -> None:
        self._items = iter(pushes)
        self.bulk = bulk
        self.ended = False

    def next(self) -> Job | None:
        """Read an item and return its job. `None`: there are no more items, or its topic is busy."""
        item: object = _END
        try:
            # Not next(): an exception of a signal handler after that call would lose the returned item.
            for each in self._items:
                item = each
                break
        except (KeyboardInterrupt, SystemExit):
            raise  # meant for the caller's thread, which happened to read the source at that moment
        except BaseException as error:  # noqa: BLE001  # the caller's iterable may raise anything
            self.stop(error)
            return None
        self.ended = item is _END
        return None if self.ended else self.bulk.take(item)

    def stop(self, failure: BaseException) -> None:
        """Stop reading. The first failure is kept."""
        if not self.ended:
            self.ended, self.failure = True, failure


def outcomes(workers: int, source: Source, push: PushOne) -> Generator[Outcome]:
    """Yield outcomes in order of completion, with at most `workers` pushes in flight."""
    crew = _Crew(workers, push)
    try:
        # The loop is in a function of its own. In CPython 3.13, some jumps to the start of a loop are not covered by
        # the `try` around it: an exception of a signal handler could skip `finally`.
        yield from _outcomes(crew, source)
    finally:
        try:
            crew.stop()
            crew.join()
        except BaseException:
            crew.stop()
            raise


def _outcomes(crew: _Crew, source: Source) -> Generator[Outcome]:
    while crew.busy or not source.ended:
        if crew.is_free and not source.ended and not source.bulk.full:
            if (taken := source.next()) is not None:
                crew.run(taken)
        else:
            job, result = crew.wait()
            if isinstance(result, ClientClosed):
                source.stop(result)
            if (following := source.bulk.done(job)) is not None:
                crew.run(following)
            yield outcome_of(job, result)


def stream(workers: int, source: Source, push: PushOne) -> Generator[Outcome]:
    """Yield outcomes in order of completion, then raise why the source was not read to its end."""
    yield from outcomes(workers, source, push)
    if source.failure is not None:
        raise source.failure


class PushStream(Iterator[Outcome]):
    """The outcomes of `Client.push_stream`, as they come. Leaving its `with` block stops the rest."""

    def __init__(self, outcomes: Generator[Outcome]) -> None:
        self._outcomes = outcomes

    def __next__(self) -> Outcome:
        return next(self._outcomes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._outcomes.close()


class _Crew:
    """Threads that push, each started when there is work for it. Without threads, the caller's thread pushes.

    Only the caller's thread calls the methods. `size` is the maximum number of pushes in flight; 1 needs no thread.
    """

    def __init__(self, size: int, push: PushOne) -> None:
        self._size = size
        self._push = push
        self._threads: set[threading.Thread] = set()
        """The threads that were started. Each also adds itself, since an exception may interrupt `start`."""
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Job, Receipt | WebMQError | BaseException]] = queue.SimpleQueue()
        self._stopped = False
        self.busy = 0
        """Number of jobs passed to `run` whose results `wait` has not returned yet."""

    @property
    def is_free(self) -> bool:
        """Whether there is room for another job, and no result to return before."""
        return self.busy < self._size and self._results.empty()

    def run(self, job: Job) -> None:
        """Pass a job to a thread, or run it here if there are none."""
        self.busy += 1
        if self._size > 1 and len(self._threads) < self.busy:
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
