"""The metrics of a relay."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..hub._exposition import CounterMetricFamily, Exposition, GaugeMetricFamily, Metric
from ._relay import Relay
from ._store import Counts, StoreError

_PREFIX = "webmqconnect_relay_"


class Metrics(Exposition):
    """The counts of an open relay, and those of its outbox, which are missing while the database cannot be used."""

    def __init__(self, address: tuple[str, int], relay: Relay) -> None:
        self._relay = relay
        self._counts: Counts | None = None
        super().__init__(address)

    async def refresh(self) -> None:
        self._counts = None
        with suppress(StoreError):
            self._counts = await self._relay.counts()

    def collect(self) -> Iterable[Metric]:
        stats = self._relay.stats
        yield GaugeMetricFamily(f"{_PREFIX}active", "1, or 0 while another relay is active", self._relay.active)
        yield CounterMetricFamily(f"{_PREFIX}pushed", "Rows that the broker accepted", stats.pushed)
        yield CounterMetricFamily(f"{_PREFIX}repeated", "Those that it had accepted before", stats.repeated)
        yield CounterMetricFamily(f"{_PREFIX}failed", "Pushes that failed, and may be repeated", stats.failed)
        if self._counts is not None:
            waiting, parked, oldest = self._counts
            yield GaugeMetricFamily(f"{_PREFIX}waiting", "Rows that are to be pushed", waiting)
            yield GaugeMetricFamily(f"{_PREFIX}parked", "Rows that the broker never accepts", parked)
            yield GaugeMetricFamily(f"{_PREFIX}oldest_seconds", "Age of the oldest row that is to be pushed", oldest)
