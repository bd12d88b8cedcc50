"""Several hubs over Redis behind nginx: events are neither lost nor doubled, despite faults of hubs and of Redis.

python -m tests.hub.test_backplane_course [--hubs 3] [--seed 17] [--seconds 600] [--journal FILE] [--folder FOLDER]

It prints a table, and exits with 1 if a guarantee was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.report import table

from .backplane.course import Course, short_steps
from .backplane.fleet import SCRIPT
from .backplane.outcome import HEAD
from .backplane.steps import OTHERS, QUIET, REPLACED_WHILE_CUT_OFF, Step

pytestmark = pytest.mark.usefixtures("nginx", "node", "redis")

BURST = 5000


KILLS = 5
"""Hubs that are killed in each run."""


@pytest.mark.parametrize(("hubs", "others", "burst"), [(2, OTHERS[::2], BURST), (3, OTHERS[1::2], 0)])
async def test_a_short_course_breaks_no_guarantee(
    tmp_path: Path, hubs: int, others: Sequence[Step], burst: int
) -> None:
    """A short course breaks no guarantee. Its seed is random and printed."""
    seed = secrets.randbelow(1_000_000)
    course = Course(tmp_path, hubs, seed, outage=1)
    try:
        outcome = await course.run(short_steps(seed, KILLS, others), burst=burst)
    finally:
        (tmp_path / "journal").write_text("".join(course.journal))
    print(table(HEAD, [outcome.row]))
    assert outcome.failures == []
    assert outcome.figure("kills") == KILLS
    for name in ("accepted", "deliveries", "losses told"):
        assert outcome.figure(name) > 0


@pytest.mark.parametrize(
    ("bug", "what", "steps"),
    [
        ("dropped", "missing", [QUIET]),
        ("doubled", "doubled", [QUIET]),
        ("swallowed", "missing", [REPLACED_WHILE_CUT_OFF] * 2),
    ],
)
async def test_a_bug_is_found(tmp_path: Path, bug: str, what: str, steps: list[Step]) -> None:
    course = Course(tmp_path, 2, 1, outage=1, patience=3, kinds=["node"], command=(*SCRIPT, "--bug", bug))
    outcome = await course.run(steps)
    assert outcome.figure(what) > 0
    assert outcome.failures


def main() -> None:
    """Run, print a table, and exit with 1 if a guarantee was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hub.test_backplane_course", description="Several hubs over Redis, under fault."
    )
    parser.add_argument("--seconds", type=float, default=600, help="how long at least; 600")
    parser.add_argument("--seed", type=int, help="of all that is random; another one each time")
    parser.add_argument("--hubs", type=int, default=3, help="how many; 3")
    parser.add_argument("--outage", type=float, default=20, help="how many seconds an outage takes at most; 20")
    parser.add_argument("--journal", type=Path, help="where to write all that happens; nowhere")
    parser.add_argument("--folder", type=Path, help="a new folder that keeps all files; a temporary one")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="webmq-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        course = Course(folder, options.hubs, seed, outage=options.outage)
        try:
            outcome = asyncio.run(course.run(short_steps(seed), options.seconds, BURST))
        finally:
            if options.journal:
                options.journal.write_text("".join(course.journal))
    print(table(HEAD, [outcome.row]))
    print("\n".join(outcome.failures or ["every promise was kept"]))
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()
