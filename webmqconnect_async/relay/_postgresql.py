"""An outbox in PostgreSQL, by psycopg.

An ID is assigned when a row is inserted, but the row becomes visible when its transaction is committed. So a lower ID
may appear after a higher one, if their transactions overlap. Such rows have no defined order. This module does not
remember up to which ID it has read, because it would miss the lower one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import LiteralString

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from ._store import CHECK, COLUMNS, MAX_LENGTH, Failed, Row, Store, StoreError, StoreLost, due_rows

# With these, a connection that is cut silently is detected here well before the server releases the lock (see below).
# tcp_user_timeout is in milliseconds, the others are in seconds.
_DEFAULTS = {
    "application_name": "webmqconnect",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
# Not as startup options, which PgBouncer refuses. READ COMMITTED: serializable reads could make transactions of the
# application fail. enable_sort = off: the queries below then use the index for the order, even if the statistics were
# collected while the table was empty.
_SETTINGS: LiteralString = """\
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SET idle_session_timeout = 0; SET statement_timeout = 0; SET enable_sort = off; SET jit = off;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED;
LISTEN webmq_outbox"""

# A loose index scan: in the index, it steps from each topic to the first row of the next one, until LIMIT. To sort all
# rows by ID would read a backlog of a million rows each time, even if they may not be pushed yet.
_WALK: LiteralString = """\
WITH RECURSIVE walk AS (
    (
        SELECT topic, due FROM webmq_outbox WHERE NOT parked AND topic > %s
        ORDER BY topic, id LIMIT 1
    )
    UNION ALL
    SELECT next.topic, next.due FROM walk CROSS JOIN LATERAL (
        SELECT topic, due FROM webmq_outbox WHERE NOT parked AND topic > walk.topic
        ORDER BY topic, id LIMIT 1
    ) AS next
)
SELECT topic FROM walk
WHERE due <= %s AND topic NOT IN (SELECT unnest(%s::text[])) LIMIT %s"""
# BETWEEN, because with `=` the topic is constant: the order is by ID alone, and PostgreSQL may read all rows by ID.
_ROWS: LiteralString = f"""\
SELECT {COLUMNS} FROM (
    SELECT each.*, sum(octet_length(event)) OVER (ORDER BY id) - octet_length(event) AS before
    FROM unnest(%s::text[]) AS head CROSS JOIN LATERAL (
        SELECT * FROM webmq_outbox WHERE NOT parked AND topic BETWEEN head AND head ORDER BY topic, id LIMIT %s
    ) AS each
) AS counted WHERE before < %s ORDER BY id"""  # noqa: S608  # constants
# Rows are also compared by key, because a standby that took over may have lost rows, and may have reused their IDs.
_WRITE: LiteralString = """\
WITH accepted AS (
    DELETE FROM webmq_outbox WHERE id = ANY(%s::bigint[]) AND key = ANY(%s::text[])
)
UPDATE webmq_outbox AS row SET
    attempts = attempts + 1, due = coalesce(failed.due, row.due), parked = failed.due IS NULL, error = failed.error
FROM unnest(%s::bigint[], %s::text[], %s::float8[], %s::text[]) AS failed (id, key, due, error)
WHERE row.id = failed.id AND row.key = failed.key"""

# The first number is "WMIQ" in ASCII, the second the OID of the table: each schema of a database may have an outbox.
# In pg_locks, a lock of two numbers has the objsubid 2.
_LOCK: LiteralString = "SELECT pg_try_advisory_lock(1464682833, 'webmq_outbox'::regclass::oid::int)"
_LOCKED: LiteralString = """\
SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = 1464682833 AND objid = 'webmq_outbox'::regclass AND objsubid = 2"""

_POOLED = (
    "a pooler such as PgBouncer shares sessions among its clients, but the lock of a relay needs a session of its own: "
    "connect to PostgreSQL itself, or to a pool in session mode"
)


class PostgreSQLStore(Store):
    """The outbox in the database with these connection parameters, which `parsed` returns."""

    _NOW = "extract(epoch FROM clock_timestamp())::float8"
    _PARAMETER = "%s"
    _THESE = "id = ANY(%s::bigint[])"
    _WALK = _WALK

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__()
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **parameters})
        self._connection: AsyncConnection[TupleRow] | None = None
        self._notified = False

    async def _open(self) -> None:
        self._connection = connection = await self._connected()
        connection.add_notify_handler(self._notify)
        await self._check_session(connection)
        await self._execute(CHECK)
        await self._execute(_SETTINGS)

    async def _connected(self) -> AsyncConnection[TupleRow]:
        try:
            return await AsyncConnection.connect(self._conninfo, autocommit=True)
        except psycopg.Error as error:
            problem = " ".join(str(error).split())
        # Raised outside of the handler, because the frames of psycopg's error have the password.
        raise StoreLost(problem)

    async def _check_session(self, connection: AsyncConnection[TupleRow]) -> None:
        """Raise StoreError if a pooler shares the session of a connection with others."""
        session = await self._session(connection)
        if session == (connection.info.backend_pid,):
            return
        # There is a pooler. In transaction mode, another connection gets the session that this one has just used.
        other = await self._connected()
        try:
            await self._execute("BEGIN", on=other)
            shared = await self._session(other) == session or await self._session(connection) != session
        finally:
            await other.close()
        if shared:
            raise StoreError(_POOLED)

    async def _session(self, connection: AsyncConnection[TupleRow]) -> object:
        return await (await self._execute("SELECT pg_backend_pid()", on=connection)).fetchone()

    def _notify(self, _: psycopg.Notify) -> None:
        self._notified = True

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def lock(self) -> bool:
        locked = await self.locked() or await self._is_true(_LOCK)
        if locked:
            await self.write()
        return locked

    async def locked(self) -> bool:
        with suppress(StoreError):
            return await self._is_true(_LOCKED)
        return False

    async def _is_true(self, query: LiteralString) -> bool:
        return await self._fetch(query) == [(True,)]

    async def _begin_read(self) -> None:
        self._notified = False

    async def _rows(self, topics: list[str], each: int, now: float) -> list[Row]:
        return due_rows(await self._fetch(_ROWS, topics, each, MAX_LENGTH), now)

    async def write(self, deleted: Sequence[Row] = (), failed: Sequence[Failed] = ()) -> None:
        await self._execute(
            _WRITE,
            [row.id for row in deleted],
            [row.key for row in deleted],
            [row.id for row, _, _ in failed],
            [row.key for row, _, _ in failed],
            [due for _, due, _ in failed],
            [error for _, _, error in failed],
        )

    async def wait(self, seconds: float) -> None:
        if self._notified or self._connection is None or self._connection.closed:
            return
        # A duplicate: psycopg adds a reader itself during other calls, and a loop has only one for each descriptor.
        descriptor = os.dup(self._connection.fileno())
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await readable.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def retry(self, ids: Collection[int] | None) -> int:
        changed = await super().retry(ids)
        await self._execute("NOTIFY webmq_outbox")  # the trigger of the table does this for INSERT only
        return changed

    async def _fetch(self, statement: LiteralString, *parameters: object) -> list[TupleRow]:
        return await (await self._execute(statement, *parameters)).fetchall()

    async def _rowcount(self, statement: LiteralString, *parameters: object) -> int:
        return (await self._execute(statement, *parameters)).rowcount

    async def _execute(
        self, statement: LiteralString, *parameters: object, on: AsyncConnection[TupleRow] | None = None
    ) -> AsyncCursor[TupleRow]:
        connection = on or self._connection
        if connection is None:
            raise StoreLost("the store is closed")
        try:
            return await connection.execute(statement, parameters or None)  # several statements must have none
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise StoreLost(str(error)) from None
        except psycopg.Error as error:
            missing = isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn)
            remedy = ": execute what `webmqconnect outbox schema postgresql` prints" if missing else ""
            raise StoreError(str(error).partition("\n")[0] + remedy) from None


def parsed(url: str) -> dict[str, str] | None:
    """Return the connection parameters of libpq in a URL; `None` if it is invalid, or libpq probably misreads it.

    A password may contain a character that has to be percent-encoded, and ends it too early otherwise. libpq would take
    the rest for the host or the port, and would quote it in errors.
    """
    with suppress(psycopg.Error):
        parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        ports = parameters.get("port", "").replace(",", "")
        places = parameters.get("host", "") + parameters.get("dbname", "")
        if (not ports or ports.isdecimal()) and "@" not in places:
            return parameters
    return None
