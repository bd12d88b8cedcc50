"""Runs the programs that are pinned in `.ci/browser`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from subprocess import CompletedProcess

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".ci" / "browser.py"
TOOLS = BUILD.with_suffix("") / "node_modules"
NAME = "webmqconnect-async"


def run(*command: str | Path, cwd: Path) -> CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # ours
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def tool(name: str, *arguments: str | Path, cwd: Path) -> CompletedProcess[str]:
    return run(TOOLS / ".bin" / name, *arguments, cwd=cwd)
