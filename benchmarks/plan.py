"""How long a run of the benchmarks takes, and where it stores its results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from . import processes
from .goals import Cell, Group
from .processes import Server
from .results import Results, Sample, Samples, compared, summed_up


class Plan:
    """How long a run takes, and where it stores its results.

    Args:
        results: the results, to which the sections add.
        quick: push few events, to see that everything works; the figures mean nothing.
        goals_only: leave out everything that has no goal.
    """

    def __init__(self, results: Results, quick: bool = False, goals_only: bool = False) -> None:
        self.results = results
        self.quick = quick
        self.goals_only = goals_only

    @property
    def seconds(self) -> float:
        """How long each run of wrk takes."""
        return 1.0 if self.quick else 3.0

    def events(self, number: int) -> int:
        """Return how many events this run pushes where a full run pushes `number`."""
        return max(20, number // 50) if self.quick else number

    @contextmanager
    def sink(self, delay: float = 0.0, tls: bool = False) -> Iterator[Server]:
        """Run the server to which clients push. Only one at a time: it may occupy its core."""
        options = ["--delay", str(delay), *(["--spin"] if self.results.spinning else ())]
        if not tls:
            with processes.server("sink", *options) as server:
                yield server
            return
        import trustme

        authority = trustme.CA()
        with TemporaryDirectory() as folder:
            trusted, chain = Path(folder, "trusted.pem"), Path(folder, "server.pem")
            authority.cert_pem.write_to_path(trusted)
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(chain)
            with processes.server("sink", *options, "--tls", str(chain)) as server:
                url = server.url.replace("http", "https", 1)
                # OpenSSL's variable for a file of trusted certificates
                yield replace(server, url=url, environment={"SSL_CERT_FILE": str(trusted)})

    def samples(self, server: Server, cells: Sequence[Cell]) -> Samples:
        """Measure all cells in turn, round by round. Every second round is in reverse, which favours no position."""
        samples: dict[Cell, list[Sample]] = {cell: [] for cell in cells}
        for number in range(self.results.rounds):
            for cell in reversed(cells) if number % 2 else cells:
                note(f"round {number + 1} of {self.results.rounds}: {cell.client}, concurrency {cell.concurrency}")
                samples[cell].append(self.measure(server, cell))
        return samples

    def measure(self, server: Server, cell: Cell) -> Sample:
        """Measure one cell once, in a process of its own."""
        taken = replace(cell, events=self.events(cell.events))
        printed = processes.output("measure", json.dumps(asdict(taken)), server.url, **server.environment)
        return Sample(**json.loads(printed))

    def compare(self, group: Group) -> None:
        """Measure the cells of a group side by side, and add them and the ratios between them to the results."""
        if self.goals_only:
            group = group.goals_only()
        with self.sink(group.cells[0].delay, group.cells[0].tls) as server:
            samples = self.samples(server, group.cells)
        self.results.measured += [summed_up(cell, taken) for cell, taken in samples.items()]
        self.results.rows += [compared(ratio, samples) for ratio in group.ratios]


def note(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)
