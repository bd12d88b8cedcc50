"""Fuzzes what the hub reads from clients: inputs from grammars, mostly with at most one flaw, and checks of results."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .bridge import BRIDGE
from .engine import Target, fuzz
from .gates import GATE
from .lines import LINES
from .messages import WAMP1, WAMP2
from .subscribers import SUBSCRIBERS
from .webmq import WEBMQ

__all__ = ["TARGETS", "Target", "fuzz", "shares"]

_ALL: tuple[Target[Any], ...] = (WEBMQ, BRIDGE, WAMP1, WAMP2, SUBSCRIBERS, GATE, LINES)

TARGETS = {target.name: target for target in _ALL}
"""The targets by name, each with its inputs and its check."""


def shares(names: Collection[str], inputs: int) -> dict[str, int]:
    """Return how many of the inputs each of these targets gets."""
    total = sum(TARGETS[name].share for name in names)
    return {name: max(1, inputs * TARGETS[name].share // total) for name in names}
