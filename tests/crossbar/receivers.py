"""Who receives an event that is pushed at one node of a cluster: the table of the documentation and of its tests.

`near` subscribes at the node at which the event is pushed, `far` at the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

from webmqconnect_async import Payload

from .subscribers import Subscriber


class Effect(Enum):
    """What happens to the subscribers of the other node, in the words of the table."""

    HOLDS = "works"
    LOST = "**they miss it**"
    LEAKED = "**they get it nevertheless**"
    CHANGED = "**they get it without that keyword**"


class Receivers(TypedDict, total=False):
    """The arguments of a push that select its receivers, including `options`."""

    eligible: list[int]
    exclude: list[int]
    options: dict[str, object]


@dataclass(frozen=True, slots=True)
class Probe:
    """A push, and who should receive it."""

    receivers: Callable[[Subscriber, Subscriber], Receivers] = lambda near, far: Receivers()
    """Called with near and far."""
    near: bool = True
    far: bool = True
    event: object = "event"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    feature: str
    """The feature, as Markdown."""
    probes: tuple[Probe, ...]
    equal: Effect
    router: Effect = Effect.HOLDS
    pattern: Callable[[str], tuple[str, str]] = lambda topic: (topic, "exact")
    """Called with the topic; returns what both subscribe to, and the match policy."""
    late: bool = False
    """Whether `far` subscribes after the push."""


def _options(**options: object) -> Receivers:
    return Receivers(options=options)


def _wildcard(topic: str) -> str:
    first, _, last = topic.split(".")
    return f"{first}..{last}"


ROWS = (
    Row("every subscriber", (Probe(),), Effect.HOLDS),
    Row(
        "`eligible=[…]`",
        (
            Probe(lambda near, far: {"eligible": [near.session_id]}, far=False),
            Probe(lambda near, far: {"eligible": [far.session_id]}, near=False),
            Probe(lambda near, far: {"eligible": [near.session_id, far.session_id]}),
        ),
        Effect.LOST,
    ),
    Row("`eligible=[]`, nobody", (Probe(lambda near, far: {"eligible": []}, near=False, far=False),), Effect.HOLDS),
    Row(
        "`exclude=[…]`",
        (
            Probe(lambda near, far: {"exclude": [near.session_id]}, near=False),
            Probe(lambda near, far: {"exclude": [far.session_id]}, far=False),
        ),
        Effect.LEAKED,
    ),
    Row(
        "`eligible_authid`",
        (
            Probe(lambda near, far: _options(eligible_authid=[near.authid]), far=False),
            Probe(lambda near, far: _options(eligible_authid=[far.authid]), near=False),
        ),
        Effect.LOST,
    ),
    Row(
        "`exclude_authid`",
        (
            Probe(lambda near, far: _options(exclude_authid=[near.authid]), near=False),
            Probe(lambda near, far: _options(exclude_authid=[far.authid]), far=False),
        ),
        Effect.LEAKED,
    ),
    Row(
        "`eligible_authrole`",
        (
            Probe(lambda near, far: _options(eligible_authrole=["anonymous"])),
            Probe(lambda near, far: _options(eligible_authrole=["another"]), near=False, far=False),
        ),
        Effect.LOST,
    ),
    Row(
        "`exclude_authrole`",
        (
            Probe(lambda near, far: _options(exclude_authrole=["anonymous"]), near=False, far=False),
            Probe(lambda near, far: _options(exclude_authrole=["another"])),
        ),
        Effect.LEAKED,
    ),
    Row("prefix subscriptions", (Probe(),), Effect.LOST, pattern=lambda topic: (topic.rpartition(".")[0], "prefix")),
    Row("wildcard subscriptions", (Probe(),), Effect.LOST, pattern=lambda topic: (_wildcard(topic), "wildcard")),
    Row("`retain`, for later subscribers", (Probe(lambda near, far: _options(retain=True)),), Effect.LOST, late=True),
    Row("`Payload` with a keyword `details`", (Probe(event=Payload(details=1, more=2)),), Effect.CHANGED),
)


def table() -> str:
    """Return the table as the documentation has it."""
    lines = ["| feature | router and proxies | equal nodes |", "|---|---|---|"]
    lines += [f"| {row.feature} | {row.router.value} | {row.equal.value} |" for row in ROWS]
    return "\n".join(lines)
