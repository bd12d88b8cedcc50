"""The maximum of an exponential backoff. Pure."""

from __future__ import annotations


def ceiling(first: float, failures: int, longest: float) -> float:
    """Return the maximum of a backoff in seconds. It doubles with each failure in a row, from `first` to `longest`."""
    return min(longest, first * 2.0 ** min(failures - 1, 64))
