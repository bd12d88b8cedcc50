"""The options of a WAMP v2 PUBLISH that select the receivers. Crossbar.io's bridge accepts the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ._publication import Receivers


class Audience(NamedTuple):
    """The conditions that a receiver of an event has to meet. The fields are those of a `Publication`."""

    eligible: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    authid: Receivers | None = None
    authrole: Receivers | None = None

    @property
    def may_be_retained(self) -> bool:
        """Whether the event can be retained: its receivers are not selected by session, because sessions end."""
        return self.eligible is None and not self.exclude


_EVERYBODY = Audience()


def audience_of(options: Mapping[str, object]) -> Audience:
    """Return the receivers that the options select; raise a ValueError that names an option of the wrong type.

    An empty list of eligible receivers selects everybody, as in other routers, so that an application behaves the same
    there. A single value counts as a list of one.
    """
    if not options:
        return _EVERYBODY
    sessions = _receivers(options, "", int) or Receivers()
    authid, authrole = _receivers(options, "_authid", str), _receivers(options, "_authrole", str)
    return Audience(sessions.eligible, sessions.exclude, authid, authrole)


def flag_of(options: Mapping[str, object], name: str, *, default: bool) -> bool:
    """Return a boolean option; raise a ValueError for another value."""
    match options.get(name):
        case None:
            return default
        case bool(value):
            return value
    raise ValueError(f"option '{name}' must be true or false")


def _receivers(options: Mapping[str, object], property_: str, kind: type) -> Receivers | None:
    eligible = _names(options, f"eligible{property_}", kind)
    exclude = _names(options, f"exclude{property_}", kind)
    return Receivers(eligible or None, exclude) if eligible or exclude else None


def _names(options: Mapping[str, object], name: str, kind: type) -> frozenset[str]:
    value = options.get(name)
    if value is None:
        return frozenset()
    values = value if isinstance(value, list) else [value]
    if any(type(each) is not kind for each in values):  # True is an instance of int
        raise ValueError(f"option '{name}' must be a list of {'integers' if kind is int else 'strings'}")
    return frozenset(map(str, values))
