"""The topics that a WAMP v2 router accepts."""

from __future__ import annotations

import re

__all__ = ["is_reserved", "is_uri"]

_URI = re.compile(r"[^\s.#]+(\.[^\s.#]+)*")
"""A loose URI, as the WAMP specification calls it."""


def is_uri(topic: str) -> bool:
    """Return whether a topic is a WAMP URI: components between dots, non-empty, without whitespace or `#`."""
    return _URI.fullmatch(topic) is not None


def is_reserved(topic: str) -> bool:
    """Return whether only the router itself may publish to a topic."""
    return topic.startswith("wamp.")
