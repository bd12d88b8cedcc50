"""The blocking client: drives the same flow as the asynchronous one, over its own sockets, without an event loop."""

from .client import Client

__all__ = ["Client"]
