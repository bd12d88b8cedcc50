"""The command that measures hubs over a stream. Nothing is timed here."""

from __future__ import annotations

import pytest

from benchmarks import capacity, hubs
from benchmarks.history import Returned
from benchmarks.hub_costs import ALONE, READ, REDIS, STREAM, TWO
from conftest import needed


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("redis")
def test_everything_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    needed("wrk", capacity.has_wrk(), "apt-get install wrk")
    monkeypatch.setattr("sys.argv", ["hubs", "--quick"])
    hubs.main()
    printed = capsys.readouterr().out
    for title in (
        "CPU time per push, concurrency 10, 1 subscriber, against a hub alone",
        "CPU time per delivery, concurrency 100, against a hub alone",
        "push to event, at another hub over the stream: median",
        f"{TWO}, pushes by wrk",
        "20 pages move to the other hub, each has missed 100 events: until all have them",
    ):
        assert title in printed


def test_costs_are_compared_round_by_round() -> None:
    """A delivery costs what each further subscriber adds."""
    costs = {
        (kind, concurrency, subscribers): [factor * (100 + 9 * subscribers) for factor in factors]
        for kind, factors in ((ALONE, (1.0, 3.0)), (STREAM, (2.0, 3.0)), (REDIS, (1.0, 1.0)), (READ, (0.5, 0.5)))
        for concurrency in hubs.CONCURRENCY
        for subscribers in hubs.SUBSCRIBERS
    }
    rows = hubs.cost_rows(costs)
    assert len(rows) == 12
    assert {(row.low, row.value, row.high, row.verdict) for row in rows} == {(1.0, 1.5, 2.0, "met")}
    assert hubs.cost_table(costs).splitlines()[-1].split() == ["concurrency", "100", "10", "380", "475", "190", "95"]


def test_goals() -> None:
    late = Returned(seconds=6.0, latencies=[0.2], before=[0.001], memory=10**6)
    assert [row.verdict for row in hubs.moved_rows(late, 800)] == ["missed", "missed", "measured"]
    places = (ALONE, hubs.SAME_HUB, hubs.ANOTHER_HUB)
    taken = dict(zip(places, ([0.9], [9.0], [5.1]), strict=True))
    assert [row.verdict for row in hubs.latency_rows(taken)] == ["met", "measured", "missed"]
