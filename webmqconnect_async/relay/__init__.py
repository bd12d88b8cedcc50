"""Push the rows of an outbox: to a broker, in order, each until the broker has accepted it."""

from __future__ import annotations
