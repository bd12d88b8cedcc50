"""The asynchronous client: drives the flow over one aiohttp ClientSession."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
