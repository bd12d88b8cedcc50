"""Databases with an outbox, as an application uses them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from webmqconnect_async import outbox

if TYPE_CHECKING:
    import psycopg

Pushes = tuple[str, object]
"""A topic and an event."""


class Transaction(Protocol):
    """The operations of an application within a transaction."""

    def insert(self, *pushes: Pushes, eligible: object = None, exclude: object = None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Transaction:
    execute: Callable[..., object]
    style: str

    def insert(self, *pushes: Pushes, eligible: object = None, exclude: object = None) -> None:
        for topic, event in pushes:
            statement, parameters = outbox.insert(topic, event, eligible=eligible, exclude=exclude, style=self.style)  # type: ignore[call-overload]
            self.execute(statement, parameters)


class Database:
    """A database with an outbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.create()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection | psycopg.Connection]:
        """Connect, and commit at the end unless there is an exception."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)) as sqlite, sqlite:
                yield sqlite
        else:
            import psycopg  # psycopg is not a dependency of the plain run

            with psycopg.connect(self.url) as postgresql:
                yield postgresql

    def create(self) -> None:
        with self.connection() as connection:
            if isinstance(connection, sqlite3.Connection):
                connection.executescript(outbox.schema("sqlite"))
            else:
                connection.execute(outbox.schema("postgresql"))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Begin a transaction, which is rolled back at the end."""
        with self.connection() as connection:
            style = "qmark" if isinstance(connection, sqlite3.Connection) else "format"
            yield _Transaction(connection.cursor().execute, style)
            connection.rollback()

    def insert(self, *pushes: Pushes, eligible: object = None, exclude: object = None) -> None:
        """Insert rows in a transaction, and commit it."""
        with self.connection() as connection:
            self.within(connection, *pushes, eligible=eligible, exclude=exclude)

    def within(
        self,
        connection: sqlite3.Connection | psycopg.Connection,
        *pushes: Pushes,
        eligible: object = None,
        exclude: object = None,
    ) -> None:
        """Insert rows in the transaction of a connection."""
        style = "qmark" if isinstance(connection, sqlite3.Connection) else "format"
        _Transaction(connection.cursor().execute, style).insert(*pushes, eligible=eligible, exclude=exclude)

    def scalar(self, query: str) -> float:
        """Return the only value that a query returns."""
        with self.connection() as connection:
            row = connection.cursor().execute(query).fetchone()
            assert row is not None
            return float(row[0])
