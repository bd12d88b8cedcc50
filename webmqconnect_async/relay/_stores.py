"""Choose the store for the URL of a database."""

from __future__ import annotations

from ._store import Store


def connect_store(url: str) -> Store:
    """Return the store of a URL, not yet open. No error contains the URL, because it may have a password."""
    try:
        if store := _store(url):
            return store
        error: Exception = ValueError(
            "the URL of the database must be sqlite:///PATH or postgresql://USER@HOST/DATABASE, "
            "with characters such as / @ % percent-encoded in the user and the password"
        )
    except ImportError:  # psycopg also raises it if it does not find libpq
        error = ModuleNotFoundError("PostgreSQL needs psycopg: pip install 'webmqconnect-async[relay]'")
    finally:
        del url  # error reporters show the local variables of a traceback's frames
    raise error  # outside of the handler, because the frames of the ImportError have the URL


def _store(url: str) -> Store | None:
    scheme, _, rest = url.partition("://")
    scheme = scheme.partition("+")[0]  # SQLAlchemy's URLs may name a driver
    if scheme == "sqlite" and len(rest) > 1 and rest.startswith("/") and rest != "/:memory:":
        from ._sqlite import SQLiteStore

        return SQLiteStore(rest[1:])
    if scheme in ("postgresql", "postgres"):
        from ._postgresql import PostgreSQLStore, parsed

        parameters = parsed(f"{scheme}://{rest}")
        return None if parameters is None else PostgreSQLStore(parameters)
    return None
