"""A workaround that makes aioresponses work with current releases of aiohttp."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp


class ScriptedResponse(aiohttp.ClientResponse):
    """A reply for aioresponses' `response_class`.

    aioresponses 0.7.9 does not pass the `stream_writer` that ClientResponse of aiohttp 3.14 requires.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)
