"""The topics that a WAMP v2 router accepts, and those that a subscriber may read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .checks import wrong_type

_URI = re.compile(r"[^\s.#]+(\.[^\s.#]+)*")
"""A "loose URI" of the WAMP specification."""
_SEPARATORS = ("/", ".", ":")


def is_uri(topic: str) -> bool:
    """Return whether a topic is a WAMP URI: components between dots, non-empty, without whitespace or `#`."""
    return _URI.fullmatch(topic) is not None


def is_reserved(topic: str) -> bool:
    """Return whether only the router itself may publish to a topic."""
    return topic.startswith("wamp.")


def covers(topics: Iterable[str], topic: str) -> bool:
    """Return whether a topic is among those that may be read, or begins with one that has a trailing `*`."""
    return any(topic.startswith(each[:-1]) if each.endswith("*") else topic == each for each in topics)


def check_topics(argument: str, topics: object) -> tuple[str, ...]:
    """Return the topics that a subscriber may read as a tuple.

    A `*` may be only at the end, after a separator: `http://example.com*` would cover `http://example.com.evil`.
    """
    if isinstance(topics, str) or not isinstance(topics, Iterable):
        raise TypeError(wrong_type(argument, "a list of strings", topics))
    checked: list[str] = []
    for topic in topics:
        if not isinstance(topic, str):
            raise TypeError(f"{argument} must contain strings, not {type(topic).__name__}")
        before = topic.removesuffix("*")
        if not topic or "*" in before or (before != topic and not before.endswith(_SEPARATORS)):
            raise ValueError(
                f"{argument} must contain topics with a * only at the end, after one of / . :, and not {topic!r}"
            )
        checked.append(topic)
    if not checked:
        raise ValueError(f"{argument} must contain at least one topic")
    return tuple(checked)
