"""The rooms of the package, over their syntax trees: what each may import, and what pure ones never do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import webmqconnect_async

_ROOT = Path(webmqconnect_async.__file__).parent
_PACKAGE = "webmqconnect_async"
_LONGEST = 330
_CHECKOUT = Path(__file__).parents[1]
_MAP = (_CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")

_PURE = {
    *("endpoint", "errors", "values", "signing", "mistakes", "checks", "dialects", "failures", "flow", "bulk"),
    *("hub.judge", "hub.wamp1", "hub.echo", "hub.frames", "hub.origins", "hub.procedures", "hub.bridge"),
    *("hub.wamp2", "hub.joining", "hub.challenges", "hub.publication", "hub.publish_options", "hub.texts"),
    *("cli.failures", "cli.jsonl", "cli.pace", "cli.comparison", "cli.curl", "cli.refusals", "cli.stamps"),
    "sync.heads",
}
"""Rooms without I/O, clocks and dice; a package stands for all its modules."""
_IMPURE = {
    *("aiohttp", "http.client", "asyncio", "threading", "socket", "ssl", "time", "random", "secrets", "select", "os"),
    *(
        "urllib.request",
        "requests",
        "httpx",
        "multiprocessing",
        "concurrent",
        "subprocess",
        "selectors",
        "uuid",
        "logging",
    ),
}
_CLOCKS = {"now", "today", "utcnow"}
_IO = {"open", "print", "input"}

# The arrows: which other rooms each room may import. What stands for a whole folder is named by the folder.
_ARROWS: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "checks": set(),
    "endpoint": set(),
    "mistakes": set(),
    "signing": {"mistakes"},
    "values": {"errors"},
    "dialects": {"errors", "values", "signing"},
    "failures": {"errors"},
    "flow": {"errors", "values", "dialects", "checks", "failures"},
    "bulk": {"errors", "values", "checks"},
    "log": {"flow"},
    "settings": {"_version", "checks", "dialects", "endpoint", "flow", "signing"},
    "environment": {"dialects", "endpoint", "signing"},
    "aio": {"errors", "values", "dialects", "flow", "bulk", "log", "checks", "settings", "failures", "environment"},
    "sync": {
        *("errors", "values", "dialects", "flow", "bulk", "log", "checks", "settings", "failures", "endpoint"),
        "environment",
    },
    "hub": {"_version", "signing", "checks"},
    "testing": {"checks", "hub", "values"},
    "cli": {"_version", "errors", "values", "signing", "dialects", "endpoint", "settings", "environment", "aio", "hub"},
    "": {"_version", "errors", "values", "flow", "aio", "sync"},
    "__main__": {"cli"},
}


class _AtRunTime(ast.NodeTransformer):
    """Leaves out what is there for the type checker alone."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node


def _parsed(source: str) -> ast.Module:
    tree = _AtRunTime().visit(ast.parse(source))
    assert isinstance(tree, ast.Module)
    return tree


def _modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module by its dotted name within the package; the package itself is ""."""
    trees = {}
    for path in sorted(_ROOT.rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        trees[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = _parsed(path.read_text("utf-8"))
    return trees


_MODULES = _modules()


def _path(name: str) -> Path:
    path = _ROOT.joinpath(*filter(None, name.split(".")))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _is_pure(name: str) -> bool:
    return any(_is_within(name, room) for room in _PURE)


def _imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Yield the absolute names that a module imports: modules of the package, and whatever else with its module."""
    here = [_PACKAGE, *filter(None, name.split("."))]
    if _path(name).name == "__init__.py":
        here.append("__init__")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                imported = f"{origin}.{alias.name}"
                ours = _is_within(origin, _PACKAGE) and imported.removeprefix(f"{_PACKAGE}.") not in _MODULES
                yield origin if ours else imported


def _impurities(name: str, tree: ast.Module) -> list[str]:
    """Return what a module does that a pure one must not."""
    found = [
        f"imports {imported}"
        for imported in _imports(name, tree)
        if any(_is_within(imported, each) for each in _IMPURE)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _CLOCKS:
            found.append(f"reads the clock: {ast.unparse(node)}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IO:
            found.append(f"does I/O: {node.func.id}")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append("is asynchronous")
    return found


def _rooms_behind(name: str, tree: ast.Module) -> set[str]:
    """Return the other rooms that a module takes something from."""
    ours = [imported for imported in _imports(name, tree) if _is_within(imported, _PACKAGE)]
    rooms = {imported.removeprefix(_PACKAGE).removeprefix(".").partition(".")[0] for imported in ours}
    return rooms - {name.partition(".")[0]}


def _wrong_arrows(name: str, tree: ast.Module) -> list[str]:
    """Return the rooms that a module takes something from, against the arrows."""
    return sorted(_rooms_behind(name, tree) - _ARROWS[name.partition(".")[0]])


@pytest.mark.parametrize("name", [name for name in _MODULES if _is_pure(name)])
def test_a_pure_room_does_no_io_and_reads_no_clock(name: str) -> None:
    assert _impurities(name, _MODULES[name]) == []


@pytest.mark.parametrize("name", [name for name in _MODULES if _is_pure(name)])
def test_a_pure_room_takes_from_pure_rooms_alone(name: str) -> None:
    """What it imports it does."""
    imported = {each.removeprefix(f"{_PACKAGE}.") for each in _imports(name, _MODULES[name])}
    assert {each for each in imported if each in _MODULES and not _is_pure(each)} == set()


def test_every_pure_room_is_there() -> None:
    assert {room for room in _PURE if any(_is_pure(name) for name in _MODULES if name.startswith(room))} == _PURE


@pytest.mark.parametrize("name", _MODULES)
def test_imports_go_one_way(name: str) -> None:
    assert _wrong_arrows(name, _MODULES[name]) == []


@pytest.mark.parametrize("room", _ARROWS)
def test_every_arrow_is_used(room: str) -> None:
    used = [_rooms_behind(name, tree) for name, tree in _MODULES.items() if name.partition(".")[0] == room]
    assert _ARROWS[room] - set().union(*used) == set()


def test_the_arrows_hold_no_circle() -> None:
    rank = {
        "errors": 0,
        "mistakes": 0,
        "values": 1,
        "signing": 2,
        "dialects": 3,
        "flow": 4,
        "aio": 5,
        "sync": 5,
        "": 6,
        "cli": 7,
    }
    for room, targets in _ARROWS.items():
        for target in targets:
            if room in rank and target in rank:
                assert rank[target] < rank[room], f"{room} imports {target}"
    assert not any("cli" in targets for room, targets in _ARROWS.items() if room != "__main__")
    assert not _ARROWS["hub"] & {"", "aio", "sync", "flow", "dialects"}


def test_the_map_names_every_room_and_no_other() -> None:
    """CONTRIBUTING.md says of each room what it may import, and whether it is pure."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| .* \| (.*) \|$", _MAP, re.MULTILINE)
    assert {name for name, _, _ in rows} == {name.partition(".")[0] or "__init__" for name in _MODULES}
    assert {name: set(re.findall(r"`(\w+)`", targets)) for name, _, targets in rows} == {
        room or "__init__": {target or "__init__" for target in targets} for room, targets in _ARROWS.items()
    }
    assert {name for name, does, _ in rows if does.endswith(" Pure")} == {room for room in _PURE if "." not in room}


def test_the_map_leads_somewhere() -> None:
    named = re.findall(r"`([\w./]+/[\w]+\.py)`", _MAP)
    assert len(named) > 5
    assert [name for name in named if not any((root / name).is_file() for root in (_ROOT, _CHECKOUT))] == []


@pytest.mark.parametrize("name", _MODULES)
def test_a_module_can_be_read_in_one_sitting(name: str) -> None:
    assert len(_path(name).read_text("utf-8").splitlines()) <= _LONGEST


@pytest.mark.parametrize("name", _MODULES)
def test_a_module_says_what_it_is(name: str) -> None:
    assert len(ast.get_docstring(_MODULES[name]) or "") > 20


# The tests above can fail


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import aiohttp", "imports aiohttp"),
        ("import aiohttp.web", "imports aiohttp.web"),
        ("import http.client", "imports http.client"),
        ("from http import client", "imports http.client"),
        ("from http.client import HTTPResponse", "imports http.client.HTTPResponse"),
        ("from asyncio import sleep", "imports asyncio.sleep"),
        ("def f() -> None:\n    import time", "imports time"),
        ("try:\n    import random\nexcept ImportError:\n    pass", "imports random"),
        ("from os import environ", "imports os.environ"),
        ("from datetime import datetime\nx = datetime.now()", "reads the clock: datetime.now"),
        ("from datetime import datetime\nx = datetime.utcnow", "reads the clock: datetime.utcnow"),
        ("from datetime import date\nx = date.today()", "reads the clock: date.today"),
        ("print(1)", "does I/O: print"),
        ("async def f() -> None: ...", "is asynchronous"),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import socket", "imports socket"),
    ],
)
def test_an_impure_module_is_found(source: str, found: str) -> None:
    assert found in _impurities("flow", _parsed(source))


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC)",
        "import http\nfrom urllib.parse import quote",
        "if TYPE_CHECKING:\n    import asyncio",
        "from .timeless import x",
        "now = 1\ndef f(now: float) -> float:\n    return now",
    ],
)
def test_a_pure_module_is_not(source: str) -> None:
    assert _impurities("flow", _parsed(source)) == []


@pytest.mark.parametrize(
    ("name", "source", "room"),
    [
        ("errors", "from .values import Push", "values"),
        ("errors", "from . import values", "values"),
        ("signing", "from webmqconnect_async.errors import WebMQError", "errors"),
        ("dialects", "from ..flow import Retry", "flow"),
        ("dialects.webmq", "from ..flow import Retry", "flow"),
        ("dialects.webmq", "from .. import flow", "flow"),
        ("flow", "from .aio import AsyncClient", "aio"),
        ("flow", "import webmqconnect_async.sync", "sync"),
        ("flow", "import webmqconnect_async", ""),
        ("flow", "from webmqconnect_async import Client", ""),
        ("flow", "from . import Client", ""),
        ("flow", "from .nowhere import x", "nowhere"),
        ("sync.client", "from ..aio.wire import Wire", "aio"),
        ("aio.client", "from ..sync import Client", "sync"),
        ("hub.server", "from webmqconnect_async import AsyncClient", ""),
        ("hub.judge", "from ..dialects import Request", "dialects"),
        ("bulk", "def f() -> None:\n    from .cli import main", "cli"),
        ("", "from .hub import Hub", "hub"),
        ("testing", "from ..cli import main", "cli"),
    ],
)
def test_an_import_against_the_arrows_is_found(name: str, source: str, room: str) -> None:
    assert _wrong_arrows(name, _parsed(source)) == [room]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("values", "from .errors import WebMQError"),
        ("errors", "if TYPE_CHECKING:\n    from .values import Outcome"),
        ("dialects.webmq", "from . import Request\nfrom .events import encode_event\nfrom ..signing import sign"),
        ("aio.wire", "from ..flow import Clock"),
        ("hub.judge", "from webmqconnect_async.signing import verify\nfrom .echo import shown"),
        ("hub.server", "from . import page, wamp1"),
        ("cli.push", "from webmqconnect_async.aio import AsyncClient\nfrom webmqconnect_async.hub import Hub"),
        ("", "from .errors import WebMQError\nfrom ._version import __version__"),
    ],
)
def test_an_import_along_the_arrows_is_not(name: str, source: str) -> None:
    assert _wrong_arrows(name, _parsed(source)) == []
