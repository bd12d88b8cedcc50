"""Run a relay for a command, with its log and progress on standard error, and with metrics."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack

import rich_click as click

from .._aio import AsyncClient
from ..relay import Relay, StoreError
from .errors import Failure
from .hub_log import TextFormatter
from .push.progress import Report

logger = logging.getLogger("webmqconnect_async.relay")


class Relaying:
    """A relay with a progress bar.

    Args:
        url: The URL of the database.
        client: To push with. It is closed at the end.
        concurrency: Maximum number of pushes in flight.
        metrics: Where to serve metrics, as `HOST:PORT`. `None`: nowhere.

    Raises:
        UsageError: An argument is invalid.
        Failure: A package is missing.
    """

    def __init__(self, url: str, client: AsyncClient, concurrency: int, metrics: str | None) -> None:
        try:
            self._relay = Relay(url, client, concurrency=concurrency)
        except ImportError as error:
            raise Failure(str(error)) from None
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
        self._address = None if metrics is None else _address(metrics)
        self._client = client
        self._task: asyncio.Task[object] | None = None
        self.interrupted = False

    def counts(self) -> dict[str, int]:
        """Return the counts that the progress bar and the summary show."""
        stats = self._relay.stats
        return {"pushed": stats.pushed, "failed": stats.failed, "parked": stats.parked}

    async def run(self, once: bool) -> None:
        """Push rows until interrupted, or with `once` until there is nothing left to push.

        Raises:
            Failure: The database or the port of the metrics cannot be used.
        """
        self._task = asyncio.current_task()
        with Report(self.counts) as report:
            handler = _LogHandler(report)
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self._client)
                    await stack.enter_async_context(self._relay)
                    if self._address is not None:
                        await self._serve_metrics(self._address, stack)
                    await self._relay.run(once=once)
            except StoreError as error:
                report.summary = self._relay.stats.pushed > 0
                raise Failure(str(error)) from None
            except asyncio.CancelledError:
                if not self.interrupted:
                    raise
            finally:
                logger.removeHandler(handler)

    async def _serve_metrics(self, address: tuple[str, int], stack: AsyncExitStack) -> None:
        try:
            from ..relay._metrics import Metrics

            metrics = Metrics(address, self._relay)
            await stack.enter_async_context(metrics.serving())
        except ImportError as error:
            raise Failure(str(error)) from None
        except OSError as error:
            raise Failure(f"cannot serve metrics at {error.filename}: {os.strerror(error.errno or 0)}") from None
        host, port = metrics.address
        logger.info("metrics at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)

    def interrupt(self) -> None:
        """Stop after the pushes in flight. The second time, cancel them."""
        if self.interrupted and self._task is not None:
            self._task.cancel()
        self.interrupted = True
        self._relay.stop()


class _LogHandler(logging.Handler):
    """Prints the log of a relay above the progress bar."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.setFormatter(TextFormatter(coloured=False))
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.log(self.format(record), warning=record.levelno >= logging.WARNING)


def _address(text: str) -> tuple[str, int]:
    from ..hub._config import metrics_address

    try:
        return metrics_address(text)
    except ValueError as error:
        raise click.UsageError(f"--{error}.") from None
