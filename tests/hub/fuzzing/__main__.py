"""Fuzzes what the hub reads from clients, with a million inputs by default, and reports the most expensive ones.

    python -m tests.hub.fuzzing --help

It needs the dependencies of the tests. The inputs and the checks are those of `tests/hub/fuzzing`, of which CI checks
10,000 inputs. They are checked in batches, each with its own seed, so that a failure can be reproduced.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import secrets
import sys
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import TARGETS, fuzz, shares

INPUTS = 1_000_000
BATCH = 2_000
LONGEST = 1.0
"""The maximum CPU seconds of an input: the largest inputs have 40,000 characters."""

_TRACED = 50
"""The memory of one in this many inputs is measured, because that is slow."""
_UNIT = 1_000
"""Minimum length by which the cost of an input is divided: otherwise the shortest inputs would cost most."""


class Batch(NamedTuple):
    """A number of inputs for one target."""

    target: str
    inputs: int
    seed: int


@dataclass
class Costs:
    """The costs of a batch."""

    batch: Batch
    failure: str | None = None
    seconds: float = 0.0
    """CPU seconds of the whole batch, including the generation of the inputs."""
    checked: int = 0
    dearest: float = 0.0
    """CPU seconds of the most expensive input, including its check."""
    heaviest: float = 0.0
    """Peak memory in bytes per character of the input that needs most, including its check."""

    def measure(self, check: Callable[[object], None], each: object) -> None:
        """Check an input and record its costs."""
        self.checked += 1
        if self.checked % _TRACED == 0:
            self.heaviest = max(self.heaviest, _weighed(check, each))
            return
        took = _timed(check, each)
        if took > self.dearest:  # in case of a garbage collection during the first
            self.dearest = max(self.dearest, min(took, _timed(check, each)))


def _timed(check: Callable[[object], None], each: object) -> float:
    """Return the CPU seconds that an input takes."""
    begun = time.thread_time()
    check(each)
    return time.thread_time() - begun


def _weighed(check: Callable[[object], None], each: object) -> float:
    """Return the bytes per character that an input takes."""
    tracemalloc.start()
    try:
        check(each)
        return tracemalloc.get_traced_memory()[1] / max(len(repr(each)), _UNIT)
    finally:
        tracemalloc.stop()


def main() -> None:
    """Run the fuzzer, and exit with 1 if a check fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub.fuzzing", description="Fuzz the hub.")
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"default: {INPUTS:,}, over all targets")
    parser.add_argument("--target", choices=TARGETS, help="default: all")
    parser.add_argument("--seed", type=int, help="the same inputs again; default: others each time")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one for each processor")
    options = parser.parse_args()

    seed = secrets.randbelow(1_000_000_000) if options.seed is None else options.seed
    names = list(TARGETS) if options.target is None else [options.target]
    print(f"{options.inputs:,} inputs, seed {seed} ...", file=sys.stderr, flush=True)
    begun = time.monotonic()
    done: list[Costs] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for costs in pool.imap_unordered(run, list(_batches(names, options.inputs, seed))):
            done.append(costs)
            print(f"\r{sum(each.checked for each in done):,}", end="", file=sys.stderr, flush=True)
            if costs.failure is not None:
                print(rendered(done))
                again = f"--target {costs.batch.target} --inputs {costs.batch.inputs} --seed {costs.batch.seed}"
                sys.exit(f"{costs.failure}\nAgain, by: python -m tests.hub.fuzzing {again}")
    print(file=sys.stderr)
    print(rendered(done))
    print(f"\nseed {seed}; {time.monotonic() - begun:,.0f} s in {options.processes} processes")
    sys.exit(any(costs.dearest > LONGEST for costs in done))


def _batches(names: Sequence[str], inputs: int, seed: int) -> Iterator[Batch]:
    for name, share in shares(names, inputs).items():
        for begin in range(0, share, BATCH):
            yield Batch(name, min(BATCH, share - begin), seed)
            seed += 1


def run(batch: Batch) -> Costs:
    """Check a batch."""
    logging.disable()  # the hub's log messages are ignored here
    costs = Costs(batch)
    begun = time.process_time()
    try:
        fuzz(TARGETS[batch.target], batch.inputs, batch.seed, costs.measure)
    except Exception:  # noqa: BLE001  # any error is a finding
        costs.failure = traceback.format_exc(limit=-3)
    costs.seconds = time.process_time() - begun
    return costs


def rendered(done: Sequence[Costs]) -> str:
    """Return a table with a row for each target."""
    targets = {name: [costs for costs in done if costs.batch.target == name] for name in TARGETS}
    rows = [
        (
            name,
            f"{sum(each.checked for each in costs):,}",
            f"{sum(each.seconds for each in costs):,.0f} s",
            f"{max(each.dearest for each in costs) * 1e3:.1f} ms",
            f"{max(each.heaviest for each in costs):.0f} bytes",
        )
        for name, costs in targets.items()
        if costs
    ]
    head = ("target", "inputs", "CPU", "dearest input, CPU", "heaviest, per character")
    return "\n".join(f"{name:<12}{''.join(each.rjust(24) for each in figures)}" for name, *figures in (head, *rows))


if __name__ == "__main__":
    main()
