"""The blocking client: drives the same flow over the standard library's http.client. It starts no event loop."""

from .client import Client

__all__ = ["Client"]
