"""Compares what subscribers reported with what was pushed, and lists broken guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.recovering.judge import Kind, Record, judged
from webmqconnect_async import NotAccepted, Receipt

from .pushers import KEYED, Pushed

__all__ = ["HEAD", "Outcome", "outcome_of"]

HEAD = (
    *("seed", "hubs", "seconds", "kills", "pushes", "accepted", "Unconfirmed", "refused 503", "deliveries"),
    *("losses told", "without cause", "missing", "doubled", "out of order", "refused, delivered", "for others"),
)
"""The names of the figures of an outcome."""


@dataclass(slots=True)
class Outcome:
    """The outcome of a run."""

    figures: Sequence[float]
    """The figures in the order of `HEAD`."""
    failures: list[str] = field(default_factory=list)
    """The guarantees that were broken, in words."""

    @property
    def row(self) -> Sequence[str]:
        return [f"{figure:,.0f}" for figure in self.figures]

    def figure(self, name: str) -> float:
        return self.figures[HEAD.index(name)]


@dataclass(slots=True)
class _Faults:
    """Numbers of events, by the guarantee that was broken."""

    missing: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    disordered: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)

    def shown(self) -> Sequence[tuple[str, Sequence[int]]]:
        return (
            ("missing without onlost", self.missing),
            ("doubled", self.doubled),
            ("out of order", self.disordered),
            ("delivered although refused", self.refused),
            ("for others", self.foreign),
        )


def outcome_of(
    first: Sequence[float],
    counts: Mapping[str, int],
    pushed: Mapping[str, Sequence[Pushed]],
    records: Mapping[tuple[str, str], Sequence[Record]],
    data_losses: Sequence[tuple[float, float]],
    without_cause: Mapping[str, int],
) -> Outcome:
    """Judge a run.

    Args:
        first: the first four figures.
        counts: how many pushes had which outcome.
        pushed: the events by topic.
        records: what subscribers reported, by name and topic.
        data_losses: the periods in which Redis lost data.
        without_cause: descriptions of losses that were reported although nothing can have been lost, with their counts.
    """
    faults = {key: _faults(*key, records[key], pushed[key[1]], data_losses) for key in records}
    told = [record.kind for each in records.values() for record in each]
    totals = [sum(len(each.shown()[place][1]) for each in faults.values()) for place in range(5)]
    outcome = Outcome(
        (
            *first,
            *(counts[name] for name in ("pushes", "accepted", "unconfirmed", "refused")),
            told.count(Kind.EVENT),
            told.count(Kind.LOST),
            sum(without_cause.values()),
            *totals,
        )
    )
    outcome.failures += [
        f"{name}: {topic}: {what}: {', '.join(map(str, numbers))}"
        for (name, topic), each in faults.items()
        for what, numbers in each.shown()
        if numbers
    ]
    outcome.failures += [f"{text}, of {topics} topics" for text, topics in without_cause.items()]
    known = {"pushes", "accepted", "unconfirmed", "refused"}
    outcome.failures += [f"{counts[name]} pushes ended with {name}" for name in counts if name not in known]
    return outcome


def _faults(
    name: str,
    topic: str,
    records: Sequence[Record],
    pushed: Sequence[Pushed],
    data_losses: Sequence[tuple[float, float]],
) -> _Faults:
    verdict = judged(name, records, [each.for_judge for each in pushed])
    received = {record.number for record in records if record.kind is Kind.EVENT}

    def repeated(number: int) -> bool:
        """Return whether a push was repeated after Redis had lost the key of its first attempt."""
        each = pushed[number]
        overlaps = any(each.began <= until and each.ended >= since for since, until in data_losses)
        return KEYED in topic and each.attempts > 1 and overlaps

    return _Faults(
        list(verdict.missing),
        [number for number in verdict.doubled if not repeated(number)],
        # An unconfirmed push may still be on its way to Redis when the pusher continues.
        [number for number in verdict.disordered if isinstance(pushed[number].outcome, Receipt)],
        [number for number in sorted(received) if isinstance(pushed[number].outcome, NotAccepted)],
        list(verdict.foreign),
    )
