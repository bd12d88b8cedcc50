"""The map of rooms in CONTRIBUTING.md, and that pure rooms read no clock and do no I/O.

import-linter checks which room may import which; its contracts are in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import webmqconnect_async

_ROOT = Path(webmqconnect_async.__file__).parent
_CHECKOUT = Path(__file__).parents[1]
_LONGEST = 330
_MAP = (_CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
_CONTRACTS = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
_PURE = [
    module
    for contract in _CONTRACTS
    if contract["name"].startswith("Pure rooms")
    for module in contract["source_modules"]
]
"""The rooms that import-linter keeps from importing clocks, sockets and random sources."""


def _name(path: Path) -> str:
    parts = path.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_MODULES = {_name(path): path for path in sorted(_ROOT.rglob("*.py"))}


def _is_pure(name: str) -> bool:
    full = f"webmqconnect_async.{name}"
    return any(full == room or full.startswith(f"{room}.") for room in _PURE)


def _impurities(tree: ast.AST) -> list[str]:
    """Return the impure calls of a pure module that import-linter cannot find."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="now" | "today" | "utcnow"):
                found.append(f"reads the clock: {ast.unparse(node)}")
            case ast.Call(func=ast.Name(id="open" | "print" | "input" as name)):
                found.append(f"does I/O: {name}")
            case ast.Import(names=[ast.alias(name="urllib.request")]) | ast.ImportFrom(module="urllib.request"):
                found.append("imports urllib.request")
            case ast.AsyncFunctionDef() | ast.Await():
                found.append("is asynchronous")
    return found


@pytest.mark.parametrize("name", [name for name in _MODULES if _is_pure(name)])
def test_a_pure_room_does_no_io_and_reads_no_clock(name: str) -> None:
    assert _impurities(ast.parse(_MODULES[name].read_text("utf-8"))) == []


def test_pure_rooms_are_found() -> None:
    assert {"_core.flow", "_core.dialects.webmq", "signing", "hub._pushes.webmq"} <= set(filter(_is_pure, _MODULES))
    assert not _is_pure("_aio.client")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = datetime.now()", ["reads the clock: datetime.now"]),
        ("x = date.today", ["reads the clock: date.today"]),
        ("from urllib.request import urlopen", ["imports urllib.request"]),
        ("print(1)", ["does I/O: print"]),
        ("async def f() -> None: ...", ["is asynchronous"]),
        ("x = datetime.fromtimestamp(0, UTC)", []),
        ("def f(now: float) -> float:\n    return now", []),
    ],
)
def test_impurities_are_found(source: str, found: list[str]) -> None:
    assert _impurities(ast.parse(source)) == found


def test_the_map_has_every_room_and_no_other() -> None:
    """The map has a row for each module and folder of the package, of `_core`, `hub`, `relay` and `subscriber`."""
    rooms = {
        path.relative_to(_ROOT).with_suffix("").as_posix()
        for folder in (_ROOT, _ROOT / "_core", _ROOT / "hub", _ROOT / "relay", _ROOT / "subscriber")
        for path in folder.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    rows = re.findall(r"^\| `([\w/]+)` \|", _MAP, re.MULTILINE)
    assert sorted(rows) == sorted(rooms)


def test_the_paths_in_the_map_exist() -> None:
    named = re.findall(r"`([\w./]+/[\w]+\.py)`", _MAP)
    assert len(named) > 5
    assert [name for name in named if not any((root / name).is_file() for root in (_ROOT, _CHECKOUT))] == []


@pytest.mark.parametrize("name", _MODULES)
def test_the_length_of_modules_is_limited(name: str) -> None:
    assert len(_MODULES[name].read_text("utf-8").splitlines()) <= _LONGEST
