"""`python -m benchmarks.hubs` measures hubs over a stream. No test measures time."""

from __future__ import annotations

import pytest

from benchmarks import capacity, hubs
from benchmarks.history import Returned
from benchmarks.hub_costs import ALONE, ANOTHER_HUB, READ, REDIS, SAME_HUB, STREAM, TWO
from benchmarks.instructions import VALGRIND, has_valgrind
from conftest import needed


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("redis")
def test_everything_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    needed("wrk", capacity.has_wrk(), "apt-get install wrk")
    needed("Valgrind", has_valgrind(), VALGRIND)
    monkeypatch.setattr("sys.argv", ["hubs", "--quick"])
    hubs.main()
    printed = capsys.readouterr().out
    for title in (
        "CPU time per push, concurrency 10, 1 subscriber, against a hub alone",
        "instructions per push, concurrency 1, 0 subscribers, against a hub alone",
        "CPU time per delivery, concurrency 10, 100 subscribers, against a hub alone",
        "push to event, at another hub over the stream: median",
        f"{TWO}, pushes by wrk",
        "20 pages move to the other hub, each has missed 100 events: until all have them",
    ):
        assert title in printed


def test_costs_are_compared_round_by_round() -> None:
    """Costs are compared within each round, so that a slow minute of the machine affects both sides."""
    costs = {
        (kind, 10, subscribers): figures
        for subscribers in (1, 100)
        for kind, figures in ((ALONE, [100, 300]), (STREAM, [200, 300]), (REDIS, [90, 110]), (READ, [50, 52]))
    }
    rows = hubs.cost_rows(costs)
    assert [row.title.split(",")[0] for row in rows] == ["CPU time per push", "CPU time per delivery"]
    assert {(row.low, row.value, row.high, row.verdict) for row in rows} == {(1.0, 1.5, 2.0, "met")}
    *_, last = hubs.cost_table(costs).splitlines()
    assert last.split() == ["concurrency", "10", "100", "200", "250", "100", "51"]


def test_goals() -> None:
    late = Returned(seconds=6.0, latencies=[0.2], before=[0.001], memory=10**6)
    assert [row.verdict for row in hubs.moved_rows(late, 800)] == ["missed", "missed", "measured"]
    places = (ALONE, SAME_HUB, ANOTHER_HUB)
    taken = dict(zip(places, ([0.9], [9.0], [5.1]), strict=True))
    assert [row.verdict for row in hubs.latency_rows(taken)] == ["met", "measured", "missed"]
