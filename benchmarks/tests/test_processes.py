"""The processes that a run starts: their allocators, their instructions, and a run as a whole."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.goals import INSTRUCTIONS, OTHER_CPYTHON, Cell
from benchmarks.instructions import VALGRIND, has_valgrind, per_push
from conftest import needed

LIMITED = [cell for cell, limit in INSTRUCTIONS.items() if limit]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator settles in this way")
def test_every_process_has_a_settled_allocator_by_default() -> None:
    """By default, receiving causes few page faults, because a settled allocator reuses pages of the heap."""
    faults = {fresh: int(processes.output("tests.page_faults", BENCHMARKS_FRESH=fresh)) for fresh in ("", "1")}
    assert faults[""] < 500
    assert faults["1"] >= 1000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cell", LIMITED, ids=[f"{cell.client}, {cell.concurrency}" for cell in LIMITED])
def test_instructions_per_push_stay_below_the_limit(cell: Cell) -> None:
    needed("Valgrind", has_valgrind(), VALGRIND)
    limit = INSTRUCTIONS[cell]
    assert limit is not None
    allowed = limit.goal * (1.03 if sys.version_info[:2] == (3, 11) else OTHER_CPYTHON)
    with processes.server("sink") as sink:
        # Counts vary by 1 %, and by much more while the machine is busy, because they depend on how many sockets are
        # ready at a time. Fewer instructions than a signature needs would mean that not everything was counted.
        counts = (per_push(cell, sink.url) for _ in range(5))
        assert any(20_000 < counted <= allowed for counted in counts)


def test_a_run_writes_results_page_and_chart(tmp_path: Path) -> None:
    options = ("--quick", "--rounds", "1", "--only", "tls", "--out", str(tmp_path))
    printed = processes.run(sys.executable, "-m", "benchmarks", *options)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["settled"]
    assert [measured["cell"]["loop"] for measured in results["measured"]] == ["asyncio", "asyncio", "uvloop"]
    for row in results["rows"]:
        assert row["title"] in printed
        assert row["title"] in (tmp_path / "results.md").read_text()
    assert "Each client in a process of its own" in (tmp_path / "chart.svg").read_text()


@pytest.mark.skipif(not processes.has_proc(), reason="needs Linux")
def test_cpu_time_of_another_process() -> None:
    """The CPU time of a process that waits stays the same, and that of a process that works increases."""
    with processes.server("hub_load", "serve", "bare") as server:
        idle = processes.cpu_seconds(server.pid)
        assert 0 < idle <= processes.cpu_seconds(server.pid)
        processes.output("hub_load", "fan", server.url, str(server.pid), "0", "20")
        assert processes.cpu_seconds(server.pid) > idle
