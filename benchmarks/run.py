"""Make `benchmarks/.venv`, install the package and its peers into it, and run the benchmarks there.

Any Python from 3.11 on starts it: `python3 benchmarks/run.py --help`. It knows nothing of what is measured.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = HERE / ".venv"
REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """Return the venv's interpreter, having made the venv and installed what is not yet in it."""
    interpreter = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    installed = VENV / "installed.txt"
    wanted = REQUIREMENTS.read_text() + (ROOT / "pyproject.toml").read_text()
    if not installed.exists() or installed.read_text() != wanted:
        print("making benchmarks/.venv with the package and its peers ...", file=sys.stderr, flush=True)
        venv.create(VENV, with_pip=True, clear=True)
        # The requirements name the package by a path relative to its root.
        subprocess.run([interpreter, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], cwd=ROOT, check=True)  # noqa: S603  # ours
        installed.write_text(wanted)
    return interpreter


if __name__ == "__main__":
    sys.exit(subprocess.run([python(), "-m", "benchmarks", *sys.argv[1:]], cwd=ROOT).returncode)  # noqa: S603  # ours
