"""aioresponses, made to work with today's aiohttp: the one place that knows what is the matter with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp


class ScriptedResponse(aiohttp.ClientResponse):
    """A reply for aioresponses' `response_class`.

    aioresponses 0.7.9 does not give the `stream_writer` that aiohttp 3.14 asks of whoever makes a reply.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)
