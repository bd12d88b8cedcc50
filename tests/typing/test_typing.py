"""The types of the public names, under mypy and pyright."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import needed

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_FILES = ("tests/typing/accepted.py", "tests/typing/refused.py")
_MOST_SYMBOLS = 150
"""The maximum number of exported symbols, as pyright counts them. A change that adds public names raises it."""
# pyright looks for packages with the first `python` in the PATH.
_ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def _run(*command: str) -> str:
    """Run a type-checker of this environment, and return its output."""
    needed(command[0], find_spec(command[0]), "pip install --group dev")
    done = subprocess.run(  # noqa: S603  # the arguments are constants
        [sys.executable, "-m", *command], cwd=_ROOT, env=_ENVIRONMENT, capture_output=True, text=True
    )
    return done.stdout


# Each checker is started once, because that takes seconds.


@functools.cache
def _mypy() -> set[tuple[str, int]]:
    """Return the files and lines with an error. mypy runs without its cache, which another mypy may be writing."""
    output = _run("mypy", "--strict", f"--cache-dir={os.devnull}", *_FILES)
    assert "Success" in output or "Found" in output, output
    return {(file, int(line)) for file, line in re.findall(r"(\w+\.py):(\d+): error:", output)}


@functools.cache
def _pyright() -> set[tuple[str, int]]:
    """Return the files and lines with an error."""
    report = json.loads(_run("pyright", "--outputjson", *_FILES))
    assert report["summary"]["filesAnalyzed"] == len(_FILES)
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in report["generalDiagnostics"]}


CHECKERS = pytest.mark.parametrize("errors", [_mypy, _pyright], ids=["mypy", "pyright"])


@CHECKERS
def test_public_use_is_accepted(errors: Callable[[], set[tuple[str, int]]]) -> None:
    assert [line for file, line in errors() if file != "refused.py"] == []


@CHECKERS
def test_misuse_is_refused_line_by_line(errors: Callable[[], set[tuple[str, int]]]) -> None:
    lines = (_HERE / "refused.py").read_text("utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    assert len(expected) > 30
    assert {line for file, line in errors() if file == "refused.py"} == expected


def test_all_public_types_are_known() -> None:
    """Pyright knows the type of each exported symbol, and their number is limited."""
    report = json.loads(_run("pyright", "--verifytypes", "webmqconnect_async", "--ignoreexternal", "--outputjson"))
    completeness = report["typeCompleteness"]
    unknown = [each["name"] for each in completeness["symbols"] if each["isExported"] and not each["isTypeKnown"]]
    assert unknown == []
    assert 50 < completeness["exportedSymbolCounts"]["withKnownType"] <= _MOST_SYMBOLS
