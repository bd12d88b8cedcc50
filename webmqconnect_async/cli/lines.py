"""A push a line: what is read, what is held while it is in flight, what becomes of it, and where to go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass

from ..aio import AsyncClient
from ..errors import ClientClosed, InvalidPush, Unconfirmed, WebMQError
from ..values import Outcome, Push
from .failures import Failure, described
from .files import FailedFile, LineReader
from .jsonl import Format, failed_record, text_fields
from .pace import Pace
from .progress import Report, Tally

__all__ = ["LinePusher"]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: bytes


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
        """Whether `interrupt` has ended it before the lines did."""
        self._client = client
        self._reader = reader
        self._format = format
        self._failed = failed
        self._pace = pace
        self._order_by_topic = order_by_topic
        self._report = Report(self.tally, reader, str(failed.path) if failed else None)
        # By index in the source, and of the lines in flight alone: memory does not grow with the file.
        self._in_flight: dict[int, _Line] = {}
        self._stopped = asyncio.Event()
        self._all_read = False
        self._closing: asyncio.Task[None] | None = None
        self._unwritten = 0

    async def run(self) -> None:
        """Push until the lines end or it is interrupted; report what fails, and how it went.

        Raises:
            Failure: lines cannot be read, or failures not be written; it says at which line to go on.
        """
        try:
            with self._report:
                try:
                    await self._push_all()
                finally:
                    self._give_up()
        except Failure as failure:
            raise Failure(f"{failure}; {self._going_on}") from None
        finally:
            if self.tally.left_out:
                count = f"{self.tally.left_out:,}"
                self._report.note(f"{count} unconfirmed left out, --include-unconfirmed pushes them, too")
            if self.interrupted:
                self._report.note(f"interrupted: {self._going_on}")
        if self._failed is not None and self._unwritten:
            missing = f"{self._unwritten:,} of the failures shown above are not in it"
            raise Failure(f"cannot write to {self._failed.path}: {self._failed.broken}; {missing}; {self._going_on}")

    def interrupt(self) -> bool:
        """Read no further and finish what is in flight; the second time, give that up, too.

        Returns whether there was anything left to do: the third time there is not.
        """
        if self._closing is not None:
            return False
        if self._stopped.is_set():
            self.interrupted = True
            # Each push in flight has an outcome by that: never sent, or unconfirmed.
            self._closing = asyncio.create_task(self._client.close(grace=0))
            return True
        self.interrupted = not self._all_read
        self._stop()
        if self._in_flight:
            count = f"{len(self._in_flight):,}"
            self._report.note(f"interrupted: waiting for the {count} in flight; interrupt again to give them up")
        return True

    @property
    def _going_on(self) -> str:
        return f"go on with --resume-from {self.next_line}"

    async def _push_all(self) -> None:
        async with self._client:
            outcomes = self._client.push_stream(self._pushes(), order_by_topic=self._order_by_topic)
            # That the client was closed under way is our doing alone, and is raised after the last outcome.
            with suppress(ClientClosed):
                async with outcomes:
                    async for outcome in outcomes:
                        self._done(outcome)
            if self._closing is not None:
                await self._closing

    async def _pushes(self) -> AsyncGenerator[Push]:
        """Yield the pushes of the lines, each when its turn has come."""
        index = 0
        async with aclosing(self._reader.lines()) as lines:
            async for number, text in lines:
                if self._stopped.is_set():
                    return
                if number < self.next_line:
                    continue
                line = _Line(number, text)
                push = self._push_of(line)
                if push is None:
                    self.next_line = number + 1
                    await asyncio.sleep(0)  # a long run of such lines would hold the loop up
                    continue
                if self._pace is not None:
                    await self._turn(self._pace)
                    if self._stopped.is_set():
                        return
                self.next_line = number + 1
                self._in_flight[index] = line
                index += 1
                yield push
        self._all_read = not self._stopped.is_set()

    def _push_of(self, line: _Line) -> Push | None:
        """Return the push of a line; None where it is blank, malformed or left out, and that is its outcome."""
        if not line.text.strip():
            return None
        try:
            push = self._format.push(line.text)
        except ValueError as error:
            self.tally.failed += 1
            self._record(line, InvalidPush(str(error)), text_fields(line.text))
            return None
        if push is None:
            self.tally.left_out += 1
            # It goes on to the next file as it is: nothing that was not pushed is ever in the old file alone.
            if not self._write(line.text.strip() + b"\n"):
                self._report.failure(line.number, "left out", always=True)
        return push

    async def _turn(self, pace: Pace) -> None:
        """Wait for the next push's turn, or until there is none any more."""
        clock = asyncio.get_running_loop().time
        while (delay := pace.delay(clock())) and not self._stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopped.wait()
        pace.take(clock())

    def _done(self, outcome: Outcome) -> None:
        line = self._in_flight.pop(outcome.index)
        if outcome.error is None:
            self.tally.pushed += 1
        elif self._closing is not None:
            self._interrupted(line, outcome.error)
        else:
            self.tally.failed += 1
            self._record(line, outcome.error, self._format.fields(line.text))

    def _give_up(self) -> None:
        """Give each line in flight an outcome; after anything but a cancellation each has one."""
        for line in self._in_flight.values():
            self._interrupted(line, Unconfirmed())
            self.interrupted = True

    def _interrupted(self, line: _Line, error: WebMQError) -> None:
        match error:
            case Unconfirmed():
                error = Unconfirmed("interrupted before there was an answer")
            case ClientClosed():
                error = ClientClosed("interrupted")
        self.tally.interrupted += 1
        self._record(line, error, self._format.fields(line.text))

    def _record(self, line: _Line, error: WebMQError, fields: Mapping[str, str]) -> None:
        """Write down that a line failed, and show why."""
        written = self._write(failed_record(fields, line.number, error))
        why = str(error) if isinstance(error, InvalidPush) else described(error)
        self._report.failure(line.number, why, always=not written)

    def _write(self, record: bytes) -> bool:
        """Write to the file of failures, if there is one; where that fails, it is time to stop."""
        if self._failed is None or self._failed.write(record):
            return True
        self._unwritten += 1
        self._stop()
        return False

    def _stop(self) -> None:
        self._stopped.set()
        self._reader.stop()
