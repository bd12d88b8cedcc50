"""Make untrusted text safe to show: on a terminal, in a log, an error or a response."""

from __future__ import annotations


def visible(text: str, longest: int | None = None) -> str:
    r"""Return the text with unprintable characters as `\uXXXX`, including bidirectional controls and lone surrogates.

    JSON has such characters inside strings only, so the result is the same JSON. With `longest`, it is `shortened`.
    """
    if longest is not None:
        text = shortened(text, longest)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def shortened(text: str, longest: int) -> str:
    """Return at most the first `longest` characters of a text, followed by "…" if it has more."""
    return text if len(text) <= longest else text[:longest] + "…"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
