"""The types in the public signatures, for your own annotations."""

from __future__ import annotations

from ._aio.bulk_workers import AsyncPushStream
from ._aio.client import AsyncClientOptions
from ._aio.source import AsyncPushes
from ._core.dialects import DialectName
from ._core.dialects.events import Dumps
from ._core.settings import ClientOptions
from ._core.values import SessionIDs
from ._sync.bulk_workers import Pushes, PushStream

__all__ = [
    "AsyncClientOptions",
    "AsyncPushStream",
    "AsyncPushes",
    "ClientOptions",
    "DialectName",
    "Dumps",
    "PushStream",
    "Pushes",
    "SessionIDs",
]
