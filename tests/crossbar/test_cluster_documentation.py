"""The documentation of clusters contains the results of the tests and of the benchmark."""

from __future__ import annotations

import json

import pytest

from brokers.crossbar import ROOT
from brokers.crossbar_cluster import COMMAND, DEFAULTS, KINDS

from ..snippets import PAGES, fences
from .receivers import table

PAGE = PAGES / "how-to" / "crossbar.md"
TEXT = PAGE.read_text("utf-8")
SHELL = "".join(fence.text for fence in fences(PAGE) if fence.language == "sh")


def test_the_table_of_receivers_is_that_of_the_tests() -> None:
    assert f"\n\n{table()}\n\n" in TEXT


def test_the_figures_are_those_of_the_last_benchmark() -> None:
    figures = json.loads((ROOT / "benchmarks/clusters.json").read_text())["figures"].values()
    for place, node in (("near", "the same node"), ("far", "another node")):
        reached = [each[place] for each in figures]
        rates = ["" if each is None else f" {each['rate']:,.0f}" for each in reached]
        delays = ["" if each is None else f" {each['ms']:.1f}" for each in reached]
        assert f"\n| pushes per second, subscriber of {node} |{' |'.join(rates)} |\n" in TEXT
        assert f"\n| ms from push to event, {node} |{' |'.join(delays)} |\n" in TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prepares_the_nodes_that_the_page_uses(kind: str) -> None:
    assert f"{COMMAND.format(kind=kind)}\n" in SHELL
    script = (ROOT / "examples/crossbar/cluster.py").read_text("utf-8")
    assert json.dumps(DEFAULTS) in script
    for address in DEFAULTS:
        assert address.rpartition(":")[0] in SHELL
