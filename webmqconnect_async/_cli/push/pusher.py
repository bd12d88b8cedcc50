"""A push a line: what is read, what is held until its outcome, what becomes of it, and where to go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast

from ..._aio import AsyncClient
from ..._core.values import Push
from ...errors import ClientClosed, InvalidPush, Unconfirmed, WebMQError
from ..errors import Failure, described
from .files import LONGEST_LINE, FailedFile, Line, LineReader
from .jsonl import Format, failed_record, no_push_record
from .progress import Progress, Tally, ranges
from .rate import Pace

if TYPE_CHECKING:
    from ..._aio.source import AsyncPushes

__all__ = ["LinePusher"]


class _LeftOut(InvalidPush):
    """Stands for the push of a line that may have been taken in an earlier run."""


class LinePusher:
    """Pushes each line once. However it ends, every line before `next_line` has an outcome then.

    Args:
        client: pushes, and is closed in the end.
        reader: gives the lines.
        format: what they mean.
        failed: gets a record of each failure; None keeps none.
        pace: when the next push may begin; None for at once.
        first: the number of the line to begin with.
        order_by_topic: see `AsyncClient.push_stream`.
    """

    def __init__(
        self,
        client: AsyncClient,
        reader: LineReader,
        format: Format,
        *,
        failed: FailedFile | None = None,
        pace: Pace | None = None,
        first: int = 1,
        order_by_topic: bool = False,
    ) -> None:
        self.tally = Tally()
        self.next_line = first
        """The first line that is not begun."""
        self.interrupted = False
        """Whether something, `interrupt` or else, has ended it before every line was read and had its push."""
        self._client = client
        self._reader = reader
        self._format = format
        self._failed = failed
        self._pace = pace
        self._first = first
        self._order_by_topic = order_by_topic
        self._report = Progress(self.tally, reader, str(failed.path) if failed else None)
        # By index in the source, and of the lines without an outcome alone: memory does not grow with the file.
        self._open: dict[int, tuple[Line, Push | InvalidPush]] = {}
        self._stopped = asyncio.Event()
        self._all_read = False
        self._closing: list[asyncio.Task[None]] = []
        self._giving_up = False
        self._unwritten = 0
        self._not_sent: list[int] = []
        """Lines that no file says of that they were read, and never sent."""

    async def run(self) -> None:
        """Push until the lines end or it is interrupted; report what fails, and how it went.

        Raises:
            Failure: lines cannot be read; it says at which line to go on.
        """
        try:
            with self._report:
                try:
                    await self._push_all()
                finally:
                    await self._give_up()
        except Failure as failure:
            raise Failure(f"{failure}; {self._going_on}") from None
        finally:
            self._conclude()

    def interrupt(self) -> None:
        """Read no further and finish what is in flight; the second time, give that up, too.

        A third time changes nothing: what is given up has ended in a moment, and each line its outcome.
        """
        if not self._closing:
            self.interrupted = not self._all_read
            self._stop()
            # Lines that wait for their topic's turn come out of this as ClientClosed.
            self._close(grace=None)
            if waiting := self._waiting_for():
                self._report.note(f"interrupted: waiting for {waiting}; interrupt again to give that up")
        else:
            self._wait_no_longer()
            self._close(grace=0)

    @property
    def _going_on(self) -> str:
        return f"go on with --resume-from {self.next_line}"

    def _waiting_for(self) -> str | None:
        if in_flight := self._client.stats.in_flight:
            return f"the {in_flight:,} in flight"
        if self._failed is not None and self._failed.waits:
            return f"whoever reads {self._failed.path}"
        return None

    def _stop(self) -> None:
        self._stopped.set()
        self._reader.stop()

    def _wait_no_longer(self) -> None:
        self._giving_up = True
        if self._failed is not None:
            self._failed.wait_no_longer()

    def _close(self, grace: float | None) -> None:
        self._closing.append(asyncio.create_task(self._client.close(grace)))

    async def _push_all(self) -> None:
        async with self._client:
            # An item that is not a push ends as an InvalidPush outcome. `_done` reports the item's own error instead.
            items = cast("AsyncPushes", self._items())
            outcomes = self._client.push_stream(items, order_by_topic=self._order_by_topic)
            # That the client was closed under way is our doing alone, and is raised after the last outcome.
            with suppress(ClientClosed):
                async with outcomes:
                    async for outcome in outcomes:
                        await self._done(*self._open[outcome.index], outcome.error)
                        del self._open[outcome.index]
            await asyncio.gather(*self._closing)

    async def _items(self) -> AsyncGenerator[Push | InvalidPush]:
        """Yield what each line stands for, a push when its turn has come.

        An interruption cancels this where it waits, and there no line is taken by half.
        """
        index = last = 0
        async with aclosing(self._reader.lines()) as lines:
            async for line in lines:
                if self._stopped.is_set():
                    return
                last = line.number
                if last < self.next_line:
                    continue
                item = self._item(line)
                if self._pace is not None and isinstance(item, Push):
                    await self._turn(self._pace)
                    if self._stopped.is_set():
                        return
                self.next_line = last + 1
                if item is not None:
                    self._open[index] = line, item
                    index += 1
                    yield item
        self._all_read = not self._stopped.is_set()
        if self._all_read and self._first > max(last, 1):
            self._report.note(f"--resume-from {self._first}: there are only {last:,} lines")

    def _item(self, line: Line) -> Push | InvalidPush | None:
        """Return the push of a line, or why there is none; None where it is blank."""
        if not line.whole:
            return InvalidPush(f"longer than {LONGEST_LINE:,} bytes; only its beginning is kept")
        if not line.text.strip():
            return None
        try:
            push = self._format.push(line.text)
        except ValueError as error:
            return InvalidPush(str(error))
        return _LeftOut() if push is None else push

    async def _turn(self, pace: Pace) -> None:
        """Wait for the next push's turn, or until there is none any more."""
        clock = asyncio.get_running_loop().time
        while (delay := pace.delay(clock())) and not self._stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopped.wait()
        pace.take(clock())

    async def _done(self, line: Line, item: Push | InvalidPush, error: WebMQError | None) -> None:
        """Count what has become of a line; what is no push yet is written down before it is shown."""
        if error is None:
            self.tally.pushed += 1
        elif isinstance(item, _LeftOut):
            await self._leave_out(line)
        elif isinstance(item, InvalidPush):
            await self._fail(line, item, no_push_record(line.text, line.number, item))
        elif isinstance(error, ClientClosed) or self._giving_up:
            await self._interrupt(line, error)
        else:
            await self._fail(line, error, self._record(line, error))

    async def _leave_out(self, line: Line) -> None:
        # It goes on to the next file as it is: nothing that was not pushed is ever in the old file alone.
        await self._write(line.text.strip() + b"\n")
        self.tally.left_out += 1
        if self._unwritten:
            self._report.failure(line.number, "left out", always=True)

    async def _fail(self, line: Line, error: WebMQError, record: bytes) -> None:
        await self._write(record)
        self.tally.failed += 1
        why = str(error) if isinstance(error, InvalidPush) else described(error)
        self._report.failure(line.number, why, always=self._unwritten > 0)

    async def _interrupt(self, line: Line, error: WebMQError) -> None:
        """End a line that was never sent, or given up; one that is in no file is always shown."""
        match error:
            case Unconfirmed():
                error = Unconfirmed("interrupted before there was an answer")
            case ClientClosed():
                error = ClientClosed("interrupted")
        self.interrupted = True
        written = await self._write(self._record(line, error))
        self.tally.interrupted += 1
        if not isinstance(error, ClientClosed):
            self._report.failure(line.number, described(error), always=not written)
        elif not written:
            self._not_sent.append(line.number)

    async def _give_up(self) -> None:
        """Give each line that has no outcome one; after anything but a cancellation each has."""
        if self._open:
            self._wait_no_longer()
        for line, item in self._open.values():
            await self._done(line, item, Unconfirmed())

    def _record(self, line: Line, error: WebMQError) -> bytes:
        return failed_record(self._format.fields(line.text), line.number, error)

    async def _write(self, record: bytes) -> bool:
        """Write to the file of failures, if there is one, and tell whether it is there; where it fails, stop."""
        if self._failed is None:
            return False
        if await self._failed.write(record):
            return True
        self._unwritten += 1
        self._stop()
        return False

    def _conclude(self) -> None:
        """Say what the summary does not, and where to go on."""
        if self.tally.left_out:
            count = f"{self.tally.left_out:,}"
            self._report.note(f"{count} unconfirmed left out, --include-unconfirmed pushes them, too")
        if self._not_sent:
            self._report.note(f"interrupted: read and not sent: {ranges(self._not_sent)}")
        if self._failed is not None and self._unwritten:
            why = f"cannot write to {self._failed.path}: {self._failed.broken}"
            missing = f"{self._unwritten:,} of the lines named above are not in it"
            self._report.error(f"{why}; {missing}; {self._going_on}")
        if self.interrupted:
            self._report.note(f"interrupted: {self._going_on}")
