"""The pages of the documentation on the command line: their tables match the parser, their outputs are real."""

from __future__ import annotations

from pathlib import Path

import pytest
import rich_click as click

from webmqconnect_async._cli.app import app
from webmqconnect_async._cli.exit_status import MEANINGS
from webmqconnect_async._cli.hub_variables import name_of, names_of
from webmqconnect_async.tickets import ticket

from ..snippets import PAGES, Fence, commands, fences
from ..test_tickets import SECRET
from .conftest import COMMANDS, invoke_here

REFERENCE = PAGES / "reference" / "command-line.md"
EXPLAIN = PAGES / "how-to" / "explain.md"
MADE = 1_795_528_800
"""The Unix time at which the ticket on the page was made."""


def exits() -> str:
    """Return the table of exit statuses, without its head."""
    return "\n".join(f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items())


def section(name: str) -> str:
    """Return the section of the reference that a command must have: its usage, what it does, its options."""
    command = COMMANDS[name]
    arguments = " ".join(each.make_metavar(click.Context(command)) for each in command.params if _is_argument(each))
    more = "COMMAND" if isinstance(command, click.Group) else arguments
    usage = " ".join(filter(None, ("webmqconnect", name, "[OPTIONS]", more)))
    said = (command.help or "").split("\n\n")[0].replace("\n", " ")
    options = [_row(each) for each in command.params if isinstance(each, click.Option)]
    head = ["| option | variable | |", "|---|---|---|"] if name == "hub" else ["| option | |", "|---|---|"]
    table = [*head, *options] if options else []
    return "\n".join([f"## {name}", "", f"`{usage}`", "", said, *(["", *table] if table else [])])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_reference(name: str) -> None:
    """The reference lists every option with its default, its variable and its help text."""
    assert section(name) in REFERENCE.read_text("utf-8")


def test_every_exit_status_is_in_the_reference() -> None:
    assert exits() in REFERENCE.read_text("utf-8")


OUTPUTS = [fence for fence in fences(EXPLAIN) if fence.language == "sh"]


@pytest.mark.parametrize("fence", OUTPUTS, ids=range(len(OUTPUTS)))
def test_what_explain_prints_is_what_the_page_shows(
    fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the real output of `explain` for a ticket that was signed with the secret and a newline."""
    monkeypatch.chdir(tmp_path)
    signed = ticket(key="users", secret=f"{SECRET}\n", sub="17", topics=["http://example.com/users/17/*"], now=MADE)
    (tmp_path / "17.ticket").write_text(signed)
    [command] = commands(fence.text)
    ended = invoke_here(*command, env={"WEBMQ_AUTH_SECRET": "s3cret", "WEBMQ_TICKET_SECRET": SECRET})
    assert (ended.status, ended.stderr) == ("--ticket-file" in command, "")
    assert fence.output
    assert fence.output in ended.stdout


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _row(option: click.Option) -> str:
    # A "|" would end the cell of the table.
    metavar = "" if option.is_flag else f" {option.make_metavar(click.Context(app)).replace('|', '/')}"
    more, variables = "", names_of(option)
    if option in COMMANDS["hub"].params:
        metavar += f"` | `{'`, `'.join(variables or [name_of(option)])}"
    elif variables:
        more += f" Variable: `{variables[0]}`."
    if not option.is_flag and isinstance(option.default, str | float | int):
        more += f" Default: {option.default}."
    return f"| `{option.opts[0]}{metavar}` | {option.help}{more} |"
