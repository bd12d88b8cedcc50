"""An outbox in PostgreSQL: overlapping transactions, lost connections, poolers, passwords."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from webmqconnect_async import outbox
from webmqconnect_async.relay._postgresql import PostgreSQLStore
from webmqconnect_async.relay._store import StoreError, StoreLost
from webmqconnect_async.relay._stores import connect_store

from ..postgresql import PASSWORD, Server, pooled
from .databases import Database

NOW = 1_000.0


@pytest.fixture
def database(postgresql_server: Server) -> Database:
    return Database(postgresql_server.new_database())


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgreSQLStore]:
    store = made(database.url)
    await store.open()
    yield store
    await store.close()


def made(url: str) -> PostgreSQLStore:
    store = connect_store(url)
    assert isinstance(store, PostgreSQLStore)
    return store


async def events(store: PostgreSQLStore) -> list[str]:
    return [row.event for row in await store.due(NOW, 500)]


async def test_rows_of_transactions_that_are_committed_late(database: Database, store: PostgreSQLStore) -> None:
    """A transaction that is committed later may have lower IDs. No row is missed."""
    with database.transaction() as rolled_back, psycopg.connect(database.url) as slow:
        rolled_back.insert(("a", 0))
        slow.execute(*outbox.insert("a", 1, style="format"))
        database.insert(("a", 2), ("b", 3))
        rows = await store.due(NOW, 500)
        assert [row.event for row in rows] == ["2", "3"]
        slow.commit()
        assert await events(store) == ["1", "2", "3"]
        await store.write(rows)
        assert await events(store) == ["1"]


async def test_a_lost_connection(database: Database, store: PostgreSQLStore) -> None:
    """After the connection is lost, every call raises an error, and another relay can get the lock."""
    assert await store.lock()
    waiting = asyncio.create_task(store.wait(60))
    await asyncio.sleep(0)
    with psycopg.connect(database.url) as operator:
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    await waiting
    assert not await store.locked()
    for call in (store.due(NOW, 500), store.write(), store.lock(), store.counts()):
        with pytest.raises(StoreLost):
            await call
    await store.wait(60)  # the call does not wait
    await store.open()
    assert await store.lock()


async def test_a_cancelled_call(database: Database, store: PostgreSQLStore) -> None:
    """A call that waits in PostgreSQL can be cancelled. The connection, with the lock, can be used afterwards."""
    database.insert(("a", 1))
    rows = await store.due(NOW, 500)
    assert await store.lock()
    with psycopg.connect(database.url) as application:
        application.execute("LOCK TABLE webmq_outbox")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.write(rows)
    assert await store.locked()
    assert await events(store) == ["1"]


async def test_settings_of_the_role_are_overridden(database: Database) -> None:
    """Timeouts that are set for the application's role would otherwise end the relay's session or its statements."""
    with psycopg.connect(database.url, autocommit=True) as operator:
        name = operator.info.dbname
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "statement_timeout = '9s'",
            "jit_above_cost = 0",
        ):
            operator.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    store = made(database.url)
    await store.open()
    assert store._connection is not None
    for name, value in (("transaction_isolation", "read committed"), ("statement_timeout", "0"), ("jit", "off")):
        shown = await (await store._connection.execute(f"SHOW {name}".encode())).fetchall()
        assert shown == [(value,)]
    await store.close()


async def test_without_the_table_of_the_outbox(postgresql_server: Server) -> None:
    store = made(postgresql_server.new_database())
    with pytest.raises(StoreError, match="does not exist: execute what `webmqconnect outbox schema postgresql` prints"):
        await store.open()
    with pytest.raises(StoreLost, match="the store is closed"):
        await store.counts()


async def test_role_that_may_not_write(database: Database) -> None:
    """A role without write access can list rows, but a relay would push them again and again, so it is refused."""
    with psycopg.connect(database.url, autocommit=True) as operator:
        operator.execute("DROP ROLE IF EXISTS reader")
        operator.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'".encode())
        operator.execute("GRANT SELECT ON webmq_outbox TO reader")
        name = operator.info.user
    store = made(database.url.replace(f"{name}:", "reader:"))
    await store.open()
    assert await store.listed(False, 1) == []
    with pytest.raises(StoreError, match="permission denied"):
        await store.lock()
    await store.close()


async def test_two_outboxes_in_one_database(database: Database) -> None:
    """Each schema may have an outbox, with a relay of its own."""
    with psycopg.connect(database.url) as operator:
        operator.execute("CREATE SCHEMA other; SET search_path = other")
        operator.execute(outbox.schema("postgresql"))
    first, second = (made(database.url + option) for option in ("", "?options=-csearch_path%3Dother"))
    await first.open()
    await second.open()
    assert await first.lock()
    assert await second.lock()
    await first.close()
    await second.close()


@pytest.mark.parametrize("statistics", [False, True])
async def test_long_backlog_of_a_topic_that_waits(statistics: bool, database: Database, store: PostgreSQLStore) -> None:
    """`due` reads only the first row of a waiting topic, even with outdated statistics."""
    with psycopg.connect(database.url, autocommit=True) as application:
        application.execute(
            "INSERT INTO webmq_outbox (key, topic, event) SELECT '', 'a', '1' FROM generate_series(1, 20000)"
        )
        application.execute(*outbox.insert("b", "late", style="format"))
        if statistics:
            application.execute("ANALYZE webmq_outbox")
    row, *_ = await store.due(NOW, 1)
    await store.write(failed=[(row, NOW + 5, "no hub")])
    assert store._connection is not None
    for now, limit, expected in ((NOW, 500, 1), (NOW + 5, 20, 11)):
        async with store._connection.transaction():
            assert len(await store.due(now, limit)) == expected
            # The setting is only for this transaction.
            cursor = await store._connection.execute(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'webmq_outbox'"
            )
            assert (await cursor.fetchall())[0][0] < 50


# Poolers


@pytest.fixture(params=["transaction", "session"])
def pooler(request: pytest.FixtureRequest, pgbouncer: None, postgresql_server: Server) -> Iterator[Server]:
    with pooled(postgresql_server, request.param) as server:
        yield server


@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
async def test_a_pooler_that_shares_sessions_is_refused(pooler: Server, database: Database) -> None:
    """The store refuses such a pooler, because the lock would belong to the next client of the session."""
    store = made(pooler.url(database.url.rpartition("/")[2]))
    with pytest.raises(StoreError, match="a pooler such as PgBouncer shares sessions"):
        await store.open()


@pytest.mark.parametrize("pooler", ["session"], indirect=True)
async def test_a_pooler_that_does_not_share_sessions(pooler: Server, database: Database) -> None:
    store = made(pooler.url(database.url.rpartition("/")[2]))
    await store.open()
    assert await store.lock()
    database.insert(("a", 1))
    await store.wait(60)
    assert await events(store) == ["1"]
    await store.close()


# Passwords


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:pa/55@localhost/shop",
        "postgresql://app:12/pa55@localhost/shop",
        "postgresql://app:pa@55@localhost/shop",
        "postgresql://app:pa%55%x@localhost/shop",
        "postgresql://app@localhost:pa55/shop",
        "postgresql://app@localhost/shop?pa55=1",
        "postgresql+psycopg://app:pa/55@localhost/shop",
    ],
)
def test_an_ambiguous_url_is_refused_without_its_password(url: str) -> None:
    """A URL that libpq parses differently is refused. No part that may be a password is shown."""
    with pytest.raises(ValueError, match="percent-encoded in the user and the password") as raised:
        connect_store(url)
    assert "55" not in shown(raised.value)


async def test_the_password_is_not_shown(postgresql_server: Server) -> None:
    """The password is neither in the repr of a store, nor in an error, nor in the frames of its traceback."""
    refused = connect_store(postgresql_server.url().replace(PASSWORD, "other-pa55"))
    away = connect_store(f"postgresql://app:{PASSWORD}@127.0.0.1:1/shop")
    for store, said in ((refused, "password authentication failed"), (away, "Connection refused")):
        assert "pa55" not in repr(store)
        with pytest.raises(StoreLost, match=said) as raised:
            await store.open()
        assert "pa55" not in shown(raised.value)


def shown(error: BaseException) -> str:
    """Return what an error reporter shows of an error and of the package's frames."""
    assert error.__context__ is None
    frames = [frame for frame in traceback.walk_tb(error.__traceback__) if frame[0].f_code.co_filename != __file__]
    assert frames
    return f"{error!r} {''.join(traceback.StackSummary.extract(iter(frames), capture_locals=True).format())}"
