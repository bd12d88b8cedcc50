"""Push the lines of a file: read, push, record failures, and find the line to resume from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast

from ..._aio import AsyncClient
from ..._core.values import Push
from ...errors import ClientClosed, InvalidPush, Unconfirmed, WebMQError
from ..errors import Failure, described
from .files import LONGEST_LINE, FailedFile, Line, LineReader, other_format
from .jsonl import Format, failed_record, no_push_record
from .progress import Report, Tally, ranges
from .rate import RateLimit

if TYPE_CHECKING:
    from ..._aio.source import AsyncPushes


class _Skipped(InvalidPush):
    """Replaces the push of a line that is skipped, because an earlier run may have pushed it."""


class _OtherFormat(Failure):
    """The input is not lines of JSON in UTF-8."""


class LinePusher:
    """Pushes each line once, starting with the line `first`. At the end it closes the client.

    Even if a run is interrupted or fails, every line before `next_line` has an outcome.
    """

    def __init__(
        self,
        client: AsyncClient,
        reader: LineReader,
        format: Format,
        *,
        failed: FailedFile | None = None,
        rate_limit: RateLimit | None = None,
        first: int = 1,
        order_by_topic: bool = False,
    ) -> None:
        self.tally = Tally()
        self.next_line = first
        """The first line that has not been started."""
        self.interrupted = False
        """Whether the run ended before every line was read and pushed, by `interrupt` or by a cancellation."""
        self._client = client
        self._reader = reader
        self._format = format
        self._failed = failed
        self._rate_limit = rate_limit
        self._first = first
        self._order_by_topic = order_by_topic
        self._report = Report(self.tally.counts, reader, str(failed.path) if failed else None)
        # The lines without an outcome, by index in the source. The others are removed, so that memory does not grow.
        self._open: dict[int, tuple[Line, Push | InvalidPush]] = {}
        self._all_read = False
        self._closing: list[asyncio.Task[None]] = []
        self._abandoning = False
        self._unwritten = 0
        self._not_sent: list[int] = []
        """Lines that were read and not sent, and are not in the file of failures."""

    async def run(self) -> None:
        """Push all lines, or until interrupted. `Failure`: they cannot be read."""
        try:
            with self._report:
                try:
                    await self._push_all()
                finally:
                    self._abandoning = True
                    for line, item in self._open.values():  # there are some only after a cancellation
                        self._done(line, item, Unconfirmed())
        except _OtherFormat:
            raise
        except Failure as failure:
            raise Failure(f"{failure}; {self._how_to_resume}") from None
        finally:
            self._conclude()

    def interrupt(self) -> None:
        """Stop reading, and finish the pushes in flight. The second time, abandon them.

        A third time has no effect: abandoned pushes end immediately, and each line gets its outcome.
        """
        if self._closing:
            self._abandoning = True
        else:
            self.interrupted = not self._all_read
            self._reader.stop()
            if in_flight := self._client.stats.in_flight:
                waiting = f"waiting for {in_flight:,} pushes in flight; interrupt again to stop waiting"
                self._report.note(f"interrupted: {waiting}")
        # Lines that wait for an earlier one of their topic end with ClientClosed.
        close = self._client.close(grace=0 if self._abandoning else None)
        self._closing.append(asyncio.create_task(close))

    def signalled(self) -> None:
        """Count a signal in its handler, because `interrupt` is not called while the loop waits for a pipe's reader."""
        if self._failed is not None:
            self._failed.signals += 1

    @property
    def _how_to_resume(self) -> str:
        return f"continue with --resume-from {self.next_line}"

    async def _push_all(self) -> None:
        async with self._client:
            # An item that is not a push ends as an InvalidPush outcome. `_done` reports the item's own error instead.
            items = cast("AsyncPushes", self._items())
            outcomes = self._client.push_stream(items, order_by_topic=self._order_by_topic)
            # Only `interrupt` closes the client. The stream raises ClientClosed after the last outcome.
            with suppress(ClientClosed):
                async with outcomes:
                    async for outcome in outcomes:
                        self._done(*self._open.pop(outcome.index), outcome.error)
            await asyncio.gather(*self._closing)

    async def _items(self) -> AsyncGenerator[Push | InvalidPush]:
        """Yield the push of each line, or the reason why the line is not a push. Wait for the rate limit before pushes.

        An interruption can cancel this generator only where it waits, which is never in the middle of a line.
        """
        index = last = 0
        first = True  # whether no line so far has content
        async with aclosing(self._reader.lines()) as lines:
            async for line in lines:
                if self._reader.stopped.is_set():
                    return
                last = line.number
                if first and line.content:
                    first = False
                    if found := other_format(line):
                        raise _OtherFormat(found)
                if last < self.next_line:
                    continue
                item = self._item(line)
                if self._rate_limit is not None and isinstance(item, Push):
                    await self._turn(self._rate_limit)
                    if self._reader.stopped.is_set():
                        return
                self.next_line = last + 1
                if item is not None:
                    self._open[index] = line, item
                    index += 1
                    yield item
        self._all_read = not self._reader.stopped.is_set()
        if self._all_read and self._first > max(last, 1):
            self._report.note(f"--resume-from {self._first}: there are only {last:,} lines")

    def _item(self, line: Line) -> Push | InvalidPush | None:
        """Return the push of a line, an error if it is not a push, or `None` if it has only whitespace."""
        if not line.whole:
            return InvalidPush(f"longer than {LONGEST_LINE:,} bytes; only its beginning is kept")
        if not line.content:
            return None
        try:
            push = self._format.push(line.text)
        except ValueError as error:
            return InvalidPush(str(error))
        return _Skipped() if push is None else push

    async def _turn(self, rate_limit: RateLimit) -> None:
        clock = asyncio.get_running_loop().time
        while (delay := rate_limit.delay(clock())) and not self._reader.stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._reader.stopped.wait()
        rate_limit.take(clock())

    def _done(self, line: Line, item: Push | InvalidPush, error: WebMQError | None) -> None:
        """Count the outcome of a line. Record a failure in the file before it is printed."""
        if error is None:
            self.tally.pushed += 1
        elif isinstance(item, _Skipped):
            # Copied unchanged: the new file then has every line that was not pushed, and the old one can be deleted.
            self._write(line.text.strip() + b"\n")
            self.tally.skipped += 1
            if self._unwritten:
                self._report.failure(line.number, "skipped", always=True)
        elif isinstance(item, InvalidPush):
            self._fail(line, str(item), no_push_record(line.text, line.number, item))
        elif isinstance(error, ClientClosed) or self._abandoning:
            self._interrupt(line, error)
        else:
            reason = str(error) if isinstance(error, InvalidPush) else described(error)
            self._fail(line, reason, self._record(line, error))

    def _fail(self, line: Line, reason: str, record: bytes) -> None:
        self._write(record)
        self.tally.failed += 1
        self._report.failure(line.number, reason, always=self._unwritten > 0)

    def _interrupt(self, line: Line, error: WebMQError) -> None:
        """Count a line that was not sent, or was abandoned. Always print it if it is not in the file of failures."""
        match error:
            case Unconfirmed():
                error = Unconfirmed("interrupted before the response")
            case ClientClosed():
                error = ClientClosed("interrupted")
        self.interrupted = True
        written = self._write(self._record(line, error))
        self.tally.interrupted += 1
        if not isinstance(error, ClientClosed):
            self._report.failure(line.number, described(error), always=not written)
        elif not written:
            self._not_sent.append(line.number)

    def _record(self, line: Line, error: WebMQError) -> bytes:
        return failed_record(self._format.fields(line.text), line.number, error)

    def _write(self, record: bytes) -> bool:
        """Write to the file of failures, if there is one, and return whether the record is in it. If not, stop."""
        if self._failed is None:
            return False
        if self._failed.append(record):
            return True
        self._unwritten += 1
        self._reader.stop()
        return False

    def _conclude(self) -> None:
        if self.tally.skipped:
            count = f"{self.tally.skipped:,}"
            self._report.note(f"{count} unconfirmed lines skipped; --include-unconfirmed pushes them, too")
        if self._not_sent:
            self._report.note(f"interrupted: read and not sent: {ranges(self._not_sent)}")
        if self._failed is not None and self._unwritten:
            reason = f"cannot write to {self._failed.path}: {self._failed.broken}"
            missing = f"{self._unwritten:,} of the lines printed above are not in it"
            self._report.error(f"{reason}; {missing}; {self._how_to_resume}")
        if self.interrupted:
            self._report.note(f"interrupted: {self._how_to_resume}")
