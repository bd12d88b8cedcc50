"""`examples/README.md` lists all examples, with the commands that the examples themselves document."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.examples.serving import EXAMPLES

ALONE = sorted(EXAMPLES.glob("*.py"))
ROWS = re.findall(r"^\| \[`(.+?)`\].*?\| `(.+?)` \|", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    """The source of an example can be read in a minute or two."""
    assert len(path.read_text("utf-8").splitlines()) < 100


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.name)
def test_an_example_is_listed_with_the_command_that_it_documents(path: Path) -> None:
    lines = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").splitlines()
    assert dict(ROWS)[path.name] == lines[2]


def test_every_listed_example_exists() -> None:
    assert len(ROWS) > len(ALONE)
    assert [name for name, _ in ROWS if not (EXAMPLES / name).exists()] == []
