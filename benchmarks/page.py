"""Renders results as Markdown, for the page of the documentation that includes its sections. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .report import shown
from .results import Results, Row


def written(results: Results) -> str:
    """Return all sections. A section that was not measured says so."""
    compared = [row for row in results.rows if row.unit in ("x", "%")]
    counted = [row for row in results.rows if row.unit == "instructions"]
    machine = ", ".join(results.machine[key] for key in ("machine", "python", "packages"))
    sections = {
        "conditions": f"{results.conditions} Medians of {results.rounds} rounds; {machine}.",
        "ratios": _table(("", "", "lowest to highest"), map(_ratio, compared)),
        "instructions": _table(("", ""), ((row.title, shown(row.value, row.unit)) for row in counted)),
        "growth": _table(
            ("concurrency", "events", "bytes", "pushes per second", "µs of CPU per push"),
            (
                tuple(
                    f"{figure:,.0f}"
                    for figure in (each.cell.concurrency, each.cell.events, each.cell.body, each.rate, each.cpu)
                )
                for each in results.growth
            ),
        ),
    }
    parts = (
        f"<!-- --8<-- [start:{name}] -->\n\n{text}\n\n<!-- --8<-- [end:{name}] -->" for name, text in sections.items()
    )
    return "<!-- Written by benchmarks/run.py. -->\n\n" + "\n\n".join(parts) + "\n"


def _ratio(row: Row) -> tuple[str, str, str]:
    unit = " %" if row.unit == "%" else ""
    spread = f"{shown(row.low, row.unit)} to {shown(row.high, row.unit)}"
    return row.title, shown(row.value, row.unit) + unit, spread + unit


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return "Not measured in the last run."
    return "\n".join((f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines))
