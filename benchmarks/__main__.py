"""The command line of the benchmarks: `python3 benchmarks/run.py` makes a venv and comes here."""

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

from . import chart, processes, report
from .goals import Results
from .plan import Plan
from .sections import SECTIONS

HERE = Path(__file__).resolve().parent
ROUNDS = 9


def main() -> None:
    """Run the sections that were asked for, print the tables, and write results and chart."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Benchmarks of the clients and the hub.")
    parser.add_argument("--only", choices=SECTIONS, metavar="NAME", help=f"one section: {', '.join(SECTIONS)}")
    parser.add_argument("--grow", action="store_true", help="also measure how cost grows; takes some minutes more")
    parser.add_argument("--rounds", type=int, help=f"measurements of each cell, alternating; {ROUNDS}, with --quick 2")
    parser.add_argument("--quick", action="store_true", help="few events, to see that everything works; writes nothing")
    parser.add_argument("--out", type=Path, help="folder for results.json and chart.svg; default: benchmarks/")
    options = parser.parse_args()

    command = " ".join(("python3 benchmarks/run.py", *sys.argv[1:]))
    results = Results(command, _machine(), options.rounds or (2 if options.quick else ROUNDS))
    if options.quick:
        results.machine["quick"] = "too few events for the figures to mean anything"
    plan = Plan(results, options.quick)
    with processes.server("sink") as sink:
        for name, section in SECTIONS.items():
            if options.only == name or (options.only is None and (name != "grow" or options.grow)):
                section(plan, sink.url)
    print(report.rendered(results), end="")

    # One section is no result to show: it would take the others' place.
    out = options.out or (None if options.quick or options.only else HERE)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(json.dumps(asdict(results), indent=1) + "\n")
        (out / "chart.svg").write_text(chart.drawn(results))


def _machine() -> dict[str, str]:
    packages = ("webmqconnect-async", "aiohttp", "uvloop", "httpx", "cent", "requests", "urllib3")
    peer = {"Crossbar.io": crossbar.VERSION} if crossbar.installed() else {}
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in packages),
        **peer,
    }


def _processor() -> str:
    """Return the processor's name as Linux has it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
