"""The README: its Python runs, its commands are what CI runs, and it stays short."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient, Client
from webmqconnect_async.hub import Hub

from .running import in_thread

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SUITES = [each for each in PYTHON if "def test_" in each]
SNIPPETS = [each for each in PYTHON if each not in SUITES]

pytest_plugins = ["pytester"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with in_thread(lambda: Hub(port=0, keys={"app": "s3cret"})) as running:
        yield running


def run(snippet: str, hub: Hub) -> Client | AsyncClient | None:
    """Execute a snippet against a hub, await what it defines, and return the client that pushed, where it shows."""
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(snippet.replace("http://127.0.0.1:8080", hub.url), "README.md", "exec"), names)  # noqa: S102  # ours
    functions = [value for value in names.values() if inspect.iscoroutinefunction(value)]
    if not functions:
        client = names["client"]
        assert isinstance(client, Client)
        return client

    async def call() -> AsyncClient | None:
        async with AsyncClient(hub.url, "app", "s3cret") as client:
            known: dict[str, object] = {"client": client, "sender": "1" * 16, "buyer": "2" * 16, "order": {"id": 17}}
            wanted = inspect.signature(functions[-1]).parameters
            await functions[-1](**{name: known[name] for name in wanted})
            return client if wanted else None

    return asyncio.run(call())


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet_runs(snippet: str, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """Each snippet runs as it stands, and what it pushes is accepted."""
    client = run(snippet, hub)
    if client is not None:
        assert client.stats.pushed
        assert not client.stats.failed
    assert "told" not in capsys.readouterr().out


def test_bulk_snippet_reports_all(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """The bulk snippet prints that all of its thousand pushes were accepted, and no failure."""
    run(next(each for each in SNIPPETS if "push_many" in each), hub)
    assert capsys.readouterr().out == "1000 of 1000\n"


@pytest.mark.parametrize("suite", SUITES, ids=range(len(SUITES)))
def test_suite_passes(suite: str, pytester: pytest.Pytester) -> None:
    """A snippet that holds tests passes as a module of its own, with warnings as errors."""
    pytester.makepyfile(test_readme=suite)
    result = pytester.runpytest_subprocess("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=suite.count("def test_"))


def test_the_configuration_is_the_example_s() -> None:
    """The example, from which the tests start Crossbar.io, and the README say the same."""
    (configuration,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert json.loads(configuration) == json.loads((ROOT / "examples/crossbar/config.json").read_text())


def test_length() -> None:
    """It can be read in one sitting."""
    assert len(README.splitlines()) <= 300


def test_ci_runs_the_test_command() -> None:
    """CI takes the test command from the README, where there is exactly one."""
    assert len(re.findall(r"-m pytest$", README, re.MULTILINE)) == 1
    assert "eval \"$(grep -- '-m pytest$' README.md)\"" in (ROOT / ".ci" / "run").read_text()
