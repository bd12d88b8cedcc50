"""Choose the store for the URL of a database."""

from __future__ import annotations

from ._store import Store

__all__ = ["connect_store"]


def connect_store(url: str) -> Store:
    """Return the store for `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`, not yet open.

    Raises:
        ValueError: the URL is none of these. The message does not contain it, because it may have a password.
        ModuleNotFoundError: psycopg is not installed, which is the extra `relay`.
    """
    scheme, _, rest = url.partition("://")
    driver = scheme.partition("+")[0]  # SQLAlchemy's URLs may name one
    if driver == "sqlite" and len(rest) > 1 and rest.startswith("/") and rest != "/:memory:":
        from ._sqlite import SQLiteStore

        return SQLiteStore(rest[1:])
    if driver in ("postgresql", "postgres"):
        try:
            from ._postgresql import PostgreSQLStore
        except ImportError:  # also where psycopg does not find libpq
            raise ModuleNotFoundError("PostgreSQL needs psycopg: pip install 'webmqconnect-async[relay]'") from None
        return PostgreSQLStore(f"{driver}://{rest}")
    raise ValueError("the URL of the database must be sqlite:///PATH or postgresql://USER@HOST/DATABASE")
