"""What a peer sent, made fit to be shown back to it. Knows no wire."""

from __future__ import annotations

__all__ = ["shown"]

_LONGEST = 100


def shown(text: str) -> str:
    """Return the text cut to 100 characters, its control characters and lone surrogates escaped."""
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
