"""The metrics of a hub."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate
from time import perf_counter
from typing import get_args

from aiohttp import web

from ._broker import Broker
from ._exposition import CounterMetricFamily, Exposition, GaugeMetricFamily, HistogramMetricFamily, Metric
from ._observer import Drop, Observer, Refusal, RefusedPart
from ._publication import Publication
from ._session import Session

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds in seconds. A push without subscribers takes about 0.1 ms."""

_PREFIX = "webmqconnect_hub_"


class Metrics(Exposition, Observer):
    """Counts what happens in a hub. No label has text from outside, so the number of time series is limited.

    The counters are plain integers, which cost a fraction of prometheus_client's: those have a lock for threads. The
    gauges are read from the broker for each scrape.
    """

    def __init__(self, address: tuple[str, int], broker: Broker, allow_hosts: Collection[str]) -> None:
        super().__init__(address, allow_hosts)
        self.server: web.Server | None = None  # whose connections are counted; `None` if the hub has none of its own
        self._broker = broker
        self._repeated = 0
        self._forwarded = 0
        self._publications = 0
        self._deliveries = 0
        self._drops: dict[str, int] = dict.fromkeys(get_args(Drop), 0)
        self._refusals: dict[str, int] = dict.fromkeys(get_args(RefusedPart), 0)
        self._forged: dict[str, int] = dict.fromkeys(("push", "subscriber", "request"), 0)
        self._seconds = 0.0
        self._in_bucket = [0] * (len(_BUCKETS) + 1)  # the last one has no upper bound

    def published(self, publication: Publication, publication_id: int, receivers: int, began: float | None) -> None:
        self._deliveries += receivers
        if began is None:
            self._publications += 1
            return
        seconds = perf_counter() - began
        self._seconds += seconds
        self._in_bucket[bisect_left(_BUCKETS, seconds)] += 1

    def forwarded(self, publication: Publication, publication_id: int, receivers: int) -> None:
        self._deliveries += receivers
        self._forwarded += 1

    def repeated(self, publication: Publication, publication_id: int) -> None:
        self._repeated += 1

    def refused(self, refusal: Refusal) -> None:
        self._refusals[refusal.what] += 1
        if refusal.forged:
            self._forged[refusal.what] += 1

    def dropped(self, session: Session, why: Drop, details: str) -> None:
        self._drops[why] += 1

    def collect(self) -> Iterable[Metric]:
        sessions = self._broker.sessions
        yield _gauge("subscribers", "Subscribers that have joined", sum(each.admitted for each in sessions))
        yield _gauge("topics", "Topics that have subscribers", len(self._broker.topics))
        yield _gauge("queued_bytes", "Bytes in the queues of all subscribers", sum(each.queued for each in sessions))
        if self.server is not None:
            connections = len(self.server.connections)
            yield _gauge("connections", "Open connections, those of subscribers included", connections)
        pushes = {"accepted": sum(self._in_bucket), "repeated": self._repeated, "refused": self._refusals["push"]}
        yield _counter("pushes", "Pushes", "result", pushes)
        yield CounterMetricFamily(f"{_PREFIX}publications", "Events published by subscribers", self._publications)
        if self._broker.engine.shared:
            yield CounterMetricFamily(f"{_PREFIX}forwarded", "Events that another hub has accepted", self._forwarded)
            usable = not self._broker.engine.unready
            yield _gauge("backplane_up", "Whether the backplane can be used", int(usable))
        yield CounterMetricFamily(f"{_PREFIX}deliveries", "Events put into the queue of a subscriber", self._deliveries)
        yield _counter("drops", "Subscribers whose connection the hub has closed", "reason", self._drops)
        yield _counter("refusals", "Everything refused, pushes included", "kind", self._refusals)
        yield _counter("failed_authentications", "Wrong keys, secrets and signatures", "kind", self._forged)
        buckets = list(zip((*map(str, _BUCKETS), "+Inf"), accumulate(self._in_bucket), strict=True))
        help_ = "From the arrival of an accepted push to its events being in all queues"
        yield HistogramMetricFamily(f"{_PREFIX}push_to_queue_seconds", help_, buckets, self._seconds)


def _gauge(name: str, help_: str, value: int) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, help_, value)


def _counter(name: str, help_: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, help_, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
