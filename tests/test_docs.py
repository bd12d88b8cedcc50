"""The documentation: its Python runs and prints what it says, its commands parse, its tables have the real values."""

from __future__ import annotations

import ast
import importlib
import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import webmqconnect_async
from webmqconnect_async import Push, errors
from webmqconnect_async._cli.app import app
from webmqconnect_async._core.dialects import Dialect
from webmqconnect_async._core.dialects.crossbar import Crossbar
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async.signing import Credentials
from webmqconnect_async.testing import Hub

from .snippets import PAGES, ROOT, Fence, broker, commands, executed, fences, run, run_suite

PATHS = sorted(PAGES.rglob("*.md"))
FENCES = [fence for path in PATHS if path.name != "tutorial.md" for fence in fences(path)]
"""All fences but those of the tutorial, whose steps depend on each other: see test_tutorial.py."""
OWN = [fence for fence in FENCES if fence.included is None]
PYTHON = [fence for fence in OWN if fence.language == "python"]
SNIPPETS = [fence for fence in PYTHON if not fence.is_suite]
SUITES = [fence for fence in PYTHON if fence.is_suite]
README = [each for each in fences(ROOT / "README.md") if each.language == "python" and not each.is_suite]
SHELL = [
    fence
    for path in (*PATHS, ROOT / "README.md", *(ROOT / "examples").rglob("README.md"))
    for fence in fences(path)
    if fence.language in ("sh", "bash", "fish", "zsh", "console", "ini")
]
COMMANDS = [command for fence in SHELL for command in commands(fence.text)]
EVERY = [fence for path in (*PATHS, ROOT / "README.md") for fence in fences(path)]
SHOWN = {
    **{str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "examples").rglob("*.py"))},
    **{
        f"{fence.page}, line {fence.line}": fence.text
        for fence in EVERY
        if fence.language == "python" and fence.included is None
    },
}
"""All Python that a reader copies: the examples, and the snippets with the tutorial's."""

pytest_plugins = ["pytester"]


def named(fence: Fence) -> str:
    return Path(fence.page).stem


def page(name: str) -> str:
    return (PAGES / name).read_text("utf-8")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with broker() as running:
        yield running


@pytest.mark.parametrize("snippet", [each for each in SNIPPETS if named(each) != "outbox"], ids=named)
def test_snippet_runs(snippet: Fence, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """Each snippet runs unchanged, its pushes are accepted, and it prints what the page says.

    For the snippets of the outbox, which need databases, see outbox/test_drivers.py.
    """
    run(snippet, hub)
    assert bool(hub.pushes) == snippet.pushes
    printed = capsys.readouterr()
    assert printed.err == ""
    if snippet.output is not None:
        assert printed.out == snippet.output


@pytest.mark.parametrize("snippet", [*SNIPPETS, *README], ids=named)
def test_a_snippet_is_complete_or_a_function_to_call(snippet: Fence) -> None:
    """A pasted snippet runs, or defines a function whose parameters are the reader's own objects."""
    assert snippet.left_to_call is None or re.search(rf"def {snippet.left_to_call}\(\w", snippet.text)


@pytest.mark.parametrize("source", SHOWN.values(), ids=SHOWN.keys())
def test_no_handler_hides_a_bug(source: str) -> None:
    """`InvalidPush` is a bug of the program, so no snippet handles it in the same way as an outage of the broker."""
    for attempt in ast.walk(ast.parse(source)):
        handled: list[str] = []
        for handler in attempt.handlers if isinstance(attempt, ast.Try) else ():
            caught = [node.id for node in ast.walk(handler.type or handler) if isinstance(node, ast.Name)]
            if {"WebMQError", "Exception", "BaseException"} & set(caught):
                assert {"NotAccepted", "Unconfirmed"} <= set(handled), f"line {handler.lineno}"
            handled += caught


@pytest.mark.parametrize(("refused", "told"), [(429, 503), (500, 502)])
def test_the_fastapi_snippet_reports_the_outcome(refused: int, told: int, hub: Hub) -> None:
    """The response says whether the customer should try again, or should ask first."""
    (snippet,) = [each for each in SNIPPETS if named(each) == "fastapi"]
    app = executed(snippet, hub)["app"]
    assert isinstance(app, FastAPI)
    hub.refuse_next(refused, retry_after=60)
    with TestClient(app) as web:
        assert web.post("/orders/17").status_code == told
    assert hub.pushes == []


@pytest.mark.parametrize("suite", SUITES, ids=named)
def test_suite_passes(suite: Fence, pytester: pytest.Pytester) -> None:
    """A snippet that contains tests passes as a module of its own."""
    run_suite(suite, pytester)


@pytest.mark.parametrize("fence", [fence for fence in FENCES if fence.included is not None], ids=named)
def test_an_included_file_is_an_example(fence: Fence) -> None:
    """An included file is an example, which has tests of its own, and its name is the title of the fence."""
    assert fence.included is not None
    assert fence.included.is_file()
    shown = fence.included.relative_to(ROOT)
    assert shown.parts[0] == "examples"
    assert fence.title in (None, str(shown))


@pytest.mark.parametrize("fence", [fence for fence in FENCES if fence.language == "json"], ids=named)
def test_json_parses(fence: Fence) -> None:
    assert json.loads(fence.text if fence.included is None else fence.included.read_text())


@pytest.mark.parametrize(
    "fence", [fence for fence in EVERY if fence.language in ("html", "tsx") and "fetch(" in fence.text], ids=named
)
def test_a_page_checks_the_status_of_a_fetch(fence: Fence) -> None:
    """A snippet for pages checks the status, because an error page is neither a signature nor an order."""
    assert len(re.findall(r"\bfetch\(", fence.text)) == len(re.findall(r"\bif \(!?\w+\.ok\)", fence.text))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_parses(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command line of the docs, the README and the examples uses existing options."""
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _context: Path(value))  # none need exist
    with click.Context(app, info_name="webmqconnect") as context:
        assert isinstance(app, click.Group)
        name, subcommand, arguments = app.resolve_command(context, list(command))
        assert subcommand is not None
        with suppress(click.exceptions.Exit):  # the exit of --help and --version
            subcommand.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")], ids=lambda path: path.name)
def test_links_outside_the_site_resolve(path: Path) -> None:
    """The targets of links to the repository exist. mkdocs checks links within the site."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_all_pages_are_in_the_navigation() -> None:
    configuration = (ROOT / "docs" / "mkdocs.yml").read_text()
    listed = re.findall(r"^ +- .*: (\S+\.md)$", configuration, re.MULTILINE)
    assert sorted(listed) == [str(path.relative_to(PAGES)) for path in PATHS]


def test_each_page_is_short_and_has_one_title() -> None:
    """A page can be read in a few minutes."""
    for path in PATHS:
        text = path.read_text("utf-8")
        # The tutorial is the longest. The reference of all commands is not read from start to end.
        assert len(text.splitlines()) <= 220 or path.name == "command-line.md", path
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert len(re.findall(r"^# ", outside, re.MULTILINE)) == (0 if text.startswith("--8<--") else 1), path


def test_the_tree_of_errors_is_that_of_the_module() -> None:
    (tree,) = [fence.text for fence in fences(PAGES / "explanation/delivery.md") if fence.language == "text"]
    assert textwrap.indent(tree, "    ") in (errors.__doc__ or "")


def test_the_table_says_for_every_error_whether_to_push_again() -> None:
    table = page("explanation/delivery.md").partition("## May I push again?")[2].partition("\n\nA handler")[0]
    ends = set(errors.__all__) - {"WebMQError", "NotAccepted", "Unconfirmed"}
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == ends | {"Receipt"}


def test_the_table_of_the_fault_test_is_that_of_the_last_run() -> None:
    runs = json.loads((ROOT / "benchmarks/soak.json").read_text())
    verdicts = [runs[mode]["verdict"] for mode in ("default", "at-least-once", "ordered")]

    def ended(kind: str) -> list[int]:
        return [sum(count for end, count in each["endings"].items() if end.startswith(kind)) for each in verdicts]

    rows = {
        "accepted": ended("accepted"),
        "not accepted": ended("not accepted"),
        "unconfirmed": ended("unconfirmed"),
        "of those, accepted by the hub": [each["taken"] for each in verdicts],
        "duplicates": [each["duplicates"] for each in verdicts],
        "broken promises": [len(run["failures"]) for run in runs.values()],
    }
    table = "\n".join(f"| {name} | {' | '.join(f'{each:,}' for each in counts)} |" for name, counts in rows.items())
    assert table in page("explanation/delivery.md")


def test_the_figures_are_those_of_the_last_benchmarks() -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text())
    written = (ROOT / "benchmarks/results.md").read_text()
    ratios = [
        f"| {row['title']} | {row['value']:.2f} | {row['low']:.2f} to {row['high']:.2f} |"
        for row in results["rows"]
        if row["unit"] == "x"
    ]
    growth = [
        "".join(f"| {figure:,.0f} " for figure in (*map(each["cell"].get, ("concurrency", "events", "body")), *rates))
        + "|"
        for each in results["growth"]
        for rates in [(each["rate"], each["cpu"])]
    ]
    assert min(len(ratios), len(growth)) > 5
    assert set(ratios) <= set(written.splitlines())
    assert "\n".join(growth) in written
    included = re.findall(r'^--8<-- "benchmarks/results.md:(\w+)"$', page("explanation/performance.md"), re.MULTILINE)
    assert included == re.findall(r"\[start:(\w+)\]", written)


def test_the_comparison_has_the_figures_of_the_last_benchmarks() -> None:
    rows = {row["title"]: row["value"] for row in json.loads((ROOT / "benchmarks/results.json").read_text())["rows"]}
    crossbar = [value for title, value in rows.items() if title.startswith("hub against Crossbar.io")]
    assert f"{min(crossbar):.1f} to {max(crossbar):.1f} times as many pushes" in page("index.md")
    table = page("explanation/comparison.md")
    for title, place in [
        ("hub with 10 subscribers: pushes", "{:,.0f}, which are"),
        ("hub with 10 subscribers: deliveries", "{:,.0f} deliveries"),
        ("hub with 1,000 subscribers: deliveries", "| {:,.0f}, by"),
        ("Crossbar.io, unsigned pushes to /publish by wrk, 10 subscribers", "| {:,.0f}; the hub"),
        ("hub, unsigned pushes to /publish by wrk, 10 subscribers", "the hub {:,.0f} |"),
    ]:
        shown = round(rows[title], 2 - len(str(int(rows[title]))) + (rows[title] >= 10_000))
        assert place.format(shown) in table, title


def test_the_reference_lists_every_public_name() -> None:
    overview = page("reference/api.md")
    for module in ("hub", "outbox", "relay", "signing", "subscriber", "testing", "tickets", "explain"):
        assert f"[`{module}`](python/{module}.md)" in overview
        public: list[str] = importlib.import_module(f"webmqconnect_async.{module}").__all__
        listed = re.search(
            r"members:(.*?)(?:^ {6}\w|\Z)", page(f"reference/python/{module}.md"), re.DOTALL | re.MULTILINE
        )
        assert listed is None or set(re.findall(r"\w+", listed[1])) == set(public), module
    names = set(re.findall(r"`(\w+)`", overview))
    ends = {name for name in errors.__all__ if name != "WebMQError"} | {"__version__"}
    assert set(webmqconnect_async.__all__) - ends <= names


@pytest.mark.parametrize(
    ("place", "dialect", "excluded", "fraction"),
    [
        (0, WebMQ(Credentials("app", "s3cret")), "k2-Vb7_xQ0aZ9LmP", 0.0),
        (
            1,
            Crossbar(Credentials("app", "s3cret"), None, sequence=lambda: 1, nonce=lambda: 1234567890),
            6220044819318603,
            0.25,
        ),
    ],
    ids=["webmq", "crossbar"],
)
def test_the_worked_examples_are_real_requests(
    place: int, dialect: Dialect, excluded: str | int, fraction: float
) -> None:
    """The worked examples equal requests of this package; their snippets recompute the signatures."""
    request = [fence.text for fence in fences(PAGES / "explanation/wires.md") if fence.language == "http"][place]
    head, _, body = request.removesuffix("\n").partition("\n\n")
    first, *headers = head.split("\n")
    push = Push("http://example.com/orders", {"id": 17, "note": "tea & cake"}, exclude=[excluded])
    sent = dialect.encode(push)(datetime(2026, 1, 1, tzinfo=UTC).timestamp() + fraction)
    assert urlsplit(first.split(" ")[1]).query == sent.query
    assert body.encode() == sent.body
    assert headers[1:] == [f"Content-Type: {dialect.content_type}", f"Content-Length: {len(sent.body)}"]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("A=b webmqconnect hub --key app  # why", [["hub", "--key", "app"]]),
        (
            "tail -f x | .venv/bin/webmqconnect push --jsonl - && webmqconnect demo",
            [["push", "--jsonl", "-"], ["demo"]],
        ),
        ("webmqconnect push a \\\n  b '{\"c\": 1}'", [["push", "a", "b", '{"c": 1}']]),
        ('docker run image sh -c "pip install x && exec webmqconnect hub"', [["hub"]]),
        ("pip install webmqconnect-async\npython x.py", []),
        ("$ webmqconnect demo", [["demo"]]),
        ("source <(webmqconnect completion bash) > share/webmqconnect", [["completion", "bash"]]),
    ],
)
def test_commands_are_found(script: str, found: list[list[str]]) -> None:
    assert commands(script) == found
