"""Runs Python programs in a process of their own, in development mode, with every warning an error."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from .hostile import AUTHORITY, PATIENCE

ROOT = Path(__file__).parents[1]

_PRELUDE = """
import asyncio, gc, logging, os, ssl, sys, threading, time
from webmqconnect_async import *
url, ca = sys.argv[1:]
trust = ssl.create_default_context(cafile=ca)
# On a busy machine, callbacks are slow that do not block.
logging.getLogger("asyncio").addFilter(lambda record: "took" not in record.msg)
"""


def run_script(script: str, url: str, tmp_path: Path, *, first: str = "", prelude: str = "") -> str:
    """Run a program with `url`, the context `trust` and the package's names; return its output.

    `first` runs before all imports, `prelude` after them.

    It must exit with 0 within 90 seconds, and write nothing to stderr, such as a ResourceWarning.
    """
    ca = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(ca))
    done = subprocess.run(  # noqa: S603  # a program of this test
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            first + _PRELUDE + prelude + textwrap.dedent(script),
            url,
            str(ca),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=9 * PATIENCE,
        check=False,
    )
    assert done.stderr == "", done.stderr
    assert done.returncode == 0
    return done.stdout
