"""Results as a chart: pushes per second as bars, with their ratio to naive aiohttp. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .report import name
from .results import Measured, Results

_WIDTH, _LABEL, _BARS, _STEP = 760, 210, 360, 26

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.ours { fill: #0969da }
.peer { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #4493f8 }
  .peer { fill: #59636e }
}
"""

_OURS = ("push", "Client.push")
_PANELS = (
    ("Many signed pushes, concurrency 100, asynchronous", 100, "aiohttp, naive"),
    ("One signed push after another, blocking", 1, "requests"),
)
_BLOCKING = ("Client.push", "http.client", "http.client as in 2012", "requests", "urllib3")


def drawn(results: Results) -> str:
    """Return the chart as SVG, without a background, and with colours for light and dark pages."""
    parts = [f'<text x="10" y="26">{escape(results.conditions)}</text>']
    said = [results.conditions]
    top = 40
    for title, concurrency, unit in _PANELS:
        bars = [each for each in results.measured if each.cell.concurrency == concurrency and _belongs(each, unit)]
        bars.sort(key=lambda each: each.rate, reverse=True)
        base = next((each.rate for each in bars if each.cell.client == unit), None)
        if base is None:
            continue
        parts.append(f'<text class="title" x="10" y="{top + 16}">{title}: pushes/s (times {unit})</text>')
        parts += [_bar(each, bars[0].rate, base, top + 28 + _STEP * place) for place, each in enumerate(bars)]
        said.append(f"{title}: {_in_words(bars)}.")
        top += 28 + _STEP * len(bars) + 14
    described = escape(" ".join(said))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" aria-labelledby="t d">\n'
        f'<title id="t">Pushes per second, by client</title>\n<desc id="d">{described}</desc>\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _belongs(measured: Measured, unit: str) -> bool:
    cell = measured.cell
    usual = cell.topics == 1 and not cell.delay and not cell.tls
    return usual and (cell.client in _BLOCKING) == (unit in _BLOCKING)


def _bar(measured: Measured, longest: float, base: float, y: int) -> str:
    width = max(1.0, _BARS * measured.rate / longest)
    kind = "ours" if measured.cell.client.startswith(_OURS) else "peer"
    label = escape(name(measured.cell))
    figure = f"{measured.rate:,.0f} ({measured.rate / base:.2f}x)"
    return (
        f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{label}</text>'
        f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{width:.1f}" height="19" rx="3"/>'
        f'<text x="{_LABEL + width + 8:.1f}" y="{y + 14}">{figure}</text>'
    )


def _in_words(bars: Sequence[Measured]) -> str:
    return ", ".join(f"{name(each.cell)} {each.rate:,.0f}" for each in bars)
