"""Compares the hub with Crossbar.io: pushes per second of both, with the same requests and subscribers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from brokers import crossbar

from . import capacity, processes
from .load import Refused, bridge_body, bridge_query
from .plan import Plan, note
from .results import row

HUB, PEER = "hub", "Crossbar.io"
LOADS = ((0, False), (1, False), (10, False), (0, True))
"""The number of subscribers, and whether the pushes are signed."""


@dataclass(frozen=True, slots=True)
class Door:
    """The URLs to push to and to subscribe at."""

    url: str
    path: str
    ws_url: str


def twins(plan: Plan) -> None:
    """Load both in turn, and compare them round by round."""
    if missing := _missing():
        plan.results.skipped.append(f"the hub beside Crossbar.io: {missing}")
        return
    rounds = plan.results.rounds
    for subscribers, signed in LOADS:
        taken: dict[str, list[float]] = {HUB: [], PEER: []}
        with _brokers(signed) as doors:
            for number in range(rounds):
                for name, rates in taken.items():
                    note(f"round {number + 1} of {rounds}: wrk against {name}, {subscribers} subscribers")
                    rates.append(_rate(doors[name], subscribers, signed, plan.seconds))
        title = f"{'signed' if signed else 'unsigned'} pushes to /publish by wrk, {_counted(subscribers)}"
        shares = [ours / peer for ours, peer in zip(taken[HUB], taken[PEER], strict=True)]
        plan.results.rows.append(row(f"hub against Crossbar.io, {title}", shares, 2.0, unit="x"))
        plan.results.rows += [row(f"{name}, {title}", rates, unit="/s") for name, rates in taken.items()]


def _missing() -> str | None:
    if not crossbar.installed():
        return f"Crossbar.io {crossbar.VERSION} is not installed ({crossbar.COMMAND})"
    return None if capacity.has_wrk() else capacity.NO_WRK


def _counted(subscribers: int) -> str:
    return f"{subscribers or 'no'} subscriber{'s' if subscribers > 1 else ''}"


@contextmanager
def _brokers(signed: bool) -> Iterator[dict[str, Door]]:
    """Run both brokers. The one that is not being measured is idle."""
    with ExitStack() as stack:
        hub = stack.enter_context(processes.server("hub_load", "serve", "signed" if signed else "hub"))
        authority = f"127.0.0.1:{stack.enter_context(processes.crossbar_io()).port}"
        yield {
            HUB: Door(hub.url, "/publish", hub.url.replace("http", "ws", 1) + "/ws"),
            PEER: Door(f"http://{authority}", "/publish" if signed else "/publish-unsigned", f"ws://{authority}/ws"),
        }


def _rate(door: Door, subscribers: int, signed: bool, seconds: float) -> float:
    """Return the pushes per second that a broker accepted.

    Raises:
        Refused: the broker refused a push, or a subscriber did not receive all events.
    """
    body = bridge_body()
    target = f"{door.path}?{bridge_query(body)}" if signed else door.path
    with processes.attendant("listeners", door.url + door.path, door.ws_url, str(subscribers)) as finish:
        rate = capacity.by_wrk(door.url, target, body, seconds, connections=50, content_type="application/json")
        counts = json.loads(finish())
    # wrk aborts its last requests, and ends some milliseconds late.
    if any(count < 0.95 * rate * seconds for count in counts):
        raise Refused(f"of {rate * seconds:,.0f} events the subscribers got {counts}")
    return rate
