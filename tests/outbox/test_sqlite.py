"""An outbox in SQLite, while an application keeps the database locked."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from webmqconnect_async import outbox
from webmqconnect_async.relay import _sqlite
from webmqconnect_async.relay._sqlite import SQLiteStore
from webmqconnect_async.relay._store import StoreError, StoreLost

from .databases import Database

NOW = 1_000.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/shop.db")
    database.insert(("a", 1))
    return database


@pytest.fixture(params=["delete", "wal"])
def application(request: pytest.FixtureRequest, database: Database) -> Iterator[sqlite3.Connection]:
    """Connect as an application that does not wait for locks."""
    path = database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        yield connection


@pytest.fixture
async def store(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SQLiteStore]:
    monkeypatch.setattr(_sqlite, "_BUSY_TIMEOUT", 0.01)
    monkeypatch.setattr(_sqlite, "_PAUSE", 0.001)
    store = SQLiteStore(database.url.removeprefix("sqlite:///"))
    yield store
    await store.close()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Return a function that says whether a statement of the store has found the database locked."""
    refusals = 0

    @contextmanager
    def counted() -> Iterator[None]:
        nonlocal refusals
        try:
            yield
        except sqlite3.OperationalError:
            refusals += 1
            raise

    class Counting(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            with counted():
                return super().execute(*arguments)  # type: ignore[arg-type]

        def __exit__(self, *arguments: object) -> Literal[False]:  # which commits
            with counted():
                return super().__exit__(*arguments)  # type: ignore[arg-type]

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Counting))
    return lambda: refusals > 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("begin", ["IMMEDIATE", "EXCLUSIVE"])
async def test_waits_for_an_application_that_writes(
    begin: str, application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> None:
    """The store waits without failing, and does not disturb the application."""
    await store.open()
    rows = await store.due(NOW, 500)
    application.execute(f"BEGIN {begin}")
    deleting = asyncio.create_task(store.write(rows))
    await until(refused)
    application.execute(*outbox.insert("a", 2))
    application.execute("COMMIT")
    await deleting
    assert [row.event for row in await store.due(NOW, 500)] == ["2"]


@pytest.mark.parametrize("application", ["delete"], indirect=True)
async def test_opens_while_the_application_writes(
    application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> None:
    application.execute("BEGIN EXCLUSIVE")
    opening = asyncio.create_task(store.open())
    await until(refused)
    application.execute("COMMIT")
    await opening
    assert len(await store.due(NOW, 500)) == 1


async def test_waits_for_an_application_that_reads(
    application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> None:
    """Without WAL, a commit waits for readers. While it waits, new readers are not blocked, and a reader may write."""
    await store.open()
    rows = await store.due(NOW, 500)
    application.execute("BEGIN")
    application.execute("SELECT * FROM webmq_outbox").fetchall()
    deleting = asyncio.create_task(store.write(rows))
    if application.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        await deleting
    else:
        await until(refused)
        application.execute("ROLLBACK")
        await deleting
    assert await store.due(NOW, 500) == []


async def refused_write(
    application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> asyncio.Task[None]:
    """Open the store, and return a write that waits for the application."""
    await store.open()
    rows = await store.due(NOW, 500)
    application.execute("BEGIN EXCLUSIVE")
    writing = asyncio.create_task(store.write(rows))
    await until(refused)
    return writing


@pytest.mark.parametrize("application", ["delete"], indirect=True)
async def test_a_cancelled_call_stops_waiting(
    application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> None:
    deleting = await refused_write(application, refused, store)
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    await store._run(lambda: None)  # the thread is idle again
    application.execute("COMMIT")
    await store.due(NOW, 500)


@pytest.mark.parametrize("application", ["delete"], indirect=True)
async def test_closed_while_a_call_waits(
    application: sqlite3.Connection, refused: Callable[[], bool], store: SQLiteStore
) -> None:
    deleting = await refused_write(application, refused, store)
    await store.close()
    with pytest.raises(StoreLost, match="the store is closed"):
        await deleting
    with pytest.raises(StoreLost, match="the store is closed"):
        await store.due(NOW, 500)
    await store.wait(60)


@pytest.mark.parametrize("application", ["delete"], indirect=True)
async def test_reads_of_the_store_keep_no_lock(application: sqlite3.Connection, store: SQLiteStore) -> None:
    """No lock is kept, even if the store has not read all rows of a query."""
    application.execute(*outbox.insert("a", "x" * 5_000_000))
    application.execute(*outbox.insert("a", 3))
    await store.open()
    assert len(await store.due(NOW, 500)) == 2
    await store.listed(False, 1)
    await store.counts()
    application.execute("BEGIN EXCLUSIVE")
    application.execute("ROLLBACK")


async def test_without_a_database(tmp_path: Path) -> None:
    store = SQLiteStore(f"{tmp_path}/shop.db")
    with pytest.raises(StoreError, match=r"^the database /.* does not exist$"):
        await store.open()
    assert os.listdir(tmp_path) == []
    with pytest.raises(StoreLost, match="the store is closed"):
        await store.counts()


async def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("no database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        await SQLiteStore(f"{tmp_path}/shop.db").open()


async def test_the_lock_is_the_same_for_all_paths_of_a_database(
    database: Database, store: SQLiteStore, tmp_path: Path
) -> None:
    await store.open()
    assert await store.lock()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link.db").symlink_to(database.url.removeprefix("sqlite:///"))
    other = SQLiteStore(f"{tmp_path}/elsewhere/link.db")
    await other.open()
    assert not await other.lock()
    await other.close()


async def test_lock_file_that_was_removed(store: SQLiteStore, tmp_path: Path) -> None:
    """The relay notices, because another relay would create the file again and have the lock, too."""
    await store.open()
    assert await store.lock()
    (tmp_path / "shop.db-relay").unlink()
    assert not await store.locked()
    assert await store.lock()
    assert await store.locked()


async def test_lock_is_released_although_a_child_has_the_file(database: Database, store: SQLiteStore) -> None:
    """A forked process has a duplicate of the descriptor, and the lock is still released."""
    await store.open()
    assert await store.lock()
    assert store._lock is not None
    duplicate = os.dup(store._lock)
    await store.close()
    await store.open()
    assert await store.lock()
    os.close(duplicate)


async def test_database_that_is_replaced(database: Database, store: SQLiteStore, tmp_path: Path) -> None:
    """The relay notices that the file was replaced, as by a restored backup. The connection would use the old file."""
    await store.open()
    assert await store.lock()
    Database(f"sqlite:///{tmp_path}/backup.db").insert(("a", "restored"))
    os.replace(tmp_path / "backup.db", tmp_path / "shop.db")
    assert not await store.locked()
    with pytest.raises(StoreLost, match="is another file now"):
        await store.lock()
    await store.open()
    assert await store.lock()
    assert [row.event for row in await store.due(NOW, 500)] == ['"restored"']


async def test_lock_file_that_cannot_be_created(store: SQLiteStore, tmp_path: Path) -> None:
    (tmp_path / "shop.db-relay").mkdir()
    await store.open()
    with pytest.raises(StoreError, match="Is a directory"):
        await store.lock()


@pytest.mark.parametrize("analyzed", [False, True])
async def test_long_backlog_of_a_topic_that_waits(analyzed: bool, database: Database, store: SQLiteStore) -> None:
    """`due` reads only the first row of a waiting topic, even without statistics of the table."""
    database.insert(*(("a", place) for place in range(500)), ("b", "late"))
    with database.connection() as connection:
        connection.cursor().execute("ANALYZE" if analyzed else "SELECT 1")
    await store.open()
    row, *_ = await store.due(NOW, 500)
    await store.write(failed=[(row, NOW + 5, "no hub")])
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    def watch() -> None:
        assert store._connection is not None
        store._connection.set_progress_handler(tick, 100)

    await store._run(watch)
    assert [row.event for row in await store.due(NOW, 500)] == ['"late"']
    assert ticks < 20
    assert len(await store.due(NOW + 5, 20)) == 11
    assert ticks < 60
