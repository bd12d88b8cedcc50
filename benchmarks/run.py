"""Makes `benchmarks/.venv` with the package and its peers, and runs the benchmarks there.

Any Python from 3.11 on can run it: `python3 benchmarks/run.py --help`.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = HERE / ".venv"


def python() -> Path:
    """Return the environment's interpreter; make the environment if it is missing or out of date."""
    interpreter = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    installed = VENV / "installed.txt"
    wanted = (ROOT / "pyproject.toml").read_text()
    if not installed.exists() or installed.read_text() != wanted:
        print("making benchmarks/.venv with the package and its peers ...", file=sys.stderr, flush=True)
        venv.create(VENV, with_pip=True, clear=True)
        pip = [str(interpreter), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)  # noqa: S603  # ours; groups need 25.1
        subprocess.run([*pip, "-e", ".", "--group", "benchmarks"], cwd=ROOT, check=True)  # noqa: S603  # ours
        installed.write_text(wanted)
    return interpreter


if __name__ == "__main__":
    sys.exit(subprocess.run([python(), "-m", "benchmarks", *sys.argv[1:]], cwd=ROOT).returncode)  # noqa: S603  # ours
