"""What the documentation says of clusters is what the tests show, and the benchmark has measured."""

from __future__ import annotations

import json

import pytest

from ..snippets import PAGES, fences
from .cluster import COMMAND, DEFAULTS, KINDS
from .node import ROOT
from .receivers import table

PAGE = PAGES / "how-to" / "crossbar.md"
TEXT = PAGE.read_text("utf-8")
SHELL = "".join(fence.text for fence in fences(PAGE) if fence.language == "sh")


def test_the_table_of_receivers_is_what_the_tests_show() -> None:
    assert f"\n\n{table()}\n\n" in TEXT


def test_the_figures_are_those_of_the_last_benchmark() -> None:
    figures = json.loads((ROOT / "benchmarks/clusters.json").read_text())["figures"].values()
    rows = {
        "pushes a second, subscriber of the same node": "near_rate",
        "pushes a second, subscriber of another node": "far_rate",
        "ms from push to event, same node": "near_ms",
        "ms from push to event, another node": "far_ms",
    }
    for row, name in rows.items():
        cells = (shown(each[name], 0 if name.endswith("rate") else 1) for each in figures)
        assert f"| {row} | {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |") in TEXT


def shown(figure: float | None, digits: int) -> str:
    return "" if figure is None else f"{figure:,.{digits}f}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prepares_the_nodes_that_the_page_goes_on_with(kind: str) -> None:
    assert f"{COMMAND.format(kind=kind)}\n" in SHELL
    script = (ROOT / "examples/crossbar/cluster.py").read_text("utf-8")
    assert json.dumps(DEFAULTS) in script
    for address in DEFAULTS:
        assert address.rpartition(":")[0] in SHELL
