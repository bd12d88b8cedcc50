"""The command line of the soak: `python3 benchmarks/soak.py` makes a venv and runs this module there."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.report import table

from . import course
from .course import Outcome
from .plan import Mode, Plan

PUSHES = 100_000
RESULTS = Path(__file__).resolve().parents[1] / "soak.json"


def main() -> None:
    """Run the modes that were asked for; exit with 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(prog="benchmarks/soak.py", description="The promises, under fault.")
    parser.add_argument("--pushes", type=int, default=PUSHES, help=f"default: {PUSHES}; fewer are not kept")
    parser.add_argument("--seed", type=int, help="of all faults and kills; default: another one each time")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), help="default: all three, one after another")
    parser.add_argument("--out", type=Path, help="where results are kept; default: benchmarks/soak.json")
    options = parser.parse_args()

    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    outcomes = []
    for mode in Mode if options.mode is None else [options.mode]:
        print(f"{mode}: {options.pushes:,} pushes, seed {seed} ...", file=sys.stderr, flush=True)
        outcomes.append(asyncio.run(course.run(Plan(mode, options.pushes, seed))))
    print(rendered(outcomes))
    if options.out or options.pushes >= PUSHES:
        keep(options.out or RESULTS, outcomes)
    sys.exit(any(outcome.failures for outcome in outcomes))


def rendered(outcomes: Sequence[Outcome]) -> str:
    """Return a table with a column for each run, and the guarantees that were broken."""
    columns = [_figures(outcome) for outcome in outcomes]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(column.get(name, "0") for column in columns)) for name in names]
    parts = [table(("", *(outcome.plan.mode for outcome in outcomes)), rows)]
    for outcome in outcomes:
        said = outcome.failures or ["every promise was kept"]
        parts.append("\n".join(f"{outcome.plan.mode}: {what}" for what in said))
    return "\n\n".join(parts)


def _figures(outcome: Outcome) -> dict[str, str]:
    verdict, steady = outcome.verdict, outcome.steady
    return {
        "seed": str(outcome.plan.seed),
        "pushes": f"{outcome.plan.pushes:,}",
        "seconds": f"{outcome.seconds:.0f}",
        "requests at the proxy": f"{outcome.requests:,}",
        "kills of the hub": str(outcome.kills),
        **{f"fault: {name}": f"{times:,}" for name, times in sorted(outcome.faults.items())},
        **{f"ended {name}": f"{times:,}" for name, times in verdict.endings.items()},
        "attempts beyond the first": f"{verdict.resent:,}",
        "events the hub took": f"{verdict.journal:,}",
        "duplicates": f"{verdict.duplicates:,}",
        "unconfirmed, and taken": f"{verdict.taken:,}",
        "unconfirmed, and not taken": f"{verdict.not_taken:,}",
        "unconfirmed, and behind a later one": f"{verdict.out_of_order:,}",
        "MB resident, by thirds": " ".join(f"{size / 2**20:.1f}" for size in steady.memory),
        "files open at the most, by thirds": " ".join(map(str, steady.descriptors)),
        "promises broken": str(len(outcome.failures)),
    }


def keep(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes to a file, and leave those of other modes in it."""
    runs = json.loads(path.read_text()) if path.exists() else {}
    for outcome in outcomes:
        runs[outcome.plan.mode] = _machine() | asdict(outcome)
    path.write_text(json.dumps({mode: runs[mode] for mode in Mode if mode in runs}, indent=1) + "\n")


def _machine() -> dict[str, str]:
    packages = ("webmqconnect-async", "aiohttp")
    return {
        "command": " ".join(("python3 benchmarks/soak.py", *sys.argv[1:])),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in packages),
    }


if __name__ == "__main__":
    main()
