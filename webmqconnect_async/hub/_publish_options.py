"""The options of a WAMP v2 publication, which a push to the bridge carries as well. Pure; knows no subscriber."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ._publication import Receivers

__all__ = ["Audience", "audience_of", "flag_of"]


class Audience(NamedTuple):
    """Whom an event is for: all of it must hold. The fields are those of a `Publication`."""

    eligible: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    authid: Receivers | None = None
    authrole: Receivers | None = None


_EVERYBODY = Audience()


def audience_of(options: Mapping[str, object]) -> Audience:
    """Return whom the options name.

    Routers take an empty list of the eligible for none at all, and so for everybody. So does this hub: what an
    application sees here it is to see there. A value alone is a list of it.

    Raises:
        ValueError: what stands there is of the wrong type; the text names the option.
    """
    if not options:
        return _EVERYBODY
    sessions = _receivers(options, "", int) or Receivers()
    authid, authrole = _receivers(options, "_authid", str), _receivers(options, "_authrole", str)
    return Audience(sessions.eligible, sessions.exclude, authid, authrole)


def flag_of(options: Mapping[str, object], name: str, *, default: bool) -> bool:
    """Return an option that is true or false.

    Raises:
        ValueError: it is neither.
    """
    match options.get(name):
        case None:
            return default
        case bool(value):
            return value
    raise ValueError(f"option '{name}' is neither true nor false")


def _receivers(options: Mapping[str, object], property_: str, kind: type) -> Receivers | None:
    eligible = _names(options, f"eligible{property_}", kind)
    exclude = _names(options, f"exclude{property_}", kind)
    return Receivers(eligible or None, exclude) if eligible or exclude else None


def _names(options: Mapping[str, object], name: str, kind: type) -> frozenset[str]:
    value = options.get(name)
    if value is None:
        return frozenset()
    values = value if isinstance(value, list) else [value]
    if any(type(each) is not kind for each in values):  # true is no 1
        raise ValueError(f"option '{name}' is not a list of {'integers' if kind is int else 'texts'}")
    return frozenset(map(str, values))
