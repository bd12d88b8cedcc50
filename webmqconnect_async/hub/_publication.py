"""An event on its way to subscribers, who receives it, and the IDs of events. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .._core import strict_json

_NOBODY = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of an event, by one of their properties."""

    eligible: frozenset[str] | None = None  # the only values to receive it; `None` for all
    exclude: frozenset[str] = _NOBODY  # values that do not receive it

    def __contains__(self, name: str) -> bool:
        return (self.eligible is None or name in self.eligible) and name not in self.exclude


_ALL = Receivers()
EVERYBODY = (_ALL, _ALL, _ALL)
"""The `Publication.receivers` of an event for all subscribers of its topic."""


@dataclass(slots=True)  # not frozen, which would make a push 5 % more expensive; no code changes one
class Publication:
    """An event of a topic.

    All strings but the topic are JSON without whitespace around it, safe to insert into a larger JSON text.
    """

    topic: str
    event: str  # the value that WAMP v1 subscribers receive
    eligible: frozenset[str] | None = None  # the IDs of the only sessions to receive it; `None` for every subscriber
    exclude: frozenset[str] = _NOBODY  # the IDs of sessions that do not receive it
    args: str | None = None  # the array of arguments that WAMP v2 subscribers receive; `None` for the event alone
    kwargs: str | None = None  # the object of keyword arguments that WAMP v2 subscribers receive; `None` for none
    authid: Receivers | None = None  # by their subscriber key or the user of their ticket; `None` for all
    authrole: Receivers | None = None  # by their role; `None` for all
    retain: bool = False  # whether it becomes the retained event of its topic, which subscribers may ask for

    @property
    def receivers(self) -> tuple[Receivers, Receivers, Receivers]:
        """The receivers by session ID, by subscriber key or the user of their ticket, and by their role."""
        addressed = self.eligible is not None or self.exclude
        by_session = Receivers(self.eligible, self.exclude) if addressed else _ALL
        return by_session, self.authid or _ALL, self.authrole or _ALL


def arguments_of(args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[str, str, str | None]:
    """Return an event as JSON: the value for WAMP v1, and the positional and keyword arguments for WAMP v2.

    WAMP v1 has one value per event. A single positional argument is that value. Any other arguments become an object
    with the members `args` and `kwargs`. Arguments that are nested too deeply raise a ValueError.
    """
    positional = strict_json.encode(args)
    if len(args) == 1 and not kwargs:
        return positional[1:-1], positional, None
    keywords = strict_json.encode(kwargs)
    return f'{{"args":{positional},"kwargs":{keywords}}}', positional, keywords if kwargs else None


class PublicationIDs:
    """Strictly increasing IDs, even if the clock is set back: milliseconds << 11 | counter, below 2^53 until 2109.

    WAMP requires random IDs here (section 2.1.2, "global scope"). This hub deviates, so that subscribers can compare
    IDs to say what they have seen.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.newest = self._now()  # the last ID; before the first, the time of the start

    def next(self) -> int:
        self.newest = max(self._now(), self.newest + 1)
        return self.newest

    def _now(self) -> int:
        return max(0, int(self._clock() * 1000)) << 11
