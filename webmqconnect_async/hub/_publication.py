"""An event on its way to subscribers: what it says, and who is to get it. Knows no subscriber."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._strict_json import encoded

__all__ = ["Publication", "Receivers", "arguments_of"]

_NOBODY = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Receivers:
    """Those who get an event, as far as one of their properties says."""

    eligible: frozenset[str] | None = None
    """The only ones; None for everybody."""
    exclude: frozenset[str] = _NOBODY

    def __contains__(self, name: str) -> bool:
        return (self.eligible is None or name in self.eligible) and name not in self.exclude


@dataclass(slots=True)  # not frozen: nobody changes one, and to make it would take a twentieth of a push more
class Publication:
    """An event of a topic.

    All texts but the topic are JSON, without blanks around it: safe to splice into a larger JSON text.
    """

    topic: str
    event: str
    """What WAMP v1 subscribers get: a single value."""
    eligible: frozenset[str] | None = None
    """The only sessions to get it; None for every subscriber."""
    exclude: frozenset[str] = _NOBODY
    """Sessions that do not get it."""
    args: str | None = None
    """What WAMP v2 subscribers get as positional arguments, an array; None for the event alone."""
    kwargs: str | None = None
    """And as keyword arguments, an object; None for none."""
    authid: Receivers | None = None
    """Who gets it by the name they authenticated with; None for everybody."""
    authrole: Receivers | None = None
    """Who gets it by their role; None for everybody."""


def arguments_of(args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[str, str, str | None]:
    """Return an event's value for WAMP v1, and its positional and keyword arguments for WAMP v2, all as JSON text.

    WAMP v1 knows a single value. That is what a single argument is; what else there may be becomes an object of `args`
    and `kwargs`.

    Raises:
        ValueError: they are nested too deeply to be written.
    """
    positional = encoded(args)
    if len(args) == 1 and not kwargs:
        return positional[1:-1], positional, None
    keywords = encoded(kwargs)
    return f'{{"args":{positional},"kwargs":{keywords}}}', positional, keywords if kwargs else None
