"""The reference of `webmq.js` names all public members and options, with the types of the TypeScript declarations."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.snippets import PAGES
from webmqconnect_async.hub._browser import FILES

PAGE = (PAGES / "reference" / "browser.md").read_text("utf-8")
SOURCE, TYPES = FILES["webmq.js"].decode(), FILES["webmq.d.mts"].decode()
LISTED = """
const mq = new WebMQ("http://127.0.0.1", { WebSocket: class { close() {} } });
const members = (object, prototype) => [...Object.keys(object), ...Object.getOwnPropertyNames(prototype)];
const subscription = mq.subscribe("topic", () => {});
const own = Object.getOwnPropertyNames(WebMQ).filter((name) => !(name in class {})).map((name) => `WebMQ.${name}`);
const all = [members(mq, WebMQ.prototype), members(subscription, subscription.constructor.prototype), own];
console.log(JSON.stringify(all));
mq.close();
"""
"""A script that prints the public members of a `WebMQ`, of a subscription and of the class."""


def options(function: str) -> list[str]:
    """Return the names of the options of a function, which destructures its last parameter."""
    found = re.search(rf"^ +{function}\([^{{)]*, {{([^}}]*)}} = {{}},?\s*\) {{$", SOURCE, re.MULTILINE)
    assert found is not None
    return re.findall(r"(?:^|,)\s*(\w+)", found[1])


def rows(heading: str) -> dict[str, str]:
    """Return the rows of the first table below a heading, by the name in the first column."""
    table = PAGE.partition(f"\n{heading}")[2].partition("\n|")[2].partition("\n\n")[0]
    return {name: row for row in table.splitlines() if (name := "".join(re.findall(r"^\| `([\w.]+)", row)))}


@pytest.mark.usefixtures("node")
def test_the_reference_names_all_members() -> None:
    done = subprocess.run(["node", "-"], input=SOURCE + LISTED, capture_output=True, text=True, check=True)  # noqa: S607
    connection, subscription, own = (
        {name for name in names if name != "constructor" and not name.startswith("_")}
        for names in json.loads(done.stdout)
    )
    assert set(rows("## Members of WebMQ")) == connection | own
    assert set(rows("## Subscription")) == subscription


@pytest.mark.parametrize(("function", "heading"), [("constructor", "## new WebMQ"), ("subscribe", "### subscribe")])
def test_the_reference_names_all_options(function: str, heading: str) -> None:
    assert list(rows(heading)) == options(function)


@pytest.mark.parametrize(("union", "place"), [("State", 0), ("SubscriptionState", 1)])
def test_the_reference_names_all_states(union: str, place: int) -> None:
    declared = re.search(rf'^export type {union} =$.*?";$', TYPES, re.MULTILINE | re.DOTALL)
    assert declared is not None
    table = PAGE.split("| state | meaning |")[1 + place].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == re.findall(r'^ +\| "(\w+)"', declared[0], re.MULTILINE)


def test_the_types_are_those_of_the_declarations() -> None:
    """The reference has the declared types. A type that is a class or a named function has a section of its own."""
    declared = re.findall(r"^ +(?:readonly )?(\w+)\??: (.+);$", TYPES, re.MULTILINE)
    assert len(declared) > 12
    for name, declaration in declared:
        if declaration not in ("undefined", "never") and name != "WebSocket":
            assert f"| `{name}` | `{declaration}` |" in PAGE, f"{name}: {declaration}"
    for name, declaration in re.findall(
        r"^export type (LostHandler|Sign|Ticket) = (.*?;)$", TYPES, re.MULTILINE | re.DOTALL
    ):
        assert f"type {name} = {declaration}" in PAGE
