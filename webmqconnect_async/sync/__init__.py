"""The blocking client: drives the same flow over sockets of its own. It starts no event loop."""

from .client import Client

__all__ = ["Client"]
