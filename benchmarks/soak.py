"""Push 100,000 events through faults and five deaths of the hub, and check what was promised about each of them.

Any Python from 3.11 on starts it: `python3 benchmarks/soak.py --help`. It works in the venv of the benchmarks; all
that it does is in `soaking`.
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
