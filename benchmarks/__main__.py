"""The command line of the benchmarks: `python3 benchmarks/run.py` makes a venv and runs this module there."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from brokers import crossbar

from . import chart, page, processes, report
from .plan import Plan
from .results import Results
from .sections import GOALS, SECTIONS

HERE = Path(__file__).resolve().parent
ROUNDS = 9
GOAL_ROUNDS = 7


def main() -> None:
    """Run the chosen sections, print the tables, and write results, chart and Markdown."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Benchmarks of the clients and the hub.")
    parser.add_argument("--only", choices=SECTIONS, metavar="NAME", help=f"one section: {', '.join(SECTIONS)}")
    parser.add_argument("--goals", action="store_true", help="only what has a goal, in ten minutes; writes nothing")
    parser.add_argument("--grow", action="store_true", help="also measure how cost grows; takes some minutes more")
    parser.add_argument("--rounds", type=int, help=f"of each cell; {ROUNDS}, with --goals {GOAL_ROUNDS}, --quick 2")
    parser.add_argument("--quick", action="store_true", help="few events, to see that everything works; writes nothing")
    parser.add_argument("--fresh", action="store_true", help="do not let allocators settle first; writes nothing")
    parser.add_argument("--out", type=Path, help="folder for results.json, results.md and chart.svg")
    options = parser.parse_args()

    if options.fresh:
        os.environ["BENCHMARKS_FRESH"] = "1"
    command = " ".join(("python3 benchmarks/run.py", *sys.argv[1:]))
    rounds = options.rounds or (2 if options.quick else GOAL_ROUNDS if options.goals else ROUNDS)
    # With a single core, a server that polls without sleeping would take CPU time from the clients.
    results = Results(command, _machine(), rounds, not options.fresh, processes.has_two_cores())
    if options.quick:
        results.machine["quick"] = "too few events for the figures to mean anything"
    plan = Plan(results, options.quick, options.goals)
    for name, section in SECTIONS.items():
        if options.only:
            chosen = name == options.only
        else:
            chosen = name in GOALS if options.goals else name != "grow" or options.grow
        if chosen:
            section(plan)
    print(report.rendered(results), end="")

    # A run of some sections would overwrite the results of all the others.
    partial = options.quick or options.only or options.goals or options.fresh
    out = options.out or (None if partial else HERE)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(json.dumps(asdict(results), indent=1) + "\n")
        (out / "results.md").write_text(page.written(results))
        (out / "chart.svg").write_text(chart.drawn(results))


def _machine() -> dict[str, str]:
    packages = (
        "webmqconnect-async", "aiohttp", "uvloop", "orjson", "pyreqwest", "httpx", "cent", "requests", "urllib3"
    )  # fmt: skip
    peer = {"Crossbar.io": crossbar.VERSION} if crossbar.installed() else {}
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in packages),
        **peer,
    }


def _processor() -> str:
    """Return the processor's name from Linux, or else from Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
