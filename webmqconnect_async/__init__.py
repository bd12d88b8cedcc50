"""Push real-time events to browsers through a message broker: one signed HTTP POST per event.

async with AsyncClient("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret") as client:
    await client.push("http://example.com/orders", {"id": 17, "state": "paid"})
"""

import importlib
from typing import TYPE_CHECKING

from ._core.backlog import Background
from ._core.dialects.arguments import session_id
from ._core.flow import Retry
from ._core.values import Failed, Outcome, Payload, Push, Receipt, Sent, Stats
from ._version import __version__
from .errors import (
    AuthRejected,
    BadReply,
    ClientClosed,
    ClockRejected,
    ConnectFailed,
    ConnectionLost,
    InvalidPush,
    NotAccepted,
    Overloaded,
    QueueTimeout,
    Rejected,
    ReplyTimeout,
    SourceFailed,
    TooLarge,
    Unconfirmed,
    WebMQError,
    WrongLoop,
)

if TYPE_CHECKING:
    from ._aio import AsyncClient
    from ._core.dialects.events import to_json
    from ._sync import Client
else:
    _LAZY = {"AsyncClient": "._aio", "Client": "._sync", "to_json": "._core.dialects.events"}

    def __getattr__(name):
        """Import a client on first use (PEP 562): importing aiohttp would delay completion in a shell."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(importlib.import_module(_LAZY[name], __name__), name)
        return value


__all__ = [
    "AsyncClient",
    "AuthRejected",
    "Background",
    "BadReply",
    "Client",
    "ClientClosed",
    "ClockRejected",
    "ConnectFailed",
    "ConnectionLost",
    "Failed",
    "InvalidPush",
    "NotAccepted",
    "Outcome",
    "Overloaded",
    "Payload",
    "Push",
    "QueueTimeout",
    "Receipt",
    "Rejected",
    "ReplyTimeout",
    "Retry",
    "Sent",
    "SourceFailed",
    "Stats",
    "TooLarge",
    "Unconfirmed",
    "WebMQError",
    "WrongLoop",
    "__version__",
    "session_id",
    "to_json",
]


def __dir__() -> list[str]:
    """Return the public names, without the modules that importing them loads."""
    return __all__
