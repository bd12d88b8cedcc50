"""Renders results as text, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .goals import Cell
from .load import EVENT_BYTES
from .results import Measured, Results, Row


def rendered(results: Results) -> str:
    """Return all tables."""
    head = [f"{name}: {value}" for name, value in {**results.machine, "command": results.command}.items()]
    head.append(results.conditions)
    head.append(f"{results.rounds} rounds, medians, (lowest to highest); {EVENT_BYTES}-byte events")
    if results.sink:
        head.append(f"the sink handles {results.sink:,.0f} requests/s ({results.sink_by})")
    parts = ["\n".join(head)]
    columns = ("client", "concurrency", "events", "pushes/s", "", "CPU us/push")
    if results.measured:
        parts.append(table(columns, map(_measured, results.measured)))
        parts.append(_bottleneck(results))
    if results.rows:
        goals = ("", "measured", "", "goal", "stretch", "")
        parts.append(table(goals, map(_row, results.rows)))
    if results.memory:
        samples = ((f"{events:,}", f"{size:.2f}") for events, size in results.memory)
        parts.append(table(("events streamed", "MB resident"), samples))
    if results.growth:
        parts.append("How cost grows:\n" + table(columns, map(_measured, results.growth)))
    parts += [f"not measured: {reason}" for reason in results.skipped]
    return "\n\n".join(filter(None, parts)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns: the first one left-aligned, the others right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def shown(line: Sequence[str]) -> str:
        first, *others = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        return "  ".join((first.strip().ljust(widths[0]), *others)).rstrip()

    return "\n".join((shown(lines[0]), "-" * len(shown(lines[0])), *map(shown, lines[1:])))


def name(cell: Cell) -> str:
    """Return the name of a cell among others of the same concurrency."""
    said = cell.client if cell.loop == "asyncio" else f"{cell.client} on {cell.loop}"
    said += f", {cell.topics:,} topics" if cell.topics > 1 else ""
    said += f", {cell.body:,} bytes" if cell.body != EVENT_BYTES else ""
    said += ", TLS" if cell.tls else ""
    return said if not cell.delay else f"{said}, response after {cell.delay * 1000:.0f} ms"


def _measured(measured: Measured) -> tuple[str, ...]:
    cell = measured.cell
    spread = f"({measured.low:,.0f} to {measured.high:,.0f})"
    return (
        name(cell), str(cell.concurrency), f"{cell.events:,}", f"{measured.rate:,.0f}", spread, f"{measured.cpu:,.1f}"
    )  # fmt: skip  # a line of the table


def _row(row: Row) -> tuple[str, ...]:
    def mark(value: float | None) -> str:
        return "" if value is None else f"{'<=' if row.less_is_better else '>='} {value:,g}"

    spread = f"({shown(row.low, row.unit)} to {shown(row.high, row.unit)})" if row.low != row.high else ""
    value = f"{shown(row.value, row.unit)} {row.unit}".replace(" x", "x").replace(" /s", "/s")
    return (row.title, value, spread, mark(row.goal), mark(row.stretch), row.verdict)


def shown(value: float, unit: str) -> str:
    """Return a value with as many digits as its unit needs."""
    return f"{value:,.2f}" if unit in ("x", "MB", "s") else f"{value:,.1f}" if unit in ("%", "ms") else f"{value:,.0f}"


def _bottleneck(results: Results) -> str:
    """Return a line that says how much faster the sink is than the fastest client."""
    if not results.sink:
        return ""
    fastest = max(results.measured, key=lambda measured: measured.rate)
    return (
        f"the sink handles {results.sink / fastest.rate:.1f} times what the fastest client sends ({name(fastest.cell)})"
    )
