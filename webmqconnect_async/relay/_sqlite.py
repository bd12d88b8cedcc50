"""An outbox in SQLite.

The application may use any journal mode. In all modes except WAL, readers block writers and writers block readers. So
each statement is a transaction of its own, and none waits for long inside of SQLite, where it would hold a lock.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ._store import CHECK, COLUMNS, Failed, Row, Store, StoreError, StoreLost, due_rows

_T = TypeVar("_T")
_POLL = 0.05
"""Seconds between two checks for commits of other connections."""
_BUSY_TIMEOUT = 0.2
"""Seconds that a statement waits inside of SQLite. A commit that waits for readers blocks new ones (PENDING lock)."""
_PAUSE = 0.1
"""Seconds to pause after the wait of a statement has timed out, so that others can continue."""

# A loose index scan, as in `_postgresql`: in the index on topic and ID, it steps from each topic to the first row of
# the next one. It has no join, because SQLite may read a whole table to make a Bloom filter for a join.
_WALK = """\
WITH RECURSIVE walk (id) AS (
    SELECT (SELECT id FROM webmq_outbox WHERE NOT parked AND topic > ? ORDER BY topic, id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT id FROM webmq_outbox
        WHERE NOT parked AND topic > (SELECT topic FROM webmq_outbox WHERE id = walk.id)
        ORDER BY topic, id LIMIT 1
    ) FROM walk WHERE walk.id IS NOT NULL
)
SELECT (SELECT topic FROM webmq_outbox WHERE id = walk.id) AS head FROM walk
WHERE (SELECT due FROM webmq_outbox WHERE id = walk.id) <= ?
    AND head NOT IN (SELECT value FROM json_each(?)) LIMIT ?"""
# IN instead of a join, for which SQLite would sort whole rows; this reads them one by one. BETWEEN: see `_postgresql`.
_ROWS = f"""\
SELECT {COLUMNS} FROM webmq_outbox WHERE id IN (
    WITH heads (head) AS (SELECT value FROM json_each(?))
    SELECT id FROM heads CROSS JOIN webmq_outbox ON id IN (
        SELECT id FROM webmq_outbox WHERE NOT parked AND topic BETWEEN head AND head ORDER BY topic, id LIMIT ?
    )
) ORDER BY id"""  # noqa: S608  # constants
# Rows are also compared by key, because the database may have been restored, and may have another row with that ID.
_ACCEPTED = "DELETE FROM webmq_outbox WHERE id = ? AND key = ?"
_FAILED = """\
UPDATE webmq_outbox SET attempts = attempts + 1, due = coalesce(?, due), parked = ?, error = ?
WHERE id = ? AND key = ?"""


class SQLiteStore(Store):
    """The outbox in a file, which must exist. A thread of its own runs all statements."""

    _NOW = "(julianday('now') - 2440587.5) * 86400.0"
    _PARAMETER = "?"
    _THESE = "id IN (SELECT value FROM json_each(?))"
    _WALK = _WALK

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = Path(path)
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None
        self._lock: int | None = None
        self._version: int | None = None

    async def _open(self) -> None:
        self._thread = ThreadPoolExecutor(1, "webmq-outbox")
        await self._run(self._connect)

    def _connect(self) -> None:
        self._path = self._path.resolve()  # so that the lock file has one path, even if links lead to the database
        if not self._path.is_file():
            raise StoreError(f"the database {self._path} does not exist")
        if self._connection is None:  # it is not None if this is another attempt, because the database was locked
            # mode=rw: by default, SQLite creates a database that does not exist, even if only its name is misspelt.
            self._file = os.stat(self._path)
            uri = f"file:{quote(str(self._path))}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
        try:
            self._execute(CHECK)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB):
                raise
            raise StoreError(f"{error}: execute what `webmqconnect outbox schema sqlite` prints") from None

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            closed = thread.submit(self._close)
            thread.shutdown(wait=False)
            await asyncio.wrap_future(closed)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._lock is not None:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_UN)  # a forked child may still have the file open
            os.close(self._lock)
        self._connection = self._lock = self._version = None

    async def lock(self) -> bool:
        return await self._run(self._acquire)

    def _acquire(self) -> bool:
        import fcntl  # imported here, because Windows does not have it, and commands that need no lock work there

        if self._file is None or not os.path.samestat(self._file, os.stat(self._path)):
            raise StoreLost(f"{self._path} is another file now")
        if self._lock is not None and not self._has_lock():
            os.close(self._lock)
            self._lock = None
        if self._lock is None:
            file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._lock = file
        self._write((), ())
        return self._has_lock()

    async def locked(self) -> bool:
        with suppress(StoreError):
            return await self._run(self._has_lock)
        return False

    def _has_lock(self) -> bool:
        """Return whether both files still exist. If the lock file was deleted, another relay may create and lock it."""
        if self._lock is None or self._file is None:
            return False
        try:
            return os.path.samestat(self._file, os.stat(self._path)) and os.path.samestat(
                os.fstat(self._lock), os.stat(self._lock_path)
            )
        except FileNotFoundError:
            return False

    @property
    def _lock_path(self) -> str:
        return f"{self._path}-relay"

    async def _begin_read(self) -> None:
        self._version = await self._run(self._data_version)

    async def _rows(self, topics: list[str], each: int, now: float) -> list[Row]:
        def read() -> list[Row]:
            # The cursor is closed, because an open one keeps the database locked.
            with closing(self._execute(_ROWS, topics, each)) as records:
                return due_rows(records, now)

        return await self._run(read)

    async def write(self, deleted: Sequence[Row] = (), failed: Sequence[Failed] = ()) -> None:
        await self._run(lambda: self._write(deleted, failed))

    def _write(self, deleted: Sequence[Row], failed: Sequence[Failed]) -> None:
        # `with` commits. If anything fails, even the commit (bpo-27334), it rolls back.
        with self._execute("BEGIN IMMEDIATE").connection:
            for row in deleted:
                self._execute(_ACCEPTED, row.id, row.key)
            for row, due, error in failed:
                self._execute(_FAILED, due, due is None, error, row.id, row.key)

    async def wait(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        with suppress(StoreError):
            while (left := end - clock()) > 0:
                # Sleep first, so that the relay does not read after each commit of a busy application.
                await asyncio.sleep(min(_POLL, left))
                if await self._run(self._data_version) != self._version:
                    return

    def _data_version(self) -> int:
        """Return a number that changes with each commit of another connection."""
        version: int = self._execute("PRAGMA data_version").fetchone()[0]
        return version

    async def _fetch(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return await self._run(lambda: self._execute(statement, *parameters).fetchall())

    async def _rowcount(self, statement: str, *parameters: object) -> int:
        return await self._run(lambda: self._execute(statement, *parameters).rowcount)

    def _execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if self._connection is None:
            raise StoreLost("the store is closed")
        arrays_as_json = [json.dumps(each) if isinstance(each, list) else each for each in parameters]
        return self._connection.execute(statement, arrays_as_json)

    async def _run(self, work: Callable[[], _T]) -> _T:
        """Run a function in the thread, because it may wait for the disk. Repeat it while the database is locked."""
        while self._thread is not None:
            try:
                return await asyncio.wrap_future(self._thread.submit(work))
            except sqlite3.Error as error:
                # The low 8 bits are the primary result code: SQLITE_BUSY has extended ones. Errors of the module
                # sqlite3 itself have no code.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise StoreLost(f"{self._path}: {error}") from None
            except OSError as error:
                raise StoreError(f"{error.filename}: {error.strerror}") from None
            await asyncio.sleep(_PAUSE)
        raise StoreLost("the store is closed")
