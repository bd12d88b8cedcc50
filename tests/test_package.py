"""The package's public names, docstrings, types and version, and which modules importing it imports."""

from __future__ import annotations

import importlib
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
from webmqconnect_async._core.settings import ClientOptions
from webmqconnect_async._version import __version__

_ROOT = Path(webmqconnect_async.__file__).parent
_PUBLIC = {name: getattr(webmqconnect_async, name) for name in webmqconnect_async.__all__ if name != "__version__"}
_CLASSES = [value for value in _PUBLIC.values() if isinstance(value, type)]


def test_dir_shows_the_public_names() -> None:
    """`dir` does not show modules that were loaded by an import."""
    assert dir(webmqconnect_async) == sorted(webmqconnect_async.__all__) == list(webmqconnect_async.__all__)
    assert len(webmqconnect_async.__all__) == len(set(webmqconnect_async.__all__))


def test_every_public_name_is_in_all() -> None:
    public = {
        name
        for name, value in vars(webmqconnect_async).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "TYPE_CHECKING"
    }
    # These are imported when they are first used.
    assert public | {"__version__", "AsyncClient", "Client", "to_json"} == set(webmqconnect_async.__all__)


def test_every_other_module_is_private() -> None:
    """A module is public if it is listed here; otherwise its name, or that of a parent, begins with an underscore."""
    public = {
        "__init__",
        "__main__",
        "errors",
        "signing",
        "tickets",
        "typing",
        "explain",
        "hub",
        "outbox",
        "relay",
        "subscriber",
        "testing",
    }
    found = {path.relative_to(_ROOT).with_suffix("").parts for path in _ROOT.rglob("*.py")}
    assert {
        "/".join(parts)
        for parts in found
        if not any(part.startswith("_") and part not in ("__init__", "__main__") for part in parts)
        and not set(parts) <= public
    } == set()


@pytest.mark.parametrize(
    "module", ["typing", "errors", "signing", "tickets", "explain", "hub", "outbox", "relay", "subscriber", "testing"]
)
def test_every_public_module_has_all(module: str) -> None:
    names = importlib.import_module(f"webmqconnect_async.{module}").__all__
    assert list(names) == sorted(names)


def test_the_documented_names_exist() -> None:
    promised = {
        "AsyncClient",
        "Background",
        "Client",
        "Outcome",
        "Payload",
        "Push",
        "Receipt",
        "Retry",
        "Stats",
        *errors.__all__,
    }
    assert promised <= _PUBLIC.keys()


def _members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties of a class, except for those that it inherits from built-in classes."""
    for name, value in inspect.getmembers(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), object)
        if not name.startswith("_") and owner.__module__.startswith("webmqconnect_async"):
            yield name, value


@pytest.mark.parametrize("cls", _CLASSES, ids=lambda cls: cls.__name__)
def test_everything_public_has_a_docstring(cls: type) -> None:
    assert cls.__doc__
    # The docstring that dataclass generates if there is none.
    assert not cls.__doc__.startswith(f"{cls.__name__}(")
    for name, member in _members(cls):
        if callable(member) or isinstance(member, property):
            assert inspect.getdoc(member), f"{cls.__name__}.{name}"


def _arguments(function: Callable[..., object]) -> list[str]:
    """Return the names of the arguments; those of a TypedDict in place of `**options`."""
    names: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        options = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
        if options and options[1] in _OPTIONS:
            names += typing.get_type_hints(_OPTIONS[options[1]], localns=_NAMES)
        elif name != "self":
            names.append(name)
    return names


_OPTIONS = {"ClientOptions": ClientOptions}


@pytest.mark.parametrize("cls", _CLASSES, ids=lambda cls: cls.__name__)
def test_the_documented_arguments_exist(cls: type) -> None:
    """The Args of a docstring are the arguments of the constructor or the method, in order."""
    functions: list[tuple[str, Callable[..., object]]] = [(cls.__name__, cls)]
    functions += [(name, member) for name, member in _members(cls) if callable(member) and name != "from_env"]
    for name, function in functions:
        text = inspect.getdoc(function) or ""
        section = re.search(r"^( *)Args:\n((?:\1    .*\n|\n)+)", text + "\n", re.MULTILINE)
        if section:
            named = re.findall(r"^ {4}(\w+):", section[2], re.MULTILINE)
            assert named == _arguments(function), name


def test_the_clients_have_the_same_arguments() -> None:
    """The exceptions are a session, which only the AsyncClient can borrow, and the argument names of 2012."""
    asynchronous, blocking = _arguments(webmqconnect_async.AsyncClient), _arguments(webmqconnect_async.Client)
    assert [name for name in asynchronous if name != "session"] == [name for name in blocking if name not in _OF_2012]
    assert set(_OF_2012) <= set(blocking)


@pytest.mark.parametrize("client", [webmqconnect_async.AsyncClient, webmqconnect_async.Client])
def test_the_error_of_an_unknown_argument_names_it(client: type) -> None:
    with pytest.raises(TypeError, match=rf"^{client.__name__}\(\) got an unexpected keyword argument 'concurency'$"):
        client("http://127.0.0.1", concurency=3)


def test_every_option_is_a_setting() -> None:
    """An option of the TypedDict without a parameter of Settings, or the reverse, would fail at runtime."""
    parameters = inspect.signature(settings.Settings).parameters.values()
    assert [each.name for each in parameters if each.kind is each.KEYWORD_ONLY] == list(
        typing.get_type_hints(ClientOptions, localns=_NAMES)
    )


_OF_2012 = ["pushEndpoint", "authKey", "authSecret"]


@pytest.mark.parametrize("method", ["push", "push_many", "push_stream", "close"])
def test_the_clients_have_the_same_methods(method: str) -> None:
    asynchronous, blocking = (
        [(arg.name, arg.kind, arg.default) for arg in inspect.signature(getattr(client, method)).parameters.values()]
        for client in (webmqconnect_async.AsyncClient, webmqconnect_async.Client)
    )
    assert asynchronous == blocking


@pytest.mark.parametrize(
    ("client", "others"), [(webmqconnect_async.AsyncClient, ["session"]), (webmqconnect_async.Client, [])]
)
def test_from_env_has_all_arguments_but_those_of_the_environment(client: type, others: list[str]) -> None:
    taken = [*inspect.signature(client.from_env).parameters]  # type: ignore[attr-defined]  # both clients have it
    assert taken == ["timeout", "options"]
    for name in [*typing.get_type_hints(ClientOptions, localns=_NAMES), *others]:
        with pytest.raises(ValueError, match="WEBMQ_ENDPOINT: not set"):
            client.from_env(**{name: None})  # type: ignore[attr-defined]


# Types

_NAMES = {"typing": typing, **vars(typing), **vars(values), **vars(settings)}
"""Names for annotations that a module imports only for type checkers."""


def _mentions_any(hint: object) -> bool:
    return hint is typing.Any or any(_mentions_any(part) for part in typing.get_args(hint))


def _hints(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the public types of a class: of its attributes, arguments and return values."""
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


def test_all_types_are_checked() -> None:
    looked_at = {where for cls in _CLASSES for where, _ in _hints(cls)}
    assert {"AsyncClient.push: event", "Client.push: return", "Failed.error", "Retry.wait"} <= looked_at
    assert "SourceFailed.outcomes" in looked_at


def test_the_package_has_py_typed() -> None:
    assert files("webmqconnect_async").joinpath("py.typed").is_file()


# Version


def test_the_version_is_stated_once() -> None:
    assert webmqconnect_async.__version__ == __version__ == version("webmqconnect-async")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    stated = [path.name for path in _ROOT.rglob("*.py") if f'"{__version__}"' in path.read_text("utf-8")]
    assert stated == ["_version.py"]


def test_the_project_reads_the_version_of_the_package() -> None:
    path = _ROOT.parent / "pyproject.toml"
    if not path.exists():
        pytest.skip("not in a checkout")
    project = tomllib.loads(path.read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "webmqconnect_async/_version.py"
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["webmqconnect_async"]


def test_the_changelog_begins_with_this_version() -> None:
    """The changelog begins with this version, or with unreleased changes."""
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    top = re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)[0]
    assert top in ("Unreleased", __version__)


def test_aiohttp_and_h11_are_the_only_hard_dependencies() -> None:
    needed = [each for each in metadata("webmqconnect-async").get_all("Requires-Dist") or [] if "extra ==" not in each]
    assert sorted(needed) == ["aiohttp<4,>=3.14.4", "h11>=0.16"]


# Imports


def _imported_by(statement: str) -> set[str]:
    """Return the modules that a statement imports in a new interpreter, which may measure its coverage."""
    code = f"import sys; before = set(sys.modules)\n{statement}\nprint('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run(  # noqa: S603  # an interpreter of our own, on lines of our own
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_imports_no_hub_and_no_command_line() -> None:
    imported = _imported_by("from webmqconnect_async import AsyncClient, Client")
    assert {"webmqconnect_async._aio.client", "webmqconnect_async._sync.client"} <= imported
    assert [
        name for name in imported if re.match(r"webmqconnect_async\.(hub|_cli|subscriber|testing|explain)\b", name)
    ] == []
    # Modules that only the extras and the tests need, and the server half of aiohttp.
    assert imported & {"click", "rich", "rich_click", "uvloop", "pytest", "hypothesis", "aiohttp.web"} == set()


def test_importing_the_client_imports_no_types_of_events() -> None:
    """Importing them takes milliseconds; an application that pushes such values has imported them itself."""
    assert _imported_by("from webmqconnect_async import Client") & {"decimal", "uuid"} == set()


def test_importing_the_hub_imports_no_client() -> None:
    """Importing a submodule also imports the package, so the package is replaced by an empty module here."""
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


@pytest.mark.parametrize("modules", ["_core.flow _core.bulk _core.dialects.webmq", "explain"])
def test_pure_modules_need_no_aiohttp(modules: str) -> None:
    bare = (
        "import types; package = types.ModuleType('webmqconnect_async'); "
        f"package.__path__ = [{str(_ROOT)!r}]; sys.modules['webmqconnect_async'] = package; "
        f"import {', '.join(f'webmqconnect_async.{module}' for module in modules.split())}"
    )
    assert _imported_by(bare) & {"aiohttp", "asyncio", "http.client", "ssl", "yarl"} == set()
