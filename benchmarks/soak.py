"""Pushes 100,000 events through a faulty proxy to a hub that is killed five times, and checks all guarantees.

Any Python from 3.11 on can run it: `python3 benchmarks/soak.py --help`. It runs `benchmarks.soaking` in the venv of the
benchmarks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from benchmarks.run import python

    command = [str(python()), "-W", "error", "-m", "benchmarks.soaking", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)  # noqa: S603  # ours
