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
    raise NotImplementedError(url.partition(":")[0])
