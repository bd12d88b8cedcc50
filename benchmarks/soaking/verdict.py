"""Compares the outcomes that producers got with the pushes that the hub accepted. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .plan import Mode, Plan
from .reports import Entry, Kind, Report

SHOWN = 10
"""Numbers that a failure names, at the most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run has come to."""

    endings: Mapping[str, int]
    """How many pushes ended how: `accepted: Receipt`."""
    journal: int
    """Events that the hub took, duplicates included."""
    resent: int
    """Attempts beyond a push's first."""
    duplicates: int
    """Events that the hub took again."""
    taken: int
    """Unconfirmed pushes that the hub had taken."""
    not_taken: int
    """Unconfirmed pushes that it had not."""
    out_of_order: int
    """Unconfirmed pushes that the hub took after a later one of their topic."""
    failures: Sequence[str]
    """Promises broken, each naming the numbers of pushes."""


def judged(plan: Plan, reports: Iterable[Report], journal: Sequence[Entry], stats: Mapping[str, int]) -> Verdict:
    """Judge a run.

    Args:
        plan: what was to be pushed, and what was promised for it.
        reports: what the callers were told, in any order.
        journal: what the hub took, in that order.
        stats: the sums of the clients' own counts, as `Stats` has them.
    """
    told: defaultdict[int, list[Report]] = defaultdict(list)
    for report in reports:
        told[report.number].append(report)
    of_kind = {kind: {number for number, (first, *_) in told.items() if first.kind is kind} for kind in Kind}
    accepted, not_accepted, unconfirmed, wrong = (of_kind[kind] for kind in Kind)
    copies = Counter(entry.number for entry in journal)
    pushed = range(plan.pushes)
    attempts = {number: first.attempts for number, (first, *_) in told.items()}
    late = _late(journal)
    # Only of one that is resent may there be more than one copy, and never by default.
    allowed = attempts if plan.mode is Mode.AT_LEAST_ONCE else {}
    checks = {
        "ended without a word to their callers": [number for number in pushed if number not in told],
        "were reported more than once": [number for number, several in told.items() if len(several) > 1],
        "were reported, but never pushed": [number for number in told if number not in pushed],
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
    counted = {"pushed": len(accepted), "failed": len(told) - len(accepted), "retried": retried, "in_flight": 0}
    failures += [
        f"the clients' stats say {stats.get(name)} {name}, the reports {number}"
        for name, number in counted.items()
        if stats.get(name) != number
    ]
    endings = Counter(f"{first.kind}: {first.ending}" for first, *_ in told.values())
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
    """Return the numbers that came after a higher one of their topic; a producer pushes them in rising order."""
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
