"""A fixture with an outbox: in SQLite, and in the full run also in PostgreSQL."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .databases import Database

if TYPE_CHECKING:
    from ..postgresql import Server

if find_spec("psycopg") is None:  # a fixture of the full run
    collect_ignore = ["test_postgresql.py"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/shop.db")
    server: Server = request.getfixturevalue("postgresql_server")
    return Database(server.new_database())
