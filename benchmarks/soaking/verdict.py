"""Compares the outcomes that producers got with the pushes that the hub accepted. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .plan import Mode, Plan
from .reports import Entry, Kind, Report

SHOWN = 10
"""The maximum number of pushes that a failure names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a run."""

    endings: Mapping[str, int]
    """The number of pushes by outcome, such as `accepted: Receipt`."""
    journal: int
    """Events that the hub accepted, duplicates included."""
    resent: int
    """Attempts after the first one of each push."""
    duplicates: int
    """Events that the hub accepted a second time."""
    taken: int
    """Unconfirmed pushes that the hub had accepted."""
    not_taken: int
    """Unconfirmed pushes that the hub had not accepted."""
    out_of_order: int
    """Unconfirmed pushes that the hub accepted after a later one of their topic."""
    failures: Sequence[str]
    """The guarantees that were broken, each with the numbers of pushes."""


def judged(plan: Plan, reports: Iterable[Report], journal: Sequence[Entry], stats: Mapping[str, int]) -> Verdict:
    """Judge a run.

    Args:
        plan: which pushes were made, and with which guarantees.
        reports: the outcomes that the callers got, in any order.
        journal: the pushes that the hub accepted, in order.
        stats: the sums of the clients' own counts, as `Stats` has them.
    """
    by_number: defaultdict[int, list[Report]] = defaultdict(list)
    for report in reports:
        by_number[report.number].append(report)
    of_kind = {kind: {number for number, (first, *_) in by_number.items() if first.kind is kind} for kind in Kind}
    accepted, not_accepted, unconfirmed, wrong = (of_kind[kind] for kind in Kind)
    copies = Counter(entry.number for entry in journal)
    pushed = range(plan.pushes)
    attempts = {number: first.attempts for number, (first, *_) in by_number.items()}
    late = _late(journal)
    # Only a push that may be resent may have more than one copy, and by default none is resent.
    allowed = attempts if plan.mode is Mode.AT_LEAST_ONCE else {}
    checks = {
        "ended without a word to their callers": [number for number in pushed if number not in by_number],
        "were reported more than once": [number for number, several in by_number.items() if len(several) > 1],
        "were reported, but never pushed": [number for number in by_number if number not in pushed],
        "are in the journal, but were never pushed": [number for number in copies if number not in pushed],
        "ended in an error that no push of a soak may end in": wrong,
        "were reported accepted and are not in the journal": accepted - copies.keys(),
        "were reported NotAccepted and are in the journal": not_accepted & copies.keys(),
        "are in the journal more often than they may": [n for n, times in copies.items() if times > allowed.get(n, 1)],
    }
    if plan.ordered:
        checks["are in the journal behind a later push of their topic, and were not Unconfirmed"] = late - unconfirmed
    failures = [_said(numbers, what) for what, numbers in checks.items() if numbers]
    retried = sum(max(0, times - 1) for times in attempts.values())
    counted = {"pushed": len(accepted), "failed": len(by_number) - len(accepted), "retried": retried, "in_flight": 0}
    failures += [
        f"the clients' stats say {stats.get(name)} {name}, the reports {number}"
        for name, number in counted.items()
        if stats.get(name) != number
    ]
    endings = Counter(f"{first.kind}: {first.ending}" for first, *_ in by_number.values())
    return Verdict(
        endings=dict(sorted(endings.items())),
        journal=len(journal),
        resent=retried,
        duplicates=len(journal) - len(copies),
        taken=len(unconfirmed & copies.keys()),
        not_taken=len(unconfirmed - copies.keys()),
        out_of_order=len(late & unconfirmed) if plan.ordered else 0,
        failures=failures,
    )


def _late(journal: Sequence[Entry]) -> set[int]:
    """Return the numbers that came after a higher one of their topic. A producer pushes them in ascending order."""
    highest: dict[str, int] = {}
    late = set()
    for entry in journal:
        if entry.number < highest.get(entry.topic, -1):
            late.add(entry.number)
        else:
            highest[entry.topic] = entry.number
    return late


def _said(numbers: Iterable[int], what: str) -> str:
    named = sorted(numbers)
    more = ", ..." if len(named) > SHOWN else ""
    return f"{len(named)} pushes {what}: {', '.join(map(str, named[:SHOWN]))}{more}"
