"""Goals, medians, tables and chart. No test measures anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks import chart, goals, page, report
from benchmarks.goals import Cell, Group, Limit, Ratio
from benchmarks.measure import ASYNC, BLOCKING
from benchmarks.plan import Plan
from benchmarks.processes import Server
from benchmarks.results import Measured, Results, Row, Sample, compared, limited, summed_up
from benchmarks.sections import SECTIONS


class Pretending(Plan):
    """A plan without processes: each cell pushes one event per second, the package's own cells two."""

    def __init__(self, results: Results, goals_only: bool = False) -> None:
        super().__init__(results, goals_only=goals_only)
        self.order: list[Cell] = []

    @contextmanager
    def sink(self, delay: float = 0.0, tls: bool = False) -> Iterator[Server]:
        yield Server(f"{delay} {tls}", 0)

    def measure(self, server: Server, cell: Cell) -> Sample:
        assert cell.client in ASYNC.keys() | BLOCKING.keys()
        assert server.url == f"{cell.delay} {cell.tls}"
        self.order.append(cell)
        return Sample(cell.events, cell.events / (2 if "push" in cell.client else 1), 0.0)


@pytest.fixture
def results() -> Results:
    return Results("python3 benchmarks/run.py", {"machine": "one <core>", "python": "3", "packages": "aiohttp"}, 2)


def test_sections_compare_every_client(results: Results) -> None:
    plan = Pretending(results)
    for name in ("bulk", "single", "sync", "slow", "tls", "grow"):
        SECTIONS[name](plan)
    assert {row.value for row in results.rows} == {0.5, 1.0, 2.0, 200.0}
    assert len({row.title for row in results.rows}) == len(results.rows) == 25
    assert {measured.cell.client for measured in results.measured} == ASYNC.keys() | BLOCKING.keys()
    assert max(measured.cell.events for measured in results.growth) == 1_000_000


def test_the_goal_table_measures_only_cells_that_have_a_goal(results: Results) -> None:
    plan = Pretending(results, goals_only=True)
    for name in ("bulk", "single", "sync", "slow", "tls"):
        SECTIONS[name](plan)
    assert len(results.rows) == 22
    assert all(row.goal is not None for row in results.rows)
    assert not {"cent", "httpx"} & {measured.cell.client for measured in results.measured}


def test_every_second_round_is_measured_in_reverse(results: Results) -> None:
    first, second = Cell("push"), Cell("cent")
    plan = Pretending(results)
    plan.compare(Group([Ratio("", second, first)], [second]))
    assert plan.order == [first, second, second, first]


def test_the_cells_of_a_group_push_to_one_server() -> None:
    for group in (*goals.BULK, *goals.SINGLE, *goals.SYNC, *goals.SLOW, *goals.TLS):
        assert len({(cell.delay, cell.tls) for cell in group.cells}) == 1


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """A ratio is the median of the rounds' ratios. Round two is slow for both; the ratio of medians would be 4.5."""
    ours, peer = Cell("push_many"), Cell("cent")
    samples = {
        cell: [Sample(1, 1 / rate, 0.0) for rate in rates] for cell, rates in ((ours, (6, 3, 9)), (peer, (2, 1, 1)))
    }
    row = compared(Ratio("", ours, peer, 3.0, 9.0), samples)
    assert [row.value, row.low, row.high] == pytest.approx([3, 3, 9])
    assert row.verdict == "met"
    share = compared(Ratio("", peer, ours, 30, 50, "%"), samples)
    assert [share.value, share.low, share.high] == pytest.approx([100 / 3, 100 / 9, 100 / 3])
    assert share.verdict == "met"


@pytest.mark.parametrize(
    ("value", "less_is_better", "verdict"),
    [
        (1.0, False, "missed"),
        (1.2, False, "met"),
        (1.5, False, "stretch"),
        (1.5, True, "missed"),
        (1.2, True, "met"),
        (0.5, True, "stretch"),
    ],
)
def test_a_row_says_which_goal_it_reached(value: float, less_is_better: bool, verdict: str) -> None:
    goal, stretch = (1.2, 1.0) if less_is_better else (1.2, 1.5)
    row = Row("", value, value, value, goal, stretch, less_is_better=less_is_better)
    assert row.verdict == verdict
    assert replace(row, goal=None).verdict == "measured"


def test_the_figures_of_a_cell_are_medians_of_its_rounds() -> None:
    measured = summed_up(Cell("push_many"), [Sample(100, 1.0, 0.01), Sample(100, 2.0, 0.03), Sample(100, 4.0, 0.02)])
    assert measured == Measured(Cell("push_many", events=100), 50.0, 25.0, 100.0, measured.cpu)
    assert measured.cpu == pytest.approx(200)


def _filled(results: Results) -> Results:
    for client, rate, delay in (("aiohttp, naive", 10_000, 0.0), ("push_many", 13_000, 0.0), ("push_many", 4700, 0.02)):
        results.measured.append(summed_up(Cell(client, 100, delay=delay), [Sample(6000, 6000 / rate, 0.6)] * 2))
    results.rows.append(Row("push_many against naive aiohttp", 1.3, 1.2, 1.4, 1.3, 1.5, "x"))
    results.rows.append(limited("instructions per push", [166_000.0], Limit(195_000, 160_000), "instructions"))
    results.memory.append((50_000, 41.5))
    results.skipped.append("hub: wrk is not installed")
    results.sink, results.sink_by = 100_000.0, "wrk"
    return results


def test_the_tables_show_all_results(results: Results) -> None:
    text = report.rendered(_filled(results))
    for shown in (
        "one <core>",
        "whose allocator has settled; the server polls without sleeping.",
        "13,000",
        "1.30x",
        "(1.20 to 1.40)",
        ">= 1.5",
        "met",
        "166,000 instructions",
        "<= 195,000",
        "7.7 times what the fastest client sends (push_many)",
        "push_many, response after 20 ms",
        "50,000",
        "41.50",
        "not measured: hub: wrk is not installed",
    ):
        assert shown in text
    assert report.rendered(results).count("\n\n") > report.rendered(Results("", {}, 1)).count("\n\n")


def test_the_page_has_a_section_for_each_table(results: Results) -> None:
    results.growth.append(Measured(Cell("push_many", 10, 300), 485.4, 480.0, 490.0, 2060.4))
    text = page.written(_filled(results))
    sections = {part.partition("]")[0]: part.partition("]")[2] for part in text.split("[start:")[1:]}
    assert "| push_many against naive aiohttp | 1.30 | 1.20 to 1.40 |" in sections["ratios"]
    assert "| instructions per push | 166,000 |" in sections["instructions"]
    assert "| 10 | 300 | 218 | 485 | 2,060 |" in sections["growth"]
    assert results.conditions in sections["conditions"]
    results.rows.clear()
    assert page.written(results).count("Not measured in the last run.") == 2


def test_the_conditions_are_those_of_the_run(results: Results) -> None:
    fresh = replace(results, settled=False, spinning=False)
    assert fresh.conditions == (
        "Each client in a process of its own, just started; the server sleeps between requests."
    )
    for text in (report.rendered(fresh), page.written(fresh), chart.drawn(fresh)):
        assert fresh.conditions in text


def test_the_chart_is_drawn_and_described(results: Results) -> None:
    svg = chart.drawn(_filled(results))
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    described = root.findtext("svg:desc", namespaces=names)
    assert described is not None
    assert "push_many 13,000, aiohttp, naive 10,000" in described
    bars = root.findall("svg:rect", names)
    assert [bar.get("class") for bar in bars] == ["ours", "peer"]
    assert float(bars[0].get("width", 0)) == pytest.approx(1.3 * float(bars[1].get("width", 0)), abs=0.1)
    assert "13,000 (1.30x)" in svg
    assert "prefers-color-scheme: dark" in svg
