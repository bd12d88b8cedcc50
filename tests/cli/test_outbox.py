"""`webmqconnect outbox`: its subcommands `list`, `retry`, `drop` and `schema`."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from webmqconnect_async import outbox
from webmqconnect_async._cli.outbox import _age
from webmqconnect_async.relay._stores import connect_store

from ..outbox.databases import Database
from .conftest import invoke_here

PASSWORD = "pa55word"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Make an outbox with the IDs 1 to 4. The first two are parked, the third one was postponed."""
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    database.insert(("a", {"id": 1}), ("b\x1b[31m", 2), ("c", 3), ("d", 4))

    async def push() -> None:
        store = connect_store(database.url)
        await store.open()
        one, two, three, _ = await store.due(0, 10)
        await store.write(failed=[(one, None, "413 Too large"), (two, None, "not JSON"), (three, 2e9, "no hub")])
        await store.close()

    asyncio.run(push())
    return database


def waiting(database: Database) -> list[int]:
    with database.connection() as connection:
        found = connection.cursor().execute("SELECT id FROM webmq_outbox WHERE NOT parked AND due = 0").fetchall()
    return [row[0] for row in found]


def test_list(database: Database) -> None:
    """`list` shows parked rows with their reasons, but not their events."""
    ended = invoke_here("outbox", "list", database.url)
    assert (ended.status, ended.stderr) == (0, "")
    rows = [line.split("  ") for line in ended.stdout.splitlines()]
    ages = [row.pop(1) for row in rows]
    assert all(age.endswith(("s", "m")) for age in ages)
    assert rows == [
        ["1", "1 attempt", "a", "parked: 413 Too large"],
        ["2", "1 attempt", "b\\u001b[31m", "parked: not JSON"],
    ]


def test_list_all_rows(database: Database) -> None:
    ended = invoke_here("outbox", "list", "--all", "--events", "--limit", "3", env={"WEBMQ_OUTBOX_URL": database.url})
    lines = ended.stdout.splitlines()
    assert lines[1] == '    {"id":1}'
    assert lines[4].endswith("  c  waiting: no hub")
    assert len(lines) == 6
    assert ended.stderr == "there are more than 3 rows; --limit lists more\n"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-0.1, "0s"), (59, "59s"), (3_599, "59m"), (86_399, "23h"), (200_000, "2d")]
)
def test_ages_are_shown_in_the_largest_unit(seconds: float, shown: str) -> None:
    assert _age(seconds) == shown


def test_nothing_to_list(tmp_path: Path) -> None:
    ended = invoke_here("outbox", "list", Database(f"sqlite:///{tmp_path}/shop.db").url)
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "no parked rows\n")


def test_retry(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{database.url}\n")
    ended = invoke_here("outbox", "retry", "--url-file", str(file), "1", "3")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "", "2 rows to be retried\n")
    assert waiting(database) == [1, 3, 4]


def test_drop(database: Database) -> None:
    assert invoke_here("outbox", "drop", database.url, "--all-parked").stderr == "2 rows dropped\n"
    assert database.scalar("SELECT count(*) FROM webmq_outbox") == 2
    ended = invoke_here("outbox", "drop", database.url, "3", "17")
    assert (ended.status, ended.stderr) == (1, "error: 1 of 2 rows do not exist; the others are dropped\n")
    assert waiting(database) == [4]


def test_schema(tmp_path: Path) -> None:
    ended = invoke_here("outbox", "schema", "sqlite")
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript(ended.stdout)
    connection.execute(*outbox.insert("a", 1))
    connection.close()
    assert invoke_here("outbox", "schema", "postgresql").stdout == outbox.schema("postgresql")


@pytest.mark.parametrize(
    ("arguments", "env", "status", "said"),
    [
        (["list"], {}, 2, "URL is needed: give it, or set WEBMQ_OUTBOX_URL."),
        (["list", "--url-file", "/dev/null"], {}, 2, "--url-file: the secret in /dev/null is empty."),
        (["list", "mysql://localhost/shop"], {}, 2, "the URL of the database must be sqlite:///PATH or"),
        (["list", "sqlite://shop.db"], {}, 2, "the URL of the database must be sqlite:///PATH or"),
        (["list", "sqlite:///:memory:"], {}, 2, "the URL of the database must be sqlite:///PATH or"),
        (["list", "sqlite:////nowhere/shop.db"], {}, 1, "error: the database /nowhere/shop.db does not exist"),
        (["list", f"postgresql://app:{PASSWORD}@localhost/shop"], {}, 2, "URL has a password, which ps shows"),
        (["list", f"postgresql://localhost/shop?password={PASSWORD}"], {}, 2, "URL has a password, which ps shows"),
        (["list", "sqlite:///a.db", "sqlite:///b.db"], {}, 2, "URL is given twice."),
        (["list"], {"WEBMQ_OUTBOX_URL": f"mysql://app:{PASSWORD}@localhost/shop"}, 2, "must be sqlite:///PATH or"),
        (["retry", "sqlite:///a.db"], {}, 2, "give the IDs of rows, or --all-parked."),
        (["drop", "sqlite:///a.db", "1", "--all-parked"], {}, 2, "give the IDs of rows, or --all-parked."),
        (["drop", "sqlite:///a.db", "-5"], {}, 2, "No such option"),
        (["drop", "sqlite:///a.db", "all"], {}, 2, "'all' is neither the ID of a row, nor the URL of a database"),
    ],
)
def test_usage_errors(arguments: list[str], env: dict[str, str], status: int, said: str) -> None:
    """Usage errors do not show the password of the URL."""
    ended = invoke_here("outbox", *arguments, env=env)
    assert (ended.status, ended.stdout) == (status, "")
    assert said in " ".join(ended.stderr.replace("│", "").split())
    assert PASSWORD not in ended.stderr


def test_without_the_table_of_the_outbox(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shop.db").execute("VACUUM").connection.close()
    ended = invoke_here("outbox", "list", f"sqlite:///{tmp_path}/shop.db")
    assert ended.status == 1
    assert "no such table: webmq_outbox: execute what `webmqconnect outbox schema sqlite` prints" in ended.stderr


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("psycopg", "webmqconnect_async.relay._postgresql"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    ended = invoke_here("outbox", "list", "postgresql://localhost/shop")
    assert ended.status == 2
    assert "pip install 'webmqconnect-async[relay]'" in " ".join(ended.stderr.replace("│", "").split())
