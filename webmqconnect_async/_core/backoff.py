"""The maximum of an exponential backoff. Pure."""

from __future__ import annotations


def ceiling(first: float, failures: int, longest: float) -> float:
    """Return the maximum of a backoff in seconds. It doubles with each failure in a row.

    Args:
        first: the maximum after one failure.
        failures: the number of failures in a row, at least 1.
        longest: the maximum does not exceed this.
    """
    return min(longest, first * 2.0 ** min(failures - 1, 64))
