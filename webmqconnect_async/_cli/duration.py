"""The type of options that are durations: `6h`, `30m`, `90s`."""

from __future__ import annotations

import re

import rich_click as click

_UNITS = {"h": 3600, "m": 60, "s": 1, "": 1}


def duration(value: str) -> float:
    """Return the seconds of a number with a unit. A number alone is in seconds."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([hms]?)", value)
    if matched is None:
        raise click.BadParameter(f"{value!r} is not a duration such as 6h, 30m or 90s.")
    return float(matched[1]) * _UNITS[matched[2]]
