"""Producers that commit and roll back, while relays or hubs are killed. For long runs, use `python -m tests.outbox`."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from .outbox.conftest import database
from .outbox.databases import Database
from .outbox.soak import CONCURRENCY, KILLS, Victim, soak

__all__ = ["database"]  # a fixture

ROWS = 1500


@pytest.mark.parametrize("victim", ["relay", "hub"])
async def test_every_committed_event_is_delivered_in_order(database: Database, victim: Victim, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    outcome = await soak(database, victim, ROWS, seed, tmp_path)
    print(f"seed {seed}: {outcome}")
    assert outcome.failures == []
    assert outcome.kills == KILLS
    # A hub that is killed forgets which events it has accepted.
    assert outcome.doubled <= (KILLS * CONCURRENCY if victim == "hub" else 0)
    assert outcome.relays == (KILLS + 1 if victim == "relay" else 1)
