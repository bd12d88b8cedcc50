"""Write an event in your database's transaction: it is pushed if, and only if, the transaction is committed.

    cursor.execute("UPDATE orders SET state = 'paid' WHERE id = 17")
    cursor.execute(*outbox.insert("http://example.com/orders", {"id": 17, "state": "paid"}))

A relay, `webmqconnect relay`, pushes the committed rows. This module makes SQL, and imports no database driver.
"""

from __future__ import annotations

from typing import Literal, LiteralString, TypeAlias, overload
from uuid import uuid4

from ._core.dialects.arguments import id_text, listed, utf8
from ._core.dialects.events import Dumps, encode_event
from ._core.strict_json import encode
from ._core.values import SessionIDs
from .errors import InvalidPush

__all__ = ["insert", "schema"]

_Values: TypeAlias = tuple[str, str, str, str | None, str | None]

_COLUMNS = ("key", "topic", "event", "eligible", "exclude")
_INSERT: LiteralString = "INSERT INTO webmq_outbox (key, topic, event, eligible, exclude) VALUES "
_STATEMENTS: dict[str, LiteralString] = {
    "qmark": _INSERT + "(?, ?, ?, ?, ?)",
    "format": _INSERT + "(%s, %s, %s, %s, %s)",
    "named": _INSERT + "(:key, :topic, :event, :eligible, :exclude)",
    "dollar": _INSERT + "($1, $2, $3, $4, $5)",
}
_LONGEST_TOPIC = 2000
"""Bytes. An entry of an index of PostgreSQL (B-tree) has at most 2,704 bytes."""

# Without AUTOINCREMENT, SQLite may reuse the IDs of deleted rows. Times are Unix times in seconds. The Unix epoch is
# the Julian day 2440587.5.
_SQLITE: LiteralString = """\
CREATE TABLE IF NOT EXISTS webmq_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    topic TEXT NOT NULL,
    event TEXT NOT NULL,
    eligible TEXT,
    exclude TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    error TEXT,
    parked INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0)
);
CREATE INDEX IF NOT EXISTS webmq_outbox_waiting ON webmq_outbox (topic, id) WHERE NOT parked;
CREATE INDEX IF NOT EXISTS webmq_outbox_parked ON webmq_outbox (id) WHERE parked;
"""
# Each row is inserted and deleted soon. With its default settings, autovacuum would run so rarely that index
# scans would visit many dead rows.
_POSTGRESQL: LiteralString = """\
CREATE TABLE IF NOT EXISTS webmq_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    topic text COLLATE "C" NOT NULL,
    event text NOT NULL,
    eligible text,
    exclude text,
    attempts integer NOT NULL DEFAULT 0,
    due double precision NOT NULL DEFAULT 0,
    error text,
    parked boolean NOT NULL DEFAULT false,
    created double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX IF NOT EXISTS webmq_outbox_waiting ON webmq_outbox (topic, id) WHERE NOT parked;
CREATE INDEX IF NOT EXISTS webmq_outbox_parked ON webmq_outbox (id) WHERE parked;
CREATE OR REPLACE FUNCTION webmq_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY webmq_outbox;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER webmq_outbox_notify AFTER INSERT ON webmq_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION webmq_outbox_notify();
"""
_SCHEMAS: dict[str, LiteralString] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}


@overload
def insert(
    topic: str,
    event: object,
    *,
    eligible: SessionIDs | None = None,
    exclude: SessionIDs | None = None,
    style: Literal["qmark", "format", "dollar"] = "qmark",
    dumps: Dumps | None = None,
) -> tuple[LiteralString, _Values]: ...


@overload
def insert(
    topic: str,
    event: object,
    *,
    eligible: SessionIDs | None = None,
    exclude: SessionIDs | None = None,
    style: Literal["named"],
    dumps: Dumps | None = None,
) -> tuple[LiteralString, dict[str, str | None]]: ...


def insert(
    topic: str,
    event: object,
    *,
    eligible: SessionIDs | None = None,
    exclude: SessionIDs | None = None,
    style: Literal["qmark", "format", "named", "dollar"] = "qmark",
    dumps: Dumps | None = None,
) -> tuple[LiteralString, _Values | dict[str, str | None]]:
    """Return an INSERT and its parameters, for you to execute in your transaction: `cursor.execute(*insert(…))`.

    This call encodes the event; the relay pushes exactly these bytes.

    Args:
        topic: As for `push`, at most 2,000 bytes in UTF-8. Crossbar.io accepts WAMP URIs only.
        event: As for `push`.
        eligible: As for `push`. Sessions may have ended by the time the event is pushed.
        exclude: As for `push`.
        style: How the statement marks parameters: "qmark" (`?`) for sqlite3; "format" (`%s`) for psycopg and Django;
            "named" (`:topic`) for SQLAlchemy's `text`, and sqlite3; "dollar" (`$1`) for asyncpg. The parameters of
            "named" are a dict, the others a tuple.
        dumps: A JSON encoder, as for the clients. `None`: the default one.

    Raises:
        InvalidPush: An argument is invalid; the message names it.
        ValueError: `style` is not one of these.
    """
    if style not in _STATEMENTS:
        raise ValueError(f"style must be {', '.join(map(repr, _STATEMENTS))}, not {style!r}")
    encoded = utf8("topic", topic)
    if not encoded or b"\0" in encoded or len(encoded) > _LONGEST_TOPIC:
        raise InvalidPush(f"topic: must have 1 to {_LONGEST_TOPIC:,} bytes in UTF-8, without NUL")
    try:
        text = encode_event(event, dumps).decode()
    except UnicodeDecodeError:
        raise InvalidPush("event: what dumps returned is not UTF-8") from None
    values = (str(uuid4()), topic, text, _sessions("eligible", eligible), _sessions("exclude", exclude))
    return _STATEMENTS[style], dict(zip(_COLUMNS, values, strict=True)) if style == "named" else values


def schema(database: Literal["sqlite", "postgresql"]) -> LiteralString:
    """Return the SQL that creates the table `webmq_outbox` with its indexes, and a trigger for PostgreSQL.

    It may be executed again.

    Raises:
        ValueError: `database` is neither of the two.
    """
    if database not in _SCHEMAS:
        raise ValueError(f"database must be 'sqlite' or 'postgresql', not {database!r}")
    return _SCHEMAS[database]


def _sessions(argument: str, ids: SessionIDs | None) -> str | None:
    """Return session IDs as a JSON array of strings."""
    if ids is None:
        return None
    return encode([id_text(f"{argument}[{place}]", each) for place, each in enumerate(listed(argument, ids))])
