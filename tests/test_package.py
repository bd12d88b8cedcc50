"""What the package shows: its names, its docstrings, its types, its version, and what importing it brings along."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import metadata, version
from importlib.resources import files
from pathlib import Path

import pytest

import webmqconnect_async
from webmqconnect_async import errors
from webmqconnect_async._core import settings, values
from webmqconnect_async._version import __version__

_ROOT = Path(webmqconnect_async.__file__).parent
_PUBLIC = {name: getattr(webmqconnect_async, name) for name in webmqconnect_async.__all__ if name != "__version__"}
_CLASSES = [value for value in _PUBLIC.values() if isinstance(value, type)]


def test_all_is_what_is_public() -> None:
    """Nothing public is left out, nothing is listed that is not there; the rooms are reached by name, not listed."""
    public = {
        name
        for name, value in vars(webmqconnect_async).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public | {"__version__"} == set(webmqconnect_async.__all__)
    assert len(webmqconnect_async.__all__) == len(set(webmqconnect_async.__all__))
    assert list(webmqconnect_async.__all__) == sorted(webmqconnect_async.__all__)


def test_the_promised_names_are_there() -> None:
    promised = {"AsyncClient", "Client", "Outcome", "Payload", "Push", "Receipt", "Retry", "Stats", *errors.__all__}
    assert promised <= _PUBLIC.keys()


def _members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties that a class of the package has beyond those of built-in ones."""
    for name, value in inspect.getmembers(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), object)
        if not name.startswith("_") and owner.__module__.startswith("webmqconnect_async"):
            yield name, value


@pytest.mark.parametrize("cls", _CLASSES, ids=lambda cls: cls.__name__)
def test_everything_public_has_a_docstring(cls: type) -> None:
    assert cls.__doc__
    # The docstring that dataclass makes up, were there none.
    assert not cls.__doc__.startswith(f"{cls.__name__}(")
    for name, member in _members(cls):
        if callable(member) or isinstance(member, property):
            assert inspect.getdoc(member), f"{cls.__name__}.{name}"


@pytest.mark.parametrize("cls", _CLASSES, ids=lambda cls: cls.__name__)
def test_every_documented_argument_is_one(cls: type) -> None:
    """A docstring's Args names what the constructor or the method takes, in its order."""
    takers: list[tuple[str, Callable[..., object]]] = [(cls.__name__, cls)]
    takers += [(name, member) for name, member in _members(cls) if callable(member)]
    for name, taker in takers:
        text = inspect.getdoc(taker) or ""
        section = re.search(r"^( *)Args:\n((?:\1    .*\n|\n)+)", text + "\n", re.MULTILINE)
        if section:
            named = re.findall(r"^ {4}(\w+):", section[2], re.MULTILINE)
            taken = list(inspect.signature(taker).parameters)
            assert named == [parameter for parameter in taken if parameter != "self"], name


def test_the_clients_take_the_same_arguments() -> None:
    """But for a session, which only the asynchronous one can borrow, and the names of 2012."""
    constructors = [
        list(inspect.signature(client).parameters)
        for client in (webmqconnect_async.AsyncClient, webmqconnect_async.Client)
    ]
    asynchronous, blocking = constructors
    assert [name for name in asynchronous if name != "session"] == blocking[: -len(_OF_2012)]
    assert blocking[-len(_OF_2012) :] == _OF_2012


_OF_2012 = ["pushEndpoint", "authKey", "authSecret"]


@pytest.mark.parametrize("verb", ["push", "push_many", "push_stream", "close"])
def test_the_clients_have_the_same_verbs(verb: str) -> None:
    asynchronous, blocking = (
        [(each.name, each.kind, each.default) for each in inspect.signature(getattr(client, verb)).parameters.values()]
        for client in (webmqconnect_async.AsyncClient, webmqconnect_async.Client)
    )
    assert asynchronous == blocking


@pytest.mark.parametrize("client", [webmqconnect_async.AsyncClient, webmqconnect_async.Client])
def test_from_env_takes_what_the_constructor_takes_beside_what_the_environment_says(client: type) -> None:
    """By name, with the same types; the names of 2012 are left behind."""
    constructor = typing.get_type_hints(client.__init__, localns=_NAMES)  # type: ignore[misc]  # of the class itself
    hints = typing.get_type_hints(client.from_env, localns=_NAMES)  # type: ignore[attr-defined]  # both have it
    [options] = typing.get_args(hints["options"])
    said_by_the_environment = {"endpoint", "auth_key", "auth_secret", "dialect", *_OF_2012, "return"}
    assert typing.get_type_hints(options, localns=_NAMES) == {
        name: hint for name, hint in constructor.items() if name not in said_by_the_environment
    }


# Types

_NAMES = {"typing": typing, **vars(typing), **vars(values), **vars(settings)}
"""For annotations of names that a module imports for the type checker alone."""


def _mentions_any(hint: object) -> bool:
    return hint is typing.Any or any(_mentions_any(part) for part in typing.get_args(hint))


def _hints(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the types that a class shows: of its attributes, arguments and results."""
    for base in cls.__mro__:
        if base.__module__.startswith("webmqconnect_async"):
            for name, hint in typing.get_type_hints(base, localns=_NAMES).items():
                yield f"{base.__name__}.{name}", hint
    shown = [("__init__", cls.__init__), *_members(cls)]  # type: ignore[misc]  # of the class itself
    for name, member in shown:
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and function.__module__.startswith("webmqconnect_async"):
            for argument, hint in typing.get_type_hints(function, localns=_NAMES).items():
                yield f"{cls.__name__}.{name}: {argument}", hint


@pytest.mark.parametrize("cls", _CLASSES, ids=lambda cls: cls.__name__)
def test_no_public_type_is_any(cls: type) -> None:
    assert [where for where, hint in _hints(cls) if _mentions_any(hint)] == []


def test_any_would_be_found() -> None:
    class Bad:
        __module__ = "webmqconnect_async.bad"
        attribute: list[typing.Any]

    assert [where for where, hint in _hints(Bad) if _mentions_any(hint)] == ["Bad.attribute"]


def test_the_types_are_all_looked_at() -> None:
    looked_at = {where for cls in _CLASSES for where, _ in _hints(cls)}
    assert {"AsyncClient.push: event", "Client.push: return", "Outcome.error", "Retry.wait"} <= looked_at
    assert "SourceFailed.outcomes" in looked_at


def test_the_types_are_shipped() -> None:
    assert files("webmqconnect_async").joinpath("py.typed").is_file()


# Version


def test_the_version_is_stated_once() -> None:
    assert webmqconnect_async.__version__ == __version__ == version("webmqconnect-async")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    stated = [path.name for path in _ROOT.rglob("*.py") if f'"{__version__}"' in path.read_text("utf-8")]
    assert stated == ["_version.py"]


def test_the_project_reads_it_there() -> None:
    path = _ROOT.parent / "pyproject.toml"
    if not path.exists():
        pytest.skip("not in a checkout")
    project = tomllib.loads(path.read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "webmqconnect_async/_version.py"
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["webmqconnect_async"]


def test_the_changelog_begins_with_this_version() -> None:
    """Or with what is not released yet."""
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    top = re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)[0]
    assert top in ("Unreleased", __version__)


def test_aiohttp_is_the_only_hard_dependency() -> None:
    needed = [each for each in metadata("webmqconnect-async").get_all("Requires-Dist") or [] if "extra ==" not in each]
    assert needed == ["aiohttp>=3.14.4"]


# What importing it brings along


def _imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(  # noqa: S603  # an interpreter of our own, on lines of our own
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_no_hub_and_no_command_line() -> None:
    imported = _imported_by("import webmqconnect_async")
    assert {"webmqconnect_async._aio.client", "webmqconnect_async._sync.client"} <= imported
    assert [name for name in imported if re.match(r"webmqconnect_async\.(hub|_cli|testing|explain)\b", name)] == []
    # What only the extras and the tests need, and the server half of aiohttp.
    assert imported & {"click", "rich", "rich_click", "uvloop", "pytest", "hypothesis", "aiohttp.web"} == set()


def test_importing_the_hub_imports_no_client() -> None:
    """Naming a module below the package runs the package's own imports: they are left out by a stand-in for it."""
    bare = (
        "import types; package = types.ModuleType('webmqconnect_async'); "
        f"package.__path__ = [{str(_ROOT)!r}]; sys.modules['webmqconnect_async'] = package; "
        "import webmqconnect_async.hub"
    )
    imported = {name for name in _imported_by(bare) if name.startswith("webmqconnect_async.")}
    assert "webmqconnect_async.hub._server" in imported
    assert [
        name
        for name in imported
        if re.match(r"webmqconnect_async\.(_aio|_sync|_core\.(flow|bulk|dialects)|_cli)\b", name)
    ] == []


def test_the_pure_core_needs_no_aiohttp() -> None:
    bare = (
        "import types; package = types.ModuleType('webmqconnect_async'); "
        f"package.__path__ = [{str(_ROOT)!r}]; sys.modules['webmqconnect_async'] = package; "
        "import webmqconnect_async._core.flow, webmqconnect_async._core.bulk, webmqconnect_async._core.dialects.webmq"
    )
    assert _imported_by(bare) & {"aiohttp", "asyncio", "http.client", "ssl", "yarl"} == set()
