"""The statements of the outbox with Python's database drivers: the snippets of the how-to, run with each driver."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from webmqconnect_async import outbox
from webmqconnect_async.relay._stores import connect_store

from ..snippets import PAGES, fences
from .databases import Database

SNIPPETS = {
    fence.text.split("\n")[0].split()[1].partition(".")[0]: fence.text
    for fence in fences(PAGES / "how-to/outbox.md")
    if fence.language == "python"
}
"""The snippets by the module that they import first."""


def pay(driver: str) -> Callable[..., object]:
    """Return the function that a snippet defines."""
    names: dict[str, object] = {}
    exec(compile(SNIPPETS[driver], "how-to/outbox.md", "exec"), names)  # noqa: S102  # ours
    function = names["pay"]
    assert callable(function)
    return function


@pytest.fixture
def database(database: Database) -> Database:
    """Add a table of orders that contains one order."""
    with database.connection() as connection:
        connection.cursor().execute("CREATE TABLE orders (id int, state text)")
        connection.cursor().execute("INSERT INTO orders VALUES (17, 'new')")
    return database


def check(database: Database) -> None:
    """Check that the order is paid, and that its event is in the outbox."""

    async def waiting() -> list[tuple[str, str]]:
        store = connect_store(database.url)
        await store.open()
        rows = await store.due(0, 10)
        await store.close()
        assert all(UUID(row.key).version == 4 for row in rows)
        return [(row.topic, row.event) for row in rows]

    assert database.scalar("SELECT count(*) FROM orders WHERE state = 'paid'") == 1
    assert asyncio.run(waiting()) == [("http://example.com/orders", '{"id":17,"state":"paid"}')]


def only(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("database", [kind], indirect=True)


@only("sqlite")
def test_sqlite3(database: Database) -> None:
    with database.connection() as connection:
        pay("sqlite3")(connection, 17)
    check(database)


@only("sqlite")
def test_sqlite3_with_names(database: Database) -> None:
    with database.connection() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.execute(*outbox.insert("a", 1, style="named"))
    assert database.scalar("SELECT count(*) FROM webmq_outbox WHERE topic = 'a' AND event = '1'") == 1


@only("postgresql")
def test_psycopg(database: Database) -> None:
    with database.connection() as connection:
        pay("psycopg")(connection, 17)
    check(database)


@only("postgresql")
def test_asyncpg(database: Database) -> None:
    import asyncpg

    async def run() -> None:
        connection = await asyncpg.connect(database.url)
        await connection.execute(outbox.schema("postgresql"))
        paid = pay("asyncpg")(connection, 17)
        assert inspect.isawaitable(paid)
        await paid
        await connection.close()

    asyncio.run(run())
    check(database)


def test_sqlalchemy(database: Database) -> None:
    import sqlalchemy
    from sqlalchemy.orm import Session

    engine = sqlalchemy.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:  # as a migration does
        if database.url.startswith("sqlite"):
            connection.connection.executescript(outbox.schema("sqlite"))
        else:
            connection.execute(sqlalchemy.text(outbox.schema("postgresql")))
    with Session(engine) as session:
        pay("sqlalchemy")(session, 17)
    engine.dispose()
    check(database)


@only("postgresql")
def test_migration_with_asyncpg(database: Database) -> None:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    def migrate(connection: sqlalchemy.Connection) -> None:
        connection.connection.run_async(lambda driver: driver.execute(outbox.schema("postgresql")))

    async def run() -> None:
        engine = create_async_engine(database.url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
        await engine.dispose()

    asyncio.run(run())


DJANGO = """
import sys
import django
from django.conf import settings
from django.db import connection

from webmqconnect_async import outbox

options = eval(sys.argv[2])
settings.configure(DATABASES={"default": options})
django.setup()
with connection.schema_editor() as editor:
    kind = "sqlite" if connection.vendor == "sqlite" else "postgresql"
    for statement in connection.ops.prepare_sql_script(outbox.schema(kind)):  # as RunSQL
        editor.execute(statement, params=None)
names = {}
exec(sys.argv[1], names)
names["pay"](17)
connection.close()
"""


def test_django(database: Database) -> None:
    options: dict[str, object] = {"ENGINE": "django.db.backends.sqlite3", "NAME": database.url[len("sqlite:///") :]}
    if not database.url.startswith("sqlite"):
        url = urlsplit(database.url)
        options = {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username}
        options |= {"PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port}
    command = [sys.executable, "-W", "error", "-c", DJANGO, SNIPPETS["django"], repr(options)]
    subprocess.run(command, check=True)  # noqa: S603  # ours
    check(database)
