"""Compares the ways to scale: one hub, one node of Crossbar.io, and the two clusters of examples/crossbar/.

Any Python from 3.11 on can run it: `python3 benchmarks/crossbar_cluster.py --help`. It runs `benchmarks.clusters` in
the venv of the benchmarks, and needs Crossbar.io: `python3 brokers/crossbar.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from benchmarks.run import python

    command = [str(python()), "-m", "benchmarks.clusters", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)  # noqa: S603  # ours
